"""Bad sectors: a real ext4 on a disk that answers EIO for a block under one of the box's own files."""

import errno
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.base.device_identity import DeviceIdentity
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import (
    FileQuarantined,
    SegmentClosed,
    SegmentOpened,
    parse_line,
)
from agent.recording.quarantine import QUARANTINE_DIR
from agent.recording.recovery import recover_folder
from agent.recording.segment_name import KEYS_SUFFIX, PART_SUFFIX
from agent.reporting.outbox import files
from agent.reporting.payloads import OutboxDamaged, ReceiptData
from tests.conftest import ManualClock
from tests.crash.disk import (
    DISK_BYTES,
    logged_ext4,
    make_ext4,
    mounted,
    run_command,
    skip_unless_available,
)
from tests.crash.logged_disk import BLOCK_BYTES
from tests.crash.recording_box import RecordingBox
from tests.crash.video import GOP_FRAMES, count_packets, write_video
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


@pytest.mark.parametrize("kept_groups", [0, 1])
def test_a_bad_sector_under_an_open_segment_costs_only_the_pictures_from_it_on(
    tmp_path: Path, kept_groups: int
) -> None:
    skip_unless_available()
    video = write_video(tmp_path / "video.mp4")
    box = RecordingBox(tmp_path / "cut", 0)
    group_ends = [0]
    for index in box.feed(video, range(2 * GOP_FRAMES + 1)):
        box.recover_footage()
        if index in (GOP_FRAMES, 2 * GOP_FRAMES):
            (part,) = box.footage.glob(f"*{PART_SUFFIX}")
            group_ends.append(part.stat().st_size)
    box.outbox.close()
    data, name = part.read_bytes(), part.name.removesuffix(PART_SUFFIX)
    image = make_ext4(tmp_path / "disk.img", DISK_BYTES)
    with mounted(image, tmp_path / "before") as disk:
        shutil.copytree(tmp_path / "cut", disk / "box")
    bad_offset = block_on_disk(image, data, sum(group_ends[kept_groups:][:2]) // 2)
    with logged_ext4(tmp_path, image, tmp_path / "log", [bad_offset]) as (disk, _marks):
        box = RecordingBox(disk / "box", 500)
        for _ in box.feed(video, range(500, 500 + GOP_FRAMES + 1)):
            box.recover_footage()
        box.close()
        assert box.faults.active() == ()
        assert max(path.name for path in box.footage.glob("*.mp4")) > name, "it records again"
        bodies = [parse_line(line).receipt.body for line in box.custody.read_lines()]
        if kept_groups:
            assert (box.footage / name).read_bytes() == data[: group_ends[kept_groups]]
            assert count_packets(box.footage / name) == kept_groups * GOP_FRAMES
            (closed,) = (
                body for body in bodies if isinstance(body, SegmentClosed) and body.recovered
            )
            assert (closed.segment, closed.size_bytes) == (name, group_ends[kept_groups])
        else:
            moved = {path.name for path in (box.footage / QUARANTINE_DIR).iterdir()}
            assert moved == {name + PART_SUFFIX, name + KEYS_SUFFIX}
            assert moved == {body.name for body in bodies if isinstance(body, FileQuarantined)}


def mp4_box(kind: bytes, size_bytes: int, rng: random.Random) -> bytes:
    return size_bytes.to_bytes(4, "big") + kind + rng.randbytes(size_bytes - 8)


@pytest.mark.parametrize(
    ("bad_block", "kept_blocks"), [(1, 0), (9, 8)], ids=["header of the file", "second fragment"]
)
def test_a_bad_sector_in_a_header_is_neither_kept_nor_deleted(
    tmp_path: Path, bad_block: int, kept_blocks: int
) -> None:
    skip_unless_available()
    name = "0000000001_aaaaaaaa_000000095000_20261125T000135.000Z.mp4"
    rng = random.Random(4)
    # The header of `moov` begins in the first block and ends in the second.
    data = mp4_box(b"ftyp", BLOCK_BYTES - 8, rng) + mp4_box(b"moov", BLOCK_BYTES + 8, rng)
    for _ in range(2):
        data += mp4_box(b"moof", 3 * BLOCK_BYTES, rng) + mp4_box(b"mdat", 3 * BLOCK_BYTES, rng)
    image = make_ext4(tmp_path / "disk.img", DISK_BYTES)
    with mounted(image, tmp_path / "before") as disk:
        (disk / "north").mkdir()
        (disk / "north" / f"{name}.part").write_bytes(data)
    bad_offset = block_on_disk(image, data, bad_block * BLOCK_BYTES)
    with logged_ext4(tmp_path, image, tmp_path / "log", [bad_offset]) as (disk, _marks):
        folder = disk / "north"
        run_command("mount", "-o", "remount,ro", disk)
        with pytest.raises(OSError) as refused:  # noqa: PT011 - the errno follows
            recover_folder(folder)
        assert refused.value.errno == errno.EROFS
        assert [path.name for path in folder.iterdir()] == [f"{name}.part"]
        run_command("mount", "-o", "remount,rw", disk)
        segments = recover_folder(folder)
        if kept_blocks:
            assert [each.size_bytes for each in segments] == [kept_blocks * BLOCK_BYTES]
            assert (folder / name).read_bytes() == data[: kept_blocks * BLOCK_BYTES]
        else:
            assert segments == []
            aside = folder / QUARANTINE_DIR / f"{name}.part"
            assert aside.stat().st_size == len(data)
