"""Deduplication and acknowledgement of sequence numbers at the centre. Pure.

In each box and epoch the numbers start at 1. A number is *received* when its message has been stored.
It is *ackable* if it is received, named in a receipt for lost messages, or not above the floor in a
birth message. A message whose number was not received is new, also below the floor: it may arrive late. One whose number
was received is a repeat, unless its id is another one: a box whose older state was put back gives numbers again.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator

from agent.reporting.centre_payloads import Ack
from agent.reporting.payloads import SeqRange

MAX_ACK_RANGES = 256
"""Of one acknowledgement. As many messages of a box wait for one at most, and each may be a range of its own."""


class SeqSet:
    """A set of numbers, stored as disjoint ranges in order."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __contains__(self, seq: int) -> bool:
        index = bisect_right(self._firsts, seq) - 1
        return index >= 0 and seq <= self._lasts[index]

    def __iter__(self) -> Iterator[SeqRange]:
        return (SeqRange(*ends) for ends in zip(self._firsts, self._lasts, strict=True))

    def add(self, first: int, last: int) -> None:
        """Add the numbers from `first` to `last`, none if `last` is less than `first`."""
        if last < first:
            return
        begin = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first = min(first, self._firsts[begin])
            last = max(last, self._lasts[end - 1])
        self._firsts[begin:end] = [first]
        self._lasts[begin:end] = [last]

    def range_of(self, seq: int) -> SeqRange:
        """Return the range that a number of the set is in."""
        index = bisect_right(self._firsts, seq) - 1
        return SeqRange(self._firsts[index], self._lasts[index])

    def contiguous_end(self) -> int:
        """Return the end of the range that starts at 1, or 0 if 1 is missing."""
        return self._lasts[0] if self._firsts and self._firsts[0] <= 1 else 0

    def ranges_above(self, seq: int) -> tuple[SeqRange, ...]:
        """Return the ranges that start above a number, in order."""
        index = bisect_right(self._firsts, seq)
        return tuple(
            SeqRange(*ends) for ends in zip(self._firsts[index:], self._lasts[index:], strict=True)
        )


class Deduplicator:
    """Sequence numbers of one box and epoch."""

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self.received = SeqSet()
        self._ackable = SeqSet()
        self._newest: deque[tuple[int, bool]] = deque(maxlen=MAX_ACK_RANGES)
        """The numbers that arrived last, and True for one that had arrived before: a box sends again what it knows no
        acknowledgement of.
        """

    def add(self, seq: int) -> bool:
        """Record a stored message. Return False if its number was received: it is a repeat if its id was too."""
        is_known = seq in self.received
        self._newest.append((seq, is_known))
        if is_known:
            return False
        self.received.add(seq, seq)
        self._ackable.add(seq, seq)
        return True

    def mark_lost(self, ranges: tuple[SeqRange, ...]) -> None:
        """Record numbers that a receipt names as lost."""
        for span in ranges:
            self._ackable.add(span.first, span.last)

    def set_floor(self, upto: int) -> None:
        """Record from a birth message that no number up to `upto` will be sent any more."""
        self._ackable.add(1, upto)

    def missing_ranges(self) -> tuple[SeqRange, ...]:
        """Return the numbers that are missing below the highest ackable one."""
        spans = list(self._ackable)
        first, missing = 1, []
        for span in spans:
            if span.first > first:
                missing.append(SeqRange(first, span.first - 1))
            first = span.last + 1
        return tuple(missing)

    def build_ack(self) -> Ack:
        """Return the acknowledgement for the box. Of too many ranges it has those that arrived last.

        A box sends its emergencies the newest first, so that those are by no means the highest. Numbers that have just come again are
        named too: a box whose older state was put back refuses a range beyond the last number that it has given.
        """
        upto = self._ackable.contiguous_end()
        also = self._ackable.ranges_above(upto)
        if len(also) > MAX_ACK_RANGES:
            also = tuple({self._ackable.range_of(seq) for seq, _ in self._newest if seq > upto})
        again = SeqSet()
        for seq, is_known in self._newest:
            if is_known:
                again.add(seq, seq)
        ranges = tuple(dict.fromkeys((*also, *again)))[:MAX_ACK_RANGES]
        return Ack(
            epoch=self._epoch, upto=upto, also=tuple(sorted(ranges, key=lambda span: span.first))
        )
