"""Boot time and UTC, and how far UTC can be trusted.

Inside the agent time is CLOCK_BOOTTIME: it never steps, and it goes on in suspend. UTC is
attached where something leaves the box, with the trust of that moment beside it. Nothing is
ordered by UTC.
"""

import ctypes
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec


class ClockTrust(msgspec.Struct, frozen=True, kw_only=True):
    """How far the system's UTC can be trusted. `error_s` is the kernel's bound, where it has one."""

    synced: bool
    source: str
    error_s: float | None


class Clock(Protocol):
    """The agent's only way to ask for the time; tests hold their own."""

    def boottime_ns(self) -> int:
        """Nanoseconds since boot."""
        ...

    def utc(self, t_ns: int) -> datetime:
        """The UTC of a boot time, as the system's clock sees it now."""
        ...

    def trust(self) -> ClockTrust:
        """How far `utc` can be trusted now."""
        ...


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as it is read, with room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


_STA_UNSYNC = 0x0040
_STA_NANO = 0x2000
_TIME_ERROR = 5
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class SystemClock:
    """The machine's clocks. Trust comes from the kernel's own discipline, adjtimex(2)."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def boottime_ns(self) -> int:
        """Nanoseconds since boot, suspend included."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def utc(self, t_ns: int) -> datetime:
        """The UTC of a boot time. It moves when the system's clock is stepped."""
        age_ns = self.boottime_ns() - t_ns
        return utc_from_unix_ns(time.time_ns() - age_ns)

    def trust(self) -> ClockTrust:
        """What the kernel says: unsynchronised until a time daemon has disciplined the clock."""
        timex = _Timex(modes=0)
        clock_state = self._libc.adjtimex(ctypes.byref(timex))
        synced = clock_state not in (-1, _TIME_ERROR) and not timex.status & _STA_UNSYNC
        return ClockTrust(
            synced=synced,
            source="ntp" if synced else "none",
            error_s=timex.maxerror / 1e6 if synced else None,
        )


def kernel_offset_s() -> float | None:
    """How far the kernel still has to slew the clock, adjtimex(2); None while nobody disciplines it."""
    timex = _Timex(modes=0)
    clock_state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if clock_state in (-1, _TIME_ERROR) or timex.status & _STA_UNSYNC:
        return None
    return float(timex.offset) / (1e9 if timex.status & _STA_NANO else 1e6)


def boot_id() -> str:
    """The kernel's name for this boot, a random UUID (proc(5), random/boot_id)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def unix_ns(utc: datetime) -> int:
    """Nanoseconds since 1970, exact to the microsecond."""
    return (utc - _UNIX_EPOCH) // _MICROSECOND * 1000


def unix_ms(utc: datetime) -> int:
    """Milliseconds since 1970, rounded."""
    return (unix_ns(utc) + 500_000) // 1_000_000


def utc_from_unix_ns(ns: int) -> datetime:
    """UTC from nanoseconds since 1970, cut to the microsecond."""
    return _UNIX_EPOCH + timedelta(microseconds=ns // 1000)


def rfc3339(utc: datetime) -> str:
    """UTC as RFC 3339 text with milliseconds and `Z`."""
    return utc.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
