"""Minimum age of footage, independent of a wrong clock. Pure.

Two clocks measure the age, and the older result counts:

- Powered-on time. It is exact within a boot. Across boots, each later boot lasted at least as long as
  its newest segment's name shows. It can only fall short, by the time that the box was off.
- UTC, between a boot with a disciplined clock and now, if the clock is disciplined now.

A wrong or unknown clock therefore neither deletes footage (its UTC is ignored) nor keeps it for ever
(powered-on time still counts). A disciplined clock is believed only if it is consistent: within one
boot it must agree with boot time, and boots must be in the same order in UTC as in the folder.
"""

from collections.abc import Iterable

import msgspec

from agent.base.clock import unix_ms
from agent.recording.segment_name import SegmentName

MAX_CLOCK_DRIFT_MS = 60_000
"""A disciplined clock is slewed by at most 500 ppm and stepped at its start (ntp_adjtime(2)): more
than a minute of disagreement within one boot is not drift."""

BOOT_ID_DIGITS = 8


def short_boot(boot_id: str) -> str:
    """Return the boot id as segment names have it."""
    return boot_id.replace("-", "")[:BOOT_ID_DIGITS]


class ClockReading(msgspec.Struct, frozen=True, kw_only=True):
    """The reference time of ages: milliseconds since the boot `boot` and since 1970.

    `synced` is True if the latter is trusted.
    """

    boot: str
    boot_ms: int
    unix_ms: int
    synced: bool


class _BootClock:
    """One boot. UTC at its start is between `min_epoch_ms` and `max_epoch_ms`."""

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
        """UTC at the start of the boot, or None if unknown or contradictory."""
        if self.min_epoch_ms is None or self.max_epoch_ms is None:
            return None
        return (
            self.max_epoch_ms
            if self.max_epoch_ms - self.min_epoch_ms <= MAX_CLOCK_DRIFT_MS
            else None
        )


class BootTimeline:
    """The boots of one camera's footage, in order."""

    def __init__(self, names: Iterable[SegmentName] = ()) -> None:
        self._boots: dict[str, _BootClock] = {}
        for name in names:
            self.add(name)

    def add(self, name: SegmentName) -> None:
        """Add the name of the newest segment."""
        boot = self._boots.setdefault(name.boot, _BootClock())
        boot.last_segment_ms = max(boot.last_segment_ms, name.begin_ms)
        if name.synced:
            boot.add_epoch(unix_ms(name.utc) - name.begin_ms)

    def boot_epochs(self) -> dict[str, int]:
        """Return UTC at the start of each boot with a consistent clock, in ms since 1970."""
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
        """Return the ages of all boots at `now`."""
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
    """Ages of a camera's boots at one time.

    `boot_ages_ms` is the minimum time since each boot began. `is_utc_trusted` is True if the UTC
    of `now` is believed.
    """

    now: ClockReading
    boot_ages_ms: dict[str, int]
    boot_epochs_ms: dict[str, int]
    is_utc_trusted: bool

    def age_ms(self, name: SegmentName) -> int:
        """Return the minimum age of a segment in milliseconds.

        It grows from the newest to the oldest.
        """
        return self.boot_ages_ms.get(name.boot, self.now.boot_ms) - name.begin_ms

    def age_since_ms(self, boot: str | None, begin_ms: int, begin_unix_ms: int | None) -> int:
        """Return the minimum time since a moment of any boot, in milliseconds.

        `begin_unix_ms` is its UTC if that was trusted at the time.
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
        """Return the UTC times at which a segment may have begun, in ms since 1970.

        One is that of its name; the other follows from its boot's clock, if it was ever disciplined.
        A hold's span in UTC may refer to either.
        """
        named_unix_ms = unix_ms(name.utc)
        epoch_ms = self.boot_epochs_ms.get(name.boot)
        return (named_unix_ms,) if epoch_ms is None else (named_unix_ms, epoch_ms + name.begin_ms)
