"""Bad sectors: a real ext4 on a disk that answers EIO for a block under one of the box's own files."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.base.device_identity import DeviceIdentity
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import SegmentOpened, parse_line
from agent.reporting.outbox import files
from agent.reporting.payloads import OutboxDamaged, ReceiptData
from tests.conftest import ManualClock
from tests.crash.disk import DISK_BYTES, logged_ext4, make_ext4, mounted, skip_unless_available
from tests.crash.logged_disk import BLOCK_BYTES
from tests.whole.report.conftest import event_number, make_event, open_outbox
from tests.whole.report.test_outbox_salvage import root_page

COUNT = 300


def block_on_disk(image: Path, file_data: bytes, offset: int) -> int:
    """The offset in the image of the block of a file around an offset of the file."""
    begin = offset // BLOCK_BYTES * BLOCK_BYTES
    block, data = file_data[begin : begin + BLOCK_BYTES], image.read_bytes()
    places = [at for at in range(0, len(data), BLOCK_BYTES) if data[at : at + BLOCK_BYTES] == block]
    assert len(places) == 1
    return places[0]


def around_event_150(data: bytes, _root: int) -> int:
    return data.index(b'"event-150"')


def at_the_root_page(_data: bytes, root: int) -> int:
    return (root - 1) * BLOCK_BYTES


@pytest.mark.parametrize(("where", "most_lost"), [(around_event_150, 12), (at_the_root_page, 0)])
@pytest.mark.raises_fault("STO-01")
def test_a_bad_sector_under_the_outbox_costs_only_the_messages_in_it(
    tmp_path: Path, where: Callable[[bytes, int], int], most_lost: int
) -> None:
    skip_unless_available()
    image = make_ext4(tmp_path / "disk.img", DISK_BYTES)
    with mounted(image, tmp_path / "before") as disk:
        outbox = open_outbox(disk / "outbox")
        for number in range(1, COUNT + 1):
            outbox.put(make_event(number))
        outbox.close()
        file = files.database_path(disk / "outbox")
        data, root = file.read_bytes(), root_page(file)
    bad_offset = block_on_disk(image, data, where(data, root))
    with logged_ext4(tmp_path, image, tmp_path / "log", [bad_offset]) as (disk, _marks):
        outbox = open_outbox(disk / "outbox")
        assert outbox.put(make_event(COUNT + 1)).wait(60)
        rows = outbox.fetch(10_000)
        outbox.close()
    numbers = [event_number(row.data) for row in rows if row.type == "event"]
    (receipt,) = (
        msgspec.json.decode(row.data, type=ReceiptData) for row in rows if row.type == "receipt"
    )
    assert isinstance(receipt, OutboxDamaged)
    assert (receipt.unreadable, receipt.recovered) == (None, len(numbers) - 1)
    assert receipt.last_seq_before == COUNT
    lost = set(range(1, COUNT + 2)) - set(numbers)
    assert len(lost) <= most_lost
    print(f"{where.__name__}: {COUNT - len(lost)} of {COUNT} messages kept")  # noqa: T201 - for -s


def test_a_bad_sector_under_the_custody_log_costs_only_the_lines_in_it(tmp_path: Path) -> None:
    skip_unless_available()
    image = make_ext4(tmp_path / "disk.img", DISK_BYTES)
    clock = ManualClock()

    def open_log(disk: Path) -> CustodyLog:
        identity = DeviceIdentity.load_or_create(disk / "identity")
        return CustodyLog.open(disk / "custody", "pole-17", "boot", clock, identity)

    with mounted(image, tmp_path / "before") as disk:
        custody = open_log(disk)
        for number in range(COUNT):
            custody.append(SegmentOpened(camera="north", segment=f"{number}.mp4"), 0)
        data = (disk / "custody" / "0000000001.chain").read_bytes()
    bad_offset = block_on_disk(image, data, len(data) // 2)
    with logged_ext4(tmp_path, image, tmp_path / "log", [bad_offset]) as (disk, _marks):
        custody = open_log(disk)
        assert custody.append(SegmentOpened(camera="north", segment="new.mp4"), 0).seq == COUNT + 1
        found = [line for line in custody.read_lines() if custody.is_own_line(line)]
        newest = [parse_line(line).receipt.seq for line in custody.read_lines(COUNT)]
    assert newest == [COUNT, COUNT + 1]
    assert len(found) >= COUNT - 2 * BLOCK_BYTES // (len(data) // COUNT)
