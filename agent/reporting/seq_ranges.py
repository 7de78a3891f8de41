"""Sets of sequence numbers, as disjoint ranges in order. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from agent.reporting.payloads import MAX_SEQ, SeqRange


def merge_ranges(ranges: Iterable[SeqRange]) -> tuple[SeqRange, ...]:
    """Return the same numbers in the fewest ranges, in order."""
    merged: list[SeqRange] = []
    for span in sorted(ranges, key=lambda span: span.first):
        if merged and span.first <= merged[-1].last + 1:
            merged[-1] = SeqRange(merged[-1].first, max(merged[-1].last, span.last))
        else:
            merged.append(span)
    return tuple(merged)


def intersect_ranges(
    first: tuple[SeqRange, ...], second: tuple[SeqRange, ...]
) -> tuple[SeqRange, ...]:
    """Return the numbers that are in both sets."""
    common: list[SeqRange] = []
    left = right = 0
    while left < len(first) and right < len(second):
        begin = max(first[left].first, second[right].first)
        end = min(first[left].last, second[right].last)
        if begin <= end:
            common.append(SeqRange(begin, end))
        if first[left].last < second[right].last:
            left += 1
        else:
            right += 1
    return tuple(common)


def find_range(ranges: tuple[SeqRange, ...], seq: int) -> SeqRange | None:
    """Return the range that a number is in, or None."""
    index = bisect_right(ranges, seq, key=lambda span: span.first) - 1
    return ranges[index] if index >= 0 and seq <= ranges[index].last else None


def iter_gaps(ranges: tuple[SeqRange, ...]) -> Iterator[SeqRange]:
    """Yield the ranges of the numbers from 1 to MAX_SEQ that are not in the set, in order."""
    begin = 1
    for span in ranges:
        if span.first > begin:
            yield SeqRange(begin, span.first - 1)
        begin = span.last + 1
    if begin <= MAX_SEQ:
        yield SeqRange(begin, MAX_SEQ)
