"""Quarantine: files in the footage folders that are no valid segments.

Truncated and foreign files are not footage, but they take space and may show people: they are kept no
longer than footage.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from agent.base.atomic_file import fsync_dir
from agent.recording.segment_age import SegmentAges
from agent.recording.segment_name import SegmentName, parse_segment_name

QUARANTINE_DIR = "quarantine"

_MP4_SUFFIX = ".mp4"


class QuarantinedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder in quarantine.

    `segment` is its parsed name if it was to be footage. `moved_unix_ms` is the time of the move
    by the clock of that time; `first_seen_ms` is in the time of this boot.
    """

    name: str
    size_bytes: int
    segment: SegmentName | None
    moved_unix_ms: int
    first_seen_ms: int

    def age_ms(self, ages: SegmentAges) -> int:
        """Return its minimum age: as footage of its name, or else since the move."""
        if self.segment is not None:
            return ages.age_ms(self.segment)
        utc_age_ms = ages.now.unix_ms - self.moved_unix_ms if ages.is_utc_trusted else 0
        return max(ages.now.boot_ms - self.first_seen_ms, utc_age_ms)


def quarantine_file(
    path: Path, before_rename: Callable[[Path], None] = lambda _target: None
) -> Path:
    """Move a file into the quarantine of its folder and return its new path.

    `before_rename` is called with the new path. Raises OSError.
    """
    target = free_quarantine_path(path.parent, path.name)
    before_rename(target)
    path.rename(target)
    return target


def free_quarantine_path(folder: Path, name: str) -> Path:
    """Return an unused path in the quarantine of `folder`, which is created durably.

    Raises OSError.
    """
    quarantine_dir = folder / QUARANTINE_DIR
    if not quarantine_dir.is_dir():
        quarantine_dir.mkdir(exist_ok=True)
        fsync_dir(folder)
    target = quarantine_dir / name
    number = 0
    while target.exists() or target.is_symlink():
        number += 1
        target = quarantine_dir / f"{name}.{number}"
    return target


def segment_names(folder: Path) -> list[SegmentName]:
    """Return the names in the quarantine of a camera's folder that were to be footage. Raises OSError."""
    try:
        paths = list((folder / QUARANTINE_DIR).iterdir())
    except FileNotFoundError:
        return []
    names = (_parse_segment(path) for path in paths)
    return [name for name in names if name is not None]


def scan(
    folder: Path, now_ms: int, previous: Mapping[str, QuarantinedFile]
) -> dict[str, QuarantinedFile]:
    """List the quarantine of a camera's folder by name, at `now_ms` of this boot.

    `previous` is the last result. Raises OSError.
    """
    files: dict[str, QuarantinedFile] = {}
    try:
        entries = list((folder / QUARANTINE_DIR).iterdir())
    except FileNotFoundError:
        return files
    for path in entries:
        # st_ctime: a rename sets it, and no program can forge it.
        moved_ns = path.lstat().st_ctime_ns
        files[path.name] = QuarantinedFile(
            name=path.name,
            size_bytes=_size_bytes(path),
            segment=_parse_segment(path),
            moved_unix_ms=moved_ns // 1_000_000,
            first_seen_ms=previous[path.name].first_seen_ms if path.name in previous else now_ms,
        )
    return files


def delete(folder: Path, name: str) -> None:
    """Delete a quarantined file or folder, if it still exists. Raises OSError."""
    path = folder / QUARANTINE_DIR / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _parse_segment(path: Path) -> SegmentName | None:
    """Parse the name of a quarantined file, without what follows the segment's."""
    return parse_segment_name(path.name.partition(_MP4_SUFFIX)[0] + _MP4_SUFFIX)


def _size_bytes(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    paths = (Path(parent, name) for parent, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in paths)
