"""agent.reporting.outbox.salvage: of a damaged outbox each readable message is sent, and a loss is never
stated too small.
"""

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.reporting.outbox import files, page_scan, schema
from agent.reporting.outbox.outbox import Outbox
from agent.reporting.outbox.salvage import salvage
from agent.reporting.outgoing_messages import build_snapshot_message
from agent.reporting.payloads import LostMessages, OutboxDamaged, ReceiptData
from tests.whole.report.conftest import event_number, make_event, open_outbox

COUNT = 300
PAGE_BYTES = 4096
NUMBERS = set(range(1, COUNT + 1))
Damage = Callable[[bytearray, int], None]
"""Damages a database, given the number of the root page of its messages."""


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outbox with events, closed: its WAL is in the database."""
    folder = tmp_path_factory.mktemp("outbox")
    outbox = open_outbox(folder)
    for number in sorted(NUMBERS):
        outbox.put(make_event(number))
    outbox.close()
    return folder


def root_page(file: Path) -> int:
    with sqlite3.connect(file) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'message'").fetchone()
    db.close()
    return int(page)


def damaged_copy(master: Path, folder: Path, damage: Damage) -> Path:
    shutil.copytree(master, folder)
    file = files.database_path(folder)
    page = root_page(file)
    data = bytearray(file.read_bytes())
    damage(data, page)
    file.write_bytes(data)
    return folder


def waiting(folder: Path) -> tuple[list[int], list[ReceiptData]]:
    """Open the outbox; the numbers of its events, and its receipts."""
    outbox = open_outbox(folder)
    rows = outbox.fetch(10_000)
    outbox.close()
    numbers = [event_number(row.data) for row in rows if row.type == "event"]
    bodies = [
        msgspec.json.decode(row.data, type=ReceiptData) for row in rows if row.type == "receipt"
    ]
    return numbers, bodies


def end_early(data: bytearray, root: int) -> None:
    """Leave the root page its first and last child: SQLite reads these, and meets no error."""
    data[(root - 1) * PAGE_BYTES + 3 : (root - 1) * PAGE_BYTES + 5] = (1).to_bytes(2, "big")


def zero_root(data: bytearray, root: int) -> None:
    data[(root - 1) * PAGE_BYTES : root * PAGE_BYTES] = bytes(PAGE_BYTES)


def zero_header(data: bytearray, _root: int) -> None:
    data[:32] = bytes(32)


def zero_first_page(data: bytearray, _root: int) -> None:
    data[:PAGE_BYTES] = bytes(PAGE_BYTES)


def zero_half(data: bytearray, _root: int) -> None:
    middle = len(data) // 2 // PAGE_BYTES * PAGE_BYTES
    data[middle:] = bytes(len(data) - middle)


def cut_in_half(data: bytearray, _root: int) -> None:
    del data[len(data) // 2 :]


def test_a_btree_that_ends_early_without_an_error_hides_most_messages(
    master: Path, tmp_path: Path
) -> None:
    """A count of what SQLite returns without an error is too small."""
    file = files.database_path(damaged_copy(master, tmp_path / "box", end_early))
    with sqlite3.connect(file) as db:
        found = db.execute(schema.SELECT_MESSAGES + "ORDER BY seq").fetchall()
    db.close()
    assert 0 < len(found) < COUNT // 4


@pytest.mark.parametrize(
    ("damage", "least"),
    [
        (end_early, COUNT),
        (zero_root, COUNT),
        (zero_header, COUNT),
        (zero_first_page, 0),
        (zero_half, COUNT // 4),
        (cut_in_half, COUNT // 4),
    ],
)
@pytest.mark.raises_fault("STO-01")
def test_a_damaged_structure_loses_no_readable_message_and_states_no_count(
    master: Path, tmp_path: Path, damage: Damage, least: int
) -> None:
    numbers, (receipt,) = waiting(damaged_copy(master, tmp_path / "box", damage))
    assert isinstance(receipt, OutboxDamaged)
    assert receipt.unreadable is None
    assert receipt.recovered == len(numbers) >= least
    assert numbers == sorted(set(numbers) & NUMBERS)


@pytest.mark.parametrize("seed", range(40))
def test_two_pages_in_each_others_place_never_make_a_loss_too_small(
    master: Path, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)

    def swap(data: bytearray, _root: int) -> None:
        first, second = (
            slice(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)
            for page in rng.sample(range(len(data) // PAGE_BYTES), 2)
        )
        data[first], data[second] = data[second], data[first]

    numbers, receipts = waiting(damaged_copy(master, tmp_path / "box", swap))
    check_account(numbers, receipts)


@pytest.mark.parametrize("seed", range(10))
def test_an_erased_page_never_makes_a_loss_too_small(
    master: Path, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)

    def erase(data: bytearray, _root: int) -> None:
        begin = rng.randrange(len(data) // PAGE_BYTES) * PAGE_BYTES
        data[begin : begin + PAGE_BYTES] = rng.choice(
            (bytes(PAGE_BYTES), rng.randbytes(PAGE_BYTES))
        )

    numbers, receipts = waiting(damaged_copy(master, tmp_path / "box", erase))
    check_account(numbers, receipts)


def check_account(numbers: list[int], receipts: list[ReceiptData]) -> None:
    """Each message is there, or a receipt has a loss that is not too small."""
    assert numbers == sorted(set(numbers) & NUMBERS)
    if len(numbers) == COUNT and not receipts:
        return
    (receipt,) = receipts
    assert isinstance(receipt, OutboxDamaged)
    assert receipt.recovered == len(numbers)
    assert receipt.unreadable is None or receipt.recovered + receipt.unreadable >= COUNT


def test_messages_with_a_wrong_checksum_in_a_sound_file_are_counted(
    master: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(master, tmp_path / "box")
    with sqlite3.connect(files.database_path(folder)) as db:
        db.execute("UPDATE message SET data = X'00' WHERE seq BETWEEN 100 AND 104")
    db.close()
    numbers, (receipt,) = waiting(folder)
    assert isinstance(receipt, OutboxDamaged)
    assert (receipt.recovered, receipt.unreadable) == (COUNT - 5, 5)
    assert set(numbers) == NUMBERS - set(range(100, 105))


def full_outbox(folder: Path) -> Outbox:
    outbox = open_outbox(folder, max_bytes=10_000)
    pictures = [
        outbox.put(build_snapshot_message("north", bytes(3_000), 1, event_id=None))
        for _ in range(3)
    ]
    events = [outbox.put(make_event(number)) for number in range(1, 40)]
    assert all(ticket.wait(60) for ticket in (*pictures, *events))
    assert outbox.has_losses
    return outbox


@pytest.mark.parametrize("damage", [end_early, zero_root])
def test_losses_that_no_receipt_named_yet_are_named_by_the_new_outbox(
    tmp_path: Path, damage: Damage
) -> None:
    outbox = full_outbox(tmp_path / "full")
    lost = outbox.counts().lost
    outbox.close()
    folder = damaged_copy(tmp_path / "full", tmp_path / "box", damage)
    again = open_outbox(folder)
    assert (again.has_losses, again.counts().lost) == (True, lost)
    again.report_losses()
    again.put(make_event(99)).wait(60)
    rows = [row for row in again.fetch(1000) if row.type == "receipt"]
    again.close()
    bodies = [msgspec.json.decode(row.data, type=ReceiptData) for row in rows]
    (named,) = (body for body in bodies if isinstance(body, LostMessages))
    assert (named.count, named.by_type, named.ranges) == (lost, {"snapshot": lost}, ())


def test_a_page_scan_yields_each_row_and_none_that_was_deleted(
    master: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(master, tmp_path / "box")
    file = files.database_path(folder)
    with sqlite3.connect(file) as db:
        db.execute("DELETE FROM message WHERE seq <= 100")
        db.execute("DELETE FROM message WHERE seq % 2")
        db.execute("UPDATE message SET data = zeroblob(100000), t_ns = -5 WHERE seq = 200")
    db.close()
    with sqlite3.connect(file) as db:
        expected = db.execute(schema.SELECT_MESSAGES + "ORDER BY seq").fetchall()
    db.close()
    scanned = {row[0]: row for row in page_scan.iter_rows(file, 14)}
    assert [scanned[seq] for seq in sorted(scanned)] == expected


@pytest.mark.parametrize("seed", range(20))
def test_a_page_scan_of_random_damage_ends_without_an_error(
    master: Path, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    data = bytearray(files.database_path(master).read_bytes())
    for _ in range(200):
        data[rng.randrange(len(data))] = rng.randrange(256)
    file = tmp_path / "damaged.db"
    file.write_bytes(data)
    assert len(list(page_scan.iter_rows(file, 14))) <= 2 * COUNT
    assert {message.seq for message in salvage(file).messages} <= NUMBERS


@pytest.mark.parametrize("place", ["current", "current/messages.db", "lock"])
@pytest.mark.parametrize("thing", ["a folder", "a loop of links", "a device"])
def test_what_is_no_file_in_the_outboxs_place_is_set_aside(
    tmp_path: Path, place: str, thing: str
) -> None:
    open_outbox(tmp_path).close()
    path = tmp_path / place
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    match thing:
        case "a folder":
            path.mkdir()
        case "a loop of links":
            path.symlink_to(path.name)
        case _:
            path.symlink_to("/dev/zero")
    outbox = open_outbox(tmp_path)
    assert outbox.put(make_event(1)).wait(60)
    outbox.close()
