"""The keys of the configuration that a technician may set at the console, and a file with one of them
changed. Pure.

They are what changes when somebody exchanges a part or a box moves: where it stands, where the broker,
a camera or a head is reached, and how the console talks. None of them decides what is recorded, masked,
kept or sealed, who may log in, or which certificate is trusted: those are the centre's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from agent.base.errors import UserError
from agent.config import strict
from agent.config.shareable_config import allowed

Step: TypeAlias = str | int


class EditableKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key, with NAME for that of a camera or a head. `there`: it must be there already, since
    another driver has no use for it.
    """

    key: str
    kind: Literal["text", "number", "address"]
    there: bool = False


SETTABLE = (
    EditableKey(key="box.site", kind="text"),
    EditableKey(key="broker.url", kind="address"),
    EditableKey(key="health.every_s", kind="number"),
    EditableKey(key="console.language", kind="text"),
    EditableKey(key="console.idle_logout_s", kind="number"),
    EditableKey(key="camera.NAME.options.url", kind="address", there=True),
    EditableKey(key="camera.NAME.options.device", kind="text", there=True),
    EditableKey(key="camera.NAME.detect_options.url", kind="address", there=True),
    EditableKey(key="head.NAME.options.port", kind="text", there=True),
    EditableKey(key="head.NAME.options.url", kind="address", there=True),
)


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """A key that gets another value: as they may be shown, and the whole file with it."""

    key: str
    old: str
    new: str
    text: str


def changed(text: str, pairs: Sequence[tuple[str, str]]) -> tuple[KeyChange, ...]:
    """The file with each key set to its value, one after the other. Only these values differ:
    comments and layout stay. Raises BadInput.
    """
    changes: list[KeyChange] = []
    for key, value in pairs:
        changes.append(_changed(changes[-1].text if changes else text, key, value))
    return tuple(changes)


def keys_of(text: str) -> list[tuple[str, str]]:
    """Every key that may be set in this file, with its value as it may be shown. Raises BadInput."""
    tables = _read(text)
    found = []
    for one in SETTABLE:
        table, dot, rest = one.key.partition(".NAME.")
        names = [_name(item) for item in _list(tables.get(table))] if dot else [""]
        for key in (f"{table}.{name}.{rest}" if dot else one.key for name in names):
            place = _place(key, one, tables)
            if _is_there(tables, place) or not one.there:
                found.append((key, _shown(tables, place)))
    return found


def _changed(text: str, key: str, value: str) -> KeyChange:
    tables = _read(text)
    one = _settable(key)
    place = _place(key, one, tables)
    if one.there and not _is_there(tables, place):
        raise UserError(f"{key}: is not in the configuration; allowed: one that is, see config set")
    wanted = _value(key, one, value)
    if one.kind == "address":
        _check_address(key, str(_at(tables, place) or ""), value)
    _put(tables, place, wanted)
    after = _edited(text, place, wanted)
    if _read(after) != tables:
        raise UserError(f"{key}: cannot be changed in this file without changing more of it")
    return KeyChange(key=key, old=_shown(_read(text), place), new=_shown(tables, place), text=after)


def _settable(key: str) -> EditableKey:
    words = key.split(".")
    for one in SETTABLE:
        parts = one.key.split(".")
        if len(parts) == len(words) and all(
            part in (word, "NAME") for part, word in zip(parts, words, strict=True)
        ):
            return one
    raise UserError(
        f"{key}: may not be set here; allowed: {', '.join(one.key for one in SETTABLE)}"
    )


def _place(key: str, one: EditableKey, tables: Mapping[str, Any]) -> tuple[Step, ...]:
    words = key.split(".")
    if ".NAME." not in one.key:
        return tuple(words)
    names = [_name(item) for item in _list(tables.get(words[0]))]
    if words[1] not in names:
        known = ", ".join(filter(None, names)) or "none"
        raise UserError(f"{key}: no such {words[0]}; there are: {known}")
    return (words[0], names.index(words[1]), *words[2:])


def _value(key: str, one: EditableKey, value: str) -> str | int | float:
    if one.kind != "number":
        if not value.strip() or not value.isprintable():
            raise UserError(f"{key}: allowed: a text that can be printed, and is not empty")
        return value
    try:
        number = float(value)
    except ValueError as error:
        raise UserError(f"{key} = {value!r}: allowed: a number") from error
    return int(number) if number.is_integer() and value.isascii() and value.isdecimal() else number


def _check_address(key: str, old: str, new: str) -> None:
    """A password is typed over no cable and goes to nobody else's machine; TLS is not left."""
    if "@" in old or "@" in new or "?" in old or "?" in new:
        raise UserError(
            f"{key}: allowed: an address without a user, a password or a query, in place of one "
            "without; else the centre changes it"
        )
    scheme, _, rest = old.partition("://")
    if rest and scheme.endswith("s") and not new.startswith(f"{scheme}://"):
        raise UserError(f"{key}: allowed: {scheme}://..., as it is")


def _edited(text: str, place: Sequence[Step], value: str | float) -> str:
    try:
        document = tomlkit.parse(text)
        table: Any = document
        for step in place[:-1]:
            if isinstance(step, str) and step not in table:
                table[step] = tomlkit.table()
            table = table[step]
        table[place[-1]] = value
        return tomlkit.dumps(document)
    except TOMLKitError as error:
        raise UserError(f"{place[0]}: this file cannot be changed here: {error}") from error


def _read(text: str) -> dict[str, Any]:
    return strict.parsed(text, "the configuration")


def _at(tables: Any, place: Sequence[Step]) -> Any:
    for step in place:
        if isinstance(tables, dict):
            tables = tables.get(step)
        elif isinstance(tables, list) and isinstance(step, int) and step < len(tables):
            tables = tables[step]
        else:
            return None
    return tables


def _is_there(tables: Any, place: Sequence[Step]) -> bool:
    return _at(tables, place) is not None


def _put(tables: dict[str, Any], place: Sequence[Step], value: str | float) -> None:
    table: Any = tables
    for step in place[:-1]:
        table = table.setdefault(step, {}) if isinstance(table, dict) else table[step]
        if not isinstance(table, dict | list):
            raise UserError(f"{step}: allowed: a table")
    if not isinstance(table, dict):
        raise UserError(f"{place[0]}: allowed: a table")
    table[place[-1]] = value


def _shown(tables: Mapping[str, Any], place: Sequence[Step]) -> str:
    value = _at(allowed(tables), place)
    return "the default" if value is None else str(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(item: Any) -> str:
    return str(item.get("name", "")) if isinstance(item, dict) else ""
