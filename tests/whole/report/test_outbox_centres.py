"""agent.reporting.outbox with named centres: what each has acknowledged is kept as long as another lacks it."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.reporting.outbox import files
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outgoing_messages import build_snapshot_message
from agent.reporting.payloads import LostMessages, OutboxDamaged, ReceiptData, SeqRange
from tests.whole.report.conftest import event_number, make_event
from tests.whole.report.reporting_box import wait_until

Open = Callable[..., Outbox]
NAMED = ("city", "police")
CITY, BOTH = frozenset({"city"}), frozenset(NAMED)


def filled(outbox: Outbox, count: int) -> None:
    """Put this number of events, and send them."""
    tickets = [outbox.put(make_event(number)) for number in range(1, count + 1)]
    assert all(ticket.wait(60) for ticket in tickets)
    assert len(outbox.fetch(1000)) == count


def sent(outbox: Outbox) -> list[int]:
    """The numbers of the events that are to be sent now."""
    return [event_number(row.data) for row in outbox.fetch(1000) if row.type == "event"]


def acknowledge(outbox: Outbox, centre: str, *spans: tuple[int, int]) -> tuple[SeqRange, ...]:
    return outbox.acknowledge(outbox.epoch, tuple(SeqRange(*span) for span in spans), centre)


def test_a_message_leaves_once_each_named_centre_has_acknowledged_it(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path, centres=NAMED)
    outbox.expect_centres(BOTH)
    filled(outbox, 5)
    assert acknowledge(outbox, "city", (1, 5)) == ()
    assert outbox.depth == 5
    assert acknowledge(outbox, "police", (1, 3)) == (SeqRange(1, 3),)
    wait_until(lambda: outbox.depth == 2)
    assert outbox.acked_upto() == 3
    assert outbox.acked_upto_by_centre() == {"city": 5, "police": 3}


def test_an_acknowledgement_of_a_centre_that_is_not_named_is_refused_and_counted(
    outboxes: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = outboxes(tmp_path, centres=NAMED)
    filled(outbox, 2)
    assert acknowledge(outbox, "province", (1, 2)) == ()
    assert outbox.counts().refused_acks == 1
    assert "acknowledgements of centre 'province'" in caplog.text
    assert outbox.depth == 2


def test_with_one_away_the_rest_is_not_sent_again_and_the_other_gets_all_later(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path, centres=NAMED)
    outbox.expect_centres(CITY)
    filled(outbox, 5)
    # Not waited for now, and kept.
    assert acknowledge(outbox, "city", (1, 3), (5, 5)) == (SeqRange(1, 3), SeqRange(5, 5))
    assert outbox.depth == 5
    assert outbox.has_unsettled()
    outbox.requeue_in_flight()
    outbox.expect_centres(CITY)
    assert sent(outbox) == [4]
    assert acknowledge(outbox, "city", (1, 5)) == (SeqRange(1, 5),)
    assert not outbox.has_unsettled()
    outbox.expect_centres(BOTH)
    assert sent(outbox) == [1, 2, 3, 4, 5]
    acknowledge(outbox, "police", (1, 5))
    wait_until(lambda: outbox.depth == 0)


def test_messages_in_flight_are_not_fetched_twice_when_a_centre_returns(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path, centres=NAMED)
    outbox.expect_centres(CITY)
    filled(outbox, 4)
    acknowledge(outbox, "city", (1, 2))
    outbox.expect_centres(BOTH)
    assert sent(outbox) == [1, 2]


def test_emergencies_that_a_returning_centre_lacks_go_first(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path, centres=NAMED)
    outbox.expect_centres(CITY)
    for number in range(1, 151):
        ticket = outbox.put(make_event(number, "stopped"))
    outbox.put(make_event(151)).wait(60)
    assert ticket.wait(60)
    outbox.fetch(1000)
    acknowledge(outbox, "city", (1, 151))
    assert outbox.put(make_event(152, "stopped")).wait(60)
    assert sent(outbox) == [152]
    outbox.expect_centres(BOTH)
    assert sent(outbox)[:3] == [150, 149, 148]


def test_what_each_centre_has_acknowledged_survives_a_restart(
    outboxes: Open, tmp_path: Path
) -> None:
    first = outboxes(tmp_path, centres=NAMED)
    first.expect_centres(CITY)
    filled(first, 5)
    acknowledge(first, "city", (1, 4))
    first.close()
    second = outboxes(tmp_path, centres=NAMED)
    assert second.acked_upto_by_centre() == {"city": 4, "police": 0}
    second.expect_centres(CITY)
    assert sent(second) == [5]
    second.expect_centres(BOTH)
    assert sent(second) == [1, 2, 3, 4]


def test_a_power_cut_repeats_a_message_and_loses_none(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path / "box", centres=NAMED)
    outbox.expect_centres(BOTH)
    filled(outbox, 5)
    acknowledge(outbox, "city", (1, 5))
    acknowledge(outbox, "police", (1, 2))
    wait_until(lambda: outbox.depth == 3)
    shutil.copytree(tmp_path / "box", tmp_path / "after the cut")
    after = outboxes(tmp_path / "after the cut", centres=NAMED)
    assert after.acked_upto_by_centre() == {"city": 0, "police": 0}
    after.expect_centres(BOTH)
    assert sent(after) == [1, 2, 3, 4, 5]


def test_an_acknowledgement_costs_no_commit_of_its_own(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path, centres=NAMED)
    outbox.expect_centres(BOTH)
    filled(outbox, 100)
    commits: list[None] = []
    outbox.on_commit(lambda: commits.append(None))
    for number in range(1, 101):
        acknowledge(outbox, "city", (1, number))
    for number in range(1, 51):
        acknowledge(outbox, "police", (1, number))
    wait_until(lambda: outbox.depth == 50)
    assert commits == []
    outbox.close()
    assert outboxes(tmp_path, centres=NAMED).acked_upto_by_centre() == {"city": 100, "police": 50}


def test_what_a_retired_centre_lacked_is_free(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path, centres=NAMED)
    outbox.expect_centres(CITY)
    filled(outbox, 5)
    acknowledge(outbox, "city", (1, 4))
    outbox.remember_centre("police", is_retired=True)
    wait_until(lambda: outbox.depth == 1)
    outbox.close()
    again = outboxes(tmp_path, centres=NAMED)
    assert again.centres.awaited == ("city",)
    assert again.depth == 1


@pytest.mark.parametrize("named", [("city",), ()])
def test_a_centre_that_the_configuration_names_no_more_holds_nothing_back(
    outboxes: Open, tmp_path: Path, named: tuple[str, ...]
) -> None:
    first = outboxes(tmp_path, centres=NAMED)
    first.expect_centres(CITY)
    filled(first, 5)
    acknowledge(first, "city", (1, 4))
    first.close()
    second = outboxes(tmp_path, centres=named)
    assert (second.depth, second.acked_upto()) == (1, 4)


def test_a_new_named_centre_gets_all_that_is_left(outboxes: Open, tmp_path: Path) -> None:
    first = outboxes(tmp_path)
    filled(first, 5)
    acknowledge(first, "city", (1, 2))
    first.close()
    second = outboxes(tmp_path, centres=NAMED)
    assert second.acked_upto_by_centre() == {"city": 2, "police": 2}
    second.expect_centres(BOTH)
    assert sent(second) == [3, 4, 5]


def test_with_one_away_for_long_pictures_are_shed_and_events_stay(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path, centres=NAMED, max_bytes=100_000)
    outbox.expect_centres(CITY)
    number = 0
    for turn in range(1, 31):
        picture = build_snapshot_message("north", bytes(20_000), 1, event_id=None)
        assert outbox.put(picture).wait(60)
        assert outbox.put(make_event(turn)).wait(60)
        number += len(outbox.fetch(1000))
        acknowledge(outbox, "city", (1, number))
    assert outbox.counts().total_bytes <= 100_000
    outbox.report_losses()
    outbox.put(make_event(31)).wait(60)
    outbox.expect_centres(BOTH)
    rows = outbox.fetch(1000)
    assert [event_number(row.data) for row in rows if row.type == "event"] == list(range(1, 32))
    (lost,) = [
        msgspec.json.decode(row.data, type=ReceiptData) for row in rows if row.type == "receipt"
    ]
    assert isinstance(lost, LostMessages)
    assert lost.by_type == {"snapshot": lost.count}
    assert lost.count + sum(row.type == "snapshot" for row in rows) == 30


@pytest.mark.raises_fault("STO-01")
def test_a_salvaged_outbox_keeps_what_each_centre_has_acknowledged(
    outboxes: Open, tmp_path: Path
) -> None:
    first = outboxes(tmp_path, centres=NAMED)
    first.expect_centres(BOTH)
    filled(first, 9)
    acknowledge(first, "police", (1, 2))
    acknowledge(first, "city", (1, 5), (8, 8))
    wait_until(lambda: first.depth == 7)
    first.close()
    with sqlite3.connect(files.database_path(tmp_path)) as other:
        other.execute("UPDATE message SET data = replace(data, 'moment', 'momenu') WHERE seq = 4")
    other.close()
    second = outboxes(tmp_path, centres=NAMED)
    # 3, 5, 6, 7, 8 and 9 under new numbers, then the receipt.
    assert second.acked_upto_by_centre() == {"city": 2, "police": 0}
    second.expect_centres(CITY)
    rows = second.fetch(1000)
    assert [event_number(row.data) for row in rows if row.type == "event"] == [6, 7, 9]
    receipt = msgspec.json.decode(rows[-1].data, type=ReceiptData)
    assert isinstance(receipt, OutboxDamaged)
    assert receipt.recovered == 6
    second.expect_centres(BOTH)
    assert sent(second) == [3, 5, 8]


@pytest.mark.raises_fault("STO-01")
def test_a_damaged_row_of_a_centre_costs_repeated_messages_only(
    outboxes: Open, tmp_path: Path
) -> None:
    first = outboxes(tmp_path, centres=NAMED)
    first.expect_centres(CITY)
    filled(first, 3)
    acknowledge(first, "city", (1, 2))
    first.close()
    with sqlite3.connect(files.database_path(tmp_path)) as other:
        other.execute("UPDATE centre SET acked = '[[1,3]]' WHERE name = 'city'")
    other.close()
    second = outboxes(tmp_path, centres=NAMED)
    assert second.epoch != first.epoch
    second.expect_centres(BOTH)
    assert sent(second) == [1, 2, 3]


def test_centres_without_end_cost_no_commit(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path)
    commits: list[None] = []
    outbox.on_commit(lambda: commits.append(None))
    for number in range(100):
        outbox.remember_centre(f"centre-{number}", is_retired=False)
        outbox.remember_centre(f"centre-{number}", is_retired=True)
    outbox.remember_centre("city", is_retired=False)
    assert commits == []
    outbox.close()
    assert outboxes(tmp_path).centres.awaited == ("city",)
