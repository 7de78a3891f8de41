"""Spans of a camera without footage, and the reason of each. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Literal, TypeAlias

import msgspec

from agent.recording.chain_notes import ChainNotes
from agent.recording.segment_name import SegmentName, max_length_ms

MissingReason = Literal[
    "evicted", "not_recorded", "camera_lost", "masked", "agent_stopped", "unknown"
]
"""Why there is no footage.

evicted        it was recorded, and deleted to stay within bytes, age or free space
not_recorded   the disk failed, the box was overloaded, or MP4 cannot carry the stream
camera_lost    the camera delivered nothing
masked         the camera stayed closed, because its masks could not be applied
agent_stopped  the box was off, or its agent stopped
unknown        the custody chain has no receipt of it
"""
MIN_MISSING = timedelta(seconds=2)
"""Shorter spans are not listed: segments that are not further apart follow each other."""

Interval: TypeAlias = tuple[datetime, datetime]


class MissingSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span without footage. `detail` is the reason in words."""

    begin: datetime
    end: datetime
    reason: MissingReason
    detail: str


def find_missing(
    recorded: Iterable[Interval],
    names: Iterable[SegmentName],
    notes: ChainNotes,
    begin: datetime,
    end: datetime,
    max_segment_ms: int,
) -> tuple[MissingSpan, ...]:
    """Return the spans from `begin` to `end` without footage, in order.

    `recorded` are the spans of the segments on the disk, and `names` their names: an evicted segment
    lasted until the next one. If several receipts are about one moment, an eviction counts first.
    """
    open_intervals = [(begin, end)] if begin < end else []
    for interval in _merge(recorded):
        open_intervals = _subtract(open_intervals, interval)
    open_intervals = [one for one in open_intervals if one[1] - one[0] >= MIN_MISSING]
    spans: list[MissingSpan] = []
    for explanation in (*_evicted_spans(names, notes, max_segment_ms), *_absent_spans(notes)):
        explained = (explanation.begin, explanation.end)
        spans += [
            msgspec.structs.replace(
                explanation, begin=max(one[0], explained[0]), end=min(one[1], explained[1])
            )
            for one in open_intervals
            if one[0] < explained[1] and explained[0] < one[1]
        ]
        open_intervals = _subtract(open_intervals, explained)
    spans += [
        MissingSpan(begin=one[0], end=one[1], reason="unknown", detail="there is no receipt of it")
        for one in open_intervals
    ]
    ordered = sorted(spans, key=lambda span: span.begin)
    return tuple(_join(_absorb_short(ordered), timedelta(0)))


def _absorb_short(spans: Sequence[MissingSpan]) -> list[MissingSpan]:
    """Add a short unknown span to its neighbour: a receipt is not exact to the frame."""
    absorbed: list[MissingSpan] = []
    begin: datetime | None = None
    for span in spans:
        last = absorbed[-1] if absorbed else None
        is_short = span.reason == "unknown" and span.end - span.begin < MIN_MISSING
        if is_short and last is not None and last.end == span.begin:
            absorbed[-1] = msgspec.structs.replace(last, end=span.end)
        elif is_short:
            begin = span.begin  # the next one continues it, because longer ones only are missing
        else:
            absorbed.append(span if begin is None else msgspec.structs.replace(span, begin=begin))
            begin = None
    return absorbed


def _merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Merge intervals that overlap or nearly touch: a folder has ten thousands of segments."""
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if merged and begin - merged[-1][1] < MIN_MISSING:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def _subtract(intervals: Sequence[Interval], cut: Interval) -> list[Interval]:
    begin, end = cut
    left: list[Interval] = []
    for one in intervals:
        if end <= one[0] or one[1] <= begin:
            left.append(one)
            continue
        if one[0] < begin:
            left.append((one[0], begin))
        if end < one[1]:
            left.append((end, one[1]))
    return left


def _evicted_spans(
    names: Iterable[SegmentName], notes: ChainNotes, max_segment_ms: int
) -> list[MissingSpan]:
    reasons = {segment.name: segment.reason for segment in notes.evicted}
    ordered = sorted({*names, *reasons}, key=lambda name: name.counter)
    spans = []
    for name, next_name in zip_longest(ordered, ordered[1:]):
        if name in reasons:
            length = timedelta(milliseconds=max_length_ms(name, next_name, max_segment_ms))
            spans.append(
                MissingSpan(
                    begin=name.utc,
                    end=name.utc + length,
                    reason="evicted",
                    detail=f"deleted by {reasons[name]}",
                )
            )
    return _join(spans, MIN_MISSING)


def _absent_spans(notes: ChainNotes) -> list[MissingSpan]:
    """Return the gaps before the times without an agent: a receipt of a gap says more."""
    ordered = sorted(
        notes.absences, key=lambda absence: (absence.reason == "agent_stopped", absence.begin)
    )
    return _join(
        [
            MissingSpan(
                begin=absence.begin, end=absence.end, reason=absence.reason, detail=absence.detail
            )
            for absence in ordered
        ],
        MIN_MISSING,
    )


def _join(spans: Iterable[MissingSpan], max_gap: timedelta) -> list[MissingSpan]:
    """Join neighbours of one reason, at most so far apart."""
    joined: list[MissingSpan] = []
    for span in spans:
        last = joined[-1] if joined else None
        if (
            last is not None
            and (last.reason, last.detail) == (span.reason, span.detail)
            and abs(span.begin - last.end) <= max_gap
        ):
            joined[-1] = msgspec.structs.replace(last, end=max(last.end, span.end))
        else:
            joined.append(span)
    return joined
