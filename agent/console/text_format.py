"""Durations, sizes and times as text. Pure."""

from datetime import datetime

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def format_duration(duration_s: float) -> str:
    """Format a duration with its two largest units: `3.2 s`, `5 min`, `3 d 4 h`."""
    if duration_s < 60:  # noqa: PLR2004 - a minute
        return f"{duration_s:.1f} s" if duration_s < 10 else f"{duration_s:.0f} s"  # noqa: PLR2004
    parts, remaining_s = [], int(duration_s)
    for size, unit in _UNITS:
        if remaining_s >= size:
            parts.append(f"{remaining_s // size} {unit}")
            remaining_s %= size
    return " ".join(parts[:2])


def format_bytes(size_bytes: int) -> str:
    """Format a size in the largest SI unit of which it has at least one."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - SI
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def format_time(utc: datetime) -> str:
    """Format a UTC time to the second."""
    return f"{utc:%Y-%m-%d %H:%M:%S}Z"
