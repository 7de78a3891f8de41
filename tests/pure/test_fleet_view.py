"""centre.fleet_view: the view of a box, from a sequence of messages."""

from datetime import UTC, datetime

import msgspec
import pytest

from agent.base.clock import ClockTrust
from agent.base.model import Event
from agent.reporting import topics
from agent.reporting.payloads import (
    EventMessage,
    LostStatus,
    Message,
    OnlineStatus,
    StatusMessage,
    StoppedStatus,
)
from centre.fleet_view import FleetView

STAMP = topics.EnvelopeFields(
    id="i",
    box="pole-17",
    epoch="e",
    seq=None,
    boot="b",
    time="2026-11-03T07:41:05.250Z",
    clock=ClockTrust(synced=True, source="ntp", error_s=0.01),
)


def status(state: str, session: int, epoch: str = "e") -> Message:
    data = {
        "online": OnlineStatus(
            session=session,
            acked_upto=0,
            site="corner",
            public_key="",
            versions={},
            cameras=(),
            faults=(),
        ),
        "lost": LostStatus(session=session),
        "stopped": StoppedStatus(session=session, reason="asked to stop"),
    }[state]
    stamp = msgspec.structs.replace(STAMP, epoch=epoch)
    return StatusMessage(**msgspec.structs.asdict(stamp), data=data)


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
    board = FleetView()
    for each in messages:
        board.update(status(*each))
    (view,) = board.views()
    assert view.state == state


def test_an_older_revision_does_not_undo_a_newer_one() -> None:
    board = FleetView()
    for rev, phase in ((1, "begin"), (3, "end"), (2, "update")):
        made = Event(
            event="x",
            rev=rev,
            kind="dwell",
            phase=phase,  # type: ignore[arg-type]
            camera="north",
            t_ns=rev,
            begin_ns=1,
        )
        data = topics.build_event_data(made, begin=datetime(2026, 11, 3, tzinfo=UTC))
        board.update(EventMessage(**msgspec.structs.asdict(STAMP), data=data))
    (view,) = board.views()
    assert [event.phase for event in view.events] == ["end"]
