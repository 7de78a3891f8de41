"""What footage lies on the disk, read while the recorder writes: names from the folders, lengths
and sums from the chain of receipts. Nothing here changes a file.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from agent.record.receipts import BadReceipt, Closed, Line, Opened, read_line
from agent.record.recovery import SET_ASIDE
from agent.record.segment_name import PART, SegmentName, parse_segment_name

_CLOSED = b'"kind":"closed"'
_OPENED = b'"kind":"opened"'


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A segment on the disk. `closed` is its receipt, None where the chain has none; `writing` is
    whether it is still written to.
    """

    camera: str
    name: SegmentName
    path: Path
    size_bytes: int
    writing: bool
    closed: Closed | None

    @property
    def begin(self) -> datetime:
        """UTC of its first picture."""
        return self.name.utc

    @property
    def end(self) -> datetime | None:
        """UTC of its end; None where nothing says how long it is."""
        if self.closed is None:
            return None
        return self.begin + timedelta(microseconds=self.closed.duration_ns // 1000)


def cameras(footage: Path) -> list[str]:
    """The cameras that have a folder. Raises OSError."""
    if not footage.is_dir():
        return []
    return sorted(path.name for path in footage.iterdir() if path.is_dir())


def find(
    footage: Path,
    custody: Path,
    names: Iterable[str],
    begin: datetime | None,
    end: datetime | None,
) -> list[Entry]:
    """The segments of these cameras that touch the span, in the order of recording.

    A segment whose length nobody knows is taken to reach up to the next one. Raises OSError.
    """
    found: list[Entry] = []
    for camera in names:
        touched = _touching(_stored(footage / camera), begin, end)
        found += [
            Entry(
                camera=camera,
                name=name,
                path=path,
                size_bytes=size_bytes,
                writing=path.name.endswith(PART),
                closed=None,
            )
            for name, path, size_bytes in touched
        ]
    receipts = _closed_receipts(custody, {(entry.camera, str(entry.name)) for entry in found})
    known = [
        msgspec.structs.replace(entry, closed=receipts.get((entry.camera, str(entry.name))))
        for entry in found
    ]
    return [entry for entry in known if begin is None or entry.end is None or entry.end > begin]


def first_seq(custody: Path, entries: Iterable[Entry]) -> int:
    """The number of the first receipt that concerns one of these segments, 0 where there is none.

    Raises OSError.
    """
    wanted = {(entry.camera, str(entry.name)) for entry in entries}
    first = 0
    for line in _lines(custody, (_OPENED, _CLOSED)):
        body = line.receipt.body
        if isinstance(body, Opened | Closed) and (body.camera, body.segment) in wanted:
            first = line.receipt.seq
            if isinstance(body, Opened):
                wanted.discard((body.camera, body.segment))
                if not wanted:
                    break
    return first


def _stored(folder: Path) -> list[tuple[SegmentName, Path, int]]:
    if not folder.is_dir():
        return []
    stored = []
    for path in folder.iterdir():
        name = parse_segment_name(path.name.removesuffix(PART))
        if name is None or path.name == SET_ASIDE:
            continue
        try:
            stored.append((name, path, path.stat().st_size))
        except FileNotFoundError:
            continue  # evicted, or renamed, since the folder was read
    return sorted(stored, key=lambda one: one[0].counter)


def _touching(
    stored: list[tuple[SegmentName, Path, int]], begin: datetime | None, end: datetime | None
) -> list[tuple[SegmentName, Path, int]]:
    """Those that may touch the span, by their names alone."""
    touched = []
    for index, one in enumerate(stored):
        if end is not None and one[0].utc >= end:
            continue
        following = stored[index + 1][0] if index + 1 < len(stored) else None
        reaches = following is None or following.boot != one[0].boot or begin is None
        if reaches or (following is not None and begin is not None and following.utc > begin):
            touched.append(one)
    return touched


def _closed_receipts(custody: Path, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], Closed]:
    """The `closed` receipts of these segments, by camera and name."""
    found: dict[tuple[str, str], Closed] = {}
    if not wanted:
        return found
    for line in _lines(custody, (_CLOSED,)):
        body = line.receipt.body
        if isinstance(body, Closed) and (body.camera, body.segment) in wanted:
            found[body.camera, body.segment] = body
            if len(found) == len(wanted):
                break
    return found


def _lines(custody: Path, marks: tuple[bytes, ...]) -> Iterator[Line]:
    """The receipts that bear one of these marks, the newest first. What is torn is left out."""
    for path in sorted(custody.glob("*.chain"), reverse=True):
        for text in reversed(path.read_bytes().splitlines()):
            if any(mark in text for mark in marks):
                try:
                    yield read_line(text)
                except BadReceipt:
                    continue
