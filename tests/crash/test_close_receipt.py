"""Receipts of closed segments and of quarantined files, despite a power cut in the middle of it: each segment
has exactly one receipt of its close, and each quarantined file at least one.
"""

import base64
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.recording.custody.chain import verify_chain
from agent.recording.custody.receipts import FileQuarantined, Receipt, SegmentClosed, parse_line
from agent.recording.quarantine import QUARANTINE_DIR
from agent.recording.recovery import PART_SUFFIX, recover_folder, valid_prefix_bytes
from tests.crash.recording_box import BOX, RecordingBox
from tests.crash.video import GOP_FRAMES, write_video


class PowerCut(BaseException):
    """Ends a box at once."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "video.mp4")


def feed(box: RecordingBox, video: Path, how_many: int) -> None:
    for _ in box.feed(video, range(how_many)):
        box.recover_footage()


def closes(box: RecordingBox) -> Counter[str]:
    bodies = [parse_line(line).receipt.body for line in box.custody.read_lines()]
    return Counter(body.segment for body in bodies if isinstance(body, SegmentClosed))


def quarantined(box: RecordingBox) -> Counter[str]:
    """By its receipts, of a chain that verifies."""
    key = base64.b64encode(box.identity.public_key_raw).decode()
    lines = verify_chain(box.custody.read_lines(), BOX, key)
    bodies = [line.receipt.body for line in lines]
    return Counter(body.name for body in bodies if isinstance(body, FileQuarantined))


def cut_after_a_quarantine(receipt: Receipt) -> None:
    if isinstance(receipt.body, FileQuarantined):
        raise PowerCut


def cut_after_a_close(receipt: Receipt) -> None:
    if isinstance(receipt.body, SegmentClosed):
        raise PowerCut


def again(folder: Path) -> RecordingBox:
    """The next life of the box: its recovery is done."""
    box = RecordingBox(folder, 1000)
    box.recover_footage()
    return box


def test_a_power_cut_between_receipt_and_rename_gives_no_second_receipt(
    video: Path, tmp_path: Path
) -> None:
    box = RecordingBox(tmp_path, 0, on_receipt=cut_after_a_close)
    with pytest.raises(PowerCut):
        feed(box, video, 100)
    box.outbox.close()
    (part,) = box.footage.glob(f"*{PART_SUFFIX}")
    name = part.name.removesuffix(PART_SUFFIX)
    after = again(tmp_path)
    assert (after.footage / name).exists()
    assert closes(after) == {name: 1}
    after.close()


def test_a_power_cut_during_recovery_leaves_no_segment_without_a_receipt(
    video: Path, tmp_path: Path
) -> None:
    box = RecordingBox(tmp_path, 0)
    feed(box, video, 2 * GOP_FRAMES + 1)
    box.outbox.close()
    during = RecordingBox(tmp_path, 500, on_receipt=cut_after_a_close)
    with pytest.raises(PowerCut):
        during.recover_footage()
    during.outbox.close()
    after = again(tmp_path)
    names = [path.name for path in after.footage.glob("*.mp4")]
    assert len(names) == 1
    assert closes(after) == {names[0]: 1}
    after.close()


@pytest.mark.parametrize("cut_after", [cut_after_a_close, cut_after_a_quarantine])
def test_a_power_cut_during_recovery_leaves_no_quarantined_file_without_a_receipt(
    video: Path, tmp_path: Path, cut_after: Callable[[Receipt], None]
) -> None:
    box = RecordingBox(tmp_path, 0)
    feed(box, video, 2 * GOP_FRAMES + 1)
    box.outbox.close()
    # The first and the last that a recovery comes to, and a segment between them.
    (box.footage / "0.txt").write_bytes(b"one")
    (box.footage / "notes.txt").write_bytes(b"two")
    during = RecordingBox(tmp_path, 500, on_receipt=cut_after)
    with pytest.raises(PowerCut):
        during.recover_footage()
    during.outbox.close()
    after = again(tmp_path)
    aside = {path.name for path in (after.footage / QUARANTINE_DIR).iterdir()}
    assert aside == {"0.txt", "notes.txt"}
    assert quarantined(after).keys() == aside
    after.close()


def test_pictures_of_zeros_from_unwritten_blocks_are_not_footage(
    video: Path, tmp_path: Path
) -> None:
    box = RecordingBox(tmp_path, 0)
    feed(box, video, GOP_FRAMES + 1)
    (part,) = box.footage.glob(f"*{PART_SUFFIX}")
    one_group = part.stat().st_size
    feed(box, video, 1)  # the camera opens again: the file is closed
    box.close()
    (tmp_path / "cut").mkdir()
    first = min(box.footage.glob("*.mp4"))
    data = bytearray(first.read_bytes())
    with first.open("rb") as file:
        assert valid_prefix_bytes(file, len(data)) == len(data)
    begin = one_group - one_group % 512 - 512
    data[begin:one_group] = bytes(one_group - begin)
    (tmp_path / "cut" / (first.name + PART_SUFFIX)).write_bytes(data)
    assert recover_folder(tmp_path / "cut") == []
