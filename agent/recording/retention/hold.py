"""Holds: spans of a camera's footage that are protected from eviction. Pure."""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from agent.base.clock import rfc3339, unix_ms
from agent.recording.segment_age import SegmentAges, short_boot

HoldKind = Literal["event", "manual"]

_BOOT_END_MS = 1 << 62


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """One hold, as stored in its file.

    With `boot`, the span is `begin_ns` to `end_ns` of that boot and its UTC is informative. Without,
    as an operator enters it, the span is `begin_time` to `end_time` and both `_ns` are None.
    `ongoing`: the event has not ended; its footage is held up to now, or up to the end of the boot if
    the power failed. `created_boot`, `created_ns` and `created_time` are the time of its creation, and
    `created_synced` is True if that UTC was trusted; `expires` counts from there, so that a clock step
    ends no hold. `case` is the requester's reference. `in_custody_log`: the chain has this version of the hold.
    Times are RFC 3339; another program's file may use any of its forms.
    """

    v: Literal[1] = 1
    id: str
    kind: HoldKind
    camera: str
    boot: str | None
    begin_ns: int | None
    end_ns: int | None
    begin_time: str
    end_time: str
    ongoing: bool = False
    owner: str
    reason: str
    case: str | None = None
    created_boot: str
    created_ns: int
    created_time: str
    created_synced: bool
    expires: str
    in_custody_log: bool = False

    def with_receipt_times(self) -> "Hold":
        """Return the hold with its times in the form of receipts: UTC with milliseconds.

        Raises ValueError if a time is invalid, or the span of a boot is incomplete.
        """
        if (self.boot is None) != (self.begin_ns is None) or (self.boot is None) != (
            self.end_ns is None
        ):
            raise ValueError("boot, begin_ns and end_ns: allowed: all of them, or none")
        return msgspec.structs.replace(
            self,
            begin_time=_to_receipt_time(self.begin_time),
            end_time=_to_receipt_time(self.end_time),
            created_time=_to_receipt_time(self.created_time),
            expires=_to_receipt_time(self.expires),
        )

    def is_expired(self, ages: SegmentAges) -> bool:
        """Return True if it is certainly expired.

        With an untrusted clock, powered-on time counts.
        """
        return hold_age_ms(self, ages) >= _parse_unix_ms(self.expires) - _parse_unix_ms(
            self.created_time
        )


def _to_receipt_time(time: str) -> str:
    utc = datetime.fromisoformat(time)
    if utc.tzinfo is None:
        raise ValueError(f"{time}: has no time zone")
    try:
        return rfc3339(utc)
    except OverflowError as error:
        raise ValueError(f"{time}: out of range") from error


def hold_age_ms(hold: Hold, ages: SegmentAges) -> int:
    """Return the minimum age of a hold in milliseconds."""
    created_unix_ms = _parse_unix_ms(hold.created_time) if hold.created_synced else None
    return ages.age_since_ms(
        short_boot(hold.created_boot), hold.created_ns // 1_000_000, created_unix_ms
    )


class SegmentInterval(msgspec.Struct, frozen=True, kw_only=True):
    """Span of one segment by names alone: from its begin to the next one's.

    `possible_begin_unix_ms` are the UTC times at which it may have begun.
    """

    boot: str
    begin_ms: int
    end_ms: int
    possible_begin_unix_ms: tuple[int, ...]


class HoldIndex:
    """Merged spans of one camera's holds, for lookups of many segments."""

    def __init__(self, holds: Iterable[Hold]) -> None:
        spans: dict[str | None, list[tuple[int, int]]] = {}
        for hold in holds:
            key = None if hold.boot is None else short_boot(hold.boot)
            spans.setdefault(key, []).append(_hold_span_ms(hold))
        self._spans_by_boot = {key: _merge_spans(each) for key, each in spans.items()}

    def __bool__(self) -> bool:
        return bool(self._spans_by_boot)

    def covers(self, interval: SegmentInterval) -> bool:
        """Return True if any part of the segment is held."""
        if self._overlaps(interval.boot, interval.begin_ms, interval.end_ms):
            return True
        length_ms = interval.end_ms - interval.begin_ms
        return None in self._spans_by_boot and any(
            self._overlaps(None, utc_ms, utc_ms + length_ms)
            for utc_ms in interval.possible_begin_unix_ms
        )

    def _overlaps(self, boot: str | None, begin_ms: int, end_ms: int) -> bool:
        spans = self._spans_by_boot.get(boot, [])
        index = bisect_right(spans, (end_ms, _BOOT_END_MS)) - 1
        return index >= 0 and spans[index][1] >= begin_ms


def _hold_span_ms(hold: Hold) -> tuple[int, int]:
    if hold.begin_ns is None or hold.end_ns is None:
        return _parse_unix_ms(hold.begin_time), _parse_unix_ms(hold.end_time)
    end_ms = _BOOT_END_MS if hold.ongoing else -(-hold.end_ns // 1_000_000)
    return hold.begin_ns // 1_000_000, end_ms


def _merge_spans(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort spans and merge those that overlap."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged


def _parse_unix_ms(time: str) -> int:
    return unix_ms(datetime.fromisoformat(time))
