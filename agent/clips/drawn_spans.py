"""Spans of footage drawn by chance. Pure: randomness is an argument, and the same seed draws the same spans."""

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A span of time in whole seconds of UTC since 1970; the end is not in it."""

    begin_s: int
    end_s: int


def intersect(first: Iterable[Interval], second: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the time that is in an interval of both, in order, each second once."""
    common = sorted(
        Interval(begin_s, end_s)
        for one in first
        for other in second
        if (begin_s := max(one.begin_s, other.begin_s)) < (end_s := min(one.end_s, other.end_s))
    )
    joined: list[Interval] = []
    for interval in common:
        if joined and interval.begin_s <= joined[-1].end_s:
            last = joined.pop()
            interval = Interval(last.begin_s, max(last.end_s, interval.end_s))  # noqa: PLW2901
        joined.append(interval)
    return tuple(joined)


def draw_spans(
    footage: Iterable[Interval], length_s: int, count: int, rng: random.Random
) -> tuple[Interval, ...]:
    """Return up to `count` spans of `length_s` within the footage, in order. None overlaps another.

    Each second at which a span may begin has the same chance. There are fewer if the footage has no room for more.
    """
    starts = [Interval(one.begin_s, one.end_s - length_s + 1) for one in footage]
    drawn: list[Interval] = []
    while len(drawn) < count:
        starts = [one for one in starts if one.begin_s < one.end_s]
        if not starts:
            break
        offset = rng.randrange(sum(one.end_s - one.begin_s for one in starts))
        for one in starts:
            if offset < one.end_s - one.begin_s:
                begin_s = one.begin_s + offset
                break
            offset -= one.end_s - one.begin_s
        drawn.append(Interval(begin_s, begin_s + length_s))
        starts = [
            part
            for one in starts
            for part in (
                Interval(one.begin_s, min(one.end_s, begin_s - length_s + 1)),
                Interval(max(one.begin_s, begin_s + length_s), one.end_s),
            )
        ]
    return tuple(sorted(drawn))
