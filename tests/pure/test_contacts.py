"""agent.gpio.contacts: a bouncing contact changes once; faults as long as it is active, events at its begin and end."""

import itertools
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import BOX_EVENT_SOURCE, Event
from agent.config.pins import DoorPin, InputPin, PowerGoodPin, ShockPin, UpsLowPin
from agent.gpio.contacts import Contact, Debouncer, LevelContact, ShockSensor, make_contact

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


HOLD_MS = 50


def changes(edges: list[tuple[int, bool]], until_ms: int) -> list[tuple[bool | None, int]]:
    """Return the changes after edges at times in milliseconds: the level, and since when."""
    debounce = Debouncer(HOLD_MS / 1000)
    found = []

    def note(changed: bool) -> None:
        if changed:
            found.append((debounce.active, debounce.since_ns // 1_000_000))

    for t_ms, active in edges:
        note(debounce.feed(t_ms * 1_000_000, active=active))
    note(debounce.settle(until_ms * 1_000_000))
    return found


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        ([], []),
        ([(0, False)], [(False, 0)]),
        ([(0, False), (100, True)], [(False, 0), (True, 100)]),
        # A bounce, and the change counts from its last one.
        ([(0, False), (100, True), (103, False), (107, True)], [(False, 0), (True, 107)]),
        # Too short to be one.
        ([(0, False), (100, True), (149, False)], [(False, 0)]),
        ([(0, False), (100, True), (150, False)], [(False, 0), (True, 100), (False, 150)]),
        # The same level again is no news.
        ([(0, False), (100, True), (120, True), (140, True)], [(False, 0), (True, 100)]),
        # What never rests is never known.
        ([(t_ms, t_ms % 20 == 0) for t_ms in range(0, 970, 10)], []),
    ],
)
def test_a_change_counts_after_the_hold_time(
    edges: list[tuple[int, bool]], found: list[tuple[bool, int]]
) -> None:
    assert changes(edges, until_ms=1000) == found


def test_the_time_of_the_next_decision_is_returned() -> None:
    debounce = Debouncer(0.05)
    assert debounce.due_ns is None
    debounce.feed(10, active=True)
    assert debounce.due_ns == 50_000_010
    assert not debounce.settle(50_000_009)
    assert debounce.active is None
    assert debounce.settle(50_000_010)
    assert debounce.due_ns is None
    assert (debounce.active, debounce.since_ns) == (True, 10)


def test_without_a_hold_time_every_level_counts_at_once() -> None:
    debounce = Debouncer(0)
    debounce.feed(5, active=True)
    assert debounce.settle(5)
    assert debounce.active is True


def test_a_reset_contact_is_unknown_until_it_is_stable_again() -> None:
    debounce = Debouncer(0.05)
    debounce.feed(0, active=True)
    debounce.settle(10**9)
    debounce.reset()
    assert debounce.active is None
    debounce.feed(2 * 10**9, active=True)
    assert debounce.settle(3 * 10**9)
    assert debounce.active is True


bounces = st.lists(st.integers(1, HOLD_MS - 1), max_size=8)


@given(st.lists(st.tuples(st.integers(HOLD_MS, 5000), bounces), min_size=1, max_size=10))
def test_each_real_change_is_one_change_despite_bounces(
    real: list[tuple[int, list[int]]],
) -> None:
    """Each change comes with bounces that are shorter than the hold time, and is then stable for longer."""
    t_ms, level = 0, False
    edges = [(t_ms, level)]
    expected: list[tuple[bool, int]] = [(level, t_ms)]
    for stands_ms, gaps_ms in real:
        t_ms += stands_ms
        level = not level
        edges.append((t_ms, level))
        for gap_ms in gaps_ms[: len(gaps_ms) // 2 * 2]:
            t_ms += gap_ms
            edges.append((t_ms, not edges[-1][1]))
        expected.append((level, t_ms))
    assert all(a < b for (a, _), (b, _) in pairwise(edges))
    assert changes(edges, until_ms=t_ms + HOLD_MS) == expected
