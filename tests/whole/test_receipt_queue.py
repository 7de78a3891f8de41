"""agent.recording.custody.receipt_queue: a recovered file gets one receipt; the chain is not read for
each.
"""

import threading
from pathlib import Path

import pytest

from agent.faults.registry import FaultRegistry
from agent.recording.custody import custody_log as custody_module
from agent.recording.custody.chain_files import chain_files
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import ReceiptBody, SegmentClosed, SegmentOpened, parse_line
from tests.receipt_lines import closed_segment
from tests.whole.test_custody_log import Box, fill

TORN = "0000000042_1f155cfd_000000083215_20261125T013215.250Z.mp4"


def opened(segment: str = TORN) -> SegmentOpened:
    return SegmentOpened(camera="north", segment=segment)


def closed(segment: str = TORN, *, recovered: bool, sha256: str = "a" * 64) -> SegmentClosed:
    return closed_segment(segment, sha256=sha256, recovered=recovered)


def after_the_cut(box: Box) -> tuple[CustodyLog, ReceiptQueue, FaultRegistry]:
    custody, faults = box.open(), FaultRegistry(box.clock.boottime_ns)
    return custody, ReceiptQueue(custody.append, faults, custody.read_lines_backwards), faults


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    monkeypatch.setattr(custody_module, "RECEIPTS_PER_FILE", 5)
    box = Box(tmp_path)
    fill(box.open(), 23)
    return box


@pytest.mark.parametrize(
    ("before", "reported"),
    [
        pytest.param([opened()], True, id="begun"),
        pytest.param([opened(), closed(recovered=False)], False, id="closed"),
        pytest.param([opened(), closed(recovered=True)], False, id="recovered before"),
        pytest.param([opened(), closed(recovered=False, sha256="b" * 64)], True, id="other bytes"),
        pytest.param([opened(), closed(f"{TORN}x", recovered=False)], True, id="another file"),
        pytest.param([], True, id="never heard of"),
        pytest.param([closed(recovered=False)], False, id="closed, and its begin was lost"),
    ],
)
def test_a_close_gets_one_receipt(
    box: Box, before: list[SegmentOpened | SegmentClosed], *, reported: bool
) -> None:
    for body in before:
        box.open().append(body, 0)
    fill(box.open(), 7, first=100)
    count = len(box.bodies())
    _, queue, _ = after_the_cut(box)
    assert queue.append(closed(recovered=True), 0)
    assert box.bodies()[count:] == [closed(recovered=True)] * reported


def test_the_chain_is_read_back_to_the_files_opening_and_no_further(box: Box) -> None:
    box.open().append(opened(), 0)
    fill(box.open(), 7, first=100)
    custody, queue, faults = after_the_cut(box)
    for path in chain_files(custody.folder)[:4]:
        path.unlink()
        path.mkdir()  # unreadable bytes
    assert queue.append(closed(recovered=True), 0)
    assert faults.active() == ()


def test_reading_backwards_reverses_the_lines(box: Box) -> None:
    custody = box.open()
    lines = list(custody.read_lines())
    assert list(custody.read_lines_backwards()) == lines[::-1]
    assert [parse_line(line).receipt.seq for line in lines] == list(range(1, 24))
    with chain_files(custody.folder)[-1].open("ab") as file:
        file.write(b"torn")
    assert list(custody.read_lines_backwards()) == lines[::-1]
    chain_files(custody.folder)[0].unlink()
    assert list(custody.read_lines_backwards()) == lines[:4:-1]


def test_enqueue_never_waits_for_a_hung_disk() -> None:
    is_writing, disk_answers = threading.Event(), threading.Event()
    written: list[ReceiptBody] = []

    def append(body: ReceiptBody, _t_ns: int) -> None:
        is_writing.set()
        assert disk_answers.wait(60)
        written.append(body)

    queue = ReceiptQueue(append, FaultRegistry(lambda: 0))
    writer = threading.Thread(target=queue.append, args=(opened("1.mp4"), 1))
    writer.start()
    assert is_writing.wait(60)
    queue.enqueue(opened("2.mp4"), 2)
    assert written == []
    disk_answers.set()
    writer.join()
    assert queue.flush()
    assert written == [opened("1.mp4"), opened("2.mp4")]
