"""agent.recording.custody.custody_log: the chain on the disk, and its recovery from any damage."""

import base64
import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.base import file_lock
from agent.base.device_identity import KEY_FILE, DeviceIdentity
from agent.faults.registry import FaultRegistry
from agent.recording.custody import custody_log as custody_module
from agent.recording.custody.chain import verify_chain
from agent.recording.custody.chain_files import chain_files
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import (
    BadReceipt,
    FileQuarantined,
    FootageExported,
    FootageViewed,
    Receipt,
    ReceiptBody,
    SegmentOpened,
    ServiceAction,
    parse_line,
)
from tests.conftest import ManualClock
from tests.stopped_lock_holder import stopped_lock_holder

BOX = "pole-17"
BOOT = "c0ffee00-0000-4000-8000-000000000000"


class Box:
    """A state folder, and the chain in it, opened as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.identity = DeviceIdentity.load_or_create(folder / "identity")
        self.chain = folder / "custody"

    def open(self, boot: str = BOOT) -> CustodyLog:
        return CustodyLog.open(self.chain, BOX, boot, self.clock, self.identity)

    def receipts(self) -> list[Receipt]:
        """All of them, verified."""
        key = base64.b64encode(self.identity.public_key_raw).decode()
        text = b"".join(path.read_bytes() for path in sorted(self.chain.glob("*.chain")))
        lines = text.splitlines(keepends=True)
        return [line.receipt for line in verify_chain(lines, BOX, key, 1 if lines else None)]

    def bodies(self) -> list[ReceiptBody]:
        return [receipt.body for receipt in self.receipts()]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def opened(number: int) -> SegmentOpened:
    return SegmentOpened(camera="north", segment=f"{number}.mp4")


def fill(custody: CustodyLog, count: int, first: int = 1) -> list[ReceiptBody]:
    bodies: list[ReceiptBody] = [opened(number) for number in range(first, first + count)]
    for body in bodies:
        custody.append(body, 0)
    return bodies


def test_appended_receipts_survive_a_restart(box: Box) -> None:
    first = fill(box.open(), 3)
    second = fill(box.open(), 2, first=4)
    assert box.bodies() == [*first, *second]
    assert [receipt.seq for receipt in box.receipts()] == [1, 2, 3, 4, 5]


def test_an_empty_chain_has_a_zero_head(box: Box) -> None:
    custody = box.open()
    assert custody.head().seq == 0
    assert list(custody.read_lines()) == []


def test_the_head_is_the_newest_receipt(box: Box) -> None:
    custody = box.open()
    receipt = custody.append(opened(1), box.clock.now_ns)
    line = parse_line(next(custody.read_lines()))
    assert line.receipt == receipt
    assert custody.head().sha256 == line.sha256
    assert (custody.head().seq, custody.head().time) == (1, receipt.time)


def test_a_receipts_time_never_decreases_within_a_boot(box: Box) -> None:
    custody = box.open()
    times = [custody.append(opened(1), t_ns).t_ns for t_ns in (5, 3, 8)]
    assert times == [5, 5, 8]
    assert box.open().append(opened(2), 1).t_ns == 8
    assert box.open("another boot").append(opened(3), 1).t_ns == 1
    assert len(box.receipts()) == 5


def test_files_are_rotated_and_read_as_one(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custody_module, "RECEIPTS_PER_FILE", 3)
    fill(box.open(), 4)
    custody = box.open()
    fill(custody, 4, first=5)
    names = sorted(path.name for path in box.chain.glob("*.chain"))
    assert names == ["0000000001.chain", "0000000004.chain", "0000000007.chain"]
    for first in range(1, 10):
        seqs = [parse_line(line).receipt.seq for line in custody.read_lines(first)]
        assert seqs == list(range(first, 9))
    assert len(box.receipts()) == 8


def test_two_processes_append_to_one_chain(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two objects are as two processes: flock(2) is of the open file, not of the process."""
    monkeypatch.setattr(custody_module, "RECEIPTS_PER_FILE", 3)
    agent, command = box.open(), box.open()
    for number in range(1, 21, 2):
        agent.append(opened(number), 0)
        command.append(opened(number + 1), 0)
    assert box.bodies() == [opened(number) for number in range(1, 21)]
    assert agent.head() == command.head()


def test_an_export_by_another_process_is_noticed(box: Box) -> None:
    agent, command = box.open(), box.open()
    time = "2026-11-25T00:00:05.000Z"
    exported = FootageExported(
        camera="north",
        begin_time=time,
        end_time=time,
        by="A",
        purpose="B",
        segments=(),
        sha256="0" * 64,
    )
    fill(agent, 3)
    command.append(exported, 0)
    assert agent.last_export_seq == 0
    assert agent.head().seq == 4
    assert agent.last_export_seq == 4


def test_concurrent_threads_append_without_a_gap(box: Box) -> None:
    custody = box.open()
    threads = [
        threading.Thread(target=fill, args=(custody, 25, first)) for first in range(0, 100, 25)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(str, box.bodies()))) == 100


def test_a_chain_cut_in_its_last_line_continues_and_the_torn_end_is_kept(
    box: Box,
) -> None:
    fill(box.open(), 3)
    path = box.chain / "0000000001.chain"
    whole = path.read_bytes()
    last = len(whole) - len(whole.splitlines(keepends=True)[-1])
    for cut in range(last, len(whole) + 1):
        shutil.rmtree(box.chain)
        box.chain.mkdir()
        path.write_bytes(whole[:cut])
        fill(box.open(), 1, first=9)
        bodies = box.bodies()
        if cut == len(whole):
            assert bodies == [opened(1), opened(2), opened(3), opened(9)]
        elif cut == last:
            assert bodies == [opened(1), opened(2), opened(9)]
        else:
            name = f"quarantine/0000000001.chain.{last}"
            torn = FileQuarantined(camera=None, name=name)
            assert bodies == [opened(1), opened(2), torn, opened(9)]
            assert (box.chain / name).read_bytes() == whole[last:cut]


@settings(max_examples=30)
@given(st.binary(min_size=1, max_size=300))
def test_all_bytes_after_the_last_receipt_are_set_aside(
    tmp_path_factory: pytest.TempPathFactory, rest: bytes
) -> None:
    box = Box(tmp_path_factory.mktemp("box"))
    fill(box.open(), 2)
    path = box.chain / "0000000001.chain"
    end = path.stat().st_size
    with path.open("ab") as file:
        file.write(rest)
    box.open()
    assert [type(body) for body in box.bodies()] == [SegmentOpened, SegmentOpened, FileQuarantined]
    assert (box.chain / f"quarantine/0000000001.chain.{end}").read_bytes() == rest


def test_a_torn_line_of_another_process_does_not_stop_this_one(box: Box) -> None:
    custody = box.open()
    fill(custody, 2)
    with (box.chain / "0000000001.chain").open("ab") as file:
        file.write(b"half a line")
    fill(custody, 1, first=3)
    assert [type(body) for body in box.bodies()] == [
        SegmentOpened,
        SegmentOpened,
        FileQuarantined,
        SegmentOpened,
    ]


def test_a_damaged_receipt_in_the_middle_loses_no_other(box: Box) -> None:
    fill(box.open(), 5)
    path = box.chain / "0000000001.chain"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"3.mp4", b"8.mp4")
    path.write_bytes(b"".join(lines))
    custody = box.open()
    assert custody.append(opened(6), 0).seq == 6
    assert len(list(custody.read_lines())) == 6
    with pytest.raises(ValueError, match="line 3"):
        box.receipts()


def test_a_chain_of_another_key_is_set_aside_and_a_new_one_started(box: Box) -> None:
    fill(box.open(), 3)
    (box.folder / "identity" / KEY_FILE).write_text("damaged")
    box.identity = DeviceIdentity.load_or_create(box.folder / "identity")
    fill(box.open(), 1, first=9)
    torn = FileQuarantined(camera=None, name="quarantine/0000000001.chain")
    assert box.bodies() == [torn, opened(9)]
    assert (box.chain / torn.name).read_bytes().count(b"\n") == 3


def test_a_chain_file_without_a_line_is_started_again(box: Box) -> None:
    fill(box.open(), 1)
    (box.chain / "0000000002.chain").touch()
    fill(box.open(), 1, first=2)
    assert box.bodies() == [opened(1), opened(2)]


def test_a_removed_chain_folder_is_recreated_and_the_numbers_continue(box: Box) -> None:
    custody = box.open()
    fill(custody, 3)
    shutil.rmtree(box.chain)
    receipt = custody.append(opened(4), 0)
    assert receipt.seq == 4
    assert box.open().append(opened(5), 0).seq == 5


@contextmanager
def files_at_most(size_bytes: int) -> Iterator[None]:
    """As a disk that is full: write(2) writes a part, then fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_append_leaves_no_trace(box: Box) -> None:
    custody = box.open()
    fill(custody, 2)
    size_bytes = (box.chain / "0000000001.chain").stat().st_size
    with files_at_most(size_bytes + 100), pytest.raises(OSError, match="File too large"):
        custody.append(opened(3), 0)
    assert (box.chain / "0000000001.chain").stat().st_size == size_bytes
    custody.append(opened(4), 0)
    assert box.bodies() == [opened(1), opened(2), opened(4)]


@pytest.mark.parametrize("count", [0, 3])
def test_an_empty_chain_file_that_another_process_removes_is_created_again(
    box: Box, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(custody_module, "RECEIPTS_PER_FILE", 3)
    agent = box.open()
    before = fill(agent, count)
    path = box.chain / f"{count + 1:010d}.chain"
    with files_at_most(0), pytest.raises(OSError, match="File too large"):
        agent.append(opened(8), 0)
    assert path.stat().st_size == 0
    box.open()
    assert not path.exists()
    fill(agent, 1, first=9)
    assert box.bodies() == [*before, opened(9)]


def test_a_box_starts_with_a_full_disk(box: Box) -> None:
    fill(box.open(), 2)
    with (box.chain / "0000000001.chain").open("ab") as file:
        file.write(b"torn")
    with files_at_most(0):
        custody = box.open()
    fill(custody, 1, first=3)
    assert [type(body) for body in box.bodies()] == [
        SegmentOpened,
        SegmentOpened,
        FileQuarantined,
        SegmentOpened,
    ]


def test_a_file_name_that_is_not_text_gets_a_receipt_too(box: Box) -> None:
    name = b"\xff.mp4".decode("utf-8", "surrogateescape")
    box.open().append(FileQuarantined(camera="north", name=name), 0)
    assert box.bodies() == [FileQuarantined(camera="north", name=r"\udcff.mp4")]


def test_unreadable_lines_take_no_number_and_block_no_later_receipt(box: Box) -> None:
    time = "2026-11-25T00:00:05Z"  # without the milliseconds that a receipt's times have
    unreadable: list[ReceiptBody] = [
        FootageViewed(camera="north", begin_time=time, end_time=time, by="A", purpose="B"),
        ServiceAction(by="\udcff", action="status"),
    ]
    custody = box.open()
    queue = ReceiptQueue(custody.append, FaultRegistry(box.clock.boottime_ns))
    fill(custody, 2)
    for body in unreadable:
        with pytest.raises(BadReceipt):
            custody.append(body, 0)
        assert queue.append(body, 0)
    assert queue.append(opened(3), 0)
    assert box.open().head() == custody.head()
    fill(box.open(), 1, first=4)
    assert box.bodies() == [opened(number) for number in (1, 2, 3, 4)]


@pytest.mark.raises_fault("CUS-01")
def test_a_receipt_waits_for_the_lock_of_a_stopped_process(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "LOCK_TIMEOUT_S", 0.1)
    custody, faults = box.open(), FaultRegistry(box.clock.boottime_ns)
    queue = ReceiptQueue(custody.append, faults)
    with stopped_lock_holder(box.chain / "lock"):
        assert not queue.append(opened(1), 0)
        assert not queue.append(opened(2), 0)
        (fault,) = faults.active()
        assert fault.detail == (
            f"{box.chain / 'lock'}: another process has held the lock for 0.1 s"
        )
        assert box.open().folder == box.chain
    assert queue.append(opened(3), 0)
    assert faults.active() == ()
    assert box.bodies() == [opened(number) for number in (1, 2, 3)]


def test_files_that_are_pruned_while_the_chain_is_read_are_passed_over(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custody_module, "RECEIPTS_PER_FILE", 2)
    custody = box.open()
    fill(custody, 6)
    lines = custody.read_lines()
    first = next(lines)
    chain_files(custody.folder)[1].unlink()
    assert [parse_line(line).receipt.seq for line in (first, *lines)] == [1, 2, 5, 6]
