"""Coverage of an export by the chain heads that the centre has stored, with the times at which it received them. Pure.

A head is the hash of a receipt, and with it of all receipts before: none of them can be changed once the centre has it, not even
with the box's key. The centre's time of arrival bounds the times that the box claims: a receipt existed when a head at or
after it arrived, and it was written after the head before it, which arrives within DELIVERY_S.
"""

import math
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate

import msgspec

from agent.base.clock import ClockTrust, rfc3339, unix_ms, utc_from_unix_ns
from agent.recording.custody.receipts import UtcText

DELIVERY_S = 120.0
"""Of a head to the centre: one a minute, and what the link takes."""
CENTRE_CLOCK_S = 2.0
"""Tolerance of the centre's own clock."""

_HEAD = re.compile(r"([1-9][0-9]{0,15}):([0-9a-f]{64})(?: (\S+))?", re.ASCII)
_MS_PER_S, _NS_PER_MS = 1000, 1_000_000


class KnownHead(msgspec.Struct, frozen=True, kw_only=True):
    """A head that the centre knows. `received_ms`: when the centre received it, in Unix time, or None if that is unknown."""

    seq: int
    sha256: str
    received_ms: int | None = None


class HeadCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """Receipts of an export by what vouches for them. Times are those that the receipts claim.

    Receipts up to `covered_seq` are unchanged since the centre received a head; the `alone_count` after it, from
    `alone_time` on, are what the box alone claims. The times of `confirmed_count`, from `confirmed_seq` on, are confirmed to
    within `confirmed_within_s`. `early_count`, from `early_seq` on, claim a time before the head before them arrived.
    """

    covered_seq: int | None = None
    covered_time: str | None = None
    alone_count: int
    alone_time: str | None
    confirmed_count: int = 0
    confirmed_seq: int | None = None
    confirmed_time: str | None = None
    confirmed_within_s: float | None = None
    early_count: int = 0
    early_seq: int | None = None


class LateReceipt(ValueError):
    """A receipt claims a time after the centre had it. `seq` is its number."""

    def __init__(self, seq: int, time: str, received: str) -> None:
        super().__init__(f"claims {time}, and the centre had it at {received}")
        self.seq = seq


def parse_head(line: str) -> KnownHead:
    """Parse `SEQ:SHA256` or `SEQ:SHA256 TIME`. Raises: ValueError."""
    match = _HEAD.fullmatch(line)
    if match is None:
        raise ValueError("the receipt's number, a colon, 64 hexadecimal digits, and perhaps a time")
    time = match[3]
    try:
        received_ms = None if time is None else _to_unix_ms(msgspec.convert(time, UtcText))
    except msgspec.ValidationError as error:
        raise ValueError("a time such as 2026-11-25T01:00:18.000Z") from error
    return KnownHead(seq=int(match[1]), sha256=match[2], received_ms=received_ms)


def format_head(head: KnownHead) -> str:
    """Return the line that `parse_head` reads."""
    line = f"{head.seq}:{head.sha256}"
    return line if head.received_ms is None else f"{line} {_format(head.received_ms)}"


class ReceiptTimes:
    """The times that the receipts of an export claim, 16 bytes each."""

    def __init__(self, first_seq: int) -> None:
        self._first_seq = first_seq
        self._times_ms = array("q")
        self._errors_ms = array("d")

    def add(self, time: str, clock: ClockTrust) -> None:
        """Add the next receipt."""
        self._times_ms.append(_to_unix_ms(time))
        is_known = clock.synced and clock.error_s is not None
        self._errors_ms.append((clock.error_s or 0.0) * _MS_PER_S if is_known else math.nan)

    def cover(self, heads: Iterable[KnownHead]) -> HeadCoverage:
        """Return what these heads, which the chain has, say about the receipts. Raises: LateReceipt, of the first."""
        first, last = self._first_seq, self._first_seq + len(self._times_ms) - 1
        linked = sorted(
            (head for head in heads if first - 1 <= head.seq <= last), key=lambda head: head.seq
        )
        covered_seq = max((head.seq for head in linked if head.seq >= first), default=None)
        alone_seq = first if covered_seq is None else covered_seq + 1
        dated = [(head.seq, head.received_ms) for head in linked if head.received_ms is not None]
        confirmed: list[int] = []
        early: list[int] = []
        widest_ms = 0.0
        for seq, after_ms, before_ms in _bounds(dated, first, last):
            time_ms, error_ms = self._times_ms[seq - first], self._errors_ms[seq - first]
            if math.isnan(error_ms):
                continue
            if (
                before_ms is not None
                and time_ms - error_ms > before_ms + CENTRE_CLOCK_S * _MS_PER_S
            ):
                raise LateReceipt(seq, self._time(seq), _format(before_ms))
            if after_ms is None:
                continue
            if time_ms + error_ms < after_ms - DELIVERY_S * _MS_PER_S:
                early.append(seq)
            elif before_ms is not None:
                confirmed.append(seq)
                widest_ms = max(widest_ms, before_ms - after_ms + DELIVERY_S * _MS_PER_S)
        return HeadCoverage(
            covered_seq=covered_seq,
            covered_time=None if covered_seq is None else self._time(covered_seq),
            alone_count=last + 1 - alone_seq,
            alone_time=self._time(alone_seq) if alone_seq <= last else None,
            confirmed_count=len(confirmed),
            confirmed_seq=confirmed[0] if confirmed else None,
            confirmed_time=self._time(confirmed[0]) if confirmed else None,
            confirmed_within_s=widest_ms / _MS_PER_S if confirmed else None,
            early_count=len(early),
            early_seq=early[0] if early else None,
        )

    def _time(self, seq: int) -> str:
        return _format(self._times_ms[seq - self._first_seq])


def _to_unix_ms(time: str) -> int:
    return unix_ms(datetime.fromisoformat(time))


def _format(time_ms: int) -> str:
    return rfc3339(utc_from_unix_ns(time_ms * _NS_PER_MS))


def _bounds(
    dated: Sequence[tuple[int, int]], first: int, last: int
) -> Iterator[tuple[int, int | None, int | None]]:
    """Yield for each receipt its number, the latest arrival of a head before it, and the earliest of one at or after it.

    `dated` are the numbers of heads, in order, and when each arrived.
    """
    earliest_ms = list(accumulate((received_ms for _, received_ms in reversed(dated)), min))[::-1]
    after_ms: int | None = None
    at = 0
    for seq in range(first, last + 1):
        while at < len(dated) and dated[at][0] < seq:
            received_ms = dated[at][1]
            after_ms = received_ms if after_ms is None else max(after_ms, received_ms)
            at += 1
        yield seq, after_ms, earliest_ms[at] if at < len(dated) else None
