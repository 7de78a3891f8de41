"""Exporter: writes a folder with footage, the receipts of it, and the verifier.

The folder is written under another name and renamed when complete. The receipt `exported` is on the
box's disk before the rename: no footage leaves without a trace. See docs/footage.md.
"""

import contextlib
import hashlib
import html
import os
import shutil
import string
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent import __version__
from agent.base.atomic_file import create_durably, fsync_dir, sync
from agent.base.clock import Clock, rfc3339, unix_ns, utc_from_unix_ns
from agent.base.json_format import encode_indented
from agent.base.message import Message
from agent.base.progress import ProgressCallback, no_progress
from agent.base.sha256 import file_sha256_hex, sha256_hex
from agent.base.signed_manifest import SUMS_FILE, encode_sums
from agent.recording import catalogue, mask_store
from agent.recording.catalogue import FootageEntry
from agent.recording.custody.chain import ChainHead
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import FootageExported, Receipt
from agent.recording.encryption.key_wrapping import read_sidecar
from agent.recording.encryption.keys import KeyLookup, SegmentKey
from agent.recording.export import clip as clip_writer
from agent.recording.export.clip_request import ClipRequest, RequestClip
from agent.recording.export.export_request import ExportRequest, check_new_folder
from agent.recording.export.manifest import (
    CHAIN_FILE,
    CLIP_FILE,
    KEYS_DIR,
    MANIFEST_FILE,
    SEGMENTS_DIR,
    ExportedChainHead,
    ExportedClip,
    ExportedFile,
    Manifest,
)
from agent.recording.segment_name import KEYS_SUFFIX, PART_SUFFIX

_COPY_BYTES = 1 << 20
RESERVE_BYTES = 4_000_000
"""For the receipts, the pages and the verifier of an export."""


_MISSING_REASON = "its file is missing, and it was not evicted"


class SpanFootage(msgspec.Struct, frozen=True, kw_only=True):
    """Footage of a span, and `misdated` and `missing` segments of it: the latter have lost their files."""

    entries: tuple[FootageEntry, ...]
    missing: tuple[str, ...]
    misdated: dict[str, str]

    @property
    def exportable(self) -> list[FootageEntry]:
        """The segments that are closed and not evicted."""
        return [entry for entry in self.entries if entry.closed is not None and not entry.evicted]

    @property
    def excluded(self) -> dict[str, str]:
        """The other segments of the span, each with the reason why it is left out."""
        excluded = {entry.segment_name: _exclusion_reason(entry) for entry in self.entries}
        excluded |= dict.fromkeys(self.missing, _MISSING_REASON)
        excluded |= self.misdated
        for entry in self.exportable:
            del excluded[entry.segment_name]
        return excluded


class SpanSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Footage of a span, and the chain's head before.

    The box keeps recording: segments that it closes or evicts later are in the exported chain, but not
    part of the export. A verifier checks completeness against this head.
    """

    head: ChainHead
    footage: SpanFootage


def snapshot_span(
    custody: CustodyLog, footage_dir: Path, camera: str, begin: datetime, end: datetime
) -> SpanSnapshot:
    """List the footage of a span, after the chain's head. Raises OSError."""
    head = custody.head()
    footage = list_span(custody.folder, custody.is_own_line, footage_dir, camera, begin, end)
    return SpanSnapshot(head=head, footage=footage)


def list_span(
    custody_dir: Path,
    is_own_line: Callable[[bytes], bool],
    footage_dir: Path,
    camera: str,
    begin: datetime,
    end: datetime,
) -> SpanFootage:
    """List the footage of a span. `is_own_line` says whether the box signed a receipt. Raises OSError."""
    # A manifest has milliseconds: the span must include the whole millisecond of `begin`.
    begin -= timedelta(microseconds=begin.microsecond % 1000)
    entries = catalogue.find_segments(footage_dir, custody_dir, [camera], begin, end, is_own_line)
    missing = catalogue.find_missing(
        footage_dir, custody_dir, camera, entries, begin, end, is_own_line
    )
    return SpanFootage(
        entries=tuple(entries),
        missing=tuple(missing),
        misdated=catalogue.find_misdated(footage_dir / camera, begin, end),
    )


def _exclusion_reason(entry: FootageEntry) -> str:
    if entry.is_being_written:
        return "is still being written"
    return "was just evicted" if entry.evicted else "has no receipt of its close"


class ExportError(Exception):
    """Nothing was exported. The message is one line."""


class ExportResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of an export.

    `excluded` are the segments of the span that are missing, with the reason.
    """

    folder: Path
    segments: tuple[str, ...]
    withheld: tuple[str, ...]
    size_bytes: int
    clip: ExportedClip | None
    no_clip_reason: str | None
    excluded: dict[str, str]
    receipt: Receipt


class Exporter:
    """Exports footage of one box. Thread-safe."""

    def __init__(
        self,
        *,
        box: str,
        public_key: str,
        custody: CustodyLog,
        clock: Clock,
        find_key: KeyLookup,
        masks_dir: Path,
        request_clip: RequestClip = lambda _request, _out: None,
    ) -> None:
        self.box = box
        self.public_key = public_key
        self.custody = custody
        self.clock = clock
        self.find_key = find_key
        self.masks_dir = masks_dir
        self.request_clip = request_clip

    def export(
        self,
        request: ExportRequest,
        snapshot: SpanSnapshot,
        progress: ProgressCallback = no_progress,
    ) -> ExportResult:
        """Export the segments of `snapshot` that are closed and not evicted.

        `progress` counts bytes, and is called with all of them while masks are painted. Raises:
        ExportError if there is none, they do not fit, or one was evicted meanwhile;
        UserError if `out` is not empty; OSError.
        """
        exportable, excluded = snapshot.footage.exportable, snapshot.footage.excluded
        if not exportable or not snapshot.head.seq:
            raise ExportError(_no_footage_message(request, excluded))
        check_new_folder(request.out)
        # The current folder (`.`) has a name only as an absolute path.
        out = request.out if request.out.name else request.out.absolute()
        out.parent.mkdir(parents=True, exist_ok=True)
        temp_folder = out.with_name(f".{out.name}.{os.getpid()}.making")
        temp_folder.mkdir()
        try:
            result = _ExportBuild(self, request, snapshot, temp_folder, progress).build()
            if out.exists():
                out.rmdir()
            temp_folder.rename(out)
            fsync_dir(out.parent)
        finally:
            shutil.rmtree(temp_folder, ignore_errors=True)
        return msgspec.structs.replace(result, folder=out, excluded=excluded)


class _ExportBuild:
    """Builds one export folder."""

    def __init__(
        self,
        exporter: Exporter,
        request: ExportRequest,
        snapshot: SpanSnapshot,
        folder: Path,
        progress: ProgressCallback,
    ) -> None:
        self._exporter = exporter
        self._request = request
        self._entries = entries = snapshot.footage.exportable
        self._missing = snapshot.footage.missing
        self._head = snapshot.head
        self._folder = folder
        self._progress = progress
        self._total_bytes = sum(entry.size_bytes for entry in entries)
        self._done_bytes = 0
        self._files: dict[str, ExportedFile] = {}
        self._withheld: list[str] = []

    def build(self) -> ExportResult:
        request, custody = self._request, self._exporter.custody
        self._check_free_space()
        self._copy_segments()
        clip, no_clip_reason = self._write_clip()
        if clip is None and len(self._withheld) == len(self._entries):
            raise ExportError(
                f"all segments are withheld for masks, and there is no clip: {no_clip_reason}"
            )
        for path, content in _render_pages(
            request, self._exporter.box, self._exporter.public_key
        ).items():
            self._write_file(path, content)
        # The exported section of the chain must include the head, and the closes of missing segments: a verifier finds
        # them missing by these.
        names = (*(entry.segment_name for entry in self._entries), *self._missing)
        segments = ((request.camera, name) for name in names)
        first_seq = min(
            catalogue.first_receipt_seq(custody.folder, segments, custody.is_own_line),
            self._head.seq,
        )
        manifest = self._build_manifest(clip, first_seq)
        self._write_file(MANIFEST_FILE, encode_indented(manifest))
        body = FootageExported(
            camera=request.camera,
            begin_time=manifest.begin_time,
            end_time=manifest.end_time,
            by=request.by,
            purpose=request.purpose,
            segments=manifest.all_segments,
            sha256=self._files[MANIFEST_FILE].sha256,
        )
        receipt = custody.append(body, self._exporter.clock.boottime_ns())
        chain = b"".join(custody.read_lines(first_seq, receipt.seq))
        self._write_file(CHAIN_FILE, chain)
        sums = {path: file.sha256 for path, file in self._files.items()}
        self._write_file(SUMS_FILE, encode_sums(sums))
        for folder in {(self._folder / path).parent for path in self._files}:
            fsync_dir(folder)
        return ExportResult(
            folder=self._folder,
            segments=manifest.segments,
            withheld=manifest.withheld,
            size_bytes=sum(file.size_bytes for file in self._files.values()),
            clip=clip,
            no_clip_reason=no_clip_reason,
            excluded={},
            receipt=receipt,
        )

    def _build_manifest(self, clip: ExportedClip | None, first_seq: int) -> Manifest:
        request, exporter = self._request, self._exporter
        return Manifest(
            box=exporter.box,
            camera=request.camera,
            begin_time=rfc3339(request.begin),
            end_time=rfc3339(request.end),
            by=request.by,
            purpose=request.purpose,
            created_time=rfc3339(exporter.clock.utc(exporter.clock.boottime_ns())),
            software=__version__,
            public_key=exporter.public_key,
            first_seq=first_seq,
            head=ExportedChainHead(seq=self._head.seq, sha256=self._head.sha256),
            segments=tuple(
                entry.segment_name
                for entry in self._entries
                if entry.segment_name not in self._withheld
            ),
            withheld=tuple(self._withheld),
            clip=clip,
            files=tuple(self._files[path] for path in sorted(self._files)),
        )

    def _check_free_space(self) -> None:
        """Raise ExportError if the segments do not fit on the disk."""
        needed_bytes = RESERVE_BYTES + sum(
            entry.size_bytes for entry in self._entries if not self._is_withheld(entry)
        )
        free_bytes = shutil.disk_usage(self._folder).free
        if needed_bytes > free_bytes:
            raise ExportError(
                Message(
                    "the export needs {needed_mb:.1f} MB, and {free_mb:.1f} MB are free on its disk; allowed: "
                    "a shorter span, or a larger disk",
                    needed_mb=needed_bytes / 1e6,
                    free_mb=free_bytes / 1e6,
                )
            )

    def _copy_segments(self) -> None:
        (self._folder / SEGMENTS_DIR).mkdir()
        for entry in self._entries:
            name = entry.segment_name
            if self._is_withheld(entry):
                self._withheld.append(name)
                continue
            # Keys first, as eviction deletes them first: a segment that still exists then has its keys.
            sidecar = entry.path.with_name(name + KEYS_SUFFIX)
            if entry.closed is not None and entry.closed.sealed and sidecar.exists():
                self._copy_file((sidecar,), f"{SEGMENTS_DIR}/{sidecar.name}")
                key = self._find_key(entry)
                if key is not None:
                    (self._folder / KEYS_DIR).mkdir(exist_ok=True)
                    text = f"{key.kid.hex()}:{key.key.hex()}\n"
                    self._write_file(f"{KEYS_DIR}/{name}.key", text.encode())
            self._copy_file(entry.candidate_paths, f"{SEGMENTS_DIR}/{name}")

    def _is_withheld(self, entry: FootageEntry) -> bool:
        """Return True if the file would show what a mask hides. Sealed files show nothing."""
        closed = entry.closed
        if self._request.unmasked or closed is None or closed.mask_applied != "export":
            return False
        return not closed.sealed or self._find_key(entry) is not None

    def _find_key(self, entry: FootageEntry) -> SegmentKey | None:
        """Return the key of a sealed segment, or None if it is not available."""
        sidecar = entry.path.with_name(entry.segment_name + KEYS_SUFFIX)
        if not sidecar.exists():
            return None
        return self._exporter.find_key(bytes.fromhex(read_sidecar(sidecar).kid))

    def _write_clip(self) -> tuple[ExportedClip | None, str | None]:
        """Write the clip, masked if necessary; return it, or None and the reason."""
        out = self._folder / CLIP_FILE
        try:
            closed = [entry.closed for entry in self._entries if entry.closed is not None]
            masks = mask_store.masks_to_apply(self._exporter.masks_dir, closed)
            needed_bytes = RESERVE_BYTES + self._total_bytes * (2 if masks else 1)
            free_bytes = shutil.disk_usage(self._folder).free
            if needed_bytes > free_bytes:
                return None, (
                    f"it needs {needed_bytes / 1e6:.1f} MB, and {free_bytes / 1e6:.1f} MB are free"
                )
            with clip_writer.painted(
                masks, out, lambda _ratio: self._progress(self._total_bytes, self._total_bytes)
            ) as unmasked:
                clip = self._write_unmasked_clip(unmasked)
        except (clip_writer.ClipError, mask_store.MaskingError) as error:
            return None, str(error)
        self._add_digest(CLIP_FILE)
        return ExportedClip(
            begin_time=rfc3339(utc_from_unix_ns(clip.begin_ns)),
            duration_ns=clip.duration_ns,
            segments=clip.segments,
            masked=bool(masks),
        ), None

    def _write_unmasked_clip(self, out: Path) -> clip_writer.ClipInfo:
        """Write the clip as recorded, here or by the agent, which has the keys.

        Raises ClipError.
        """
        request, entries = self._request, self._entries
        sources = [
            clip_writer.clip_source(self._readable_path(entry), entry.name) for entry in entries
        ]
        begin_ns, end_ns = unix_ns(request.begin), unix_ns(request.end)
        try:
            return clip_writer.write_clip(sources, begin_ns, end_ns, out, self._exporter.find_key)
        except FileNotFoundError as error:
            raise ExportError(_evicted_message(Path(error.filename).name)) from error
        except clip_writer.KeyUnavailable:
            clip_request = ClipRequest(
                camera=request.camera,
                segments=tuple(entry.segment_name for entry in entries),
                begin_ns=begin_ns,
                end_ns=end_ns,
            )
            clip_info = self._exporter.request_clip(clip_request, out)
            if clip_info is None:
                raise
            return clip_info

    def _readable_path(self, entry: FootageEntry) -> Path:
        """Return the exported copy of a segment, or the original of a withheld one."""
        if entry.segment_name not in self._withheld:
            return self._folder / SEGMENTS_DIR / entry.segment_name
        return next((path for path in entry.candidate_paths if path.exists()), entry.path)

    def _copy_file(self, sources: Sequence[Path], path: str) -> None:
        """Copy a file from the first existing path."""
        digest = hashlib.sha256()
        size_bytes = 0
        with _open_first_existing(sources) as reader, (self._folder / path).open("xb") as writer:
            while data := reader.read(_COPY_BYTES):
                digest.update(data)
                writer.write(data)
                size_bytes += len(data)
                self._done_bytes += len(data)
                self._progress(min(self._done_bytes, self._total_bytes), self._total_bytes)
            writer.flush()
            sync(writer.fileno())
        self._files[path] = ExportedFile(
            path=path, sha256=digest.hexdigest(), size_bytes=size_bytes
        )

    def _write_file(self, path: str, data: bytes) -> None:
        create_durably(self._folder / path, data, 0o666, apply_umask=True)
        self._files[path] = ExportedFile(path=path, sha256=sha256_hex(data), size_bytes=len(data))

    def _add_digest(self, path: str) -> None:
        file = self._folder / path
        self._files[path] = ExportedFile(
            path=path, sha256=file_sha256_hex(file), size_bytes=file.stat().st_size
        )


def _open_first_existing(sources: Sequence[Path]) -> BinaryIO:
    for source in sources:
        with contextlib.suppress(FileNotFoundError):
            return source.open("rb")
    raise ExportError(_evicted_message(sources[-1].name))


def _evicted_message(name: str) -> Message:
    return Message("{file}: was evicted during the export", file=name.removesuffix(PART_SUFFIX))


def _no_footage_message(request: ExportRequest, excluded: dict[str, str]) -> Message:
    begin, end = rfc3339(request.begin), rfc3339(request.end)
    if not excluded:
        return Message(
            "camera {camera}: no footage from {begin} to {end}",
            camera=request.camera,
            begin=begin,
            end=end,
        )
    name, reason = next(iter(excluded.items()))
    return Message(
        "camera {camera}: no complete footage from {begin} to {end}; {name}: {reason}",
        camera=request.camera,
        begin=begin,
        end=end,
        name=name,
        reason=reason,
    )


README_FILE = "LISEZMOI-README.html"
"""One page in three languages. ASCII, because file systems encode accents differently."""

VERIFIER_FILE = "verify.html"


def _render_pages(request: ExportRequest, box: str, public_key: str) -> dict[str, bytes]:
    """Return the readme and the verifier, by their file names in the export."""
    package = resources.files("agent.recording.export")
    template = string.Template((package / "pages" / "lisezmoi.html").read_text(encoding="utf-8"))
    fields = {
        "box": box,
        "camera": request.camera,
        "begin_time": rfc3339(request.begin),
        "end_time": rfc3339(request.end),
        "by": request.by,
        "purpose": request.purpose,
        "public_key": public_key,
    }
    escaped = {name: html.escape(value) for name, value in fields.items()}
    return {
        README_FILE: template.substitute(escaped).encode(),
        VERIFIER_FILE: (package / "verifier.html").read_bytes(),
    }
