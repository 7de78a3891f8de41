"""agent.reporting.outbox on a real disk: stored messages survive any damage to the file."""

import random
import resource
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from agent.base.errors import UserError
from agent.reporting.outbox import files, writer
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.writer import OutboxError
from agent.reporting.outgoing_messages import build_incident_picture, build_snapshot_message
from agent.reporting.payloads import LostMessages, OutboxDamaged, ReceiptData, SeqRange
from tests.whole.report.conftest import event_number, make_event, open_outbox
from tests.whole.report.reporting_box import wait_until

Open = Callable[..., Outbox]


def numbers(outbox: Outbox) -> list[int]:
    """The numbers of the events that wait, in the order in which they would be sent."""
    outbox.requeue_in_flight()
    return [event_number(row.data) for row in outbox.fetch(10_000) if row.type == "event"]


def receipts(outbox: Outbox) -> list[ReceiptData]:
    outbox.requeue_in_flight()
    return [
        msgspec.json.decode(row.data, type=ReceiptData)
        for row in outbox.fetch(10_000)
        if row.type == "receipt"
    ]


def test_a_ticket_completes_when_the_message_is_on_the_disk(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path)
    ticket = outbox.put(make_event(1))
    assert ticket.wait(60)
    assert (ticket.is_durable, ticket.error, ticket.seq) == (True, None, 1)
    with sqlite3.connect(files.database_path(tmp_path)) as other:
        assert other.execute("SELECT COUNT(*) FROM message").fetchone() == (1,)
    other.close()


def test_stored_messages_survive_a_restart_under_the_same_epoch(
    outboxes: Open, tmp_path: Path
) -> None:
    first = outboxes(tmp_path)
    tickets = [first.put(make_event(number)) for number in range(1, 51)]
    first.close()
    assert [ticket.seq for ticket in tickets] == list(range(1, 51))
    second = outboxes(tmp_path)
    assert second.epoch == first.epoch
    assert numbers(second) == list(range(1, 51))
    ticket = second.put(make_event(51))
    assert ticket.wait(60)
    assert ticket.seq == 51


def test_numbers_are_never_reused_even_after_the_outbox_was_emptied(
    outboxes: Open, tmp_path: Path
) -> None:
    first = outboxes(tmp_path)
    first.put(make_event(1)).wait(60)
    first.fetch(1)
    first.acknowledge(first.epoch, (SeqRange(1, 1),))
    first.close()
    second = outboxes(tmp_path)
    assert second.counts().depth == 0
    assert second.acked_upto() == 1
    ticket = second.put(make_event(2))
    assert ticket.wait(60)
    assert ticket.seq == 2


def test_many_threads_share_a_commit_and_no_number(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path)
    seqs: list[int] = []

    def put_some(begin: int) -> None:
        tickets = [outbox.put(make_event(begin + step)) for step in range(100)]
        assert all(ticket.wait(60) for ticket in tickets)
        seqs.extend(ticket.seq for ticket in tickets)

    threads = [threading.Thread(target=put_some, args=(100 * each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seqs) == list(range(1, 401))


def test_the_newest_emergencies_are_sent_first_and_the_rest_in_order(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path)
    for number in range(1, 7):
        outbox.put(make_event(number, "wrong_way" if number % 3 == 0 else "line")).wait(60)
    assert [event_number(row.data) for row in outbox.fetch(4)] == [6, 3, 1, 2]
    assert [event_number(row.data) for row in outbox.fetch(4)] == [4, 5]
    assert outbox.fetch(4) == []
    outbox.put(make_event(7)).wait(60)
    outbox.put(make_event(8, "stopped")).wait(60)
    assert [event_number(row.data) for row in outbox.fetch(4)] == [8, 7]


def test_beyond_the_limit_emergencies_alone_are_fetched(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path)
    for number in range(1, 9):
        outbox.put(make_event(number, "wrong_way" if number % 2 == 0 else "line")).wait(60)
    fetched = [
        outbox.fetch(limit, emergency_limit=most) for limit, most in ((0, 2), (1, 3), (1, 3))
    ]
    assert [[event_number(row.data) for row in rows] for rows in fetched] == [[8, 6], [4, 2], [1]]


def test_at_most_a_hundred_emergencies_overtake_other_messages(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path)
    for number in range(1, 131):
        ticket = outbox.put(make_event(number, "stopped"))
    assert ticket.wait(60)
    sent = [event_number(row.data) for row in outbox.fetch(1000)]
    assert sent[:100] == list(range(130, 30, -1))
    assert sent[100:] == list(range(1, 31))


def test_settled_messages_and_those_below_the_floor_are_not_sent_again(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path)
    for number in range(1, 6):
        ticket = outbox.put(make_event(number))
    assert ticket.wait(60)
    outbox.fetch(5)
    outbox.acknowledge(outbox.epoch, (SeqRange(1, 2), SeqRange(4, 4)))
    assert outbox.acked_upto() == 2
    assert numbers(outbox) == [3, 5]
    outbox.acknowledge("another epoch", (SeqRange(1, 5),))
    assert numbers(outbox) == [3, 5]


def on_disk(folder: Path) -> list[int]:
    """The numbers of the messages that another process would find there."""
    with sqlite3.connect(files.database_path(folder)) as other:
        found = [row[0] for row in other.execute("SELECT seq FROM message ORDER BY seq")]
    other.close()
    return found


def lent_and_arrived(outbox: Outbox, upto: int) -> None:
    """Put and send this number of messages, and acknowledge them."""
    for number in range(1, upto + 1):
        assert outbox.put(make_event(number)).wait(60)
    assert len(outbox.fetch(100)) == upto
    outbox.acknowledge(outbox.epoch, (SeqRange(1, upto),))
    wait_until(lambda: outbox.depth == 0)


def test_settled_messages_are_deleted_with_the_next_commit(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path)
    lent_and_arrived(outbox, 3)
    assert on_disk(tmp_path) == [1, 2, 3]
    assert outbox.acked_upto() == 3
    outbox.requeue_in_flight()
    assert outbox.fetch(100) == []
    assert outbox.put(make_event(4)).wait(60)
    assert on_disk(tmp_path) == [4]
    assert (outbox.depth, outbox.counts().depth) == (1, 1)


def test_a_power_cut_before_that_commit_repeats_a_message_and_loses_none(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path / "box")
    lent_and_arrived(outbox, 3)
    shutil.copytree(tmp_path / "box", tmp_path / "after the cut")
    after = outboxes(tmp_path / "after the cut")
    assert numbers(after) == [1, 2, 3]
    after.acknowledge(after.epoch, (SeqRange(1, 3),))
    assert after.put(make_event(4)).wait(60)
    wait_until(lambda: numbers(after) == [4])


def test_settled_messages_are_deleted_at_the_close(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path)
    lent_and_arrived(outbox, 3)
    outbox.close()
    assert on_disk(tmp_path) == []


def test_settled_messages_are_deleted_in_time_without_a_new_message(
    outboxes: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_UNCOMMITTED_DELETES", 2)
    lent_and_arrived(outboxes(tmp_path / "many"), 3)
    wait_until(lambda: on_disk(tmp_path / "many") == [])
    monkeypatch.setattr(writer, "DELETE_COMMIT_DELAY_S", 0.01)
    lent_and_arrived(outboxes(tmp_path / "late"), 2)
    wait_until(lambda: on_disk(tmp_path / "late") == [])


def test_messages_settled_in_an_earlier_connection_are_deleted_at_once(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path)
    for number in (1, 2, 3):
        assert outbox.put(make_event(number)).wait(60)
    outbox.fetch(100)
    outbox.requeue_in_flight()
    outbox.acknowledge(outbox.epoch, (SeqRange(1, 3),))
    wait_until(lambda: on_disk(tmp_path) == [])
    assert outbox.fetch(100) == []


def test_an_acknowledgement_of_messages_that_were_never_sent_is_refused(
    outboxes: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = outboxes(tmp_path)
    for number in range(1, 5):
        assert outbox.put(make_event(number)).wait(60)
    assert [row.seq for row in outbox.fetch(2)] == [1, 2]
    assert outbox.acknowledge(outbox.epoch, (SeqRange(1, 4), SeqRange(3, 3))) == ()
    assert "refused: 2 acknowledgements of messages never sent" in caplog.text
    assert outbox.counts().refused_acks == 2
    assert outbox.acknowledge(outbox.epoch, (SeqRange(1, 2),)) == (SeqRange(1, 2),)
    outbox.close()
    # A run may have sent what its successor finds on the disk.
    again = outboxes(tmp_path)
    assert again.acknowledge(again.epoch, (SeqRange(1, 4),)) == (SeqRange(1, 4),)


def test_an_emergency_that_an_earlier_connection_sent_ahead_may_be_acknowledged(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path)
    for number in range(1, 4):
        assert outbox.put(make_event(number)).wait(60)
    assert outbox.put(make_event(4, "stopped")).wait(60)
    assert [row.seq for row in outbox.fetch(1)] == [4]
    outbox.requeue_in_flight()
    assert outbox.acknowledge(outbox.epoch, (SeqRange(4, 4),)) == (SeqRange(4, 4),)


def test_an_emergency_that_was_sent_ahead_and_deleted_is_part_of_a_later_range(
    outboxes: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_UNCOMMITTED_DELETES", 0)
    outbox = outboxes(tmp_path)
    for number in range(1, 5):
        assert outbox.put(make_event(number)).wait(60)
    assert outbox.put(make_event(5, "stopped")).wait(60)
    assert [row.seq for row in outbox.fetch(1)] == [5]
    outbox.acknowledge(outbox.epoch, (SeqRange(5, 5),))
    wait_until(lambda: on_disk(tmp_path) == [1, 2, 3, 4])
    assert [row.seq for row in outbox.fetch(100)] == [1, 2, 3, 4]
    assert outbox.acknowledge(outbox.epoch, (SeqRange(1, 5),)) == (SeqRange(1, 5),)


def test_more_emergencies_than_overtake_at_once_may_be_acknowledged_as_one_range(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path)
    outbox.put(make_event(1)).wait(60)
    for number in range(2, 152):
        ticket = outbox.put(make_event(number, "stopped"))
    assert ticket.wait(60)
    assert [row.seq for row in outbox.fetch(100)] == list(range(151, 51, -1))
    assert outbox.acknowledge(outbox.epoch, (SeqRange(52, 151),)) == (SeqRange(52, 151),)
    assert [row.seq for row in outbox.fetch(50)] == list(range(51, 1, -1))
    assert outbox.acknowledge(outbox.epoch, (SeqRange(2, 151),)) == (SeqRange(2, 151),)
    assert outbox.acknowledge(outbox.epoch, (SeqRange(1, 151),)) == ()


def test_a_picture_of_an_incident_that_was_sent_ahead_is_not_replaced_under_its_number(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path)
    for number in range(1, 4):
        assert outbox.put(make_event(number)).wait(60)
    pictures = [
        build_incident_picture("north", bytes([number]), 1, event_id="incident-1")
        for number in range(3)
    ]
    for picture in pictures[:2]:
        ticket = outbox.put(picture)
        assert ticket.wait(60)
        assert ticket.seq == 4
    assert [row.seq for row in outbox.fetch(1)] == [4]
    # The centre may have it, and would take another one of this number for a repeat.
    outbox.requeue_in_flight()
    ticket = outbox.put(pictures[2])
    assert ticket.wait(60)
    assert ticket.seq == 5


def test_over_the_size_limit_pictures_are_dropped_with_a_receipt(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path, max_bytes=100_000)
    pictures = [
        outbox.put(build_snapshot_message("north", bytes(20_000), 1, event_id=None))
        for _ in range(4)
    ]
    events = [outbox.put(make_event(number)) for number in range(60)]
    assert all(ticket.wait(60) for ticket in (*pictures, *events))
    assert outbox.has_losses
    outbox.report_losses()
    outbox.put(make_event(60)).wait(60)
    (lost,) = receipts(outbox)
    assert isinstance(lost, LostMessages)
    assert lost.by_type == {"snapshot": lost.count}
    assert lost.ranges == (SeqRange(1, lost.count),)
    assert numbers(outbox) == list(range(61))
    assert outbox.counts().lost == lost.count


def test_over_the_size_limit_events_are_accepted_and_lower_priorities_rejected(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path, max_bytes=10_000)
    for number in range(50):
        ticket = outbox.put(make_event(number))
    assert ticket.wait(60)
    refused = outbox.put(build_snapshot_message("north", b"jpeg", 1, event_id=None))
    with pytest.raises(OutboxError, match="full of messages of more worth"):
        refused.wait(60)
    assert refused.error
    assert numbers(outbox) == list(range(50))
    outbox.report_losses()
    outbox.put(make_event(50)).wait(60)
    (lost,) = receipts(outbox)
    assert isinstance(lost, LostMessages)
    assert (lost.count, lost.ranges) == (1, ())


def test_two_agents_do_not_share_an_outbox(outboxes: Open, tmp_path: Path) -> None:
    outboxes(tmp_path)
    with pytest.raises(UserError, match="another agent uses it"):
        open_outbox(tmp_path)


def filled(folder: Path, count: int) -> str:
    """An outbox with numbered events, closed. Its epoch."""
    outbox = open_outbox(folder)
    for number in range(1, count + 1):
        outbox.put(make_event(number))
    outbox.close()
    return outbox.epoch


def damage_header(file: Path) -> None:
    with file.open("r+b") as raw:
        raw.write(b"not a database at all")


def damage_schema(file: Path) -> None:
    other = sqlite3.connect(file)
    other.execute("DROP TABLE state")
    other.close()


def damage_version(file: Path) -> None:
    other = sqlite3.connect(file)
    other.execute("PRAGMA user_version = 99")
    other.close()


def damage_state(file: Path) -> None:
    other = sqlite3.connect(file)
    other.execute("UPDATE state SET last_seq = 3")
    other.commit()
    other.close()


def damage_one_row(file: Path) -> None:
    other = sqlite3.connect(file)
    other.execute("UPDATE message SET data = replace(data, 'moment', 'momenu') WHERE seq = 7")
    other.commit()
    other.close()


def empty_it(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "carried"),
    [
        (damage_header, 20),
        (empty_it, None),
        (damage_schema, 20),
        (damage_version, 20),
        (damage_state, 20),
        (damage_one_row, 19),
    ],
)
@pytest.mark.raises_fault("STO-01")
def test_a_damaged_outbox_is_set_aside_and_readable_messages_get_a_new_epoch(
    outboxes: Open, tmp_path: Path, damage: Callable[[Path], None], carried: int | None
) -> None:
    epoch = filled(tmp_path, 20)
    damage(files.database_path(tmp_path))
    outbox = outboxes(tmp_path)
    assert outbox.epoch != epoch
    assert (tmp_path / "damaged-1" / "messages.db").exists()
    (receipt,) = receipts(outbox)
    assert isinstance(receipt, OutboxDamaged)
    assert receipt.quarantined_as == "damaged-1"
    assert "\n" not in receipt.reason
    left = numbers(outbox)
    assert receipt.recovered == len(left) == (carried or 0)
    assert left == [n for n in range(1, 21) if n != 7 or carried == 20][: len(left)]
    ticket = outbox.put(make_event(99))
    assert ticket.wait(60)
    assert ticket.seq == len(left) + 2


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bits_never_lose_messages_silently(tmp_path: Path, seed: int) -> None:
    """Whatever bit flips, each event is either intact or an outbox_damaged receipt is there."""
    rng = random.Random(seed)
    master = tmp_path / "master"
    filled(master, 40)
    good = files.database_path(master).read_bytes()
    for trial in range(40):
        folder = tmp_path / f"trial-{trial}"
        (folder / "current").mkdir(parents=True)
        bad = bytearray(good)
        at = rng.randrange(len(bad))
        bad[at] ^= 1 << rng.randrange(8)
        files.database_path(folder).write_bytes(bad)
        outbox = open_outbox(folder)
        left = numbers(outbox)
        reported = receipts(outbox)
        outbox.close()
        if left != list(range(1, 41)):
            (receipt,) = reported
            assert isinstance(receipt, OutboxDamaged), f"byte {at}"
            unreadable = receipt.unreadable
            assert unreadable is None or len(left) + unreadable >= 40, f"byte {at}"
        assert set(left) <= set(range(1, 41)), f"byte {at}"


def test_damage_found_at_run_time_is_set_aside_too(outboxes: Open, tmp_path: Path) -> None:
    outbox = outboxes(tmp_path)
    for number in range(1, 11):
        ticket = outbox.put(make_event(number))
    assert ticket.wait(60)
    epoch = outbox.epoch
    damage_one_row(files.database_path(tmp_path))
    assert outbox.fetch(100) == []
    outbox.put(make_event(11)).wait(60)
    assert outbox.epoch != epoch
    assert numbers(outbox) == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]


def test_only_the_newest_damaged_outboxes_are_kept(tmp_path: Path) -> None:
    for _ in range(5):
        filled(tmp_path, 1)
        damage_header(files.database_path(tmp_path))
    open_outbox(tmp_path).close()
    kept = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("damaged"))
    assert kept == ["damaged-3", "damaged-4", "damaged-5"]


@pytest.mark.parametrize("stage", ["building", "new beside current", "new alone"])
def test_a_power_cut_at_any_step_of_setting_aside_is_recovered(
    outboxes: Open, tmp_path: Path, stage: str
) -> None:
    filled(tmp_path, 5)
    spare = tmp_path / "spare"
    filled(spare, 2)
    match stage:
        case "building":
            (tmp_path / "building").mkdir()
            (tmp_path / "building" / "messages.db").write_bytes(b"half")
            wanted = 5
        case "new beside current":
            (spare / "current").rename(tmp_path / "new")
            wanted = 5
        case _:
            (tmp_path / "current").rename(tmp_path / "damaged-1")
            (spare / "current").rename(tmp_path / "new")
            wanted = 2
    assert numbers(outboxes(tmp_path)) == list(range(1, wanted + 1))
    assert not (tmp_path / "new").exists()


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond `size_bytes`: what a full disk looks like to it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.raises_fault("STO-02")
def test_a_full_disk_raises_an_error_and_the_outbox_resumes_when_there_is_room(
    outboxes: Open, tmp_path: Path
) -> None:
    outbox = outboxes(tmp_path)
    kept: list[int] = []
    failed: list[int] = []
    with largest_file(200_000):
        for number in range(1, 400):
            try:
                outbox.put(make_event(number, "stopped")).wait(60)
                kept.append(number)
            except OutboxError as error:
                assert "cannot write to the outbox" in str(error)  # noqa: PT017 (each of many)
                failed.append(number)
            if len(failed) == 3:
                break
    assert failed
    ticket = outbox.put(make_event(1000))
    assert ticket.wait(60)
    assert ticket.seq == len(kept) + 1
    assert sorted(numbers(outbox)) == [*kept, 1000]
