"""Two independent verifiers on the same vectors: the valid one passes, each bad one has a name."""

import base64
import hashlib
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from agent.recording.custody import receipts
from agent.recording.custody.receipts import (
    FootageEvicted,
    FootageExported,
    SegmentClosed,
    SegmentOpened,
    parse_line,
)
from agent.recording.export.manifest import ExportProblemKind
from agent.recording.export.verify import verify_export
from tests.vectors import grammar, stolen_key, tampering
from tests.vectors.make import ExportVectors
from tests.vectors.workbench import Workbench

RECORD = Path(__file__).parents[2] / "agent" / "recording" / "export"
PAGE = RECORD / "verifier.html"
NAMES = [one.name for one in tampering.TAMPERINGS]


def test_every_tampering_changes_the_export(vectors: ExportVectors) -> None:
    assert len(NAMES) == len(set(NAMES)) >= 50
    assert {one.problem for one in vectors.tampered} == set(get_args(ExportProblemKind))
    seen = {content(one.folder) for one in (*vectors.accepted, *vectors.tampered)}
    assert len(seen) == len(vectors.tampered) + len(vectors.accepted)


def test_the_good_export_verifies(vectors: ExportVectors) -> None:
    verdict = verify_export(
        vectors.good.folder, known_key=vectors.known_key, known_heads=vectors.all_heads
    )
    assert verdict.ok, verdict.first_problem
    assert verify_export(vectors.good.folder).ok


def test_the_origin_is_verified_only_with_the_centres_key(vectors: ExportVectors) -> None:
    good, head = vectors.good.folder, vectors.known_head
    assert verify_export(good, known_key=vectors.known_key).origin_verified
    assert not verify_export(good).origin_verified
    assert not verify_export(good, known_heads=(head,)).origin_verified
    (forged,) = (one for one in vectors.tampered if one.name == "all_of_it_signed_by_another_key")
    verdict = verify_export(forged.folder)
    assert (verdict.ok, verdict.origin_verified) == (True, False)


def test_the_files_of_file_managers_are_named_and_ignored(vectors: ExportVectors) -> None:
    verdict = verify_export(vectors.shown.folder, known_key=vectors.known_key)
    assert verdict.ok, verdict.first_problem
    assert verdict.ignored == vectors.ignored
    assert verify_export(vectors.good.folder).ignored == ()


def test_a_manifest_that_reads_differently_the_second_time_is_refused(
    vectors: ExportVectors, tmp_path: Path
) -> None:
    """A medium can answer with the signed manifest while it is hashed, and with a forged one later."""
    copy, signed, forged = forge_clip(vectors, tmp_path)
    assert not verify_export(copy, known_key=vectors.known_key).ok
    answers: list[bytes] = []

    def answer_differently(done: int, total: int) -> None:
        if done == total:
            (copy / "manifest.json").write_bytes(forged)
            answers.append(forged)

    (copy / "manifest.json").write_bytes(signed)
    verdict = verify_export(copy, known_key=vectors.known_key, progress=answer_differently)
    assert answers
    assert not verdict.ok


def test_a_chain_that_reads_differently_the_second_time_is_refused(
    vectors: ExportVectors, tmp_path: Path
) -> None:
    copy = shutil.copytree(vectors.good.folder, tmp_path / "copy")
    chain = (copy / "receipts.chain").read_bytes()
    (copy / "receipts.chain").write_bytes(b"something else")
    Workbench(copy, None, None).rewrite_sums()  # type: ignore[arg-type]

    def answer_differently(done: int, total: int) -> None:
        if done == total:
            (copy / "receipts.chain").write_bytes(chain)

    assert not verify_export(copy, progress=answer_differently).ok


def test_possible_times_are_read_and_impossible_ones_are_not() -> None:
    for text in grammar.POSSIBLE_TIMES:
        assert msgspec.convert(text, receipts.UtcText) == text
        assert datetime.fromisoformat(text).isoformat(timespec="milliseconds")[:23] == text[:23]
    for text in grammar.IMPOSSIBLE_TIMES.values():
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(text, receipts.UtcText)


def test_an_export_without_masked_segments_verifies(
    vectors: ExportVectors,
) -> None:
    verdict = verify_export(
        vectors.masked.folder, known_key=vectors.known_key, known_heads=(vectors.known_head,)
    )
    assert verdict.ok, verdict.first_problem
    assert verdict.manifest is not None
    assert (verdict.manifest.segments, len(verdict.manifest.withheld)) == ((), 2)
    assert list((vectors.masked.folder / "segments").iterdir()) == []
    assert verdict.manifest.clip is not None
    assert verdict.manifest.clip.masked


def test_an_export_made_while_recording_verifies(vectors: ExportVectors) -> None:
    verdict = verify_export(vectors.busy.folder, known_key=vectors.known_key)
    assert verdict.ok, verdict.first_problem
    assert verdict.manifest is not None
    lines = (vectors.busy.folder / "receipts.chain").read_bytes().splitlines()
    reported = [parse_line(line).receipt for line in lines]
    since = [one.body for one in reported if one.seq > verdict.manifest.head.seq]
    assert [type(body) for body in since] == [
        SegmentOpened,
        SegmentClosed,
        FootageEvicted,
        FootageExported,
    ]
    assert isinstance(since[1], SegmentClosed)
    assert since[1].segment not in verdict.manifest.segments
    assert isinstance(since[2], FootageEvicted)
    assert set(since[2].segments) <= set(verdict.manifest.segments)


def test_an_export_across_a_clock_step_back_verifies_with_its_clip(
    vectors: ExportVectors,
) -> None:
    verdict = verify_export(vectors.set_back.folder, known_key=vectors.known_key)
    assert verdict.ok, verdict.first_problem
    assert verdict.manifest is not None
    assert len(verdict.manifest.segments) == 4
    assert verdict.manifest.clip is not None
    assert verdict.manifest.clip.duration_ns == 16_000_000_000


def test_a_chain_head_outside_an_export_is_reported_as_not_checked(vectors: ExportVectors) -> None:
    head = vectors.known_head
    outside = replace(head, seq=9999)
    for known, checked in (((), None), ((head, outside), True), ((outside,), False)):
        verdict = verify_export(vectors.good.folder, known_heads=known)
        assert (verdict.ok, verdict.head_checked) == (True, checked)


@pytest.mark.parametrize("name", NAMES)
def test_each_tampered_copy_is_refused_with_its_defect(vectors: ExportVectors, name: str) -> None:
    (vector,) = (one for one in vectors.tampered if one.name == name)
    verdict = verify_export(
        vector.folder, known_key=vectors.known_key, known_heads=vector.known_heads
    )
    assert not verdict.ok
    assert verdict.first_problem is not None
    assert verdict.first_problem.problem == vector.problem, verdict.first_problem


def test_the_heads_of_the_centre_cover_the_good_export_and_confirm_its_times(
    vectors: ExportVectors,
) -> None:
    verdict = verify_export(vectors.good.folder, known_heads=vectors.all_heads)
    coverage = verdict.coverage
    assert coverage is not None
    assert (coverage.covered_seq, coverage.alone_count, coverage.alone_time) == (17, 0, None)
    assert (coverage.confirmed_count, coverage.confirmed_seq, coverage.early_count) == (12, 6, 0)
    assert coverage.confirmed_within_s == 124.0


def test_without_heads_all_of_an_export_is_what_the_box_alone_claims(
    vectors: ExportVectors,
) -> None:
    coverage = verify_export(vectors.good.folder, known_key=vectors.known_key).coverage
    assert coverage is not None
    assert (coverage.covered_seq, coverage.alone_count, coverage.confirmed_count) == (None, 12, 0)
    assert coverage.alone_time == "2026-11-25T01:00:07.900Z"


@pytest.mark.parametrize("name", stolen_key.UNCOVERED)
def test_what_a_stolen_key_signed_is_claimed_by_the_box_alone_where_no_head_reaches(
    vectors: ExportVectors, name: str
) -> None:
    (vector,) = (one for one in vectors.tampered if one.name == name)
    first = stolen_key.UNCOVERED[name]
    before = [head for head in vectors.all_heads if head.seq < first]
    verdict = verify_export(vector.folder, known_key=vectors.known_key, known_heads=before)
    assert verdict.ok, verdict.first_problem
    assert verdict.coverage is not None
    assert verdict.coverage.alone_count == 18 - first
    for later in vectors.all_heads:
        if later.seq >= first:
            found = verify_export(vector.folder, known_heads=[*before, later]).first_problem
            assert found is not None
            assert (found.problem, found.location) == ("head", f"seq {later.seq}")


def test_times_before_the_arrival_of_the_head_before_are_not_confirmed(
    vectors: ExportVectors,
) -> None:
    behind = vectors.behind
    verdict = verify_export(
        behind.folder, known_key=vectors.known_key, known_heads=behind.known_heads
    )
    assert verdict.ok, verdict.first_problem
    assert verdict.coverage is not None
    assert (verdict.coverage.early_count, verdict.coverage.early_seq) == (12, 6)
    assert verdict.coverage.confirmed_count == 0
    assert verdict.coverage.covered_seq == 17


def test_the_page_may_load_nothing_and_runs_only_its_own_script() -> None:
    for page in (PAGE, RECORD / "pages" / "lisezmoi.html"):
        text = page.read_text(encoding="utf-8")
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        for tag in ("script", "style"):
            inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
            sums = [base64.b64encode(hashlib.sha256(i.encode()).digest()).decode() for i in inside]
            assert rules.get(f"{tag}-src", "").split() == [f"'sha256-{one}'" for one in sums], tag
        assert not re.search(r"""(src|href)=["'](?!#)|url\(|@import|fetch\(|XMLHttp""", text)


def test_the_page_knows_every_kind_of_receipt_with_its_fields() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (table,) = re.findall(r"const BODIES = \{\n(.*?)\n\};", text, re.DOTALL)
    shown = {
        kind: set(re.findall(r"(\w+): \w", fields))
        for kind, fields in re.findall(r"^  (\w+): \{(.*?)\},$", table, re.DOTALL | re.MULTILINE)
    }
    known = {
        kind.__struct_config__.tag: set(kind.__struct_fields__)
        for kind in get_args(receipts.ReceiptBody)
    }
    assert shown == known


def test_sha256sum_accepts_the_sums(vectors: ExportVectors) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(command, cwd=vectors.good.folder, check=True)


def test_text_written_by_people_is_escaped_in_the_page(vectors: ExportVectors) -> None:
    page = (vectors.good.folder / "LISEZMOI-README.html").read_text(encoding="utf-8")
    assert vectors.known_key in page
    assert "collision, case 2026/118" in page
    for lang, direction in (("fr", ""), ("ar", ' dir="rtl"'), ("en", "")):
        assert f'<section id="{lang}" lang="{lang}"{direction}>' in page
    assert "$" not in page


@pytest.mark.parametrize("at", range(0, 2000, 97))
def test_every_byte_of_the_chain_is_covered(
    vectors: ExportVectors, tmp_path: Path, at: int
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(vectors.good.folder, copy)
    chain = copy / "receipts.chain"
    data = bytearray(chain.read_bytes())
    data[at] ^= 0x20
    chain.write_bytes(data)
    # Corrected sums do not hide it either.
    Workbench(copy, None, None).rewrite_sums()  # type: ignore[arg-type]
    assert not verify_export(copy).ok


def forge_clip(vectors: ExportVectors, tmp_path: Path) -> tuple[Path, bytes, bytes]:
    """Copy the good export with another clip. Return it with the signed manifest and a forged one.

    The sums fit the signed manifest and the forged clip; the forged manifest has that clip.
    """
    copy = shutil.copytree(vectors.good.folder, tmp_path / "copy")
    bench = Workbench(copy, None, None)  # type: ignore[arg-type]
    signed = (copy / "manifest.json").read_bytes()
    bench.flip_bit(copy / "clip.mp4")
    bench.rewrite_manifest()
    forged = (copy / "manifest.json").read_bytes()
    (copy / "manifest.json").write_bytes(signed)
    bench.rewrite_sums()
    return copy, signed, forged


def content(folder: Path) -> str:
    """A folder's files as one hash."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {len(data)} ".encode() + data)
    return digest.hexdigest()
