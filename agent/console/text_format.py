"""Durations, sizes and times as text. Pure."""

from datetime import datetime

from agent.base.message import Message

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def format_duration(duration_s: float) -> Message:
    """Format a duration with its two largest units: `3.2 s`, `5 min`, `3 d 4 h`."""
    if duration_s < 10:  # noqa: PLR2004 - the tenth counts
        return Message("{seconds:.1f} s", seconds=duration_s)
    if duration_s < _MINUTE_S:
        return Message("{seconds:.0f} s", seconds=duration_s)
    days, rest_s = divmod(int(duration_s), _DAY_S)
    hours, rest_s = divmod(rest_s, _HOUR_S)
    minutes = rest_s // _MINUTE_S
    if days:
        return Message("{days} d {hours} h", days=days, hours=hours)
    if hours:
        return Message("{hours} h {minutes} min", hours=hours, minutes=minutes)
    return Message("{minutes} min", minutes=minutes)


def format_bytes(size_bytes: int) -> Message:
    """Format a size in the largest SI unit of which it has at least one."""
    if size_bytes < 10**3:
        return Message("{size} bytes", size=size_bytes)
    if size_bytes < 10**6:
        return Message("{size:.1f} kB", size=size_bytes / 10**3)
    if size_bytes < 10**9:
        return Message("{size:.1f} MB", size=size_bytes / 10**6)
    if size_bytes < 10**12:
        return Message("{size:.1f} GB", size=size_bytes / 10**9)
    return Message("{size:.1f} TB", size=size_bytes / 10**12)


def format_time(utc: datetime) -> str:
    """Format a UTC time to the second."""
    return f"{utc:%Y-%m-%d %H:%M:%S}Z"
