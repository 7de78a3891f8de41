"""Placeholders for the invalid entries of a configuration, so that its valid ones are checked too. Pure."""

import typing
from typing import Any

from agent.base.checked_convert import iter_errors
from agent.config.configuration import Config
from agent.config.names import Name


def with_placeholders(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the tables with a valid placeholder for each invalid entry. Indexes stay, and names of cameras
    and heads, and a head's camera, since other entries refer to them.
    """
    hints = typing.get_type_hints(Config, include_extras=True)
    valid = {
        key: value
        for key, value in tables.items()
        if key in hints and not any(iter_errors(value, hints[key], ""))
    }
    for key, value in _PLACEHOLDERS.items():
        items = tables.get(key)
        if key in valid or not isinstance(items, list) or not isinstance(value, list):
            continue
        (placeholder,), item_type = value, typing.get_args(typing.get_args(hints[key])[0])[0]
        max_length = hints[key].__metadata__[0].max_length
        valid[key] = [
            entry
            if not any(iter_errors(entry, item_type, ""))
            else {**placeholder, **_valid_references(entry, _REFERENCES[key], f"{key}-{index}")}
            for index, entry in enumerate(items[:max_length])
        ]
    return {**_PLACEHOLDERS, **{key: value for key, value in valid.items() if value != []}}


_PLACEHOLDERS: dict[str, Any] = {
    "box": {"id": "x", "site": "x"},
    "broker": {"url": "mqtt://127.0.0.1"},
    "camera": [{"name": "x", "driver": "fake"}],
    # Not `fake`, which a box does not have.
    "head": [
        {
            "name": "x",
            "driver": "pelco_d",
            "options": {
                "port": "/dev/x",
                "tilt_deg": {"low": 0, "high": 1},
                "pan_max_deg_s": 1,
                "tilt_max_deg_s": 1,
            },
        }
    ],
}


_REFERENCES: dict[str, tuple[str, ...]] = {"camera": ("name",), "head": ("name", "camera")}


def _valid_references(
    entry: object, keys: tuple[str, ...], placeholder_name: str
) -> dict[str, str]:
    """Return the entry's references of `keys` as far as they are valid; without a name the placeholder's."""
    table = entry if isinstance(entry, dict) else {}
    given = {key: table[key] for key in keys if key in table}
    return {"name": placeholder_name} | {
        key: value for key, value in given.items() if not any(iter_errors(value, Name, ""))
    }
