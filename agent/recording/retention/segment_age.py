"""How old footage surely is, whatever the clock says. Pure.

Age is told by two clocks, and the older answer counts:

- Time with the power on. Within a boot it is exact. Before that, each later boot was on for at
  least as long as the newest name in the ring says. It can only fall short, by the time that the
  box was off.
- UTC, between a boot whose clock was disciplined and now, if it is disciplined now.

So a clock that is wrong or unknown neither wipes footage (its UTC is not asked) nor keeps it for
ever (the powered-on time goes on). The disciplined clock's word is taken only where it does not
contradict itself: within one boot it must stay with the boot's own time, and boots must follow
each other in UTC as they do in the ring.
"""

from collections.abc import Iterable

import msgspec

from agent.recording.segment_name import SegmentName

CONTRADICTION_MS = 60_000
"""A disciplined clock is slewed by no more than 500 ppm and stepped at its start (ntp_adjtime(2)),
so that a minute between two of its words in one boot is no drift."""

BOOT_DIGITS = 8


def short_boot(boot_id: str) -> str:
    """The boot as a segment's name has it."""
    return boot_id.replace("-", "")[:BOOT_DIGITS]


class ClockReading(msgspec.Struct, frozen=True, kw_only=True):
    """The moment that ages are told at: milliseconds since the boot `boot` and since 1970, and
    whether the latter can be trusted.
    """

    boot: str
    ms: int
    unix_ms: int
    synced: bool


class _Boot:
    """What is known of one boot. UTC at its zero is between `zero_min` and `zero_max`."""

    def __init__(self) -> None:
        self.last_ms = 0
        self.zero_min: int | None = None
        self.zero_max: int | None = None

    def anchor(self, zero_ms: int) -> None:
        self.zero_min = zero_ms if self.zero_min is None else min(self.zero_min, zero_ms)
        self.zero_max = zero_ms if self.zero_max is None else max(self.zero_max, zero_ms)

    @property
    def zero_ms(self) -> int | None:
        """UTC at the boot's zero, None where nobody knows or the clock contradicts itself."""
        if self.zero_min is None or self.zero_max is None:
            return None
        return self.zero_max if self.zero_max - self.zero_min <= CONTRADICTION_MS else None


class BootTimeline:
    """The boots of one camera's footage, in their order."""

    def __init__(self, names: Iterable[SegmentName] = ()) -> None:
        self._boots: dict[str, _Boot] = {}
        for name in names:
            self.add(name)

    def add(self, name: SegmentName) -> None:
        """Take note of the newest segment's name."""
        boot = self._boots.setdefault(name.boot, _Boot())
        boot.last_ms = max(boot.last_ms, name.begin_ms)
        if name.synced:
            boot.anchor(unix_ms(name) - name.begin_ms)

    def boot_epochs(self) -> dict[str, int]:
        """UTC at the zero of each boot whose clock can be believed, in milliseconds since 1970."""
        trusted: dict[str, int] = {}
        doubted: set[str] = set()
        before: str | None = None
        for key, boot in self._boots.items():
            zero_ms = boot.zero_ms
            if zero_ms is None:
                continue
            if before is not None:
                end_ms = trusted[before] + self._boots[before].last_ms
                if end_ms > zero_ms + CONTRADICTION_MS:
                    doubted |= {before, key}
            trusted[key] = zero_ms
            before = key
        return {key: zero_ms for key, zero_ms in trusted.items() if key not in doubted}

    def ages(self, now: ClockReading) -> "SegmentAges":
        """How old each boot's footage is now."""
        zeros = self.boot_epochs()
        here = self._boots.get(now.boot, _Boot())
        trusted = now.synced
        if trusted and here.zero_min is not None:
            zero_ms = zeros.get(now.boot)
            now_zero_ms = now.unix_ms - now.ms
            trusted = zero_ms is not None and abs(now_zero_ms - zero_ms) <= CONTRADICTION_MS
        since_zero_ms = {now.boot: now.ms}
        ended_ms = now.ms
        for key in reversed(self._boots):
            if key == now.boot:
                continue
            on_ms = ended_ms + self._boots[key].last_ms
            by_utc_ms = now.unix_ms - zeros[key] if trusted and key in zeros else 0
            since_zero_ms[key] = ended_ms = max(on_ms, by_utc_ms)
        return SegmentAges(now=now, since_zero_ms=since_zero_ms, zeros=zeros, synced=trusted)


class SegmentAges(msgspec.Struct, frozen=True, kw_only=True):
    """`since_zero_ms` is how long ago each boot began, at least; `synced` whether now's UTC is
    believed.
    """

    now: ClockReading
    since_zero_ms: dict[str, int]
    zeros: dict[str, int]
    synced: bool

    def age_ms(self, name: SegmentName) -> int:
        """How old a segment surely is, in milliseconds. It grows from a ring's newest to its oldest."""
        return self.since_zero_ms.get(name.boot, self.now.ms) - name.begin_ms

    def age_since_ms(self, boot: str | None, begin_ms: int, utc_ms: int | None) -> int:
        """How long ago a moment surely was, of a boot that the ring may not know. `utc_ms` is its
        UTC where that could be trusted then.
        """
        known_ms = self.since_zero_ms.get(boot or "")
        on_ms = self.now.ms if known_ms is None else known_ms - begin_ms
        utc_age_ms = self.now.unix_ms - utc_ms if self.synced and utc_ms is not None else 0
        # Within one boot the boot's own time is exact.
        return on_ms if boot == self.now.boot else max(on_ms, utc_age_ms)

    def utc_moments_ms(self, name: SegmentName) -> tuple[int, ...]:
        """When a segment may have begun, in milliseconds since 1970: as its name has it, and, of a
        boot whose clock was disciplined sooner or later, as that tells.

        Both, because a span in UTC may have been given by either.
        """
        named_ms = unix_ms(name)
        zero_ms = self.zeros.get(name.boot)
        return (named_ms,) if zero_ms is None else (named_ms, zero_ms + name.begin_ms)


def unix_ms(name: SegmentName) -> int:
    """The UTC of a name in milliseconds since 1970."""
    return round(name.utc.timestamp() * 1000)
