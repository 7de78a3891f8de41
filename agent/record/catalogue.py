"""What footage lies on the disk, read while the recorder writes: names from the folders, lengths
and sums from the chain of receipts. Nothing here changes a file.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent.record.receipts import Closed, Opened
from agent.record.segment_name import PART, SegmentName, parse_segment_name

_CLOSED = (b'"kind":"closed"',)
_OPENED_OR_CLOSED = (b'"kind":"opened"', *_CLOSED)
_JSON_AT = 89
"""In a line: behind the signature and a space."""


class _Line(msgspec.Struct):
    """What of a receipt is read here."""

    seq: int
    body: Opened | Closed


_LINE = msgspec.json.Decoder(_Line)


Stored: TypeAlias = tuple[SegmentName, "os.DirEntry[str]"]
"""A segment's name, and its place in a folder."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A segment on the disk. `text` is its name as it stands in receipts; `closed` is its receipt,
    None where the chain has none; `writing` is whether it is still written to.
    """

    camera: str
    name: SegmentName
    text: str
    folder: Path
    size_bytes: int
    writing: bool
    closed: Closed | None

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder / (self.text + PART if self.writing else self.text)

    @property
    def begin(self) -> datetime:
        """UTC of its first picture."""
        return self.name.utc

    @property
    def end(self) -> datetime | None:
        """UTC of its end; None where nothing says how long it is."""
        if self.closed is None or self.writing:
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
    found = [entry for camera in names for entry in _entries(camera, footage / camera, begin, end)]
    receipts = _closed_receipts(custody, {(entry.camera, entry.text) for entry in found})
    known = [
        msgspec.structs.replace(entry, closed=receipts.get((entry.camera, entry.text)))
        for entry in found
    ]
    return [entry for entry in known if begin is None or entry.end is None or entry.end > begin]


def first_seq(custody: Path, entries: Iterable[Entry]) -> int:
    """The number of the first receipt that concerns one of these segments, 0 where there is none.

    Raises OSError.
    """
    wanted = {(entry.camera, entry.text) for entry in entries}
    first = 0
    for seq, body in _bodies(custody, _OPENED_OR_CLOSED):
        if (body.camera, body.segment) in wanted:
            first = seq
            if isinstance(body, Opened):
                wanted.discard((body.camera, body.segment))
                if not wanted:
                    break
    return first


def _entries(
    camera: str, folder: Path, begin: datetime | None, end: datetime | None
) -> Iterator[Entry]:
    """Those of a folder that may touch the span. Only these are asked for their size."""
    for name, one in _touching(_stored(folder), begin, end):
        try:
            size_bytes = one.stat().st_size
        except FileNotFoundError:
            continue  # evicted, or renamed, since the folder was read
        text = one.name.removesuffix(PART)
        yield Entry(
            camera=camera,
            name=name,
            text=text,
            folder=folder,
            size_bytes=size_bytes,
            writing=one.name != text,
            closed=None,
        )


def _stored(folder: Path) -> list[Stored]:
    """The segments of a folder, in the order of recording."""
    try:
        listing = os.scandir(folder)
    except FileNotFoundError:
        return []
    with listing:
        named = [(parse_segment_name(one.name.removesuffix(PART)), one) for one in listing]
    stored = [(name, one) for name, one in named if name is not None]
    return sorted(stored, key=lambda item: item[0].counter)


def _touching(
    stored: list[Stored], begin: datetime | None, end: datetime | None
) -> Iterator[Stored]:
    """Those that may touch the span, by their names alone."""
    for item, following in zip_longest(stored, stored[1:]):
        name = item[0]
        if end is not None and name.utc >= end:
            continue
        reaches = begin is None or following is None or following[0].boot != name.boot
        if reaches or (following is not None and begin is not None and following[0].utc > begin):
            yield item


def _closed_receipts(custody: Path, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], Closed]:
    """The `closed` receipts of these segments, by camera and name."""
    found: dict[tuple[str, str], Closed] = {}
    if not wanted:
        return found
    for _, body in _bodies(custody, _CLOSED):
        key = (body.camera, body.segment)
        if key in wanted and isinstance(body, Closed):
            found[key] = body
            if len(found) == len(wanted):
                break
    return found


def _bodies(custody: Path, marks: tuple[bytes, ...]) -> Iterator[tuple[int, Opened | Closed]]:
    """The numbers and bodies of receipts that bear one of these marks, the newest first. What is
    torn is left out; signatures are not looked at.
    """
    for path in sorted(custody.glob("*.chain"), reverse=True):
        for text in reversed(path.read_bytes().split(b"\n")):
            if not any(mark in text for mark in marks):
                continue
            try:
                line = _LINE.decode(memoryview(text)[_JSON_AT:])
            except msgspec.DecodeError:
                continue
            yield line.seq, line.body
