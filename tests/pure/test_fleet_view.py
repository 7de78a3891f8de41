"""centre.fleet: the view of a box, from a sequence of messages; the boxes, the worst first."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.base.clock import ClockTrust
from agent.reporting.mqtt.connection import WILL_DELAY_S
from agent.reporting.payloads import StatusMessage
from agent.reporting.topics import WILL_EXPIRY_S
from centre.fleet import fleet_view
from centre.fleet.box_view import MAX_FAULTS, BoxView, format_time
from centre.fleet.fleet_view import FleetView
from tests.fleet_messages import NOW, arrival, declaration, event, fault, health, status

WILL_DELAY = timedelta(seconds=WILL_DELAY_S)
UNSYNCED = ClockTrust(synced=False, source="none", error_s=None)


def view_after(*messages: StatusMessage) -> BoxView:
    fleet = FleetView()
    for message in messages:
        fleet.update(message, arrival())
    (view,) = fleet.ranked()
    return view


@pytest.mark.parametrize(
    ("messages", "state"),
    [
        ([("online", 1, "e")], "online"),
        ([("online", 1, "e"), ("lost", 1, "e")], "lost"),
        ([("lost", 1, "e")], "lost"),
        ([("online", 1, "e"), ("stopped", 1, "e")], "stopped"),
        # The broker publishes the will of a connection that was replaced after the new birth.
        ([("online", 1, "e"), ("online", 2, "e"), ("lost", 1, "e")], "online"),
        ([("online", 7, "old"), ("online", 1, "new"), ("lost", 7, "old")], "online"),
    ],
)
def test_a_will_counts_only_for_the_newest_birth(
    messages: list[tuple[str, int, str]], state: str
) -> None:
    view = view_after(*(status(state, session=s, epoch=epoch) for state, s, epoch in messages))
    assert view.state == state


def test_a_box_is_lost_when_its_will_arrives_and_not_when_it_had_connected() -> None:
    fleet = FleetView()
    fleet.update(status(), arrival(retained=True))
    fleet.update(status("lost"), arrival())
    (view,) = fleet.ranked()
    assert (view.since, view.is_since_bound) == (NOW - WILL_DELAY, False)
    assert view.connected is not None
    assert format_time(view.connected) == "2026-11-03T07:41:05Z"


@pytest.mark.parametrize(
    ("expiry_s", "since", "is_bound"),
    [
        (WILL_EXPIRY_S - 7200, NOW - timedelta(hours=2) - WILL_DELAY, False),
        # A broker that does not count down, and a box of before: it was lost, but when?
        (WILL_EXPIRY_S, NOW, True),
        (None, NOW, True),
    ],
)
def test_a_will_that_was_retained_says_when_the_box_was_lost_by_the_rest_of_its_expiry(
    expiry_s: int | None, since: datetime, is_bound: bool
) -> None:
    fleet = FleetView()
    (change,) = fleet.update(status("lost"), arrival(retained=True, expiry_s=expiry_s))
    (view,) = fleet.ranked()
    assert (view.since, view.is_since_bound) == (since, is_bound)
    assert change == f"pole-17 lost {'before' if is_bound else 'at'} {format_time(since)}"


def test_a_broker_that_does_not_delay_the_will_loses_no_box_before_its_last_message() -> None:
    assert view_after(status(), status("lost")).since == NOW


def test_a_box_that_was_lost_before_has_the_site_of_its_declaration() -> None:
    fleet = FleetView()
    for message in (status("lost"), declaration(site="Bd Zerktouni")):
        fleet.update(message, arrival(retained=True))
    (view,) = fleet.ranked("zerktouni")
    assert view.site == "Bd Zerktouni"


@pytest.mark.parametrize("is_health_first", [True, False])
def test_of_retained_messages_the_newest_has_the_faults(*, is_health_first: bool) -> None:
    dark, full = fault(), fault("STO-01", "critical", "footage", "the disk is full")
    birth = status(faults=(dark,))
    report = health(faults=(full,), time="2026-11-03T11:50:00.000Z")
    fleet = FleetView()
    for message in (report, birth) if is_health_first else (birth, report):
        fleet.update(message, arrival(retained=True))
    (view,) = fleet.ranked()
    assert [each.code for each in view.faults] == ["STO-01"]
    # A birth of now counts, whatever the time of a report was.
    fleet.update(birth, arrival())
    assert [each.code for each in view.faults] == ["CAM-01"]


def test_a_repeated_status_is_no_change() -> None:
    fleet = FleetView()
    fleet.update(status("lost"), arrival())
    later = fleet.update(status("lost"), arrival(retained=True))
    (view,) = fleet.ranked()
    assert (later, view.is_since_bound) == ([], False)


def test_the_time_of_a_box_without_a_clock_is_that_of_its_arrival() -> None:
    view = view_after(status(clock=UNSYNCED))
    assert view.since == NOW
    assert view_after(status()).since == datetime(2026, 11, 3, 7, 41, 5, 250_000, tzinfo=UTC)


def test_an_older_revision_does_not_undo_a_newer_one() -> None:
    fleet = FleetView()
    changes = [
        fleet.update(event(rev, phase), arrival())
        for rev, phase in ((1, "begin"), (3, "end"), (2, "update"), (3, "end"))
    ]
    (view,) = fleet.ranked()
    assert [each.text for each in view.events] == ["dwell zebra end at north"]
    assert changes == [
        ["pole-17 event dwell zebra begin at north"],
        ["pole-17 event dwell zebra end at north"],
        [],
        [],
    ]


def test_each_change_of_a_box_is_one_line() -> None:
    fleet = FleetView()
    dark, full = fault(), fault("STO-01", "critical", "footage", "the disk is full")
    lines = [
        fleet.update(message, arrival())
        for message in (
            status(faults=(dark,)),
            health(faults=(dark,)),
            health(faults=(dark, full)),
            health(faults=(full,)),
            event(),
            status("stopped"),
        )
    ]
    assert lines == [
        ["pole-17 online: corner", "pole-17 fault CAM-01 not open: north: no such device"],
        [],
        ["pole-17 fault STO-01 the disk is full: footage: no such device"],
        ["pole-17 fault over: CAM-01 not open: north"],
        ["pole-17 event dwell zebra begin at north"],
        ["pole-17 stopped: asked to stop"],
    ]


def test_the_worst_is_first_and_the_conditions_are_counted() -> None:
    fleet = FleetView()
    messages = [
        status(box="g-good"),
        status(box="w-warned", faults=(fault(severity="warning"),)),
        status(box="e-error", faults=(fault(severity="warning"), fault("CAM-02"))),
        status("stopped", box="s-stopped"),
        status(box="c-critical", faults=(fault(severity="critical"),)),
        health(box="u-unknown", faults=(fault(severity="critical"),)),
        status("lost", box="z-lost"),
        status("lost", box="a-lost"),
    ]
    for message in messages:
        fleet.update(message, arrival())
    assert [view.box for view in fleet.ranked()] == [
        "a-lost",
        "z-lost",
        "c-critical",
        "s-stopped",
        "e-error",
        "w-warned",
        "u-unknown",
        "g-good",
    ]
    assert fleet.totals() == {
        "lost": 2,
        "critical": 1,
        "stopped": 1,
        "error": 1,
        "warning": 1,
        "unknown": 1,
        "good": 1,
    }


@pytest.mark.parametrize(
    ("words", "boxes"),
    [
        ("", ["a", "b", "c"]),
        ("LOST", ["a"]),
        ("zerktouni", ["b"]),
        ("cam-01 error", ["b"]),
        ("dwell", ["c"]),
        ("الرباط", ["c"]),
        ("cam-01 lost", []),
    ],
)
def test_the_filter_finds_words_of_any_text_of_a_box(words: str, boxes: list[str]) -> None:
    fleet = FleetView()
    for message in (
        status("lost", box="a"),
        status(box="b", site="Bd Zerktouni", faults=(fault(),)),
        status(box="c", site="الرباط"),
        event(box="c"),
    ):
        fleet.update(message, arrival())
    assert [view.box for view in fleet.ranked(words)] == boxes


def test_what_a_message_may_fill_memory_with_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_view, "MAX_BOXES", 2)
    fleet = FleetView()
    many = tuple(fault(subject=f"{index}" + "x" * 10_000) for index in range(1000))
    for box in ("a", "b", "c"):
        fleet.update(status(box=box, site="x" * 100_000, faults=many), arrival())
    views = fleet.ranked()
    assert [view.box for view in views] == ["a", "b"]
    assert len(views[0].faults) == MAX_FAULTS
    assert len(views[0].site) < 1000
    assert len(views[0].faults[0].subject) < 1000
