"""docs/pins.md: its example loads and runs, and each kind and key is named."""

import inspect
import re
import threading
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from agent.config import pins as pins_config
from agent.config.pins import GpioConfig, InputPin, OutputPin, Pin
from agent.faults.registry import FAULTS, FaultRegistry
from agent.gpio import status_led
from agent.gpio.gpio_stage import GpioStage
from drivers.catalog import driver_names, load_gpio_driver
from drivers.contracts import Gpio, GpioLine
from simulation.gpio import fake
from tests.conftest import ManualClock

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "pins.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
KINDS = get_args(InputPin) + get_args(OutputPin)
COMMON = {"name", "pin", "active_low"}


def tables() -> list[dict[str, Any]]:
    (found,) = (t["pin"] for t in map(tomllib.loads, SNIPPETS) if "pin" in t)
    return found


def tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def row(kind: type[msgspec.Struct]) -> str:
    (found,) = re.findall(rf"^\| `{tag(kind)}` \|.*$", PAGE, re.MULTILINE)
    return found


def test_the_example_has_every_kind_and_is_valid() -> None:
    pins = [msgspec.convert(table, Pin) for table in tables()]
    assert {type(pin) for pin in pins} == set(KINDS)
    assert list(pins_config.iter_conflicts(pins, ["north"], "pins.md")) == []


def test_the_example_runs(clock: ManualClock) -> None:
    pins = [msgspec.convert(table, Pin) for table in tables()]
    chip = fake.fake_chip("pins.md")

    def open_gpio(lines: Sequence[GpioLine]) -> Gpio:
        gpio = fake.open_gpio(fake.Options(chip="pins.md"), lines, clock.boottime_ns)
        gpio.wake()  # so that the turn waits for nothing
        return gpio

    stage = GpioStage(
        pins,
        open_gpio,
        clock.boottime_ns,
        FaultRegistry(clock.boottime_ns),
        new_id=str,
        on_event=lambda _event: None,
        read_celsius=lambda: None,
        read_night_mode=lambda _camera: None,
    )
    stage.run_once(threading.Event())
    (fan,) = (pin for pin in pins if pin.name == "fan")
    assert chip.read_level(fan.pin), "an unknown temperature runs the fan"
    stage.close()
    assert not chip.read_level(fan.pin)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_row_with_its_keys_and_their_defaults(
    kind: type[msgspec.Struct],
) -> None:
    cell = row(kind).split("|")[-3 if kind in get_args(InputPin) else -2]
    named = dict(re.findall(r"`(\w+)`(?: \(([\d.]+)\))?", cell))
    own = {f.name: f.default for f in msgspec.structs.fields(kind) if f.name not in COMMON}
    assert set(named) == set(own)
    for name, shown in named.items():
        if shown:
            assert float(shown) == own[name]


@pytest.mark.parametrize("code", [code for code in sorted(FAULTS) if code.startswith("GPI")])
def test_each_fault_of_the_pins_is_blinked(code: str) -> None:
    assert status_led.blink_text(code)


@pytest.mark.parametrize("driver", driver_names("gpio"))
def test_each_driver_has_its_section_and_its_snippets_load(driver: str) -> None:
    assert f"## `{driver}`:" in PAGE
    module = load_gpio_driver(driver)
    source = inspect.getsource(module)
    own = re.findall(r"^```toml\n(.*?)^```", source, re.MULTILINE | re.DOTALL)
    assert own
    found = 0
    for snippet in (*own, *SNIPPETS):
        table = msgspec.convert(tomllib.loads(snippet)["gpio"], GpioConfig)
        if table.driver == driver:
            msgspec.convert(table.options, module.Options)
            found += 1
    assert found == len(own) + 1
    for field in msgspec.structs.fields(module.Options):
        assert f"| `{field.name}` |" in PAGE
