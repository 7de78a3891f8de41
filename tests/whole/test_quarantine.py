"""agent.recording.quarantine: quarantined files are not footage; they take space and are evicted like it."""

from pathlib import Path

import pytest

from agent.recording.custody.receipts import FootageEvicted, parse_line
from agent.recording.quarantine import QUARANTINE_DIR
from agent.recording.recovery import recover_folder
from tests.conftest import ManualClock
from tests.whole.test_custody_log import Box
from tests.whole.test_hold_store import Kept

TORN = b"\0\0\0\x10moof, and no more"


@pytest.fixture
def clock() -> ManualClock:
    clock = ManualClock()
    clock.now_ns = 100_000_000_000
    return clock


@pytest.fixture
def kept(clock: ManualClock, tmp_path: Path) -> Kept:
    """Segments of ten seconds, of which the fourth was torn in its first picture."""
    kept = Kept(tmp_path, clock, max_age_h=1, max_bytes=1000)
    (segment,) = kept.folder.glob("0000000004_*.mp4")
    segment.rename(f"{segment}.part")
    Path(f"{segment}.part").write_bytes(TORN)
    Path(f"{segment}.keys").write_bytes(b"{}")
    load(kept)
    return kept


def load(kept: Kept) -> None:
    """As a ring does when it opens."""
    kept.keeper.register_folder("north", kept.folder, recover_folder(kept.folder))


def aside(kept: Kept) -> list[str]:
    return sorted(path.name for path in (kept.folder / QUARANTINE_DIR).iterdir())


def evicted(kept: Kept) -> list[FootageEvicted]:
    return [body for body in kept.chain if isinstance(body, FootageEvicted)]


def test_a_torn_file_and_its_keys_expire_with_footage_of_their_time(
    clock: ManualClock, kept: Kept
) -> None:
    names = aside(kept)
    assert [(name[:10], Path(name).suffix) for name in names] == [
        ("0000000004", ".keys"),
        ("0000000004", ".part"),
    ]
    clock.now_ns = 3629 * 10**9
    kept.keeper.enforce()
    assert (kept.left()[0], aside(kept)) == (4, names), "a second too young"
    clock.advance_s(1)
    load(kept)  # a second scan does not begin the time again
    kept.keeper.enforce()
    assert aside(kept) == []
    assert evicted(kept)[-1] == FootageEvicted(
        camera="north",
        segments=tuple(f"{QUARANTINE_DIR}/{name}" for name in names),
        reason="age",
        oldest_time="2026-11-25T00:00:40.000Z",
    )


def test_a_torn_file_with_the_counter_of_a_later_segment_makes_no_footage_older(
    clock: ManualClock, tmp_path: Path
) -> None:
    """As earlier versions numbered the first segment after a boot of 60 days whose only file was torn."""
    kept = Kept(tmp_path, clock, max_age_h=1)
    for path in kept.folder.iterdir():
        path.unlink()
    torn = "0000000001_bbbbbbbb_005184000000_20260901T000000.000Z_unsynced.mp4.part"
    (kept.folder / torn).write_bytes(TORN)
    for number in range(1, 4):
        name = f"{number:010d}_cccccccc_{number * 10_000:012d}_20261101T000000.000Z_unsynced.mp4"
        (kept.folder / name).write_bytes(bytes(100))
    load(kept)
    kept.keeper.enforce()
    assert kept.left() == [0, 1, 2]


def test_a_file_of_unknown_origin_expires_by_the_time_of_its_quarantine(
    clock: ManualClock, kept: Kept
) -> None:
    clock.synced = False
    strange = kept.folder / "beach"
    strange.mkdir()
    (strange / "sand.jpg").write_bytes(b"sand")
    load(kept)
    for _ in range(2):
        clock.advance_s(1799)
        load(kept)
        kept.keeper.enforce()
    assert aside(kept)[-1] == "beach"
    clock.advance_s(2)
    kept.keeper.enforce()
    assert aside(kept) == []
    assert not strange.exists()


def test_quarantined_bytes_count_and_are_evicted_before_footage(kept: Kept) -> None:
    (kept.folder / "notes.txt").write_bytes(bytes(60))
    load(kept)
    names, left = aside(kept), kept.left()
    used_bytes = 900 + len(TORN) + 2 + 60
    kept.write(1000 - used_bytes)
    assert (aside(kept), kept.left()) == (names, left)
    kept.write(1000 - used_bytes + 1)
    assert (aside(kept), kept.left()) == (["notes.txt"], left), "the oldest first"
    kept.write(90)
    assert (aside(kept), kept.left()) == ([], left)
    assert {
        (body.reason, name.partition("/")[0] + "/")
        for body in evicted(kept)
        for name in body.segments
    } == {("bytes", QUARANTINE_DIR + "/")}
    kept.write(101)
    assert kept.left() == left[1:], "and what is gone does not count"


def test_quarantined_files_of_a_removed_camera_expire(clock: ManualClock, tmp_path: Path) -> None:
    first = Kept(tmp_path, clock)
    (first.folder / QUARANTINE_DIR).mkdir()
    (
        first.folder
        / QUARANTINE_DIR
        / "0000000001_aaaaaaaa_000000000000_20261125T000000.000Z.mp4.part"
    ).write_bytes(TORN)
    former = tmp_path / "footage" / "former"
    first.folder.rename(former)
    clock.advance_s(72 * 3600)
    Kept(tmp_path, clock).keeper.enforce()
    assert list((former / QUARANTINE_DIR).iterdir()) == []


def test_a_file_name_that_is_not_text_is_recorded_in_the_chain(
    clock: ManualClock, kept: Kept, tmp_path: Path
) -> None:
    (kept.folder / "\udcff.txt").write_bytes(b"?")
    load(kept)
    clock.advance_s(3600)
    kept.keeper.enforce()
    custody = Box(tmp_path / "box").open()
    for body in evicted(kept):
        custody.append(body, 0)
    names = [
        name
        for line in custody.read_lines()
        if isinstance(body := parse_line(line).receipt.body, FootageEvicted)
        for name in body.segments
    ]
    assert f"{QUARANTINE_DIR}/\\udcff.txt" in names


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\0\0",
        b"\0\0\0\x08ftyp",
        b"\0\0\0\x08ftyp\0\0\0\x20moov, torn",
        b"\0\0\0\x08ftyp\0\0\0\x08moov",
        b"\0\0\0\x08ftyp\0\0\0\x08moov\0\0\0\x40mo",
    ],
    ids=len,
)
def test_a_file_without_picture_data_is_deleted_with_its_keys(kept: Kept, written: bytes) -> None:
    name = "0000000042_aaaaaaaa_000000095000_20261125T000135.000Z.mp4"
    names = aside(kept)
    (kept.folder / f"{name}.part").write_bytes(written)
    (kept.folder / f"{name}.keys").write_bytes(b"{}")
    load(kept)
    assert aside(kept) == names
    assert not list(kept.folder.glob(f"{name}*"))


@pytest.mark.parametrize(
    "left", [b"\0\0\0\x08ftyp\0\0\0\x08moov\0\0\0\x40moof", bytes(600)], ids=len
)
def test_a_file_that_may_contain_picture_data_is_kept_with_its_keys(
    kept: Kept, left: bytes
) -> None:
    name = "0000000042_aaaaaaaa_000000095000_20261125T000135.000Z.mp4"
    (kept.folder / f"{name}.part").write_bytes(left)
    (kept.folder / f"{name}.keys").write_bytes(b"{}")
    recover_folder(kept.folder)
    assert aside(kept)[-2:] == [f"{name}.keys", f"{name}.part"]
    assert (kept.folder / QUARANTINE_DIR / f"{name}.part").read_bytes() == left
