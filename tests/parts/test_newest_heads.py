"""centre.fleet.newest_heads: a key, chain head or state inventory that goes back is an alarm, and a repeat is none."""

from pathlib import Path

import pytest

from agent.reporting.payloads import ReceiptMessage, StatusMessage
from centre.fleet.fleet_view import FleetView
from centre.fleet.rows import detail_lines
from centre.store import CentreStore
from tests.fleet_messages import arrival, head, status, stored_arrival

FORK = "c" * 64
ALARMS: dict[str, tuple[list[StatusMessage | ReceiptMessage], str | None]] = {
    "each is newer": ([head(10, 5, seq=1), head(12, 6, seq=2)], None),
    "nothing has changed": ([head(10, 5, seq=1), head(10, 5, seq=2)], None),
    "an older message comes again": (
        [head(10, 5, seq=1), head(12, 6, seq=2), head(10, 5, seq=1)],
        None,
    ),
    "an older message comes again, of a clock that ran ahead": (
        [
            head(10, 5, seq=1, message_id="2030"),
            head(12, 6, seq=2, message_id="2026"),
            head(10, 5, seq=1, message_id="2030"),
        ],
        None,
    ),
    "a message from before the first one comes late": (
        [head(12, 6, seq=2, message_id="2026-2"), head(10, 5, seq=1, message_id="2026-1")],
        None,
    ),
    "an older state was put back as a whole": (
        [
            head(340, 9, seq=7, message_id="2026-1"),
            head(12, 3, seq=3, message_id="2026-2"),
            head(13, 3, seq=4, message_id="2026-3"),
        ],
        "custody log went back: receipt 12 after 340",
    ),
    "an older state was put back, up to the same number": (
        [head(340, 9, seq=7, message_id="2026-1"), head(12, 3, seq=7, message_id="2026-2")],
        "custody log went back: receipt 12 after 340",
    ),
    "an inventory could not be written": (
        [head(10, 5, seq=1), head(12, seq=2), head(13, 5, seq=3)],
        None,
    ),
    "the outbox is a new one": ([head(10, 5, seq=9), head(12, 6, seq=1, epoch="f")], None),
    "receipts are lost": (
        [head(340, 5, seq=1), head(12, 6, seq=2)],
        "custody log went back: receipt 12 after 340",
    ),
    "receipts are lost with the outbox": (
        [head(340, 5, seq=7), head(12, 6, seq=1, epoch="f")],
        "custody log went back: receipt 12 after 340",
    ),
    "the log has another receipt of this number": (
        [head(340, 5, seq=1), head(340, 5, seq=2, sha256=FORK)],
        "custody log went back: receipt 340 after 340",
    ),
    "an older inventory": (
        [head(340, 9, seq=1), head(341, seq=2), head(342, 4, seq=3)],
        "state inventory went back: revision 4 after 9",
    ),
    "another key": ([status(public_key="A"), status(public_key="B")], "another key, B"),
    "the log of another key begins again": (
        [status(public_key="A"), head(340, 9, seq=1), status(public_key="B"), head(1, 1, seq=2)],
        "another key, B",
    ),
}


@pytest.mark.parametrize("name", ALARMS)
def test_a_key_a_head_or_an_inventory_that_goes_back_is_an_alarm(name: str) -> None:
    messages, alarm = ALARMS[name]
    fleet = FleetView()
    changes = [change for message in messages for change in fleet.update(message, arrival())]
    lines = [line for line in changes if "ALARM" in line]
    (view,) = fleet.ranked()
    if alarm is None:
        assert (lines, view.alarm) == ([], "")
        return
    assert len(lines) == 1
    assert lines[0].startswith(f"pole-17 ALARM {alarm}")
    assert view.alarm.startswith(alarm)
    assert any(line.plain.startswith(f"ALARM {alarm}") for line in detail_lines(view))


def test_an_alarm_is_critical_and_stays() -> None:
    fleet = FleetView()
    for message in (status(), head(9, seq=1), head(8, seq=2), head(10, seq=3), status(session=2)):
        fleet.update(message, arrival())
    (view,) = fleet.ranked("went back")
    assert view.condition == "critical"


def test_a_retained_message_is_none_that_goes_back() -> None:
    fleet = FleetView()
    fleet.update(status(public_key="A"), arrival())
    assert "ALARM" not in str(fleet.update(status(public_key="B"), arrival(retained=True)))


def test_a_centre_compares_with_the_heads_that_it_has_stored(tmp_path: Path) -> None:
    store = CentreStore.open(tmp_path / "centre.db")
    stored = [head(number, 5, seq=seq) for seq, number in ((2, 340), (1, 330))]
    stored.append(head(7, 1, seq=1, box="pole-18"))
    for message in stored:
        store.commit([stored_arrival(message)], "centre")
    fleet = FleetView(store.newest_heads())
    assert fleet.ranked() == ()
    (line,) = fleet.update(head(12, 6, seq=3), arrival())
    assert "custody log went back: receipt 12 after 340" in line
    assert fleet.update(head(8, 2, seq=2, box="pole-18"), arrival()) == []
    store.close()
