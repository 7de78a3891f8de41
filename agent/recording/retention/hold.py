"""A hold: a span of a camera's footage that is not evicted, whose it is, why, and until when. Pure."""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from agent.recording.retention.segment_age import SegmentAges, short_boot
from agent.recording.segment_name import rfc3339

Kind = Literal["event", "manual"]

_WHOLE_BOOT_MS = 1 << 62


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """One hold, as its file has it.

    With `boot` the span is `begin_ns` to `end_ns` of that boot, and its UTC is there to be read.
    Without, as a person gives it, it is `begin_time` to `end_time`; the two other fields are None.
    `going_on` is of an event that has not ended: its footage is held up to now, and up to the end
    of the boot where the power went first. `made_boot`, `made_ns` and `made_time` tell when it was
    made, `made_synced` whether that UTC could be trusted; `expires` counts from there, so that a
    clock that is stepped ends no hold. `noted` tells that the custody chain knows it as it is.
    Times are RFC 3339; in a file that somebody else wrote in any of its forms.
    """

    v: Literal[1] = 1
    id: str
    kind: Kind
    camera: str
    boot: str | None
    begin_ns: int | None
    end_ns: int | None
    begin_time: str
    end_time: str
    going_on: bool = False
    owner: str
    reason: str
    made_boot: str
    made_ns: int
    made_time: str
    made_synced: bool
    expires: str
    noted: bool = False

    def checked(self) -> "Hold":
        """The same with its times as receipts have them: UTC, with milliseconds.

        Raises ValueError where they are none, or the span of a boot is not whole.
        """
        if (self.boot is None) != (self.begin_ns is None) or (self.boot is None) != (
            self.end_ns is None
        ):
            raise ValueError("boot, begin_ns and end_ns are all there or none is")
        return msgspec.structs.replace(
            self,
            begin_time=_receipt_time(self.begin_time),
            end_time=_receipt_time(self.end_time),
            made_time=_receipt_time(self.made_time),
            expires=_receipt_time(self.expires),
        )

    def is_expired(self, ages: SegmentAges) -> bool:
        """Whether its term is surely over. While the clock is not trusted, powered-on time counts."""
        return made_ago(self, ages) >= _unix_ms(self.expires) - _unix_ms(self.made_time)


def _receipt_time(time: str) -> str:
    utc = datetime.fromisoformat(time)
    if utc.tzinfo is None:
        raise ValueError(f"{time}: no time zone")
    try:
        return rfc3339(utc)
    except OverflowError as error:
        raise ValueError(f"{time}: beyond all time") from error


def made_ago(hold: Hold, ages: SegmentAges) -> int:
    """How long ago a hold was made, at least, in milliseconds."""
    utc_ms = _unix_ms(hold.made_time) if hold.made_synced else None
    return ages.age_since_ms(short_boot(hold.made_boot), hold.made_ns // 1_000_000, utc_ms)


class HeldRange(msgspec.Struct, frozen=True, kw_only=True):
    """One segment's length as far as names tell it: from its begin to the next one's, in the
    milliseconds of its boot; `utc_ms` are the moments in UTC that it may have begun at.
    """

    boot: str
    begin_ms: int
    end_ms: int
    utc_ms: tuple[int, ...]


class HeldSpans:
    """The spans of some holds of one camera, to be asked of many segments."""

    def __init__(self, holds: Iterable[Hold]) -> None:
        spans: dict[str | None, list[tuple[int, int]]] = {}
        for hold in holds:
            key = None if hold.boot is None else short_boot(hold.boot)
            spans.setdefault(key, []).append(_span_ms(hold))
        self._spans = {key: _joined(each) for key, each in spans.items()}

    def __bool__(self) -> bool:
        return bool(self._spans)

    def hold(self, stretch: HeldRange) -> bool:
        """Whether a segment, or any of it, is held."""
        if self._meets(stretch.boot, stretch.begin_ms, stretch.end_ms):
            return True
        length_ms = stretch.end_ms - stretch.begin_ms
        return None in self._spans and any(
            self._meets(None, utc_ms, utc_ms + length_ms) for utc_ms in stretch.utc_ms
        )

    def _meets(self, key: str | None, begin_ms: int, end_ms: int) -> bool:
        spans = self._spans.get(key, [])
        at = bisect_right(spans, (end_ms, _WHOLE_BOOT_MS)) - 1
        return at >= 0 and spans[at][1] >= begin_ms


def _span_ms(hold: Hold) -> tuple[int, int]:
    if hold.begin_ns is None or hold.end_ns is None:
        return _unix_ms(hold.begin_time), _unix_ms(hold.end_time)
    end_ms = _WHOLE_BOOT_MS if hold.going_on else -(-hold.end_ns // 1_000_000)
    return hold.begin_ns // 1_000_000, end_ms


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same in order and without overlaps."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((begin, end))
    return joined


def _unix_ms(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
