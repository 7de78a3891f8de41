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
from agent.record.segment_name import (
    PART,
    SegmentName,
    parse_segment_name,
    read_label,
    utc_label,
)

_CLOSED = b'"kind":"closed"'
_OF_SEGMENT = b'"segment":"'
"""Of the receipts of a file's begin and end."""
_JSON_AT = 89
"""In a line: behind the signature and a space."""


class _Line(msgspec.Struct):
    """What of a receipt is read here."""

    seq: int
    body: Opened | Closed


_LINE = msgspec.json.Decoder(_Line)


Stored: TypeAlias = tuple[str, SegmentName, int]
"""A file of a camera's folder: its name, what that says, and how many bytes it has."""


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
    found = [
        (camera, *stored) for camera in names for stored in _stored(footage / camera, begin, end)
    ]
    receipts = _closed_receipts(
        custody, {(camera, file.removesuffix(PART)) for camera, file, _, _ in found}
    )
    entries = []
    for camera, file, name, size_bytes in found:
        text = file.removesuffix(PART)
        entry = Entry(
            camera=camera,
            name=name,
            text=text,
            folder=footage / camera,
            size_bytes=size_bytes,
            writing=file != text,
            closed=receipts.get((camera, text)),
        )
        if begin is None or entry.end is None or entry.end > begin:
            entries.append(entry)
    return entries


def first_seq(custody: Path, entries: Iterable[Entry]) -> int:
    """The number of the first receipt that concerns one of these segments, 0 where there is none.

    Raises OSError.
    """
    wanted = {(entry.camera, entry.text) for entry in entries}
    first = 0
    for seq, body in _bodies(custody, _OF_SEGMENT, {text for _, text in wanted}):
        if (body.camera, body.segment) in wanted:
            first = seq
            if isinstance(body, Opened):
                wanted.discard((body.camera, body.segment))
                if not wanted:
                    break
    return first


def _stored(folder: Path, begin: datetime | None, end: datetime | None) -> Iterator[Stored]:
    """The segments of a folder that may touch the span, in the order of recording. Only these are
    asked for their size.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        # Names alone: a Path, and a DirEntry too, costs more than the rest of the work on it.
        files = sorted(os.listdir(handle))  # noqa: PTH208
        for file in _touching(files, begin, end):
            name = parse_segment_name(file.removesuffix(PART))
            if name is None or (end is not None and name.utc >= end):
                continue
            try:
                size_bytes = os.stat(file, dir_fd=handle).st_size
            except FileNotFoundError:
                continue  # evicted, or renamed, since the folder was read
            yield file, name, size_bytes
    finally:
        os.close(handle)


def _touching(files: Iterable[str], begin: datetime | None, end: datetime | None) -> Iterator[str]:
    """Those segments that may touch the span, by their labels alone: a folder holds many."""
    begin_utc = None if begin is None else utc_label(begin)
    end_utc = None if end is None else utc_label(end)
    labels = ((file, read_label(file.removesuffix(PART))) for file in files)
    labelled = [(file, label) for file, label in labels if label is not None]
    for (file, (boot, utc)), following in zip_longest(labelled, labelled[1:]):
        if end_utc is not None and utc > end_utc:
            continue
        if begin_utc is None or following is None:
            yield file
            continue
        next_boot, next_utc = following[1]
        if next_boot != boot or next_utc > begin_utc:
            yield file


def _closed_receipts(custody: Path, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], Closed]:
    """The `closed` receipts of these segments, by camera and name."""
    found: dict[tuple[str, str], Closed] = {}
    if not wanted:
        return found
    for _, body in _bodies(custody, _CLOSED, {text for _, text in wanted}):
        key = (body.camera, body.segment)
        if key in wanted and isinstance(body, Closed):
            found[key] = body
            if len(found) == len(wanted):
                break
    return found


def _bodies(
    custody: Path, mark: bytes, segments: Iterable[str]
) -> Iterator[tuple[int, Opened | Closed]]:
    """The numbers and bodies of receipts that bear the mark and may be of these segments, the
    newest first. What is torn is left out; signatures are not looked at.
    """
    wanted = frozenset(text.encode() for text in segments)
    for path in sorted(custody.glob("*.chain"), reverse=True):
        data = path.read_bytes()
        at = len(data)
        while (at := data.rfind(mark, 0, at)) >= 0:
            begin = data.find(_OF_SEGMENT, at) + len(_OF_SEGMENT)
            if data[begin : data.find(b'"', begin)] not in wanted:
                continue
            json_at = data.rfind(b"\n", 0, at) + 1 + _JSON_AT
            try:
                line = _LINE.decode(memoryview(data)[json_at : data.find(b"\n", at)])
            except msgspec.DecodeError:
                continue
            yield line.seq, line.body
