"""agent.gpio.contacts: faults as long as a contact is active, events when it begins and ends."""

import itertools
from collections.abc import Callable

import msgspec
import pytest

from agent.base.model import BOX_EVENT_SOURCE, Event
from agent.config.pins import DoorPin, InputPin, PowerGoodPin, ShockPin, UpsLowPin
from agent.gpio.contacts import Contact, LevelContact, ShockSensor, make_contact

DOOR = DoorPin(name="door", pin=17, debounce_s=0.1)
SHOCK = ShockPin(name="blow", pin=18, quiet_s=2, fault_s=600)
POWER = PowerGoodPin(name="mains", pin=19, debounce_s=1)
UPS = UpsLowPin(name="ups", pin=20, debounce_s=1)


@pytest.fixture
def new_id() -> Callable[[int], str]:
    count = itertools.count(1)
    return lambda _t_ns: f"event {next(count)}"


def feed(known: Contact, *levels: tuple[float, bool]) -> list[Event]:
    """Levels at times in seconds, and a look long after them."""
    reported: list[Event] = []
    for t_s, active in levels:
        reported += known.feed(round(t_s * 1e9), active=active)
    reported += known.settle(round((levels[-1][0] + 30) * 1e9))
    return reported


def message(events: list[Event]) -> list[tuple[str, str, float]]:
    assert all(event.camera == BOX_EVENT_SOURCE for event in events)
    return [(event.kind, event.phase, event.t_ns / 1e9) for event in events]


@pytest.mark.parametrize(
    ("pin", "levels", "events", "alarm"),
    [
        (DOOR, [(0, False)], [], False),
        (DOOR, [(0, False), (10, True)], [("door", "begin", 10)], True),
        (
            DOOR,
            [(0, False), (10, True), (10.05, False), (10.06, True), (70, False)],
            [("door", "begin", 10.06), ("door", "end", 70)],
            False,
        ),
        (DOOR, [(0, False), (10, True), (10.05, False)], [], False),
        # Open already when the agent starts.
        (DOOR, [(3, True)], [("door", "begin", 3)], True),
        (POWER, [(0, True)], [], False),
        (POWER, [(0, True), (10, False)], [("power", "begin", 10)], True),
        (
            POWER,
            [(0, True), (10, False), (20, True)],
            [("power", "begin", 10), ("power", "end", 20)],
            False,
        ),
        (POWER, [(0, True), (10, False), (10.9, True)], [], False),
        # The battery has a fault and no event.
        (UPS, [(0, False), (10, True)], [], True),
        (UPS, [(0, False), (10, True), (20, False)], [], False),
    ],
)
def test_an_active_contact_raises_its_fault_and_event(
    new_id: Callable[[int], str],
    pin: InputPin,
    levels: list[tuple[float, bool]],
    events: list[tuple[str, str, float]],
    alarm: bool,
) -> None:
    known = make_contact(pin, new_id)
    assert known.alarm in (None, False)
    assert message(feed(known, *levels)) == events
    assert known.alarm == alarm


def test_an_event_keeps_its_id_and_reports_its_duration(new_id: Callable[[int], str]) -> None:
    begin, end, again, _ = feed(
        make_contact(DOOR, new_id), (0, False), (10, True), (70.5, False), (80, True), (90, False)
    )
    assert (begin.event, begin.rev, begin.name, begin.begin_ns) == ("event 1", 1, "door", 10**10)
    assert end == msgspec.structs.replace(
        begin, rev=2, phase="end", t_ns=70_500_000_000, duration_s=60.5
    )
    assert again.event == "event 2"


def test_a_contact_is_unknown_until_it_has_been_stable(new_id: Callable[[int], str]) -> None:
    known = LevelContact(DOOR, new_id)
    assert known.alarm is None
    known.feed(0, active=True)
    assert known.alarm is None
    assert known.due_ns == 100_000_000
    known.settle(100_000_000)
    assert known.alarm is True


def test_an_event_continues_after_the_pins_were_reopened(
    new_id: Callable[[int], str],
) -> None:
    known = make_contact(DOOR, new_id)
    feed(known, (0, True))
    known.reset()
    assert known.alarm is None
    assert feed(known, (100, True)) == []
    known.reset()
    assert message(feed(known, (200, False))) == [("door", "end", 200)]


@pytest.mark.parametrize(
    ("levels", "events"),
    [
        ([(0, False)], []),
        # An unchanged level is no news.
        ([(0, True), (5, False)], []),
        ([(0, False), (5, True), (5.001, False)], [5]),
        # One blow rings.
        ([(0, False), *((5 + n / 100, n % 2 == 0) for n in range(50))], [5]),
        ([(0, False), (5, True), (5.1, False), (6.9, True), (7, False)], [5]),
        ([(0, False), (5, True), (5.1, False), (7, True), (7.1, False)], [5, 7]),
        ([(0, False), (5, True), (400, True)], [5]),
    ],
)
def test_a_blow_is_one_shock_despite_its_ringing(
    new_id: Callable[[int], str], levels: list[tuple[float, bool]], events: list[float]
) -> None:
    known = make_contact(SHOCK, new_id)
    assert message(feed(known, *levels)) == [("shock", "moment", t_s) for t_s in events]
    assert known.alarm == bool(events)


def test_the_fault_of_a_shock_clears_after_its_hold_time(new_id: Callable[[int], str]) -> None:
    known = ShockSensor(SHOCK, new_id)
    known.feed(0, active=False)
    assert known.due_ns is None
    known.feed(10**9, active=True)
    assert known.due_ns == 601 * 10**9
    known.settle(601 * 10**9 - 1)
    assert known.alarm
    known.settle(601 * 10**9)
    assert not known.alarm
    assert known.due_ns is None
