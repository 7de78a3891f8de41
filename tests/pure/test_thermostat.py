"""agent.gpio.thermostat: fan and heater by their temperatures, never together, and without chatter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.pins import FanPin, HeaterPin
from agent.gpio.thermostat import Thermostat

FAN = FanPin(name="fan", pin=1, on_celsius=65, off_celsius=55)
HEATER = HeaterPin(name="heater", pin=2, on_celsius=5, off_celsius=15)


@pytest.mark.parametrize(
    ("readings", "fan", "heater"),
    [
        ([60], [1], [0]),  # the fan runs until it is known to be cool
        ([50, 60, 64.9, 65, 60, 55.1, 55, 60], [0, 0, 0, 1, 1, 1, 0, 0], [0] * 8),
        ([20, 10, 5, 10, 14.9, 15, 10], [0] * 7, [0, 0, 1, 1, 1, 0, 0]),
        ([None, 20, None, 20], [1, 0, 1, 0], [0] * 4),
        # An unknown temperature runs the fan, and a fan stops the heater.
        ([0, None, 10, 0], [0, 1, 0, 0], [1, 0, 0, 1]),
        ([90, 0], [1, 0], [0, 1]),
    ],
)
def test_fan_and_heater_switch_at_their_temperatures(
    readings: list[float | None], fan: list[int], heater: list[int]
) -> None:
    thermostat = Thermostat([FAN, HEATER])
    found = [thermostat.step(reading) for reading in readings]
    assert [step["fan"] for step in found] == [bool(on) for on in fan]
    assert [step["heater"] for step in found] == [bool(on) for on in heater]


def test_without_pins_nothing_is_on() -> None:
    assert Thermostat([]).step(None) == {}


def test_a_second_fan_has_its_own_temperatures() -> None:
    late = FanPin(name="late", pin=3, on_celsius=75, off_celsius=70)
    thermostat = Thermostat([FAN, late])
    thermostat.step(20)
    assert thermostat.step(70) == {"fan": True, "late": False}
    assert thermostat.step(80) == {"fan": True, "late": True}
    assert thermostat.step(69) == {"fan": True, "late": False}


celsius = st.one_of(st.none(), st.floats(-40, 110))


@given(st.lists(celsius, max_size=60))
def test_a_heater_and_a_fan_are_never_on_together(readings: list[float | None]) -> None:
    thermostat = Thermostat([FAN, HEATER])
    for reading in readings:
        step = thermostat.step(reading)
        assert not (step["fan"] and step["heater"])
        assert step["fan"] or reading is not None


@given(st.lists(st.floats(-40, 110), min_size=1, max_size=60))
def test_two_switchings_are_a_whole_hysteresis_apart(readings: list[float]) -> None:
    for pin in (FAN, HEATER):
        thermostat = Thermostat([pin])
        was: bool | None = None
        switched_at: float | None = None
        for reading in readings:
            on = thermostat.step(reading)[pin.name]
            if was is not None and on != was:
                if switched_at is not None:
                    assert abs(reading - switched_at) >= 10
                switched_at = reading
            was = on


@given(st.lists(st.floats(55.01, 64.99), max_size=30), st.booleans())
def test_between_its_two_temperatures_nothing_switches(
    readings: list[float], was_hot: bool
) -> None:
    thermostat = Thermostat([FAN])
    thermostat.step(80 if was_hot else 20)
    assert all(thermostat.step(reading)["fan"] == was_hot for reading in readings)
