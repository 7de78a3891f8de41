"""The centre's side of the contract: what is new, what is a repeat, what may be acknowledged. Pure.

For each box and epoch the numbers run from 1. A number is *seen* when its message has come, and
*settled* when it is seen, or named in a receipt for lost messages, or below the floor that a
birth tells. Repeats are dropped by what was seen; acknowledged is what is settled: a message that
the floor covers may still come late, and is then new.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from agent.reporting.payloads import Ack, SeqRange

MAX_ACK_RANGES = 64


class SeqSet:
    """A set of numbers, kept as ranges that do not touch, in order."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __contains__(self, seq: int) -> bool:
        index = bisect_right(self._firsts, seq) - 1
        return index >= 0 and seq <= self._lasts[index]

    def __iter__(self) -> Iterator[SeqRange]:
        return (SeqRange(*ends) for ends in zip(self._firsts, self._lasts, strict=True))

    def add(self, first: int, last: int) -> None:
        """Put the numbers from `first` to `last` in; nothing where `last` is before `first`."""
        if last < first:
            return
        begin = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first = min(first, self._firsts[begin])
            last = max(last, self._lasts[end - 1])
        self._firsts[begin:end] = [first]
        self._lasts[begin:end] = [last]

    def contiguous_end(self) -> int:
        """The last number up to which all are in, counted from 1; 0 where 1 is not."""
        return self._lasts[0] if self._firsts and self._firsts[0] <= 1 else 0

    def ranges_above(self, seq: int) -> tuple[SeqRange, ...]:
        """The ranges that begin above a number, in order."""
        index = bisect_right(self._firsts, seq)
        return tuple(
            SeqRange(*ends) for ends in zip(self._firsts[index:], self._lasts[index:], strict=True)
        )


class Deduplicator:
    """One box under one epoch."""

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self.received = SeqSet()
        self._ackable = SeqSet()

    def add(self, seq: int) -> bool:
        """A message has been stored. Whether it was new."""
        if seq in self.received:
            return False
        self.received.add(seq, seq)
        self._ackable.add(seq, seq)
        return True

    def mark_lost(self, ranges: tuple[SeqRange, ...]) -> None:
        """A receipt names numbers that are lost."""
        for span in ranges:
            self._ackable.add(span.first, span.last)

    def set_floor(self, upto: int) -> None:
        """A birth tells that no number up to this one will be sent any more."""
        self._ackable.add(1, upto)

    def missing_ranges(self) -> tuple[SeqRange, ...]:
        """The numbers that are still to come, below the highest that is settled."""
        spans = list(self._ackable)
        first, missing = 1, []
        for span in spans:
            if span.first > first:
                missing.append(SeqRange(first, span.first - 1))
            first = span.last + 1
        return tuple(missing)

    def build_ack(self) -> Ack:
        """What to tell the box."""
        upto = self._ackable.contiguous_end()
        also = self._ackable.ranges_above(upto)[-MAX_ACK_RANGES:]
        return Ack(epoch=self._epoch, upto=upto, also=also)
