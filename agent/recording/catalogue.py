"""What footage lies on the disk, read while the recorder writes: names from the folders, lengths
and sums from the chain of receipts. Nothing here changes a file.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent.recording.custody.receipts import Closed, Evicted, Opened
from agent.recording.retention.segment_age import BootTimeline, unix_ms
from agent.recording.segment_name import (
    PART,
    SegmentName,
    parse_segment_name,
    read_label,
    rfc3339,
    utc_label,
)

LONGEST = timedelta(minutes=7)
"""No segment is longer: five minutes by the configuration, and a minute of an open group."""

_CLOSED = b'"kind":"closed"'
_EVICTED = b'"kind":"evicted"'
_OF_SEGMENT = b'"segment":"'
"""Of the receipts of a file's begin and end."""
_JSON_AT = 89
"""In a line: behind the signature and a space."""


class _Line(msgspec.Struct):
    """What of a receipt is read here."""

    seq: int
    body: Opened | Closed | Evicted


_LINE = msgspec.json.Decoder(_Line)


Stored: TypeAlias = tuple[str, SegmentName, int, bool]
"""A file of a camera's folder: its name, what that says, how many bytes it has, and whether it reaches
into the span as far as names tell.
"""


class FootageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A segment on the disk. `text` is its name as it stands in receipts, `file` that of its file;
    `closed` is its receipt, None where the chain has none; `writing` is whether it is still written
    to; `evicted` that the chain says it goes, and it has not gone yet.
    """

    camera: str
    name: SegmentName
    text: str
    file: str
    folder: Path
    size_bytes: int
    closed: Closed | None
    evicted: bool = False

    @property
    def writing(self) -> bool:
        """A file has the receipt of its close before it has its name."""
        return self.file != self.text and self.closed is None

    @property
    def path(self) -> Path:
        """Where it lay when it was found."""
        return self.folder / self.file

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where it may lie by now: it may have been given its name since."""
        return tuple(dict.fromkeys((self.path, self.folder / self.text)))

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
) -> list[FootageEntry]:
    """The segments of these cameras that touch the span, in the order of recording.

    How long one is its receipt says, the same that a verifier reads; one whose length nobody knows is
    taken to reach up to the next one. Raises OSError.
    """
    found = [
        (camera, *stored) for camera in names for stored in _stored(footage / camera, begin, end)
    ]
    receipts, evicted = _receipts(
        custody, {(camera, file.removesuffix(PART)) for camera, file, _, _, _ in found}
    )
    entries = []
    for camera, file, name, size_bytes, reaches in found:
        text = file.removesuffix(PART)
        entry = FootageEntry(
            camera=camera,
            name=name,
            text=text,
            file=file,
            folder=footage / camera,
            size_bytes=size_bytes,
            closed=receipts.get((camera, text)),
            evicted=(camera, text) in evicted,
        )
        if begin is None or (reaches if entry.end is None else entry.end > begin):
            entries.append(entry)
    return entries


def misdated(folder: Path, begin: datetime, end: datetime) -> dict[str, str]:
    """Segments of a camera's folder that were recorded in this span, as their boot tells whose clock
    was set later, and have another time in their names: the name, and why in one sentence.
    """
    files = _files(folder) if folder.is_dir() else []
    names = [name for name in map(parse_segment_name, files) if name is not None]
    zeros = BootTimeline(names).boot_epochs()
    begin_ms, end_ms = (round(each.timestamp() * 1000) for each in (begin, end))
    found = []
    for name, after in zip_longest(names, names[1:]):
        if name.synced or name.boot not in zeros or begin_ms <= unix_ms(name) < end_ms:
            continue
        length_ms = LONGEST // timedelta(milliseconds=1)
        if after is not None and after.boot == name.boot:
            length_ms = min(length_ms, after.begin_ms - name.begin_ms)
        true_ms = zeros[name.boot] + name.begin_ms
        if true_ms < end_ms and true_ms + length_ms > begin_ms:
            found.append(name)
    if not found:
        return {}
    why = (
        "recorded before the clock was set, and kept under the times from "
        f"{rfc3339(found[0].utc)} to {rfc3339(found[-1].utc)}: ask for those too"
    )
    return {str(name): why for name in found}


def first_seq(custody: Path, entries: Iterable[FootageEntry]) -> int:
    """The number of the first receipt that concerns one of these segments, 0 where there is none.

    Raises OSError.
    """
    wanted = {(entry.camera, entry.text) for entry in entries}
    texts = frozenset(entry.text.encode() for entry in entries)
    first = 0
    for data in _files_back(custody):
        for line in _of_segments(data, _OF_SEGMENT, texts):
            body = line.body
            if isinstance(body, Evicted) or (body.camera, body.segment) not in wanted:
                continue
            first = line.seq
            if isinstance(body, Opened):
                wanted.discard((body.camera, body.segment))
                if not wanted:
                    return first
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
        before = None
        for file, reaches in _touching(_files(handle), begin, end):
            name = parse_segment_name(file.removesuffix(PART))
            if name is None or name == before or (end is not None and name.utc >= end):
                continue
            # What was written to may have been closed, and given its name, since the folder was
            # read, or while; what is not there by either name is evicted.
            before = name
            for lying in (file, file.removesuffix(PART)):
                size_bytes = _size_bytes(lying, handle)
                if size_bytes is not None:
                    yield lying, name, size_bytes, reaches
                    break
    finally:
        os.close(handle)


def _files(folder: Path | int) -> list[str]:
    """Names alone: a Path, and a DirEntry too, costs more than the rest of the work on it."""
    return sorted(os.listdir(folder))  # noqa: PTH208


def _size_bytes(file: str, folder: int) -> int | None:
    try:
        return os.stat(file, dir_fd=folder).st_size
    except FileNotFoundError:
        return None


def _touching(
    files: Iterable[str], begin: datetime | None, end: datetime | None
) -> Iterator[tuple[str, bool]]:
    """Those segments that may touch the span, by their labels alone: a folder holds many. And
    whether they do where nothing else tells how long they are.

    The next one's UTC alone does not tell where a segment ends: a clock may have been set back
    between them, and one may end a little after the next has begun, as the network brought it.
    """
    begin_utc = None if begin is None else utc_label(begin)
    longest_utc = None if begin is None else _label_before(begin, LONGEST)
    end_utc = None if end is None else utc_label(end)
    labels = ((file, read_label(file.removesuffix(PART))) for file in files)
    labelled = [(file, label) for file, label in labels if label is not None]
    for (file, (boot, utc)), following in zip_longest(labelled, labelled[1:]):
        if end_utc is not None and utc > end_utc:
            continue
        if begin is None or begin_utc is None or longest_utc is None or following is None:
            yield file, True
            continue
        after, (next_boot, next_utc) = following
        if next_boot != boot or next_utc > begin_utc:
            yield file, True
        elif utc > longest_utc:
            yield file, _reaches(file, after, begin)


def _label_before(moment: datetime, by: timedelta) -> str:
    try:
        return utc_label(moment - by)
    except OverflowError:
        return ""


def _reaches(file: str, after: str, begin: datetime) -> bool:
    """Whether a segment lasts beyond a moment, as the time of its boot tells up to the next one."""
    name, next_name = (parse_segment_name(each.removesuffix(PART)) for each in (file, after))
    if name is None or next_name is None:
        return False
    return name.utc + timedelta(milliseconds=next_name.begin_ms - name.begin_ms) > begin


_Segment: TypeAlias = tuple[str, str]
"""A camera, and the name of one of its segments."""


def _receipts(custody: Path, wanted: set[_Segment]) -> tuple[dict[_Segment, Closed], set[_Segment]]:
    """The `closed` receipts of these segments, and those that the chain says are evicted.

    A segment is evicted after its close, so what tells of both is not looked for further back.
    """
    closed: dict[_Segment, Closed] = {}
    evicted: set[_Segment] = set()
    if not wanted:
        return closed, evicted
    texts = frozenset(text.encode() for _, text in wanted)
    for data in _files_back(custody):
        for at in _marks_back(data, _EVICTED):
            said = _line_at(data, at)
            if said is not None and isinstance(said.body, Evicted):
                evicted.update((said.body.camera, text) for text in said.body.segments)
        for line in _of_segments(data, _CLOSED, texts):
            body = line.body
            if isinstance(body, Closed) and (body.camera, body.segment) in wanted:
                closed.setdefault((body.camera, body.segment), body)
                if len(closed) == len(wanted):
                    return closed, evicted & wanted
    return closed, evicted & wanted


def _files_back(custody: Path) -> Iterator[bytes]:
    """What is in the files of the chain, the newest first."""
    for path in sorted(custody.glob("*.chain"), reverse=True):
        with contextlib.suppress(FileNotFoundError):  # forgotten meanwhile
            yield path.read_bytes()


def _of_segments(data: bytes, mark: bytes, texts: frozenset[bytes]) -> Iterator[_Line]:
    """Receipts that bear the mark and may be of these segments, the newest first."""
    for at in _marks_back(data, mark):
        begin = data.find(_OF_SEGMENT, at) + len(_OF_SEGMENT)
        if data[begin : data.find(b'"', begin)] in texts:
            line = _line_at(data, at)
            if line is not None:
                yield line


def _marks_back(data: bytes, mark: bytes) -> Iterator[int]:
    at = len(data)
    while (at := data.rfind(mark, 0, at)) >= 0:
        yield at


def _line_at(data: bytes, at: int) -> _Line | None:
    """The receipt around a place, None where it is torn. Its signature is not looked at."""
    json_at = data.rfind(b"\n", 0, at) + 1 + _JSON_AT
    try:
        return _LINE.decode(memoryview(data)[json_at : data.find(b"\n", at)])
    except msgspec.DecodeError:
        return None
