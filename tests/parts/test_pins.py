"""agent.config.pins: refused and accepted `[[pin]]` tables."""

from pathlib import Path

import pytest

from agent.base.errors import UserError
from agent.config import configuration
from agent.config.pins import gpio_lines, output_lines, switchable_by_name
from drivers.contracts import GpioLine

GOOD = """
[box]
id = "casa-0001"
site = "somewhere"
[broker]
url = "mqtt://127.0.0.1"
[[camera]]
name = "north"
driver = "fake"
options = {}
"""

DOOR = """
[[pin]]
name = "door"
kind = "door"
pin = 17
"""

SIREN = """
[[pin]]
name = "siren"
kind = "siren"
pin = 25
active_low = true
switchable = true
"""

FAN = """
[[pin]]
name = "fan"
kind = "fan"
pin = 23
"""

HEATER = """
[[pin]]
name = "heater"
kind = "heater"
pin = 24
"""

LAMP = """
[[pin]]
name = "ir"
kind = "ir_lamp"
pin = 22
camera = "north"
"""


def loaded(tmp_path: Path, pins: str) -> configuration.Config:
    file = tmp_path / "vigie.toml"
    file.write_text(GOOD + pins)
    return configuration.load(file)


def test_a_box_without_pins_is_valid(tmp_path: Path) -> None:
    good = loaded(tmp_path, "")
    assert (good.pin, good.gpio.driver) == ((), "gpio")


def test_pins_become_lines(tmp_path: Path) -> None:
    pins = loaded(tmp_path, DOOR + SIREN).pin
    door = GpioLine(name="door", pin=17, direction="in", pull="up")
    siren = GpioLine(name="siren", pin=25, direction="out", active_low=True)
    assert gpio_lines(pins) == (door, siren)
    assert output_lines(pins) == (siren,)
    assert switchable_by_name(pins) == {"door": False, "siren": True}


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        (DOOR + DOOR, "pin[1].name = 'door': used by pin[0] already"),
        (DOOR + DOOR.replace("door", "hatch", 1), "pin[1].pin = 17: used by pin[0] already"),
        (
            DOOR.replace("= 17", "= 54"),
            "pin[0].pin = 54: allowed: at most 53",
        ),
        (
            DOOR.replace('kind = "door"', 'kind = "window"'),
            "pin[0].kind = 'window': allowed: 'door', 'shock'",
        ),
        (
            DOOR + "switchable = true",
            "pin[0].switchable: unknown key; allowed: name, pin, active_low, pull, debounce_s",
        ),
        (
            DOOR + 'pull = "left"',
            "pin[0].pull = 'left': allowed: 'down', 'none', 'up'",
        ),
        (SIREN + "max_on_s = 0", "pin[0].max_on_s = 0: allowed: above 0"),
        (SIREN + 'pull = "up"', "pin[0].pull: unknown key"),
        (
            LAMP.replace("north", "south"),
            "pin[0].camera = 'south': no camera of this name; allowed: 'north'",
        ),
        (FAN + "off_celsius = 65", "pin[0].off_celsius = 65: allowed: below on_celsius = 65"),
        (HEATER + "off_celsius = 5", "pin[0].off_celsius = 5: allowed: above on_celsius = 5"),
        (
            FAN + HEATER + "off_celsius = 60",
            "pin[1].off_celsius = 60: allowed: below off_celsius = 55 of the fan 'fan'",
        ),
        ("[gpio]\nchip = 4", "gpio.chip: unknown key; allowed: driver, options"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, pins: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        loaded(tmp_path, pins)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
