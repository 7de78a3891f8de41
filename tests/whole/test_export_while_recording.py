"""agent.recording.export.exporter while the box closes and evicts segments and sets its clock."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from agent.base.clock import rfc3339
from agent.recording.custody.receipts import FootageEvicted, SegmentOpened
from agent.recording.encryption.keys import generate_key_pair, parse_public_key
from agent.recording.export.exporter import ExportError, ExportResult
from agent.recording.export.verify import verify_export
from agent.recording.segment_name import KEYS_SUFFIX, PART_SUFFIX
from tests.receipt_lines import closed_segment
from tests.vectors.street import StreetBox

MASK = (((0.1, 0.1), (0.5, 0.1), (0.5, 0.5)),)


@pytest.fixture
def box(tmp_path: Path) -> StreetBox:
    return StreetBox(tmp_path / "state", "casa-0001")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def recipient(folder: Path) -> dict[str, X25519PublicKey]:
    return {"centre": parse_public_key(generate_key_pair(folder / "centre.pem"), "the centre")}


def files(box: StreetBox) -> list[Path]:
    return sorted((box.state / "footage" / "north").glob("*.mp4*"))


def counters(export: ExportResult) -> list[int]:
    return [int(name[:10]) for name in export.segments]


def test_segments_closed_and_evicted_meanwhile_do_not_break_an_export(
    box: StreetBox, out: Path
) -> None:
    box.record("north", 1, 12)
    copied: list[int] = []

    def meanwhile(done: int, _total: int) -> None:
        copied.append(done)
        if len(copied) == 1:
            box.record("north", 2, 8)
            box.evict("north", 0)

    export = box.export("north", 0, 60, out, meanwhile)
    assert counters(export) == [1, 2, 3]
    assert export.clip is not None, "it is cut from the copies, which are never evicted"
    assert verify_export(out).first_problem is None


def test_a_file_with_its_receipt_but_not_its_final_name_is_exported(
    box: StreetBox, out: Path
) -> None:
    box.record("north", 1, 12)
    last = files(box)[-1]
    last.rename(f"{last}{PART_SUFFIX}")
    named: list[Path] = []

    def meanwhile(_done: int, _total: int) -> None:
        if not named:
            named.append(Path(f"{last}{PART_SUFFIX}").rename(last))

    export = box.export("north", 0, 60, out, meanwhile)
    assert (counters(export), export.excluded) == ([1, 2, 3], {})
    assert verify_export(out).first_problem is None


def test_a_segment_with_an_eviction_receipt_is_left_out_although_its_file_exists(
    box: StreetBox, out: Path
) -> None:
    box.record("north", 1, 12)
    first = files(box)[0].name
    box.append_receipt(
        FootageEvicted(camera="north", segments=(first,), reason="age", oldest_time=None)
    )
    export = box.export("north", 0, 60, out)
    assert export.excluded == {first: "was just evicted"}
    assert counters(export) == [2, 3]
    assert verify_export(out).first_problem is None


@pytest.mark.parametrize("nth", range(6))
def test_an_export_names_a_segment_whose_file_is_missing_and_does_not_verify(
    box: StreetBox, out: Path, nth: int
) -> None:
    box.record("north", 1, 12)
    box.record("north", 2, 12)
    lost = files(box)[nth]
    lost.unlink()
    export = box.export("north", 0, 60, out)
    assert export.excluded == {lost.name: "its file is missing, and it was not evicted"}
    problem = verify_export(out).first_problem
    assert problem is not None
    assert (problem.location, problem.reason) == (
        lost.name,
        "was recorded in the span and is missing",
    )


def test_an_export_misses_no_segment_that_is_outside_of_its_span_or_was_evicted(
    box: StreetBox, out: Path
) -> None:
    box.record("north", 1, 12)
    box.record("south", 3, 4)
    box.record("north", 2, 12)
    files(box)[0].unlink()
    files(box)[-1].unlink()
    box.evict("north", 0)
    export = box.export("north", 4, 23, out)
    assert (counters(export), export.excluded) == ([3, 5, 6], {})
    assert verify_export(out).first_problem is None


def test_a_segment_whose_file_is_missing_is_found_behind_a_reboot_without_a_clock(
    box: StreetBox, out: Path
) -> None:
    box.record("north", 1, 4)
    (lost,) = files(box)
    lost.unlink()
    box.clock.synced, box.clock.utc_offset = False, timedelta(days=-1000)
    box.record("north", 2, 8)
    for _ in range(200):  # the custody log is read in blocks of about a hundred
        box.append_attested("north")
    box.clock.synced, box.clock.utc_offset = True, timedelta()
    box.record("north", 1, 8)
    export = box.export("north", 0, 60, out)
    assert export.excluded[lost.name] == "its file is missing, and it was not evicted"
    assert not verify_export(out).ok


def test_footage_of_which_no_file_is_left_is_named(box: StreetBox, out: Path) -> None:
    box.record("north", 1, 4)
    (lost,) = files(box)
    lost.unlink()
    with pytest.raises(ExportError, match=f"{lost.name}: its file is missing"):
        box.export("north", 0, 60, out)


@pytest.mark.parametrize("kind", ["plain", "sealed", "masked"])
def test_a_segment_evicted_before_its_copy_ends_the_export_in_one_line(
    tmp_path: Path, out: Path, kind: str
) -> None:
    recipients = recipient(tmp_path) if kind == "sealed" else None
    box = StreetBox(tmp_path / "state", "casa-0001", recipients)
    box.record("north", 1, 8)
    if kind == "masked":
        box.masks = MASK  # these are never copied, and the clip is cut from where they lie
        box.record("north", 2, 4)
    gone: list[str] = []

    def meanwhile(_done: int, _total: int) -> None:
        if not gone:
            gone.append(files(box)[-1].name.removesuffix(KEYS_SUFFIX))
            box.evict("north", -1)

    with pytest.raises(ExportError) as refused:
        box.export("north", 0, 60, out, meanwhile)
    assert str(refused.value).removesuffix(": was evicted during the export") in {
        gone[0],
        gone[0] + KEYS_SUFFIX,
    }
    assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".pem") == ["state"]


@pytest.mark.parametrize("by_s", [-3600, -30, -2, 3600])
@pytest.mark.parametrize("part", ["before", "after", "all"])
def test_an_export_across_a_clock_step_verifies(
    box: StreetBox, out: Path, by_s: int, part: str
) -> None:
    box.record("north", 1, 12)
    box.clock.utc_offset = timedelta(seconds=by_s)
    box.record("north", 2, 12)
    begin_s, end_s, wanted = {
        "before": (11.95, 12, {3}),
        "after": (by_s + 13, by_s + 30, {4, 5, 6}),
        "all": (min(0, by_s), max(40, by_s + 40), {1, 2, 3, 4, 5, 6}),
    }[part]
    export = box.export("north", begin_s, end_s, out)
    assert wanted <= set(counters(export))
    assert export.clip is not None
    assert verify_export(out).first_problem is None


def test_a_segment_that_ends_within_the_first_millisecond_is_exported(
    box: StreetBox, out: Path
) -> None:
    box.record("north", 1, 4)
    box.clock.now_ns = 10_000_000_000
    name = box.segment_name(box.clock.now_ns)
    data = b"no pictures"
    (box.state / "footage" / "north" / str(name)).write_bytes(data)
    box.append_receipt(SegmentOpened(camera="north", segment=str(name)))
    box.append_receipt(
        closed_segment(
            str(name),
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            begin_ns=box.clock.now_ns,
            duration_ns=4_000_400_000,
            begin_time=rfc3339(name.utc),
        )
    )
    box.clock.now_ns = 14_000_000_000
    box.record("north", 2, 4)
    export = box.export("north", 14.000450, 20, out)
    assert counters(export) == [2, 3]
    assert verify_export(out).first_problem is None


def test_footage_from_before_the_clock_was_set_is_named_with_the_time_to_request(
    box: StreetBox, out: Path
) -> None:
    box.clock.synced, box.clock.utc_offset = False, timedelta(hours=-1)
    box.record("north", 1, 8)
    unset = [path.name for path in files(box)]
    assert all(name.endswith("_unsynced.mp4") for name in unset)
    with pytest.raises(ExportError, match="no footage from"):
        box.export("north", 0, 8, out)  # there is no better time yet
    box.clock.synced, box.clock.utc_offset = True, timedelta()
    box.record("north", 2, 8)
    why = (
        "recorded before the clock was set, and stored under the times from "
        "2026-11-25T00:00:00.000Z to 2026-11-25T00:00:04.000Z: export those too"
    )
    with pytest.raises(ExportError) as refused:
        box.export("north", 0, 7, out)
    assert str(refused.value).endswith(f"{unset[0]}: {why}")
    export = box.export("north", 0, 16, out)
    assert export.excluded == dict.fromkeys(unset, why)
    early = box.export("north", -3600, -3590, out.with_name("early"))
    assert list(early.segments) == unset
    assert verify_export(out).ok
    assert verify_export(out.with_name("early")).ok
