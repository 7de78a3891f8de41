"""Clocks: boot time, UTC, and the trust in UTC.

Inside the agent time is CLOCK_BOOTTIME: it never steps, and it advances during suspend. UTC is attached
when data leaves the box, together with the clock's trust at that moment. Nothing is ordered by UTC.
"""

import ctypes
import time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Literal, Protocol

import msgspec


class ClockTrust(msgspec.Struct, frozen=True, kw_only=True):
    """Trust in the system's UTC. `error_s` is the kernel's error bound, None while unsynchronised.

    `source` is `nts` if time servers authenticate themselves, `ntp` if they do not, `none` while
    unsynchronised, and BENCH_SOURCE if an unsynchronised clock is trusted all the same.
    """

    synced: bool
    source: str
    error_s: float | None


class Clock(Protocol):
    """The agent's only source of time; tests pass their own."""

    def boottime_ns(self) -> int:
        """Return nanoseconds since boot."""
        ...

    def unsteered_ns(self) -> int:
        """Return nanoseconds since boot by the crystal alone: no time daemon slews them."""
        ...

    def utc(self, t_ns: int) -> datetime:
        """Convert a boot time to UTC by the system's clock as it is now."""
        ...

    def trust(self) -> ClockTrust:
        """Return the trust in UTC as it is now."""
        ...


class _Timex(ctypes.Structure):
    """The fields of adjtimex(2)'s struct timex that are read here, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


_LIBC = ctypes.CDLL(None, use_errno=True)
_STA_UNSYNC = 0x0040
_STA_NANO = 0x2000
_TIME_ERROR = 5
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

TIME_SOURCE_FILE = Path("/run/vigie-time/source")
"""`nts` if the time daemon accepts authenticated servers only. `vigie provision` writes it at each boot, before
the daemon and the agent start; a machine without it makes no such claim.
"""


BENCH_SOURCE = "bench"


class SystemClock:
    """The machine's clocks. Trust is the kernel's synchronisation state, adjtimex(2).

    With `is_bench` it trusts a clock that the kernel does not call synchronised, such as that of a container.
    """

    def __init__(
        self, time_source_file: Path = TIME_SOURCE_FILE, *, is_bench: bool = False
    ) -> None:
        self._source = read_time_source(time_source_file)
        self._unsynced = ClockTrust(
            synced=is_bench, source=BENCH_SOURCE if is_bench else "none", error_s=None
        )

    def boottime_ns(self) -> int:
        """Return nanoseconds since boot, suspend included."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def unsteered_ns(self) -> int:
        """Return CLOCK_MONOTONIC_RAW. It stops during a suspend, which a box does not have."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)

    def utc(self, t_ns: int) -> datetime:
        """Convert a boot time to UTC. The result shifts when the system's clock is stepped."""
        age_ns = self.boottime_ns() - t_ns
        return utc_from_unix_ns(time.time_ns() - age_ns)

    def trust(self) -> ClockTrust:
        """Return the kernel's state: unsynchronised until a time daemon has disciplined the clock."""
        timex, synced = _adjtimex()
        if not synced:
            return self._unsynced
        return ClockTrust(synced=True, source=self._source, error_s=timex.maxerror / 1e6)


def trusted_utc(clock: Clock, t_ns: int) -> datetime | None:
    """Convert a boot time to UTC, or return None while UTC cannot be trusted."""
    return clock.utc(t_ns) if clock.trust().synced else None


def trusted_local_time(clock: Clock, time_zone: tzinfo, t_ns: int) -> datetime | None:
    """Convert a boot time to the wall clock of a time zone, or return None while UTC cannot be trusted."""
    utc = trusted_utc(clock, t_ns)
    return None if utc is None else utc.astimezone(time_zone)


def read_time_source(file: Path) -> Literal["ntp", "nts"]:
    """Return `nts` if the file says so. Any other, or none, makes no such claim: `ntp`."""
    try:
        return "nts" if file.read_bytes().strip() == b"nts" else "ntp"
    except OSError:
        return "ntp"


def kernel_offset_s() -> float | None:
    """Return the offset that the kernel still slews, adjtimex(2), or None while unsynchronised."""
    timex, synced = _adjtimex()
    return float(timex.offset) / (1e9 if timex.status & _STA_NANO else 1e6) if synced else None


def _adjtimex() -> tuple[_Timex, bool]:
    """Return the kernel's clock state, and True if it is synchronised."""
    timex = _Timex(modes=0)
    state = _LIBC.adjtimex(ctypes.byref(timex))
    return timex, state not in (-1, _TIME_ERROR) and not timex.status & _STA_UNSYNC


def boot_id() -> str:
    """Return the kernel's id of this boot, a random UUID (proc(5), random/boot_id)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def unix_ns(utc: datetime) -> int:
    """Convert UTC to nanoseconds since 1970, exact to the microsecond."""
    return (utc - _UNIX_EPOCH) // _MICROSECOND * 1000


def unix_ms(utc: datetime) -> int:
    """Convert UTC to milliseconds since 1970, rounded."""
    return (unix_ns(utc) + 500_000) // 1_000_000


def utc_from_unix_ns(ns: int) -> datetime:
    """Convert nanoseconds since 1970 to UTC, truncated to the microsecond."""
    return _UNIX_EPOCH + timedelta(microseconds=ns // 1000)


def rfc3339(utc: datetime) -> str:
    """Format UTC as RFC 3339 text with milliseconds and `Z`."""
    return utc.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
