"""Receipts about footage that is not on the disk: gaps, evictions, and times without an agent."""

from collections.abc import Iterator
from datetime import MAXYEAR, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from agent.base.json_decode import JsonDecoder, MalformedJson
from agent.recording.custody.chain_files import line_spans_backwards, read_files_backwards
from agent.recording.custody.receipts import AgentStarted, FootageEvicted, FootageGap
from agent.recording.segment_name import SegmentName, parse_segment_name
from agent.recording.silence_gaps import CAMERA_LOST_REASON, MASKED_REASON

AbsenceReason = Literal["not_recorded", "camera_lost", "masked", "agent_stopped"]

_MARKS = (b'"kind":"gap"', b'"kind":"evicted"', b'"kind":"started"')
_JSON_OFFSET = 89
"""Offset of the JSON in a line, after the signature and a space."""
_LOOK_BACK = timedelta(days=1)
"""The clock may have been set back by so much within a span."""
_REASON_BY_TEXT: dict[str, AbsenceReason] = {
    CAMERA_LOST_REASON: "camera_lost",
    MASKED_REASON: "masked",
}


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """A span in which nothing was recorded; `detail` is the reason in words."""

    begin: datetime
    end: datetime
    reason: AbsenceReason
    detail: str


class EvictedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment that was deleted; `reason` is that of its receipt."""

    name: SegmentName
    reason: str


class ChainNotes(msgspec.Struct, frozen=True, kw_only=True):
    """The receipts of one camera's absent footage. Those without an agent are of each camera."""

    absences: tuple[Absence, ...] = ()
    evicted: tuple[EvictedSegment, ...] = ()


class _Time(msgspec.Struct, frozen=True):
    time: datetime


class _Note(msgspec.Struct, frozen=True):
    t_ns: int
    time: datetime
    body: FootageGap | FootageEvicted | AgentStarted


_TIME_DECODER = JsonDecoder(_Time)
_NOTE_DECODER = JsonDecoder(_Note)


def read_chain_notes(custody_dir: Path, camera: str, since: datetime | None) -> ChainNotes:
    """Read the receipts about a camera's absent footage from `since` on, or from the chain's begin.

    Signatures are not checked, as in the list of segments. Raises OSError.
    """
    absences: list[Absence] = []
    evicted: list[EvictedSegment] = []
    start: datetime | None = None
    """The start of an agent whose receipt before it is not read yet."""
    for line in _iter_lines_backwards(custody_dir, since):
        if start is not None and (stopped := _read_time(line)) is not None:
            if stopped < start:
                absences.append(
                    Absence(
                        begin=stopped,
                        end=start,
                        reason="agent_stopped",
                        detail="the box was off, or its agent stopped",
                    )
                )
            start = None
        note = _read_note(line)
        if note is None:
            continue
        match note.body:
            case AgentStarted():
                start = note.time
            case FootageGap() if note.body.camera == camera:
                if (absence := _gap_absence(note, note.body)) is not None:
                    absences.append(absence)
            case FootageEvicted() if note.body.camera == camera:
                evicted += _evicted_segments(note.body)
            case _:
                pass
    return ChainNotes(absences=tuple(absences), evicted=tuple(evicted))


def _iter_lines_backwards(custody_dir: Path, since: datetime | None) -> Iterator[bytes]:
    """Yield lines, the newest first, up to a whole file that is older than `since`."""
    for data in read_files_backwards(custody_dir):
        is_first = True
        for begin, end in line_spans_backwards(data):
            line = data[begin:end]
            if is_first and since is not None:
                newest = _read_time(line)
                if newest is not None and newest + _LOOK_BACK < since:
                    yield line  # the last one before the agent of the file after it started
                    return
                is_first = newest is None
            yield line


def _read_time(line: bytes) -> datetime | None:
    try:
        return _TIME_DECODER.decode(line[_JSON_OFFSET:]).time
    except MalformedJson:
        return None


def _read_note(line: bytes) -> _Note | None:
    if not any(mark in line for mark in _MARKS):
        return None
    try:
        return _NOTE_DECODER.decode(line[_JSON_OFFSET:])
    except MalformedJson:
        return None


def _evicted_segments(body: FootageEvicted) -> list[EvictedSegment]:
    names = map(parse_segment_name, body.segments)
    return [
        EvictedSegment(name=name, reason=body.reason)
        for name in names
        if name is not None and name.utc.year < MAXYEAR  # its end is a time too
    ]


def _gap_absence(note: _Note, gap: FootageGap) -> Absence | None:
    """Return the gap in UTC, by the clock of its receipt, or None if that is out of range."""
    try:
        begin, end = (
            note.time - timedelta(microseconds=(note.t_ns - t_ns) // 1000)
            for t_ns in (gap.begin_ns, gap.end_ns)
        )
    except OverflowError:
        return None
    return Absence(
        begin=begin,
        end=end,
        reason=_REASON_BY_TEXT.get(gap.reason, "not_recorded"),
        detail=gap.reason,
    )
