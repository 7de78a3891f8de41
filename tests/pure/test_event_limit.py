"""agent.detection.event_limit."""

import itertools

from agent.base.model import Event, EventPhase
from agent.detection.event_limit import MAX_EVENTS_PER_MINUTE, EventLimit
from drivers.media import NS_PER_S

NUMBERS = itertools.count()


def event(phase: EventPhase = "moment", kind: str = "line", event_id: str | None = None) -> Event:
    return Event(
        event=event_id or f"event {next(NUMBERS)}",
        rev=1,
        kind=kind,
        phase=phase,
        camera="north",
        t_ns=0,
        begin_ns=0,
    )


def full(kind: str = "line") -> EventLimit:
    """The limit of a camera that has sent as many events of a kind in its first minute as it may."""
    limit = EventLimit("north")
    assert all(limit.admits(event(kind=kind), NS_PER_S) for _ in range(MAX_EVENTS_PER_MINUTE))
    return limit


def test_events_beyond_the_limit_of_a_minute_are_left_out_and_counted() -> None:
    limit = full()
    assert [limit.admits(event(), 59 * NS_PER_S) for _ in range(3)] == [False] * 3
    assert limit.left_out == 3
    assert limit.admits(event(), 60 * NS_PER_S), "another minute"
    assert limit.left_out == 3


def test_a_flood_of_one_kind_leaves_out_none_of_another() -> None:
    limit = full("zone")
    assert limit.admits(event("begin", kind="wrong_way"), NS_PER_S)
    assert limit.left_out == 0


def test_the_end_of_an_event_that_has_begun_is_always_sent() -> None:
    limit = EventLimit("north")
    assert limit.admits(event("begin", event_id="first"), NS_PER_S)
    for _ in range(2 * MAX_EVENTS_PER_MINUTE):
        limit.admits(event(), NS_PER_S)
    assert limit.admits(event("end", event_id="first"), 2 * NS_PER_S)


def test_an_event_whose_begin_was_left_out_is_left_out_as_a_whole_and_counted_once() -> None:
    limit = full()
    assert not limit.admits(event("begin", event_id="late"), NS_PER_S)
    assert not limit.admits(event("update", event_id="late"), 61 * NS_PER_S)
    assert not limit.admits(event("end", event_id="late"), 62 * NS_PER_S)
    assert limit.left_out == 1


def test_updates_of_open_events_are_bounded_and_counted_too() -> None:
    limit = EventLimit("north")
    for _ in range(MAX_EVENTS_PER_MINUTE):
        assert limit.admits(event("update", event_id="open"), NS_PER_S)
    assert not limit.admits(event("update", event_id="open"), NS_PER_S)
    assert not limit.admits(event("begin"), NS_PER_S)
    assert limit.left_out == 2
    assert limit.admits(event("update", event_id="open"), 60 * NS_PER_S), "another minute"
