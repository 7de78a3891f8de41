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

from agent.base.clock import unix_ms
from agent.recording.segment_name import SegmentName

MAX_CLOCK_DRIFT_MS = 60_000
"""A disciplined clock is slewed by no more than 500 ppm and stepped at its start (ntp_adjtime(2)),
so that a minute between two of its words in one boot is no drift."""

BOOT_ID_DIGITS = 8


def short_boot(boot_id: str) -> str:
    """The boot as a segment's name has it."""
    return boot_id.replace("-", "")[:BOOT_ID_DIGITS]


class ClockReading(msgspec.Struct, frozen=True, kw_only=True):
    """The moment that ages are told at: milliseconds since the boot `boot` and since 1970, and
    whether the latter can be trusted.
    """

    boot: str
    boot_ms: int
    unix_ms: int
    synced: bool


class _BootClock:
    """What is known of one boot. UTC at its zero is between `zero_min` and `zero_max`."""

    def __init__(self) -> None:
        self.last_segment_ms = 0
        self.min_epoch_ms: int | None = None
        self.max_epoch_ms: int | None = None

    def add_epoch(self, epoch_ms: int) -> None:
        self.min_epoch_ms = (
            epoch_ms if self.min_epoch_ms is None else min(self.min_epoch_ms, epoch_ms)
        )
        self.max_epoch_ms = (
            epoch_ms if self.max_epoch_ms is None else max(self.max_epoch_ms, epoch_ms)
        )

    @property
    def epoch_ms(self) -> int | None:
        """UTC at the boot's zero, None where nobody knows or the clock contradicts itself."""
        if self.min_epoch_ms is None or self.max_epoch_ms is None:
            return None
        return (
            self.max_epoch_ms
            if self.max_epoch_ms - self.min_epoch_ms <= MAX_CLOCK_DRIFT_MS
            else None
        )


class BootTimeline:
    """The boots of one camera's footage, in their order."""

    def __init__(self, names: Iterable[SegmentName] = ()) -> None:
        self._boots: dict[str, _BootClock] = {}
        for name in names:
            self.add(name)

    def add(self, name: SegmentName) -> None:
        """Take note of the newest segment's name."""
        boot = self._boots.setdefault(name.boot, _BootClock())
        boot.last_segment_ms = max(boot.last_segment_ms, name.begin_ms)
        if name.synced:
            boot.add_epoch(unix_ms(name.utc) - name.begin_ms)

    def boot_epochs(self) -> dict[str, int]:
        """UTC at the zero of each boot whose clock can be believed, in milliseconds since 1970."""
        epochs_ms: dict[str, int] = {}
        contradictory: set[str] = set()
        previous: str | None = None
        for key, boot in self._boots.items():
            epoch_ms = boot.epoch_ms
            if epoch_ms is None:
                continue
            if previous is not None:
                end_ms = epochs_ms[previous] + self._boots[previous].last_segment_ms
                if end_ms > epoch_ms + MAX_CLOCK_DRIFT_MS:
                    contradictory |= {previous, key}
            epochs_ms[key] = epoch_ms
            previous = key
        return {key: epoch_ms for key, epoch_ms in epochs_ms.items() if key not in contradictory}

    def ages(self, now: ClockReading) -> "SegmentAges":
        """How old each boot's footage is now."""
        boot_epochs_ms = self.boot_epochs()
        current = self._boots.get(now.boot, _BootClock())
        is_utc_trusted = now.synced
        if is_utc_trusted and current.min_epoch_ms is not None:
            epoch_ms = boot_epochs_ms.get(now.boot)
            current_epoch_ms = now.unix_ms - now.boot_ms
            is_utc_trusted = (
                epoch_ms is not None and abs(current_epoch_ms - epoch_ms) <= MAX_CLOCK_DRIFT_MS
            )
        boot_ages_ms = {now.boot: now.boot_ms}
        ended_ago_ms = now.boot_ms
        for key in reversed(self._boots):
            if key == now.boot:
                continue
            powered_ms = ended_ago_ms + self._boots[key].last_segment_ms
            utc_age_ms = (
                now.unix_ms - boot_epochs_ms[key] if is_utc_trusted and key in boot_epochs_ms else 0
            )
            boot_ages_ms[key] = ended_ago_ms = max(powered_ms, utc_age_ms)
        return SegmentAges(
            now=now,
            boot_ages_ms=boot_ages_ms,
            boot_epochs_ms=boot_epochs_ms,
            is_utc_trusted=is_utc_trusted,
        )


class SegmentAges(msgspec.Struct, frozen=True, kw_only=True):
    """`since_zero_ms` is how long ago each boot began, at least; `synced` whether now's UTC is
    believed.
    """

    now: ClockReading
    boot_ages_ms: dict[str, int]
    boot_epochs_ms: dict[str, int]
    is_utc_trusted: bool

    def age_ms(self, name: SegmentName) -> int:
        """How old a segment surely is, in milliseconds. It grows from a ring's newest to its oldest."""
        return self.boot_ages_ms.get(name.boot, self.now.boot_ms) - name.begin_ms

    def age_since_ms(self, boot: str | None, begin_ms: int, begin_unix_ms: int | None) -> int:
        """How long ago a moment surely was, of a boot that the ring may not know. `utc_ms` is its
        UTC where that could be trusted then.
        """
        boot_age_ms = self.boot_ages_ms.get(boot or "")
        powered_ms = self.now.boot_ms if boot_age_ms is None else boot_age_ms - begin_ms
        utc_age_ms = (
            self.now.unix_ms - begin_unix_ms
            if self.is_utc_trusted and begin_unix_ms is not None
            else 0
        )
        # Within one boot the boot's own time is exact.
        return powered_ms if boot == self.now.boot else max(powered_ms, utc_age_ms)

    def possible_begin_unix_ms(self, name: SegmentName) -> tuple[int, ...]:
        """When a segment may have begun, in milliseconds since 1970: as its name has it, and, of a
        boot whose clock was disciplined sooner or later, as that tells.

        Both, because a span in UTC may have been given by either.
        """
        named_unix_ms = unix_ms(name.utc)
        epoch_ms = self.boot_epochs_ms.get(name.boot)
        return (named_unix_ms,) if epoch_ms is None else (named_unix_ms, epoch_ms + name.begin_ms)
