"""centre.ack_schedule: the counts of a minute are acknowledged with the chain head, everything else at once."""

import msgspec
import pytest

from agent.reporting.payloads import Message
from centre.ack_schedule import MAX_WAIT_S, MAX_WAITING, QUIET_S, AckSchedule
from centre.store import BoxEpoch
from tests.fleet_messages import event, head, minute, status

BOX = BoxEpoch("pole-17", "e")
OTHER = BoxEpoch("pole-18", "e")


def cut_short() -> Message:
    """The counts of a minute that a stop has ended."""
    counts = minute(2)
    data = msgspec.structs.replace(counts.data, end_ns=counts.data.end_ns - 1)
    return msgspec.structs.replace(counts, data=data)


def due(schedule: AckSchedule, now_s: float) -> list[BoxEpoch]:
    keys = []
    while (key := schedule.pop_due(now_s)) is not None:
        keys.append(key)
    return keys


def test_counts_of_a_minute_wait_for_a_head_that_does_not_come() -> None:
    schedule = AckSchedule()
    schedule.add(BOX, minute(1), 100.0)
    assert due(schedule, 100.0 + MAX_WAIT_S - 0.1) == []
    assert due(schedule, 100.0 + MAX_WAIT_S) == [BOX]


@pytest.mark.parametrize("message", [head(1, seq=2), event(), status(), cut_short(), None])
def test_anything_else_is_acknowledged_at_once_and_takes_what_waits_with_it(
    message: Message | None,
) -> None:
    schedule = AckSchedule()
    schedule.add(BOX, minute(1), 100.0)
    assert due(schedule, 100.5) == []
    schedule.add(BOX, message, 101.0)
    assert due(schedule, 101.0) == [BOX]
    assert due(schedule, 200.0) == []


def test_a_backlog_of_counts_does_not_wait() -> None:
    schedule = AckSchedule()
    for seq in range(1, MAX_WAITING):
        schedule.add(BOX, minute(seq), 100.0)
        assert due(schedule, 100.0) == []
    schedule.add(BOX, minute(MAX_WAITING), 100.0)
    assert due(schedule, 100.0) == [BOX]
    # The rest of it, a moment later.
    schedule.add(BOX, minute(MAX_WAITING + 1), 100.1)
    assert due(schedule, 100.1) == [BOX]
    # The next minute waits again.
    schedule.add(BOX, minute(MAX_WAITING + 2), 100.1 + QUIET_S)
    assert due(schedule, 100.1 + QUIET_S) == []


def test_one_box_does_not_hold_up_another() -> None:
    schedule = AckSchedule()
    schedule.add(BOX, minute(1), 100.0)
    schedule.add(OTHER, msgspec.structs.replace(event(), box="pole-18"), 100.0)
    assert due(schedule, 100.0) == [OTHER]
    assert due(schedule, 100.0 + MAX_WAIT_S) == [BOX]
