"""An export: a folder with footage, what the box has signed about it, and all to verify it by.

The folder appears whole or not at all: it is made under another name beside, and renamed. The
receipt `exported` is on the box's disk before the folder has its name, so footage never leaves
without a trace. docs/footage.md says it for people.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent import __version__
from agent.base.atomic_file import fsync_dir
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.recording import catalogue, mask_store
from agent.recording.catalogue import FootageEntry
from agent.recording.custody.chain import ChainHead
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import Exported, Receipt
from agent.recording.encryption.keys import KeyFor, SegmentKey
from agent.recording.encryption.seal import read_sidecar
from agent.recording.export import clip as cutting
from agent.recording.export.clip_request import AskAgent, ClipRequest
from agent.recording.export.html_pages import ExportPageText, pages
from agent.recording.export.manifest import (
    CHAIN,
    CLIP,
    KEYS,
    MANIFEST,
    SEGMENTS,
    SUMS,
    ExportedClip,
    ExportedFile,
    ExportedHead,
    Manifest,
)
from agent.recording.segment_name import KEYS as KEYS_SUFFIX
from agent.recording.segment_name import PART, rfc3339

_COPY_BYTES = 1 << 20
_BARE_CLIP = ".clip-without-masks.mp4"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CannotExport(Exception):
    """Nothing was exported. One line says why."""


class ExportResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was exported. `left_out` are segments that touch the span and could not be part of it,
    and why; where there is no clip, `no_clip` says why.
    """

    folder: Path
    segments: tuple[str, ...]
    withheld: tuple[str, ...]
    size_bytes: int
    clip: ExportedClip | None
    no_clip: str | None
    left_out: dict[str, str]
    receipt: Receipt


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of a span on the disk, `misdated` what was recorded in it under other times, and
    the head of the chain from before it was looked for.

    The box goes on: what it closes or evicts since is in the chain that leaves with an export, and
    says nothing of it. A verifier judges by this head.
    """

    head: ChainHead
    entries: tuple[FootageEntry, ...]
    misdated: dict[str, str]


def listed(
    custody: CustodyLog, footage: Path, camera: str, begin: datetime, end: datetime
) -> Listed:
    """Look what there is. Raises OSError."""
    head = custody.head()
    # A manifest has milliseconds: what touches the one that `begin` is in is looked for there too.
    begin -= timedelta(microseconds=begin.microsecond % 1000)
    return Listed(
        head=head,
        entries=tuple(catalogue.find(footage, custody.folder, [camera], begin, end)),
        misdated=catalogue.misdated(footage / camera, begin, end),
    )


class Exporter:
    """Makes exports of one box's footage. Any thread may ask."""

    def __init__(
        self,
        *,
        box: str,
        public_key: str,
        custody: CustodyLog,
        clock: Clock,
        key_for: KeyFor,
        masks: Path,
        ask_agent: AskAgent = lambda _request, _out: None,
    ) -> None:
        self.box = box
        self.public_key = public_key
        self.custody = custody
        self.clock = clock
        self.key_for = key_for
        self.masks = masks
        self.ask_agent = ask_agent

    def export(
        self,
        wish: ExportPageText,
        listed: Listed,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> ExportResult:
        """Export what of `listed` is closed, has a receipt and does not go. `progress` is told the
        bytes done, and of how many.

        Raises CannotExport where there is nothing or it is gone meanwhile, BadInput where `out` has
        files, and OSError.
        """
        whole = [
            entry for entry in listed.entries if entry.closed is not None and not entry.evicted
        ]
        left_out = {entry.text: _why_not(entry) for entry in listed.entries} | listed.misdated
        for entry in whole:
            del left_out[entry.text]
        if not whole or not listed.head.seq:
            raise CannotExport(_nothing(wish, left_out))
        if wish.out.exists() and (not wish.out.is_dir() or any(wish.out.iterdir())):
            raise UserError(
                f"--out {str(wish.out)!r}: is there already; allowed: a new or an empty folder"
            )
        # The folder in which we are is replaced by another, and has a name only from elsewhere.
        out = wish.out if wish.out.name else wish.out.absolute()
        out.parent.mkdir(parents=True, exist_ok=True)
        making = out.with_name(f".{out.name}.{os.getpid()}.making")
        making.mkdir()
        try:
            made = _Making(self, wish, whole, listed.head, making, progress).make()
            if out.exists():
                out.rmdir()
            making.rename(out)
            fsync_dir(out.parent)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return msgspec.structs.replace(made, folder=out, left_out=left_out)


class _Making:
    """One folder in the making."""

    def __init__(
        self,
        exporter: Exporter,
        wish: ExportPageText,
        entries: list[FootageEntry],
        head: ChainHead,
        folder: Path,
        progress: Callable[[int, int], None],
    ) -> None:
        self._exporter = exporter
        self._wish = wish
        self._entries = entries
        self._head = head
        self._folder = folder
        self._progress = progress
        self._total = sum(entry.size_bytes for entry in entries)
        self._done = 0
        self._files: dict[str, ExportedFile] = {}
        self._withheld: list[str] = []

    def make(self) -> ExportResult:
        wish, custody = self._wish, self._exporter.custody
        self._copy_segments()
        clip, no_clip = self._cut()
        if clip is None and len(self._withheld) == len(self._entries):
            raise CannotExport(f"all of it shows what the masks hide, and {no_clip}")
        for path, content in pages(wish, self._exporter.box, self._exporter.public_key).items():
            self._write(path, content)
        # The stretch of the chain that goes along holds the head too.
        first_seq = min(catalogue.first_seq(custody.folder, self._entries), self._head.seq)
        manifest = self._manifest(clip, first_seq)
        data = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
        self._write(MANIFEST, data)
        body = Exported(
            camera=wish.camera,
            begin_time=manifest.begin_time,
            end_time=manifest.end_time,
            by=wish.by,
            purpose=wish.purpose,
            segments=(*manifest.segments, *manifest.withheld),
            sha256=self._files[MANIFEST].sha256,
        )
        receipt = custody.append(body, self._exporter.clock.boottime_ns())
        self._write(CHAIN, _stretch(custody, first_seq, receipt.seq))
        sums = "".join(f"{self._files[path].sha256}  {path}\n" for path in sorted(self._files))
        self._write(SUMS, sums.encode())
        for folder in {(self._folder / path).parent for path in self._files}:
            fsync_dir(folder)
        return ExportResult(
            folder=self._folder,
            segments=manifest.segments,
            withheld=manifest.withheld,
            size_bytes=sum(file.size_bytes for file in self._files.values()),
            clip=clip,
            no_clip=no_clip,
            left_out={},
            receipt=receipt,
        )

    def _manifest(self, clip: ExportedClip | None, first_seq: int) -> Manifest:
        wish, exporter = self._wish, self._exporter
        return Manifest(
            box=exporter.box,
            camera=wish.camera,
            begin_time=rfc3339(wish.begin),
            end_time=rfc3339(wish.end),
            by=wish.by,
            purpose=wish.purpose,
            made_time=rfc3339(exporter.clock.utc(exporter.clock.boottime_ns())),
            software=__version__,
            public_key=exporter.public_key,
            first_seq=first_seq,
            head=ExportedHead(seq=self._head.seq, sha256=self._head.sha256),
            segments=tuple(
                entry.text for entry in self._entries if entry.text not in self._withheld
            ),
            withheld=tuple(self._withheld),
            clip=clip,
            files=tuple(self._files[path] for path in sorted(self._files)),
        )

    def _copy_segments(self) -> None:
        (self._folder / SEGMENTS).mkdir()
        for entry in self._entries:
            name = entry.text
            if self._is_withheld(entry):
                self._withheld.append(name)
                continue
            # The keys first, as they go first: a segment that is still there then has them with it.
            sidecar = entry.path.with_name(name + KEYS_SUFFIX)
            if entry.closed is not None and entry.closed.sealed and sidecar.exists():
                self._copy((sidecar,), f"{SEGMENTS}/{sidecar.name}")
                key = self._key(entry)
                if key is not None:
                    (self._folder / KEYS).mkdir(exist_ok=True)
                    text = f"{key.kid.hex()}:{key.key.hex()}\n"
                    self._write(f"{KEYS}/{name}.key", text.encode())
            self._copy(entry.paths, f"{SEGMENTS}/{name}")

    def _is_withheld(self, entry: FootageEntry) -> bool:
        """Whether the file would show what a mask hides. Sealed ones show nothing."""
        closed = entry.closed
        if self._wish.unmasked or closed is None or closed.mask_applied != "export":
            return False
        return not closed.sealed or self._key(entry) is not None

    def _key(self, entry: FootageEntry) -> SegmentKey | None:
        """The key of a sealed segment, where it is at hand."""
        sidecar = entry.path.with_name(entry.text + KEYS_SUFFIX)
        if not sidecar.exists():
            return None
        return self._exporter.key_for(bytes.fromhex(read_sidecar(sidecar).kid))

    def _cut(self) -> tuple[ExportedClip | None, str | None]:
        """The clip, or why there is none. Masks that the footage lacks are painted over it."""
        out = self._folder / CLIP
        bare = self._folder / _BARE_CLIP
        try:
            closed = [entry.closed for entry in self._entries if entry.closed is not None]
            masks = mask_store.missing(self._exporter.masks, closed)
            to = bare if masks else out
            clip = self._bare(to)
            if masks:
                mask_store.masked_clip(bare, out, masks)
        except (cutting.CannotCut, mask_store.CannotMask) as error:
            return None, str(error)
        finally:
            bare.unlink(missing_ok=True)
        self._sum(CLIP)
        begin = _EPOCH + timedelta(microseconds=clip.begin_ns // 1000)
        return ExportedClip(
            begin_time=rfc3339(begin),
            duration_ns=clip.duration_ns,
            segments=clip.segments,
            masked=bool(masks),
        ), None

    def _bare(self, to: Path) -> cutting.ClipInfo:
        """The clip as it was recorded: cut here, or where the keys are. Raises CannotCut."""
        wish, entries = self._wish, self._entries
        sources = [cutting.utc_source(self._at_hand(entry), entry.name) for entry in entries]
        begin_ns, end_ns = cutting.utc_ns(wish.begin), cutting.utc_ns(wish.end)
        try:
            return cutting.write_clip(sources, begin_ns, end_ns, to, self._exporter.key_for)
        except FileNotFoundError as error:
            raise CannotExport(_gone(Path(error.filename).name)) from error
        except cutting.NoKey:
            request = ClipRequest(
                camera=wish.camera,
                segments=tuple(entry.text for entry in entries),
                begin_ns=begin_ns,
                end_ns=end_ns,
            )
            made = self._exporter.ask_agent(request, to)
            if made is None:
                raise
            return made

    def _at_hand(self, entry: FootageEntry) -> Path:
        """The copy of a segment, which nobody evicts; of one that is withheld, where it lies."""
        if entry.text not in self._withheld:
            return self._folder / SEGMENTS / entry.text
        return next((path for path in entry.paths if path.exists()), entry.path)

    def _copy(self, sources: Sequence[Path], path: str) -> None:
        """Copy a file that lies in one of these places."""
        digest = hashlib.sha256()
        size_bytes = 0
        with _reader(sources) as reader, (self._folder / path).open("xb") as writer:
            while data := reader.read(_COPY_BYTES):
                digest.update(data)
                writer.write(data)
                size_bytes += len(data)
                self._done += len(data)
                self._progress(min(self._done, self._total), self._total)
            _sync(writer)
        self._files[path] = ExportedFile(
            path=path, sha256=digest.hexdigest(), size_bytes=size_bytes
        )

    def _write(self, path: str, data: bytes) -> None:
        with (self._folder / path).open("xb") as file:
            file.write(data)
            _sync(file)
        self._files[path] = ExportedFile(
            path=path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
        )

    def _sum(self, path: str) -> None:
        with (self._folder / path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = file.tell()
        self._files[path] = ExportedFile(path=path, sha256=digest, size_bytes=size_bytes)


def _reader(sources: Sequence[Path]) -> BinaryIO:
    for source in sources:
        with contextlib.suppress(FileNotFoundError):
            return source.open("rb")
    raise CannotExport(_gone(sources[-1].name))


def _gone(name: str) -> str:
    return f"{name.removesuffix(PART)}: evicted while it was exported"


def _stretch(custody: CustodyLog, first_seq: int, last_seq: int) -> bytes:
    """The chain from one receipt to another, as it lies on the disk."""
    lines = []
    for line in custody.read(first_seq):
        lines.append(line)
        if len(lines) > last_seq - first_seq:
            break
    return b"".join(lines)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _why_not(entry: FootageEntry) -> str:
    if entry.writing:
        return "still written to"
    return "evicted just now" if entry.evicted else "no receipt of its close"


def _nothing(wish: ExportPageText, left_out: dict[str, str]) -> str:
    span = f"{rfc3339(wish.begin)} to {rfc3339(wish.end)}"
    if not left_out:
        return f"camera {wish.camera}: no footage from {span}"
    name, why = next(iter(left_out.items()))
    return f"camera {wish.camera}: nothing whole from {span}; {name}: {why}"
