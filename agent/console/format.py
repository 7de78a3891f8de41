"""Numbers as a person reads them. Pure."""

from datetime import datetime

_STEPS = ((86_400, "d"), (3600, "h"), (60, "min"))


def age(seconds: float) -> str:
    """Such as `3.2 s`, `5 min`, `2 h 10 min` or `3 d 4 h`."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    parts, left = [], int(seconds)
    for size, unit in _STEPS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2])


def bytes_told(count: int) -> str:
    """In the largest unit that leaves a number before the point."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - SI
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def moment_told(utc: datetime) -> str:
    """To the second, in UTC."""
    return f"{utc:%Y-%m-%d %H:%M:%S}Z"
