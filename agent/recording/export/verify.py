"""Verifier of an export folder: needs neither a box nor a network.

`ExportProblemKind` lists the checks in order. The time is proportional to the folder's bytes; any
content of the folder leads to a result.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from agent.base.progress import ProgressCallback, no_progress
from agent.base.signed_manifest import (
    decode_public_key,
)
from agent.recording.custody.chain import BrokenChain, verify_chain
from agent.recording.custody.receipts import (
    FootageEvicted,
    FootageExported,
    ReceiptLine,
    SegmentClosed,
)
from agent.recording.export.folder_check import (
    FileDigest,
    VerificationFailed,
    VerificationProblem,
    check_manifest,
    check_sums,
    escape_non_utf8,
    read_lines,
)
from agent.recording.export.head_coverage import (
    HeadCoverage,
    KnownHead,
    LateReceipt,
    ReceiptTimes,
)
from agent.recording.export.manifest import (
    CHAIN_FILE,
    CLIP_FILE,
    MANIFEST_FILE,
    SEGMENTS_DIR,
    Manifest,
)

CLIP_TOLERANCE_US = 1_000_000
"""Times in names and receipts are truncated to milliseconds, and frames have a duration."""


class VerificationResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a verification. The counts are of valid receipts and segments.

    `ok`: the export is consistent with itself and with the known key and heads. `origin_verified`: the
    key was known, too; a complete forgery is consistent with the key that it brings. `manifest` is
    None if it could not be read. `head_checked` is False if all known heads are outside of the export,
    None if no head is known. `coverage` is what the known heads vouch for, None if the export is broken. `ignored` are
    the paths of files that file managers left.
    """

    ok: bool
    origin_verified: bool
    receipt_count: int
    segment_count: int
    head_checked: bool | None
    coverage: HeadCoverage | None
    ignored: tuple[str, ...]
    first_problem: VerificationProblem | None
    manifest: Manifest | None


class _ClosedReceipt(msgspec.Struct, frozen=True):
    """The close of a segment by its receipt `seq`."""

    seq: int
    file: FileDigest
    begin: datetime
    duration_us: int
    masked_at_export: bool


def verify_export(
    folder: Path,
    *,
    known_key: str | None = None,
    known_heads: Sequence[KnownHead] = (),
    progress: ProgressCallback = no_progress,
) -> VerificationResult:
    """Verify that an export is what its box signed.

    `known_key` is the box's public key in base64 and `known_heads` are heads of its chain, both from a
    source other than this export: without the key the export is only shown to be consistent with
    itself, and what the heads do not cover is what the box alone claims. Never raises for the content of the folder.
    """
    verification = _ExportVerifier(folder, known_key, known_heads, progress)
    problem = None
    try:
        verification.verify()
    except VerificationFailed as failure:
        problem = failure.problem
    except OSError as error:
        location = str(error.filename or folder)
        problem = VerificationProblem(
            problem="sums", location=location, reason=error.strerror or str(error)
        )
    return VerificationResult(
        ok=problem is None,
        origin_verified=problem is None and known_key is not None,
        receipt_count=verification.receipt_count,
        segment_count=verification.segment_count,
        head_checked=verification.head_checked,
        coverage=verification.coverage if problem is None else None,
        ignored=tuple(map(escape_non_utf8, verification.ignored)),
        first_problem=problem,
        manifest=verification.manifest,
    )


class _ExportVerifier:
    """One run over one folder. Each step raises VerificationFailed at the first problem."""

    def __init__(
        self,
        folder: Path,
        known_key: str | None,
        known_heads: Sequence[KnownHead],
        progress: ProgressCallback,
    ) -> None:
        self._folder = folder
        self._known_key = known_key
        self._known_heads = sorted(known_heads, key=lambda head: head.seq)
        self._known_seqs = {head.seq for head in known_heads}
        self._progress = progress
        self._hash_by_seq: dict[int, str] = {}
        self._closed_by_name: dict[str, _ClosedReceipt] = {}
        self._closed_twice: str | None = None
        self._evicted: set[str] = set()
        self._evicted_by_head: set[str] = set()
        self.ignored: tuple[str, ...] = ()
        self.receipt_count = 0
        self.segment_count = 0
        self.head_checked = False if known_heads else None
        self.coverage: HeadCoverage | None = None
        self.manifest: Manifest | None = None

    def verify(self) -> None:
        checked = check_sums(self._folder, self._progress)
        found, self.ignored = checked.digests, checked.ignored
        manifest = self.manifest = check_manifest(self._folder, found)
        times = ReceiptTimes(manifest.first_seq)
        last = self._check_chain(manifest, found, times)
        self._check_heads(manifest)
        try:
            self.coverage = times.cover(self._known_heads)
        except LateReceipt as late:
            location = f"{CHAIN_FILE}:{late.seq - manifest.first_seq + 1} (seq {late.seq})"
            raise VerificationFailed("arrival", location, str(late)) from late
        _check_export_receipt(manifest, found[MANIFEST_FILE].sha256, last)
        self._check_segments(manifest, found)
        self._check_completeness(manifest)
        self._check_clip(manifest, found)

    def _check_chain(
        self, manifest: Manifest, found: dict[str, FileDigest], times: ReceiptTimes
    ) -> ReceiptLine:
        """Check that the box signed every receipt and each follows the one before.

        Returns the last.
        """
        try:
            decode_public_key(manifest.public_key)
        except ValueError as error:
            raise VerificationFailed("manifest", "public_key", f"is not a key: {error}") from error
        if self._known_key is not None and self._known_key != manifest.public_key:
            raise VerificationFailed("key", MANIFEST_FILE, "its public key is not the known one")
        if CHAIN_FILE not in found:
            raise VerificationFailed("receipt", CHAIN_FILE, "is missing")
        last = None
        try:
            chain_lines = _check_newlines(read_lines(self._folder, CHAIN_FILE, found[CHAIN_FILE]))
            for line in verify_chain(
                chain_lines, manifest.box, manifest.public_key, manifest.first_seq
            ):
                if last is None:
                    self._hash_by_seq[manifest.first_seq - 1] = line.receipt.prev_sha256
                last = line
                times.add(line.receipt.time, line.receipt.clock)
                self._process_receipt(line, manifest)
        except BrokenChain as failure:
            location = failure.location.replace("line ", f"{CHAIN_FILE}:", 1)
            raise VerificationFailed(failure.problem, location, failure.reason) from failure
        if last is None:
            raise VerificationFailed("receipt", CHAIN_FILE, "is empty")
        return last

    def _process_receipt(self, line: ReceiptLine, manifest: Manifest) -> None:
        receipt = line.receipt
        self.receipt_count += 1
        if receipt.seq == manifest.head.seq or receipt.seq in self._known_seqs:
            self._hash_by_seq[receipt.seq] = line.sha256
        match receipt.body:
            case FootageEvicted(camera=camera, segments=names) if camera == manifest.camera:
                self._evicted.update(names)
                if receipt.seq <= manifest.head.seq:
                    self._evicted_by_head.update(names)
            case SegmentClosed(camera=camera, segment=name) as body if camera == manifest.camera:
                if name in self._closed_by_name:
                    self._closed_twice = self._closed_twice or name
                self._closed_by_name[name] = _ClosedReceipt(
                    seq=receipt.seq,
                    file=FileDigest(body.sha256, body.size_bytes),
                    begin=datetime.fromisoformat(body.begin_time),
                    duration_us=body.duration_ns // 1000,
                    masked_at_export=body.mask_applied == "export",
                )
            case _:
                pass

    def _check_heads(self, manifest: Manifest) -> None:
        """Check that the manifest's head, and the known ones, are in the chain. The first receipt names the one before."""
        head = manifest.head
        if head.seq < manifest.first_seq or self._hash_by_seq.get(head.seq) != head.sha256:
            raise VerificationFailed(
                "head", f"seq {head.seq}", "the manifest's head is not in the chain"
            )
        for known in self._known_heads:
            if self._hash_by_seq.get(known.seq, known.sha256) != known.sha256:
                raise VerificationFailed("head", f"seq {known.seq}", "is not the known head")
            if known.seq >= manifest.first_seq and known.seq in self._hash_by_seq:
                self.head_checked = True

    def _check_segments(self, manifest: Manifest, found: dict[str, FileDigest]) -> None:
        """Check that every segment is as the box closed it, and was not evicted before."""
        if self._closed_twice is not None:
            raise VerificationFailed("segment", self._closed_twice, "was closed twice")
        for name in manifest.segments:
            closed = self._closed_by_name.get(name)
            if closed is None:
                raise VerificationFailed("segment", name, "has no receipt of its close")
            if name in self._evicted_by_head:
                raise VerificationFailed("segment", name, "was evicted from the box")
            if closed.file != found[f"{SEGMENTS_DIR}/{name}"]:
                raise VerificationFailed(
                    "segment", name, "its size or sum differs from its receipt"
                )
            self.segment_count += 1
        for name in manifest.withheld:
            closed = self._closed_by_name.get(name)
            if closed is None or name in self._evicted_by_head or not closed.masked_at_export:
                raise VerificationFailed("segment", name, "is withheld without a mask")

    def _check_completeness(self, manifest: Manifest) -> None:
        """Check that each segment closed in the span is present, withheld or evicted.

        The box keeps recording during an export: segments that it closes after the manifest's head do
        not make an export incomplete.
        """
        begin = datetime.fromisoformat(manifest.begin_time)
        end = datetime.fromisoformat(manifest.end_time)
        accounted_for = set(manifest.all_segments) | self._evicted
        for name, closed in self._closed_by_name.items():
            if name in accounted_for or closed.seq > manifest.head.seq:
                continue
            if closed.begin < end and _elapsed_us(begin, closed.begin) < closed.duration_us:
                raise VerificationFailed("segment", name, "was recorded in the span and is missing")

    def _check_clip(self, manifest: Manifest, found: dict[str, FileDigest]) -> None:
        """Check that the clip is within the segments that it was cut from."""
        clip = manifest.clip
        if (clip is None) == (CLIP_FILE in found):
            raise VerificationFailed(
                "clip", CLIP_FILE, "must exist exactly if the manifest describes it"
            )
        if clip is None:
            return
        if not clip.segments or not set(clip.segments) <= set(manifest.all_segments):
            raise VerificationFailed(
                "clip", CLIP_FILE, "is cut from segments that are not in the export"
            )
        if len(set(clip.segments)) != len(clip.segments):
            raise VerificationFailed("clip", CLIP_FILE, "is cut from a segment twice")
        begin = datetime.fromisoformat(clip.begin_time)
        sources = [self._closed_by_name[name] for name in clip.segments]
        begins_early = _elapsed_us(begin, sources[0].begin) < -CLIP_TOLERANCE_US
        if (
            begins_early
            or clip.duration_ns // 1000 > _max_clip_duration_us(sources, begin) + CLIP_TOLERANCE_US
        ):
            raise VerificationFailed(
                "clip", CLIP_FILE, "its span is not within that of its segments"
            )


def _max_clip_duration_us(sources: Sequence[_ClosedReceipt], begin: datetime) -> int:
    """Return the longest possible clip of these segments, with a pause for each gap.

    There is no pause if the clock was set back between two segments.
    """
    end_us = _elapsed_us(sources[0].begin, begin)  # footage before the clip does not count
    for source in sources:
        end_us = max(end_us, _elapsed_us(source.begin, begin)) + source.duration_us
    return end_us


def _elapsed_us(later: datetime, earlier: datetime) -> int:
    """Return the microseconds between two times, as an integer of any size."""
    return (later - earlier) // timedelta(microseconds=1)


def _check_export_receipt(manifest: Manifest, manifest_sha256: str, last: ReceiptLine) -> None:
    expected = FootageExported(
        camera=manifest.camera,
        begin_time=manifest.begin_time,
        end_time=manifest.end_time,
        by=manifest.by,
        purpose=manifest.purpose,
        segments=manifest.all_segments,
        sha256=manifest_sha256,
    )
    if last.receipt.body != expected:
        location = f"{CHAIN_FILE} (seq {last.receipt.seq})"
        raise VerificationFailed(
            "exported", location, "the last receipt is not that of this export"
        )


def _check_newlines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of the chain; each must end with a newline."""
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            raise VerificationFailed(
                "receipt", f"{CHAIN_FILE}:{number}", "does not end with a newline"
            )
        yield line
