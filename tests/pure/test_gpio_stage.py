"""agent.gpio.gpio_stage: a relay is never on longer than its maximum; fan and heater by their temperatures."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.pins import FanPin, HeaterPin
from agent.gpio.gpio_stage import MIN_PAUSE_S, Thermostat, TimedRelay

LONGEST_S = 60.0


def ns(seconds: float) -> int:
    return round(seconds * 1e9)


def test_a_relay_is_off_until_it_is_requested() -> None:
    relay = TimedRelay(LONGEST_S)
    assert not relay.is_on(0)
    assert relay.due_ns(0) is None
    relay.switch_off(0)
    assert not relay.is_on(0)


def test_a_relay_is_on_for_the_requested_time() -> None:
    relay = TimedRelay(LONGEST_S)
    assert relay.switch_on(ns(100), 10) is None
    assert relay.is_on(ns(100))
    assert relay.due_ns(ns(100)) == ns(110)
    assert relay.is_on(ns(109.999))
    assert not relay.is_on(ns(110))


@pytest.mark.parametrize(
    ("at_s", "for_s", "ends_s"),
    [(5, 20, 25), (5, 1, 6), (50, 60, 60), (59, 60, 60)],
)
def test_the_latest_request_counts_within_the_maximum_time(
    at_s: float, for_s: float, ends_s: float
) -> None:
    relay = TimedRelay(LONGEST_S)
    relay.switch_on(0, 60)
    assert relay.switch_on(ns(at_s), for_s) is None
    assert relay.due_ns(ns(at_s)) == ns(ends_s)


def test_a_relay_is_switched_off_at_once() -> None:
    relay = TimedRelay(LONGEST_S)
    relay.switch_on(0, 60)
    relay.switch_off(ns(3))
    assert not relay.is_on(ns(3))


def test_after_its_maximum_time_a_relay_needs_a_pause() -> None:
    relay = TimedRelay(LONGEST_S)
    relay.switch_on(0, LONGEST_S)
    free_ns = relay.switch_on(ns(60), 1)
    assert free_ns == ns(60 + MIN_PAUSE_S)
    assert not relay.is_on(ns(60))
    assert relay.switch_on(free_ns, 60) is None
    assert relay.due_ns(free_ns) == free_ns + ns(60)


def test_switching_off_and_on_is_not_a_pause() -> None:
    relay = TimedRelay(LONGEST_S)
    relay.switch_on(0, 59)
    relay.switch_off(ns(58))
    assert relay.switch_on(ns(59), 60) is None
    assert relay.due_ns(ns(59)) == ns(60)


requests = st.lists(
    st.tuples(
        st.floats(0, 100),  # after the one before
        st.one_of(st.none(), st.floats(0.001, 100_000)),  # off, or on for so long
    ),
    max_size=40,
)


@given(requests, st.floats(0.1, 3600))
def test_a_relay_is_never_on_longer_than_its_maximum_for_any_requests(
    requested: list[tuple[float, float | None]], longest_s: float
) -> None:
    relay = TimedRelay(longest_s)
    longest_ns, pause_ns = round(longest_s * 1e9), round(MIN_PAUSE_S * 1e9)
    t_ns, spans = 0, []
    for after_s, for_s in requested:
        previous_due = relay.due_ns(t_ns)
        t_ns += round(after_s * 1e9)
        if spans and previous_due is not None:
            spans[-1][1] = min(previous_due, t_ns)
        if for_s is None:
            relay.switch_off(t_ns)
        else:
            relay.switch_on(t_ns, for_s)
        if relay.is_on(t_ns):
            due_ns = relay.due_ns(t_ns)
            assert due_ns is not None
            spans.append([t_ns, due_ns])
    # Spans closer than a pause are one span.
    merged: list[list[int]] = []
    for begin_ns, end_ns in spans:
        if merged and begin_ns - merged[-1][1] < pause_ns:
            merged[-1][1] = end_ns
        else:
            merged.append([begin_ns, end_ns])
    assert all(end_ns - begin_ns <= longest_ns for begin_ns, end_ns in merged)
    assert all(a[1] <= b[0] for a, b in pairwise(merged))


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
