"""Clip maker: makes the file of a clip from the footage on the disk. Run in the child.

Sealed footage stays sealed: no plain picture of it is written to the box's disk.
"""

import hashlib
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from agent.base.atomic_file import sync
from agent.base.clock import SystemClock, rfc3339, utc_from_unix_ns
from agent.clips.clip_task import MAX_LEFT_OUT, MadeFile, MakeTask, made_path
from agent.clips.small_forms import SmallFormError, write_light_clip, write_thumbnails
from agent.config.recording import FOOTAGE_DIR
from agent.recording.archive import FootageArchive
from agent.recording.catalogue import FootageEntry
from agent.recording.export.clip import ClipError, ClipInfo
from agent.recording.export.export_request import ExportRequest
from agent.recording.export.exporter import ExportError, SpanFootage
from agent.recording.mask_store import MaskingError
from agent.recording.recorded_span import is_sealed
from agent.recording.segment_name import KEYS_SUFFIX

_COPY_BYTES = 1 << 20
_OVERHEAD_BYTES = 8_000_000
"""Room for the pages, receipts and indexes of a clip."""
_MP4, _JPEG, _ZIP = "video/mp4", "image/jpeg", "application/zip"


class NoClip(Exception):
    """There is no clip of this form. `str(error)` is one sentence."""


CLIP_ERRORS = (NoClip, ClipError, MaskingError, SmallFormError, ExportError)
"""There is no such clip: another try does not help."""


class ClipMaker:
    """Makes one file. `on_work(ratio)` is called at least once for each megabyte or picture; it may rest."""

    def __init__(self, task: MakeTask, on_work: Callable[[float], None]) -> None:
        self._task = task
        self._on_work = on_work
        state_dir = Path(task.state_dir)
        self._archive = FootageArchive(
            state_dir, state_dir / FOOTAGE_DIR, task.box, SystemClock(), {}
        )
        self._begin = datetime.fromisoformat(task.begin)
        self._end = datetime.fromisoformat(task.end)
        self._folder = Path(task.folder)
        self._made = made_path(self._folder)

    def make(self) -> MadeFile:
        """Make the file durably. Raises: CLIP_ERRORS, UserError, DriverError, OSError."""
        task = self._task
        footage = self._archive.list_span(
            task.camera, self._begin, self._end, task.viewer, task.public_key
        )
        entries = footage.exportable
        if not entries:
            raise NoClip(_no_footage_sentence(task, footage))
        self._check_size(sum(entry.size_bytes for entry in entries))
        if task.form == "export":
            return self._make_export()
        if any(is_sealed(entry) for entry in entries):
            if task.form != "original":
                raise NoClip(
                    f"camera {task.camera!r}: its footage of this span is sealed, and its pictures stay "
                    "so on this box; allowed: the forms original and export"
                )
            return self._make_sealed_original(footage)
        return self._make_clip(footage)

    def _check_size(self, source_bytes: int) -> None:
        """Raise NoClip if there is no room. An export is copied, and then put into its ZIP."""
        needed_bytes = source_bytes * (2 if self._task.form == "export" else 1) + _OVERHEAD_BYTES
        if needed_bytes > self._task.max_file_bytes:
            raise NoClip(
                f"it needs up to {needed_bytes / 1e6:.0f} MB; allowed: "
                f"{self._task.max_file_bytes / 1e6:.0f} MB, so a shorter span"
            )

    def _make_clip(self, footage: SpanFootage) -> MadeFile:
        """Make a form that shows pictures, from plain footage."""
        original, made = self._folder / "original.mp4", self._made
        info = self._archive.write_clip(
            footage.exportable, self._begin, self._end, original, lambda: self._on_work(0.2)
        )
        times: tuple[str, ...] = ()
        if self._task.form == "light":
            write_light_clip(original, made, lambda: self._on_work(0.5))
        elif self._task.form == "thumbs":
            seconds = write_thumbnails(
                original, info.duration_ns / 1e9, made, lambda: self._on_work(0.5)
            )
            begin = utc_from_unix_ns(info.begin_ns)
            times = tuple(rfc3339(begin + timedelta(seconds=second)) for second in seconds)
        else:
            original.rename(made)
        media_type = _JPEG if self._task.form == "thumbs" else _MP4
        return self._finish(media_type, *_covered(info), footage.excluded, times)

    def _make_sealed_original(self, footage: SpanFootage) -> MadeFile:
        """Put the encrypted segments and their wrapped keys into a ZIP, as they are."""
        files: dict[str, Path] = {}
        for entry in footage.exportable:
            keys = entry.path.with_name(entry.segment_name + KEYS_SUFFIX)
            files[keys.name] = keys
            files[entry.segment_name] = entry.path
        self._write_zip(files, deletes=False)
        begin, end = _span_of(footage.exportable)
        return self._finish(_ZIP, begin, end, footage.excluded)

    def _make_export(self) -> MadeFile:
        task, folder = self._task, self._folder / "export"
        request = ExportRequest(
            camera=task.camera,
            begin=self._begin,
            end=self._end,
            by=task.by,
            purpose=task.purpose,
            out=folder,
        )
        result = self._archive.export(
            request,
            None,
            lambda done, total: self._on_work(0.5 * done / max(1, total)),
            viewer=task.viewer,
            has_sealed_clip=False,
        )
        files = {
            f"export/{path.relative_to(folder)}": path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        self._write_zip(files, deletes=True)
        return self._finish(_ZIP, rfc3339(self._begin), rfc3339(self._end), dict(result.excluded))

    def _write_zip(self, files: dict[str, Path], *, deletes: bool) -> None:
        """Write files into a ZIP without compression; `deletes` each of them after that."""
        with zipfile.ZipFile(self._made, "x", zipfile.ZIP_STORED) as archive:
            for name, path in files.items():
                info = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
                with path.open("rb") as reader, archive.open(info, "w") as writer:
                    while data := reader.read(_COPY_BYTES):
                        writer.write(data)
                        self._on_work(0.6)
                if deletes:
                    path.unlink()

    def _finish(
        self,
        media_type: str,
        begin: str,
        end: str,
        excluded: dict[str, str],
        times: tuple[str, ...] = (),
    ) -> MadeFile:
        """Hash the file, and make it durable."""
        digest, size_bytes = hashlib.sha256(), 0
        with self._made.open("rb") as reader:
            while data := reader.read(_COPY_BYTES):
                digest.update(data)
                size_bytes += len(data)
                self._on_work(0.9)
            sync(reader.fileno())
        return MadeFile(
            sha256=digest.hexdigest(),
            size_bytes=size_bytes,
            media_type=media_type,
            begin=begin,
            end=end,
            times=times,
            left_out=dict(list(excluded.items())[:MAX_LEFT_OUT]),
        )


def _no_footage_sentence(task: MakeTask, footage: SpanFootage) -> str:
    sentence = f"camera {task.camera!r}: no complete footage from {task.begin} to {task.end}"
    name, reason = next(iter(footage.excluded.items()), (None, None))
    return sentence if name is None else f"{sentence}; {name}: {reason}"


def _covered(info: ClipInfo) -> tuple[str, str]:
    """Return begin and end of a clip's pictures."""
    begin = utc_from_unix_ns(info.begin_ns)
    return rfc3339(begin), rfc3339(begin + timedelta(microseconds=info.duration_ns // 1000))


def _span_of(entries: list[FootageEntry]) -> tuple[str, str]:
    """Return begin and end of segments."""
    ends = [entry.end or entry.begin for entry in entries]
    return rfc3339(entries[0].begin), rfc3339(max(ends))
