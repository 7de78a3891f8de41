"""agent.recording.export.verify: accepted exports, and the named defects of others."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.signed_manifest import SUMS_FILE
from agent.recording.custody.receipts import FootageEvicted, FootageViewed, ReceiptBody, parse_line
from agent.recording.export.folder_check import (
    MAX_LINE_BYTES,
    FileDigest,
    VerificationFailed,
    check_sums,
    read_lines,
)
from agent.recording.export.head_coverage import KnownHead
from agent.recording.export.manifest import (
    CHAIN_FILE,
    CLIP_FILE,
    MANIFEST_FILE,
    SEGMENTS_DIR,
    ExportedChainHead,
    ExportedClip,
)
from agent.recording.export.verify import verify_export
from tests.whole.export_folder import (
    BEGIN,
    END,
    SECOND_NS,
    SEGMENT_NAMES,
    ExportBuilder,
    make_closed,
    public_key,
    segment_bytes,
    write_sums,
)


@pytest.fixture
def box(tmp_path: Path) -> ExportBuilder:
    return ExportBuilder(tmp_path / "box")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ExportBuilder(tmp_path_factory.mktemp("box")).build()


def named(folder: Path, **known: object) -> tuple[str, str] | None:
    verdict = verify_export(folder, **known)  # type: ignore[arg-type]
    link = verdict.first_problem
    assert verdict.ok == (link is None)
    return None if link is None else (link.problem, link.location)


def test_an_unchanged_export_is_accepted(box: ExportBuilder) -> None:
    folder = box.build()
    verdict = verify_export(folder, known_key=public_key(box.identity))
    assert (verdict.ok, verdict.first_problem) == (True, None)
    assert (verdict.receipt_count, verdict.segment_count) == (12, 3)
    assert verdict.manifest is not None
    assert verdict.manifest.by == "A. Alami"


def test_progress_ends_at_the_total(good: Path) -> None:
    reported: list[tuple[int, int]] = []
    verify_export(good, progress=lambda done, total: reported.append((done, total)))
    assert reported[-1][0] == reported[-1][1]


@given(st.data())
def test_no_change_of_a_single_byte_of_any_file_is_accepted(
    good: Path, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(sorted(path for path in good.rglob("*") if path.is_file())))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    byte = data.draw(st.integers(1, 255))
    path.write_bytes(before[:at] + bytes([before[at] ^ byte]) + before[at + 1 :])
    try:
        assert not verify_export(good).ok
    finally:
        path.write_bytes(before)


@given(st.data())
def test_a_changed_file_with_rewritten_sums_is_refused(good: Path, data: st.DataObject) -> None:
    paths = sorted(path for path in good.rglob("*") if path.is_file() and path.name != SUMS_FILE)
    path = data.draw(st.sampled_from(paths))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    byte = data.draw(st.integers(1, 255))
    path.write_bytes(before[:at] + bytes([before[at] ^ byte]) + before[at + 1 :])
    try:
        write_sums(good)
        assert not verify_export(good).ok
    finally:
        path.write_bytes(before)
        write_sums(good)


@given(st.sampled_from((MANIFEST_FILE, CHAIN_FILE, SUMS_FILE)), st.binary(max_size=400))
def test_garbage_gets_a_verdict_and_never_an_exception(
    good: Path, name: str, garbage: bytes
) -> None:
    before = (good / name).read_bytes()
    (good / name).write_bytes(garbage)
    try:
        if name != SUMS_FILE:
            write_sums(good)
        verdict = verify_export(good)
        assert verdict.first_problem is not None
        assert "\n" not in str(verdict.first_problem)
    finally:
        (good / name).write_bytes(before)
        write_sums(good)


def edit_chain(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    lines = (folder / CHAIN_FILE).read_bytes().splitlines(keepends=True)
    (folder / CHAIN_FILE).write_bytes(b"".join(change(lines)))
    write_sums(folder)


@pytest.mark.parametrize(
    ("change", "problem", "where"),
    [
        (lambda lines: [*lines[:4], *lines[5:]], "order", f"{CHAIN_FILE}:5 (seq 6)"),
        (
            lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]],
            "order",
            f"{CHAIN_FILE}:5 (seq 6)",
        ),
        (lambda lines: lines[:-1], "exported", f"{CHAIN_FILE} (seq 11)"),
        (lambda lines: lines[-1:], "order", f"{CHAIN_FILE}:1 (seq 12)"),
        (lambda lines: [*lines, lines[-1]], "order", f"{CHAIN_FILE}:13 (seq 12)"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "receipt", f"{CHAIN_FILE}:12"),
        (lambda lines: [*lines, b"\n"], "receipt", f"{CHAIN_FILE}:13"),
        (lambda lines: lines[:0], "receipt", CHAIN_FILE),
        (
            lambda lines: [lines[0][:89] + lines[1][89:], *lines[1:]],
            "signature",
            f"{CHAIN_FILE}:1 (seq 2)",
        ),
    ],
    ids=[
        "removed",
        "reordered",
        "end cut",
        "begin cut",
        "repeated",
        "torn",
        "empty line",
        "empty",
        "signature of another",
    ],
)
def test_a_changed_chain_is_named(
    box: ExportBuilder, change: Callable[[list[bytes]], list[bytes]], problem: str, where: str
) -> None:
    folder = box.build()
    edit_chain(folder, change)
    assert named(folder) == (problem, where)


def test_a_receipt_of_another_box_is_named(box: ExportBuilder, tmp_path: Path) -> None:
    folder, other = box.build(), ExportBuilder(tmp_path / "other").build()
    theirs = (other / CHAIN_FILE).read_bytes().splitlines(keepends=True)
    edit_chain(folder, lambda lines: [*lines[:3], theirs[3], *lines[4:]])
    assert named(folder) == ("signature", f"{CHAIN_FILE}:4 (seq 4)")


def test_an_export_of_another_key_fails_against_the_known_key(
    box: ExportBuilder, tmp_path: Path
) -> None:
    forged = ExportBuilder(tmp_path / "thief").build()
    assert named(forged) is None
    assert named(forged, known_key=public_key(box.identity)) == ("key", MANIFEST_FILE)


def test_a_rewritten_chain_fails_against_a_known_head(box: ExportBuilder) -> None:
    folder = box.build()
    lines = (folder / CHAIN_FILE).read_bytes().splitlines()
    line = parse_line(lines[5])
    known = [KnownHead(seq=6, sha256=line.sha256)]
    assert named(folder, known_heads=known) is None
    rewritten_export = box.build(
        "anew", [*box.make_bodies()[:3], *box.make_bodies()[6:]], segments=SEGMENT_NAMES[:1]
    )
    assert named(rewritten_export, known_heads=known) is not None
    rewritten = box.build("again", [*box.make_bodies()[:5], *box.make_bodies()[4:]])
    assert named(rewritten, known_heads=known) == ("head", "seq 6")


VIEWED = FootageViewed(camera="north", begin_time=BEGIN, end_time=END, by="B", purpose="C")


@pytest.mark.parametrize(
    ("bodies", "change", "problem", "where"),
    [
        (lambda chain: chain[:4] + chain[5:], {}, None, None),
        (lambda chain: chain[:2] + chain[3:], {}, "segment", SEGMENT_NAMES[0]),
        (
            lambda chain: [*chain, make_closed(SEGMENT_NAMES[0], b"x", 0)],
            {},
            "segment",
            SEGMENT_NAMES[0],
        ),
        (
            lambda chain: [chain[0], make_closed(SEGMENT_NAMES[0], b"other bytes", 0), *chain[3:]],
            {},
            "segment",
            SEGMENT_NAMES[0],
        ),
        (
            lambda chain: [
                *chain,
                FootageEvicted(
                    camera="north", segments=SEGMENT_NAMES[1:2], reason="age", oldest_time=None
                ),
            ],
            {},
            "segment",
            SEGMENT_NAMES[1],
        ),
        (lambda chain: [*chain, make_closed("four.mp4", b"4", 14)], {}, "segment", "four.mp4"),
        (lambda chain: [*chain, make_closed("four.mp4", b"4", 25)], {}, None, None),
        (lambda chain: chain, {"clip": None}, "clip", CLIP_FILE),
        (
            lambda chain: chain,
            {"clip": ExportedClip(begin_time=BEGIN, duration_ns=9, segments=("x",), masked=False)},
            "clip",
            CLIP_FILE,
        ),
        (
            lambda chain: chain,
            {
                "clip": ExportedClip(
                    begin_time=BEGIN, duration_ns=2**62, segments=SEGMENT_NAMES, masked=False
                )
            },
            "clip",
            CLIP_FILE,
        ),
        (
            lambda chain: chain,
            {
                "clip": ExportedClip(
                    begin_time=BEGIN,
                    duration_ns=SECOND_NS,
                    segments=SEGMENT_NAMES[2:],
                    masked=False,
                )
            },
            "clip",
            CLIP_FILE,
        ),
        (lambda chain: chain, {"head": ExportedChainHead(seq=3, sha256="0" * 64)}, "head", "seq 3"),
        (lambda chain: chain, {"box": "pole-18"}, "box", f"{CHAIN_FILE}:1 (seq 1)"),
        (lambda chain: chain, {"public_key": "AAAA"}, "manifest", "public_key"),
        (lambda chain: chain, {"segments": SEGMENT_NAMES[:2]}, "manifest", f"{SEGMENTS_DIR}/"),
    ],
)
def test_the_boxs_own_signed_statements_must_agree_too(
    box: ExportBuilder,
    bodies: Callable[[list[ReceiptBody]], list[ReceiptBody]],
    change: dict[str, object],
    problem: str | None,
    where: str | None,
) -> None:
    found = named(box.build("export", bodies(box.make_bodies()), **change))
    assert found == (None if problem is None else (problem, where))


def test_nothing_may_come_after_the_receipt_of_the_export(box: ExportBuilder) -> None:
    assert named(box.build(bodies_after=[VIEWED])) == ("exported", f"{CHAIN_FILE} (seq 13)")


def test_an_extra_missing_or_misplaced_file_is_named(box: ExportBuilder) -> None:
    folder = box.build()
    (folder / "more.txt").write_text("x")
    assert named(folder) == ("sums", "more.txt")
    write_sums(folder)
    assert named(folder) == ("manifest", "more.txt")
    (folder / "more.txt").unlink()
    write_sums(folder)
    segment = folder / SEGMENTS_DIR / SEGMENT_NAMES[1]
    segment.unlink()
    assert named(folder) == ("sums", f"{SEGMENTS_DIR}/{SEGMENT_NAMES[1]}")
    write_sums(folder)
    assert named(folder) == ("manifest", f"{SEGMENTS_DIR}/{SEGMENT_NAMES[1]}")
    outside = folder.parent / "outside.mp4"
    outside.write_bytes(segment_bytes(SEGMENT_NAMES[1]))
    segment.symlink_to(outside)
    assert named(folder) == ("sums", f"{SEGMENTS_DIR}/{SEGMENT_NAMES[1]}")


def test_a_path_that_is_not_a_folder_gets_a_verdict(tmp_path: Path) -> None:
    assert named(tmp_path / "nothing") == ("sums", str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    assert named(tmp_path / "empty") == ("sums", SUMS_FILE)


def test_a_folder_may_be_copied_elsewhere(good: Path, tmp_path: Path) -> None:
    assert named(shutil.copytree(good, tmp_path / "court")) is None


def test_a_list_or_a_line_without_end_is_refused_and_not_read_into_memory(tmp_path: Path) -> None:
    with (tmp_path / SUMS_FILE).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(VerificationFailed, match="more than 67108864 bytes"):
        check_sums(tmp_path, lambda *_: None)
    with (tmp_path / "receipts.chain").open("wb") as file:
        file.truncate(MAX_LINE_BYTES + 1)
    with pytest.raises(VerificationFailed, match="a line is longer than 16777216 bytes"):
        list(read_lines(tmp_path, "receipts.chain", FileDigest("0" * 64, 1)))
