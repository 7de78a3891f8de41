"""A version of a box's configuration as a person reads and writes it: TOML, a merge, a difference. Pure.

TOML has no null, with which a version takes a value of the box's file away: `unset` lists the keys of these.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.config import toml_decode, toml_writer
from agent.config.desired_config import DesiredContent, iter_leaves, merge_values, scene_key
from centre.fleet.wire_text import clean_text

_UNSET_TYPE = tuple[str, ...]


def to_toml(content: DesiredContent) -> str:
    """Return a file that `vigie configure` takes. Characters that a terminal may obey are escapes."""
    tables = _to_tables(content)
    unset = [key for key, value in iter_leaves(content.settings) if value is None]
    tables = {name: _without_nulls(table) for name, table in tables.items() if table}
    text = toml_writer.dumps({**({"unset": unset} if unset else {}), **tables})
    return "".join(_escape(char) for char in text)


def read_tables(tables: Mapping[str, Any], location: str) -> dict[str, Any]:
    """Return the tables of a file, with nulls in place of `unset`. Raises: UserError."""
    read = {name: value for name, value in tables.items() if name != "unset"}
    unset = checked_convert.convert(tables.get("unset", ()), _UNSET_TYPE, location, "unset")
    for key in unset:
        *parents, last = key.split(".")
        table = read
        for name in ("settings", *parents):
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise UserError(
                    f"{location}: unset = {key!r}: {name} has a value; allowed: no key of it"
                )
        table[last] = None
    return read


def merge(content: DesiredContent, tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a version with parts of it replaced: tables are merged, texts, numbers and lists replaced."""
    merged: dict[str, Any] = merge_values(_to_tables(content), tables)
    return merged


def difference(old: DesiredContent, new: DesiredContent) -> tuple[list[str], list[str]]:
    """Return a line for each key that `new` drops, and one for each that it changes or adds."""
    before, after = _described(old), _described(new)
    dropped = [f"- {key} = {before[key].shown}" for key in before if key not in after]
    others = [
        f"+ {key} = {item.shown}"
        if key not in before
        else f"~ {key} = {item.shown}, now {before[key].shown}"
        for key, item in after.items()
        if key not in before or before[key].value != item.value
    ]
    return dropped, others


def _to_tables(content: DesiredContent) -> dict[str, Any]:
    tables: dict[str, Any] = msgspec.to_builtins(content.content())
    return tables


class _Item(msgspec.Struct, frozen=True):
    value: object
    shown: str


def _described(content: DesiredContent) -> dict[str, _Item]:
    items = {key: _Item(value, _json(value)) for key, value in iter_leaves(content.settings)}
    for camera, scene in content.scenes.items():
        views = {None: scene} if isinstance(scene, str) else scene
        for preset, text in views.items():
            items[scene_key(camera, preset)] = _Item(text, _count_elements(text))
    for head, presets in content.presets.items():
        for name, pose in presets.items():
            items[f"presets.{head}.{name}"] = _Item(pose, _json(pose))
    for name, model in content.models.items():
        items[f"models.{name}"] = _Item(model, clean_text(model.url))
    for camera, proof in content.proofs.items():
        lights = ", ".join(f"{one.light} F1 {one.f1:.1%}" for one in proof.lights)
        items[f"proofs.{camera}"] = _Item(proof, clean_text(f"{lights}, by {proof.by}"))
    return {clean_text(key): item for key, item in items.items()}


def _json(value: object) -> str:
    return clean_text(msgspec.json.encode(value).decode())


_ELEMENTS = {"line": "line", "zone": "zone", "mask": "mask", "ignore": "ignored area"}


def _count_elements(scene: str) -> str:
    """Return such as `2 lines, 1 mask`."""
    try:
        tables = toml_decode.parse_toml(scene, "scene")
    except UserError:
        return "not TOML"
    counts = {kind: len(tables[kind]) for kind in _ELEMENTS if isinstance(tables.get(kind), list)}
    words = [
        f"{count} {_ELEMENTS[kind]}{'s' if count > 1 else ''}"
        for kind, count in counts.items()
        if count
    ]
    return ", ".join(words) or "an empty scene"


def _without_nulls(value: Any) -> Any:
    """In a list of tables a null is the same as a key that is missing: a list is replaced as a whole."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _escape(char: str) -> str:
    if char.isprintable() or char == "\n":
        return char
    return f"\\U{ord(char):08x}"
