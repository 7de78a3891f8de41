"""agent.config.toml_decode: a mistake gives one line with the thing, the value and what is allowed."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from agent.base.errors import UserError
from agent.config import toml_decode


class Wheel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    radius_m: Annotated[float, msgspec.Meta(gt=0)]
    kind: Literal["steel", "wood"] = "steel"


class Ox(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    horns: int = 2


class Horse(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    hooves: int = 4


class Cart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(pattern="^[a-z]+$", extra={"allowed": "lower case letters"})]
    wheel: tuple[Wheel, ...] = ()
    spare: Wheel | None = None
    animal: Ox | Horse = Ox()


@pytest.mark.parametrize(
    ("tables", "line"),
    [
        ({"name": "a", "wheels": []}, "wheels: unknown key; allowed: name, wheel, spare, animal"),
        (
            {"name": "a", "wheel": [{"radius_m": 1, "size": 2}]},
            "wheel[0].size: unknown key; allowed: radius_m, kind",
        ),
        (
            {"name": "a", "spare": {"radius_m": 1, "size": 2}},
            "spare.size: unknown key; allowed: radius_m, kind",
        ),
        ({"name": "A1"}, "name = 'A1': allowed: lower case letters"),
        ({"name": 7}, "name = 7: allowed: a text"),
        ({}, "name: missing; it has to be given"),
        (
            {"name": "a", "wheel": [{"radius_m": 1}, {"radius_m": 0}]},
            "wheel[1].radius_m = 0: allowed: above 0",
        ),
        (
            {"name": "a", "wheel": [{"radius_m": 1, "kind": "jelly"}]},
            "wheel[0].kind = 'jelly': allowed: 'steel', 'wood'",
        ),
        (
            {"name": "a", "animal": {"kind": "Horse", "horns": 1}},
            "animal.horns: unknown key; allowed: hooves",
        ),
        (
            {"name": "a", "animal": {"kind": "Cow"}},
            "animal.kind = 'Cow': allowed: 'Ox', 'Horse'",
        ),
        ([], "a list; allowed: a table"),
    ],
)
def test_a_mistake_is_one_line_with_path_value_and_allowed_values(
    tables: object, line: str
) -> None:
    with pytest.raises(UserError) as refused:
        toml_decode.convert(tables, Cart, "cart.toml")
    assert str(refused.value) == f"cart.toml: {line}"


def test_valid_input_becomes_the_struct() -> None:
    cart = toml_decode.convert({"name": "a", "wheel": [{"radius_m": 0.5}]}, Cart, "cart.toml")
    assert cart == Cart(name="a", wheel=(Wheel(radius_m=0.5),))


def test_a_mistake_in_a_table_is_named_by_its_full_path() -> None:
    with pytest.raises(UserError) as refused:
        toml_decode.convert({"size": 1}, Wheel, "cart.toml", key_path="wheel[2]")
    assert str(refused.value) == "cart.toml: wheel[2].size: unknown key; allowed: radius_m, kind"
    with pytest.raises(UserError) as refused:
        toml_decode.convert({"radius_m": 0}, Wheel, "cart.toml", key_path="wheel[2]")
    assert str(refused.value) == "cart.toml: wheel[2].radius_m = 0: allowed: above 0"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = ", "not valid TOML: Invalid value (at end of document)"),
        (b"a = '\xff'", "not UTF-8 text, at byte 5"),
        (b"a = 1\na = 2\n", "not valid TOML: Cannot overwrite a value (at line 2, column 6)"),
        (b"a = " + b"[" * 5_000 + b"]" * 5_000, "not valid TOML: a number or a nesting too large"),
        (b"a = " + b"9" * 5_000, "not valid TOML: a number or a nesting too large"),
        (b"a = " + b"[" * 24 + b"]" * 24, "nested too deeply; allowed: 24 levels"),
        (b"a" + b".a" * 5_000 + b" = 1", "nested too deeply; allowed: 24 levels"),
    ],
)
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "cart.toml"
    file.write_bytes(content)
    with pytest.raises(UserError) as refused:
        toml_decode.read_toml(file, "cart")
    assert str(refused.value) == f"cart {str(file)!r}: {message}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.toml", "No such file or directory"),
        ("a\0b.toml", "a path that contains NUL"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_missing_or_unreadable_file_is_named(tmp_path: Path, name: str, message: str) -> None:
    file = tmp_path / name
    with pytest.raises(UserError) as refused:
        toml_decode.read_toml(file, "cart")
    assert str(refused.value) == f"cart {str(file)!r}: {message}"
