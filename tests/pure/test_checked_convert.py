"""agent.base.checked_convert: a mistake gives one line with the thing, the value and what is allowed.

No line shows a pattern or a type of Python.
"""

import math
import pkgutil
from datetime import datetime
from importlib import import_module
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from agent.base import checked_convert
from agent.base.errors import UserError
from agent.commands.command import Command
from agent.config.configuration import Config
from agent.detection.scene import Scene
from agent.provisioning.network_config import NetworkConfig
from agent.provisioning.time_config import TimeConfig
from agent.ptz import ptz_args
from agent.update.feed import Feed
from drivers import camera, gpio, ptz

DRIVERS = [
    import_module(module.name)
    for package in (camera, gpio, ptz)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]
READ_TYPES: list[Any] = [
    *(driver.Options for driver in DRIVERS),
    *(Config, Scene, NetworkConfig, TimeConfig, Command, ptz_args.Args, Feed),
]
"""Structs of people and of the centre."""


def patterns_without_words(expected: Any, words: str | None = None) -> list[str]:
    match expected:
        case inspect.Metadata(type=inner, extra=extra):
            return patterns_without_words(inner, (extra or {}).get("allowed") or words)
        case inspect.StrType(pattern=str(pattern)) if not words:
            return [pattern]
        case inspect.StructType(fields=fields):
            parts = tuple(field.type for field in fields)
        case inspect.UnionType(types=parts) | inspect.TupleType(item_types=parts):
            pass
        case inspect.VarTupleType(item_type=part):
            parts = (part,)
        case inspect.DictType(key_type=key_type, value_type=value_type):
            parts = (key_type, value_type)
        case _:
            parts = ()
    return [pattern for part in parts for pattern in patterns_without_words(part)]


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
        checked_convert.convert(tables, Cart, "cart.toml")
    assert str(refused.value) == f"cart.toml: {line}"


def test_valid_input_becomes_the_struct() -> None:
    cart = checked_convert.convert({"name": "a", "wheel": [{"radius_m": 0.5}]}, Cart, "cart.toml")
    assert cart == Cart(name="a", wheel=(Wheel(radius_m=0.5),))


def test_a_mistake_in_a_table_is_named_by_its_full_path() -> None:
    with pytest.raises(UserError) as refused:
        checked_convert.convert({"size": 1}, Wheel, "cart.toml", key_path="wheel[2]")
    assert str(refused.value) == "cart.toml: wheel[2].size: unknown key; allowed: radius_m, kind"
    with pytest.raises(UserError) as refused:
        checked_convert.convert({"radius_m": 0}, Wheel, "cart.toml", key_path="wheel[2]")
    assert str(refused.value) == "cart.toml: wheel[2].radius_m = 0: allowed: above 0"


@pytest.mark.parametrize("read_type", READ_TYPES, ids=str)
def test_each_pattern_has_words(read_type: Any) -> None:
    assert patterns_without_words(inspect.type_info(read_type)) == []


@pytest.mark.parametrize(
    ("expected", "value", "line"),
    [
        (str, 7, "v = 7: allowed: a text"),
        (str, True, "v = true: allowed: a text"),
        (str, ["a"], "v: a list; allowed: a text"),
        (str, datetime(2026, 11, 25), "v = 2026-11-25 00:00:00: allowed: a text"),  # noqa: DTZ001 - as TOML has it
        (int, 1.5, "v = 1.5: allowed: a whole number"),
        (float, "x", "v = 'x': allowed: a number"),
        (bool, 1, "v = 1: allowed: true or false"),
        (int | str | None, 1.5, "v = 1.5: allowed: a whole number or a text"),
        (tuple[int, ...], {}, "v: a table; allowed: a list"),
        (tuple[int, int], [1], "v: allowed: 2 items"),
        (dict[str, int], [], "v: a list; allowed: a table"),
        (datetime, "x", "v = 'x': allowed: a time with a zone, such as 2026-11-25T00:01:00Z"),
        (
            Annotated[str, msgspec.Meta(min_length=1)],
            "",
            "v = '': allowed: a text that is not empty",
        ),
        (
            Annotated[str, msgspec.Meta(max_length=2)],
            "abc",
            "v = 'abc': allowed: at most 2 characters",
        ),
        (Annotated[float, msgspec.Meta(gt=0)], -0.5, "v = -0.5: allowed: above 0"),
        (Annotated[float, msgspec.Meta(gt=0)], math.nan, "v = nan: allowed: above 0"),
        (Annotated[int, msgspec.Meta(le=9)] | Literal["all"], 10, "v = 10: allowed: at most 9"),
        (Literal["all"] | int, "any", "v = 'any': allowed: 'all' or a whole number"),
        (Annotated[float, msgspec.Meta(lt=0.5)], 1.0, "v = 1.0: allowed: below 0.5"),
        (Annotated[int, msgspec.Meta(ge=500_000_000)], 1, "v = 1: allowed: 500000000 or more"),
        (Annotated[int, msgspec.Meta(multiple_of=2)], 3, "v = 3: allowed: a multiple of 2"),
    ],
)
def test_a_limit_is_in_plain_words(expected: Any, value: object, line: str) -> None:
    struct: Any = msgspec.defstruct("Struct", [("v", expected)])
    with pytest.raises(UserError) as refused:
        checked_convert.convert({"v": value}, struct, "a.toml")
    assert str(refused.value) == f"a.toml: {line}"


JSON = st.recursive(
    # msgspec quotes types in backticks: values are without.
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_characters="`"), max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("name", "wheel", "spare", "animal", "radius_m", "kind", "x")), inner
        )
    ),
)


@given(JSON)
def test_each_refused_value_has_its_line(value: object) -> None:
    try:
        msgspec.convert(value, Cart)
    except msgspec.ValidationError:
        (first, *_) = lines = list(map(str, checked_convert.iter_errors(value, Cart, "cart.toml")))
        assert all("`" not in line for line in lines), "none is msgspec's own"
        with pytest.raises(UserError) as refused:
            checked_convert.convert(value, Cart, "cart.toml")
        assert str(refused.value) == first
    else:
        assert list(checked_convert.iter_errors(value, Cart, "cart.toml")) == []
