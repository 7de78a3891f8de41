"""agent.config.plain_words: no message shows a pattern or a type of Python."""

import pkgutil
from datetime import datetime
from importlib import import_module
from typing import Annotated, Any

import msgspec
import pytest

from agent.base.errors import UserError
from agent.commands.command import Command
from agent.config import toml_decode
from agent.config.configuration import Config
from agent.config.plain_words import iter_metas
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
"""All that `toml_decode` reads of people and of the centre."""


@pytest.mark.parametrize("read_type", READ_TYPES, ids=str)
def test_each_pattern_has_words(read_type: Any) -> None:
    patterns = [meta for meta in iter_metas(read_type, set()) if meta.pattern is not None]
    assert [meta for meta in patterns if not (meta.extra or {}).get("allowed")] == []


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
        (Annotated[float, msgspec.Meta(lt=0.5)], 1.0, "v = 1.0: allowed: below 0.5"),
        (Annotated[int, msgspec.Meta(ge=500_000_000)], 1, "v = 1: allowed: 500000000 or more"),
        (Annotated[int, msgspec.Meta(multiple_of=2)], 3, "v = 3: allowed: a multiple of 2"),
    ],
)
def test_a_limit_is_in_plain_words(expected: Any, value: object, line: str) -> None:
    struct: Any = msgspec.defstruct("Struct", [("v", expected)])
    with pytest.raises(UserError) as refused:
        toml_decode.convert({"v": value}, struct, "a.toml")
    assert str(refused.value) == f"a.toml: {line}"
