"""The centre's side of the contract: what is new, what is a repeat, what may be acknowledged. Pure.

For each box and epoch the numbers run from 1. A number is *seen* when its message has come, and
*settled* when it is seen, or named in a receipt for lost messages, or below the floor that a
birth tells. Repeats are dropped by what was seen; acknowledged is what is settled: a message that
the floor covers may still come late, and is then new.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from agent.reporting.payloads import Ack, SeqRange

RANGES_IN_AN_ACK = 64


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

    def prefix(self) -> int:
        """The last number up to which all are in, counted from 1; 0 where 1 is not."""
        return self._lasts[0] if self._firsts and self._firsts[0] <= 1 else 0

    def above(self, seq: int) -> tuple[SeqRange, ...]:
        """The ranges that begin above a number, in order."""
        index = bisect_right(self._firsts, seq)
        return tuple(
            SeqRange(*ends) for ends in zip(self._firsts[index:], self._lasts[index:], strict=True)
        )


class Deduplicator:
    """One box under one epoch."""

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self.seen = SeqSet()
        self._settled = SeqSet()

    def take(self, seq: int) -> bool:
        """A message has been stored. Whether it was new."""
        if seq in self.seen:
            return False
        self.seen.add(seq, seq)
        self._settled.add(seq, seq)
        return True

    def never_come(self, ranges: tuple[SeqRange, ...]) -> None:
        """A receipt names numbers that are lost."""
        for span in ranges:
            self._settled.add(span.first, span.last)

    def floor(self, settled_upto: int) -> None:
        """A birth tells that no number up to this one will be sent any more."""
        self._settled.add(1, settled_upto)

    def holes(self) -> tuple[SeqRange, ...]:
        """The numbers that are still to come, below the highest that is settled."""
        spans = list(self._settled)
        first, out = 1, []
        for span in spans:
            if span.first > first:
                out.append(SeqRange(first, span.first - 1))
            first = span.last + 1
        return tuple(out)

    def ack(self) -> Ack:
        """What to tell the box."""
        upto = self._settled.prefix()
        also = self._settled.above(upto)[-RANGES_IN_AN_ACK:]
        return Ack(epoch=self._epoch, upto=upto, also=also)
