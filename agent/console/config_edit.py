"""Keys that a technician may set at the console, and their change in the configuration's text. Pure.

They change when a part is replaced or a box moves: its site, the addresses of the broker, of cameras and
of heads, and the console's language. None of them decides what is recorded, masked, kept or sealed, who may
log in, or which certificate is trusted: those are the centre's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias
from urllib.parse import quote, urlunsplit

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from agent.base.message import Message, Text
from agent.base.url import split_url
from agent.config import toml_decode
from agent.config.redaction import redact_config
from agent.console.errors import ConsoleError

PathStep: TypeAlias = str | int


class EditableKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key, with NAME for the name of a camera or a head.

    `must_exist`: only a value that the configuration has is changed, since options differ by driver.
    """

    key: str
    kind: Literal["text", "number", "address"]
    must_exist: bool = False


EDITABLE_KEYS = (
    EditableKey(key="box.site", kind="text"),
    EditableKey(key="broker.url", kind="address"),
    EditableKey(key="health.interval_s", kind="number"),
    EditableKey(key="console.language", kind="text"),
    EditableKey(key="console.idle_logout_s", kind="number"),
    EditableKey(key="camera.NAME.options.url", kind="address", must_exist=True),
    EditableKey(key="camera.NAME.options.device", kind="text", must_exist=True),
    EditableKey(key="camera.NAME.detect_options.url", kind="address", must_exist=True),
    EditableKey(key="head.NAME.options.port", kind="text", must_exist=True),
    EditableKey(key="head.NAME.options.url", kind="address", must_exist=True),
)


_KINDS = {"camera": Message("camera"), "head": Message("head")}


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """A changed key: its old and new value without secrets, and the whole new file."""

    key: str
    old: Text
    new: Text
    new_text: str


def plan_changes(text: str, pairs: Sequence[tuple[str, str]]) -> tuple[KeyChange, ...]:
    """Set each key to its value, one after the other; comments and layout stay.

    Raises: ConsoleError if a key may not be set to its value; UserError if the file is no TOML.
    """
    changes: list[KeyChange] = []
    for key, value in pairs:
        changes.append(_plan_change(changes[-1].new_text if changes else text, key, value))
    return tuple(changes)


def plan_camera_password(text: str, camera: str, password: str) -> KeyChange:
    """Set the password in the addresses of a camera's streams that have one.

    Raises: ConsoleError if none has; UserError if the file is no TOML.
    """
    changes: list[KeyChange] = []
    for options in ("options", "detect_options"):
        current = changes[-1].new_text if changes else text
        tables = _parse_toml(current)
        for index, item in enumerate(_as_list(tables.get("camera"))):
            key_path = ("camera", index, options, "url")
            url = _get_at(tables, key_path)
            new_url = replace_url_password(url, password) if isinstance(url, str) else None
            if _item_name(item) == camera and new_url is not None:
                key = f"camera.{camera}.{options}.url"
                changes.append(_plan_value(current, key, key_path, new_url))
    if not changes:
        raise ConsoleError(
            Message("camera {name}: no password in its configuration to replace", name=camera)
        )
    return changes[-1]


def replace_url_password(url: str, password: str) -> str | None:
    """Return the URL with another password, or None if it has none."""
    parts = split_url(url, "rtsp", "http", "https")
    if parts is None or parts.password is None:
        return None
    user, host = parts.netloc.partition(":")[0], parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def list_editable_keys(text: str) -> list[tuple[str, Text]]:
    """Return every editable key of this file with its redacted value. Raises UserError if it is no TOML."""
    tables = _parse_toml(text)
    found = []
    for editable in EDITABLE_KEYS:
        table, dot, rest = editable.key.partition(".NAME.")
        names = [_item_name(item) for item in _as_list(tables.get(table))] if dot else [""]
        for key in (f"{table}.{name}.{rest}" if dot else editable.key for name in names):
            key_path = _key_path(key, editable, tables)
            if _exists(tables, key_path) or not editable.must_exist:
                found.append((key, _display_value(tables, key_path)))
    return found


def _plan_change(text: str, key: str, value: str) -> KeyChange:
    tables = _parse_toml(text)
    editable = _find_editable_key(key)
    key_path = _key_path(key, editable, tables)
    if editable.must_exist and not _exists(tables, key_path):
        raise ConsoleError(
            Message(
                "{key}: not in the configuration; allowed: the keys that config set lists", key=key
            )
        )
    new_value = _parse_value(key, editable, value)
    if editable.kind == "address":
        _check_address_change(key, str(_get_at(tables, key_path) or ""), value)
    return _plan_value(text, key, key_path, new_value)


def _plan_value(
    text: str, key: str, key_path: Sequence[PathStep], new_value: str | float
) -> KeyChange:
    tables = _parse_toml(text)
    _set_at(tables, key_path, new_value)
    new_text = _edit_text(text, key_path, new_value)
    if _parse_toml(new_text) != tables:
        raise ConsoleError(
            Message("{key}: cannot be changed in this file without other changes", key=key)
        )
    return KeyChange(
        key=key,
        old=_display_value(_parse_toml(text), key_path),
        new=_display_value(tables, key_path),
        new_text=new_text,
    )


def _find_editable_key(key: str) -> EditableKey:
    key_parts = key.split(".")
    for editable in EDITABLE_KEYS:
        pattern = editable.key.split(".")
        if len(pattern) == len(key_parts) and all(
            part in (word, "NAME") for part, word in zip(pattern, key_parts, strict=True)
        ):
            return editable
    raise ConsoleError(
        Message(
            "{key}: may not be set here; allowed: {keys}",
            key=key,
            keys=", ".join(editable.key for editable in EDITABLE_KEYS),
        )
    )


def _key_path(key: str, editable: EditableKey, tables: Mapping[str, Any]) -> tuple[PathStep, ...]:
    key_parts = key.split(".")
    if ".NAME." not in editable.key:
        return tuple(key_parts)
    names = [_item_name(item) for item in _as_list(tables.get(key_parts[0]))]
    if key_parts[1] not in names:
        raise ConsoleError(
            Message(
                "{key}: no such {kind}; there are: {names}",
                key=key,
                kind=_KINDS[key_parts[0]],
                names=", ".join(filter(None, names)) or Message("none"),
            )
        )
    return (key_parts[0], names.index(key_parts[1]), *key_parts[2:])


def _parse_value(key: str, editable: EditableKey, value: str) -> str | int | float:
    if editable.kind != "number":
        if not value.strip() or not value.isprintable():
            raise ConsoleError(Message("{key}: allowed: printable text that is not empty", key=key))
        return value
    try:
        number = float(value)
    except ValueError as error:
        raise ConsoleError(
            Message("{key} = {value!r}: allowed: a number", key=key, value=value)
        ) from error
    return int(number) if number.is_integer() and value.isascii() and value.isdecimal() else number


def _check_address_change(key: str, old: str, new: str) -> None:
    """Refuse passwords, which would cross the cable or reach another machine, and the loss of TLS."""
    if "@" in old or "@" in new or "?" in old or "?" in new:
        raise ConsoleError(
            Message(
                "{key}: allowed: an address without user, password and query, if the old one has none; "
                "otherwise the centre changes it",
                key=key,
            )
        )
    scheme, _, rest = old.partition("://")
    if rest and scheme.endswith("s") and not new.startswith(f"{scheme}://"):
        raise ConsoleError(
            Message("{key}: allowed: {scheme}://..., as it is", key=key, scheme=scheme)
        )


def _edit_text(text: str, key_path: Sequence[PathStep], value: str | float) -> str:
    try:
        document = tomlkit.parse(text)
        table: Any = document
        for step in key_path[:-1]:
            if isinstance(step, str) and step not in table:
                table[step] = tomlkit.table()
            table = table[step]
        table[key_path[-1]] = value
        return tomlkit.dumps(document)
    except TOMLKitError as error:
        raise ConsoleError(
            Message(
                "{key}: the file cannot be changed here: {error}", key=key_path[0], error=str(error)
            )
        ) from error


def _parse_toml(text: str) -> dict[str, Any]:
    return toml_decode.parse_toml(text, "the configuration")


def _get_at(tables: Any, key_path: Sequence[PathStep]) -> Any:
    for step in key_path:
        if isinstance(tables, dict):
            tables = tables.get(step)
        elif isinstance(tables, list) and isinstance(step, int) and step < len(tables):
            tables = tables[step]
        else:
            return None
    return tables


def _exists(tables: Any, key_path: Sequence[PathStep]) -> bool:
    return _get_at(tables, key_path) is not None


def _set_at(tables: dict[str, Any], key_path: Sequence[PathStep], value: str | float) -> None:
    table: Any = tables
    for step in key_path[:-1]:
        table = table.setdefault(step, {}) if isinstance(table, dict) else table[step]
        if not isinstance(table, dict | list):
            raise ConsoleError(Message("{key}: allowed: a table", key=step))
    if not isinstance(table, dict):
        raise ConsoleError(Message("{key}: allowed: a table", key=key_path[0]))
    table[key_path[-1]] = value


def _display_value(tables: Mapping[str, Any], key_path: Sequence[PathStep]) -> Text:
    value = _get_at(redact_config(tables), key_path)
    return Message("the default") if value is None else str(value)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _item_name(item: Any) -> str:
    return str(item.get("name", "")) if isinstance(item, dict) else ""
