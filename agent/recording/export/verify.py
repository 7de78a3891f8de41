"""The verifier of an export folder: no box, no network, nothing but the folder.

What it looks for, in which order, stands in `agent.recording.export.manifest`. It takes time in proportion
to the folder's bytes, and whatever lies in the folder, it gives a verdict.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from agent.recording.custody.chain import BrokenChain, ChainHead, check, read_public_key
from agent.recording.custody.receipts import Closed, Evicted, Exported, ReceiptLine
from agent.recording.export.manifest import (
    CHAIN,
    CLIP,
    MANIFEST,
    NOT_IN_THE_MANIFEST,
    SEGMENTS,
    SUMS,
    Manifest,
    Problem,
)

CLIP_SLACK_US = 1_000_000
"""Times in names and receipts are cut to milliseconds, and pictures have a length."""

_SUM_LINE = re.compile(rb"([0-9a-f]{64})  ([^\n]+)")
_SEGMENT = re.compile(rf"{SEGMENTS}/([^/]+\.mp4)")
_READ_BYTES = 1 << 20

Progress = Callable[[int, int], None]
"""Is told how many bytes are done, and of how many."""


class BrokenLink(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with an export: its class, the file or line, and why."""

    problem: Problem
    where: str
    why: str

    def __post_init__(self) -> None:
        """A file's name may be any bytes, JSON may not."""
        where = self.where.encode("utf-8", "backslashreplace").decode()
        msgspec.structs.force_setattr(self, "where", where)

    def __str__(self) -> str:
        return f"{self.problem}: {self.where}: {self.why}"


class VerificationResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an export. `receipts` and `segments` are how many were found to be good;
    `manifest` is there where it could be read. `head_checked` is whether it was held against the head
    that is known, which it cannot be where that is not within it; None where none is known.
    """

    ok: bool
    receipts: int
    segments: int
    head_checked: bool | None
    first_problem: BrokenLink | None
    manifest: Manifest | None


class _Broken(Exception):
    """Ends the verification at the first problem."""

    def __init__(self, problem: Problem, where: str, why: str) -> None:
        super().__init__(why)
        self.link = BrokenLink(problem=problem, where=where, why=why)


class _File(msgspec.Struct, frozen=True):
    """A file of the folder as it is."""

    sha256: str
    size_bytes: int


class _Closed(msgspec.Struct, frozen=True):
    """What the chain says of one segment, as its receipt `seq`."""

    seq: int
    file: _File
    begin: datetime
    length_us: int
    unmasked: bool


def verify_export(
    folder: Path,
    *,
    known_key: str | None = None,
    known_head: ChainHead | None = None,
    progress: Progress = lambda _done, _total: None,
) -> VerificationResult:
    """Whether an export is what its box signed.

    `known_key` is the box's public key in base64 and `known_head` a head of its chain, both as
    the centre knows them by another way than this export: without the key the verdict is that the
    export agrees with itself. Never raises for what lies in the folder.
    """
    verification = _Verification(folder, known_key, known_head, progress)
    problem = None
    try:
        verification.run()
    except _Broken as broken:
        problem = broken.link
    except OSError as error:
        where = str(error.filename or folder)
        problem = BrokenLink(problem="sums", where=where, why=error.strerror or str(error))
    return VerificationResult(
        ok=problem is None,
        receipts=verification.receipts,
        segments=verification.segments,
        head_checked=verification.head_checked,
        first_problem=problem,
        manifest=verification.manifest,
    )


class _Verification:
    """One run over one folder. Each step raises _Broken at the first problem."""

    def __init__(
        self, folder: Path, known_key: str | None, known_head: ChainHead | None, progress: Progress
    ) -> None:
        self._folder = folder
        self._known_key = known_key
        self._known_head = known_head
        self._progress = progress
        self._hashes: dict[int, str] = {}
        self._closed: dict[str, _Closed] = {}
        self._twice: str | None = None
        self._evicted: set[str] = set()
        self._evicted_by_head: set[str] = set()
        self.receipts = 0
        self.segments = 0
        self.head_checked = None if known_head is None else False
        self.manifest: Manifest | None = None

    def run(self) -> None:
        found = self._check_sums()
        manifest = self.manifest = self._check_manifest(found)
        last = self._check_chain(manifest)
        self._check_heads(manifest)
        _check_exported(manifest, found[MANIFEST].sha256, last)
        self._check_segments(manifest, found)
        self._check_none_is_missing(manifest)
        self._check_clip(manifest, found)

    def _check_sums(self) -> dict[str, _File]:
        """Every file but SHA256SUMS is in it with its sum, and it lists nothing else."""
        there = set(_paths(self._folder))
        if SUMS not in there:
            raise _Broken("sums", SUMS, "is missing")
        wanted = _read_sums((self._folder / SUMS).read_bytes())
        there.remove(SUMS)
        for path in sorted(wanted):
            if path not in there:
                raise _Broken("sums", path, f"is listed in {SUMS} and is not there")
        sizes = {path: (self._folder / path).stat().st_size for path in there}
        total, done = sum(sizes.values()), 0
        found: dict[str, _File] = {}
        for path in sorted(there):
            if path not in wanted:
                raise _Broken("sums", path, f"is not listed in {SUMS}")
            digest = hashlib.sha256()
            size_bytes = 0
            for data in _chunks(self._folder / path):
                digest.update(data)
                size_bytes += len(data)
                done += len(data)
                self._progress(min(done, total), total)
            if digest.hexdigest() != wanted[path]:
                raise _Broken("sums", path, f"its SHA-256 is not the one in {SUMS}")
            found[path] = _File(wanted[path], size_bytes)
        return found

    def _check_manifest(self, found: dict[str, _File]) -> Manifest:
        """The manifest names every file but three, with size and sum."""
        if MANIFEST not in found:
            raise _Broken("manifest", MANIFEST, "is missing")
        data = (self._folder / MANIFEST).read_bytes()
        try:
            manifest = msgspec.json.decode(data, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Broken("manifest", MANIFEST, f"is no manifest: {error}") from error
        named = {file.path: _File(file.sha256, file.size_bytes) for file in manifest.files}
        if len(named) != len(manifest.files):
            raise _Broken("manifest", MANIFEST, "names a file twice")
        there = {path: file for path, file in found.items() if path not in NOT_IN_THE_MANIFEST}
        for path in sorted(named.keys() ^ there.keys()):
            why = "is not there" if path in named else "is not named in the manifest"
            raise _Broken("manifest", path, why)
        for path in sorted(named):
            if named[path] != there[path]:
                raise _Broken("manifest", path, "its size or sum is not the manifest's")
        segments = [match[1] for path in named if (match := _SEGMENT.fullmatch(path))]
        told = _told(manifest)
        alike = sorted(segments) == sorted(manifest.segments)
        if not alike or not told or len(set(told)) != len(told):
            raise _Broken("manifest", f"{SEGMENTS}/", "is not the manifest's list of segments")
        for field in ("begin_time", "end_time"):
            _time(getattr(manifest, field), "manifest", MANIFEST)
        return manifest

    def _check_chain(self, manifest: Manifest) -> ReceiptLine:
        """Every receipt is the box's and follows the one before. The last one."""
        try:
            read_public_key(manifest.public_key)
        except ValueError as error:
            raise _Broken("manifest", "public_key", f"is no key: {error}") from error
        if self._known_key is not None and self._known_key != manifest.public_key:
            raise _Broken("key", MANIFEST, "the box's key is another")
        path = self._folder / CHAIN
        if not path.is_file():
            raise _Broken("receipt", CHAIN, "is missing")
        last = None
        try:
            lines = check(_lines(path), manifest.box, manifest.public_key, manifest.first_seq)
            for line in lines:
                last = line
                self._take(line, manifest)
        except BrokenChain as broken:
            where = broken.where.replace("line ", f"{CHAIN}:", 1)
            raise _Broken(broken.problem, where, broken.why) from broken
        if last is None:
            raise _Broken("receipt", CHAIN, "is empty")
        return last

    def _take(self, line: ReceiptLine, manifest: Manifest) -> None:
        receipt = line.receipt
        self.receipts += 1
        if receipt.seq == manifest.head.seq or (
            self._known_head is not None and receipt.seq == self._known_head.seq
        ):
            self._hashes[receipt.seq] = line.sha256
        match receipt.body:
            case Evicted(camera=camera, segments=names) if camera == manifest.camera:
                self._evicted.update(names)
                if receipt.seq <= manifest.head.seq:
                    self._evicted_by_head.update(names)
            case Closed(camera=camera, segment=name) as body if camera == manifest.camera:
                if name in self._closed:
                    self._twice = self._twice or name
                self._closed[name] = _Closed(
                    seq=receipt.seq,
                    file=_File(body.sha256, body.size_bytes),
                    begin=_time(body.begin_time, "segment", name),
                    length_us=body.duration_ns // 1000,
                    unmasked=body.mask_applied == "export",
                )
            case _:
                pass

    def _check_heads(self, manifest: Manifest) -> None:
        """The head that the manifest names is in the chain, and the known one, where it can be."""
        head, known = manifest.head, self._known_head
        if self._hashes.get(head.seq) != head.sha256:
            raise _Broken("head", f"seq {head.seq}", "the manifest's head is not in the chain")
        if known is not None and known.seq in self._hashes:
            self.head_checked = True
            if self._hashes[known.seq] != known.sha256:
                why = "is not the receipt that the centre knows"
                raise _Broken("head", f"seq {known.seq}", why)

    def _check_segments(self, manifest: Manifest, found: dict[str, _File]) -> None:
        """Every segment is as the box closed it, and was not evicted before."""
        if self._twice is not None:
            raise _Broken("segment", self._twice, "was closed twice")
        for name in manifest.segments:
            closed = self._closed.get(name)
            if closed is None:
                raise _Broken("segment", name, "has no receipt of its close")
            if name in self._evicted_by_head:
                raise _Broken("segment", name, "was evicted from the box")
            if closed.file != found[f"{SEGMENTS}/{name}"]:
                raise _Broken("segment", name, "its size or sum is not that of its receipt")
            self.segments += 1
        for name in manifest.withheld:
            closed = self._closed.get(name)
            if closed is None or name in self._evicted_by_head or not closed.unmasked:
                raise _Broken("segment", name, "is withheld, and not because of a mask")

    def _check_none_is_missing(self, manifest: Manifest) -> None:
        """Whatever the box had closed in the span is there, is withheld or was evicted.

        The box goes on while it exports: what it closes once it has looked what there is, which is
        where the manifest's head stands, makes no export incomplete.
        """
        begin = _time(manifest.begin_time, "manifest", MANIFEST)
        end = _time(manifest.end_time, "manifest", MANIFEST)
        there = set(_told(manifest)) | self._evicted
        for name, closed in self._closed.items():
            if name in there or closed.seq > manifest.head.seq:
                continue
            if closed.begin < end and _us(begin, closed.begin) < closed.length_us:
                raise _Broken("segment", name, "was recorded in the span and is missing")

    def _check_clip(self, manifest: Manifest, found: dict[str, _File]) -> None:
        """The clip lies within the segments that it was cut from."""
        clip = manifest.clip
        if (clip is None) == (CLIP in found):
            raise _Broken("clip", CLIP, "is there without being described, or the other way round")
        if clip is None:
            return
        if not clip.segments or not set(clip.segments) <= set(_told(manifest)):
            raise _Broken("clip", CLIP, "is cut from segments that are not in the export")
        if len(set(clip.segments)) != len(clip.segments):
            raise _Broken("clip", CLIP, "is cut from a segment twice")
        begin = _time(clip.begin_time, "clip", CLIP)
        sources = [self._closed[name] for name in clip.segments]
        is_early = _us(begin, sources[0].begin) < -CLIP_SLACK_US
        if is_early or clip.duration_ns // 1000 > _longest_us(sources, begin) + CLIP_SLACK_US:
            raise _Broken("clip", CLIP, "its span is not within that of its segments")


def _longest_us(sources: Sequence[_Closed], begin: datetime) -> int:
    """How long a clip of these segments can be: one after the other, with a pause where nothing was
    recorded. Where the clock was set back in between there is none.
    """
    end_us = _us(sources[0].begin, begin)  # what lies before the clip is not in it
    for source in sources:
        end_us = max(end_us, _us(source.begin, begin)) + source.length_us
    return end_us


def _us(later: datetime, earlier: datetime) -> int:
    """From one moment to another. A whole number, which nothing overflows."""
    return (later - earlier) // timedelta(microseconds=1)


def _check_exported(manifest: Manifest, manifest_sha256: str, last: ReceiptLine) -> None:
    """The last receipt says that this very export was made."""
    wanted = Exported(
        camera=manifest.camera,
        begin_time=manifest.begin_time,
        end_time=manifest.end_time,
        by=manifest.by,
        purpose=manifest.purpose,
        segments=_told(manifest),
        sha256=manifest_sha256,
    )
    if last.receipt.body != wanted:
        where = f"{CHAIN} (seq {last.receipt.seq})"
        raise _Broken("exported", where, "the last receipt is not that of this export")


def _told(manifest: Manifest) -> tuple[str, ...]:
    """The segments that the export speaks of, those that stay in the box included."""
    return (*manifest.segments, *manifest.withheld)


def _time(text: str, problem: Problem, where: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise _Broken(problem, where, f"{text!r} is no time") from error


def _read_sums(data: bytes) -> dict[str, str]:
    """`sha256sum`'s list, path to sum; one way to write it, so that no byte of it is free."""
    lines = data.split(b"\n")
    if lines.pop() != b"":
        raise _Broken("sums", SUMS, "does not end with a newline")
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _SUM_LINE.fullmatch(line)
        if match is None:
            raise _Broken("sums", f"{SUMS}:{number}", "is no line of a sum and a file")
        path = os.fsdecode(match[2])
        if path in sums or path == SUMS:
            raise _Broken("sums", f"{SUMS}:{number}", "lists a file that it must not")
        sums[path] = match[1].decode()
    return sums


def _paths(folder: Path) -> Iterator[str]:
    """All that lies below a folder and is no folder, with `/`."""
    waiting = [folder]
    while waiting:
        for path in waiting.pop().iterdir():
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
                continue
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file():
                raise _Broken("sums", name, "is no plain file")
            yield name


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            yield data


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of the chain. One without its newline is none."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                raise _Broken("receipt", f"{CHAIN}:{number}", "does not end with a newline")
            yield line
