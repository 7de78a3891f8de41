"""Night detection of a camera. Pure: light and time are arguments."""

from drivers.csi.options import Night

MINUTES_PER_HOUR = 60


class NightDetector:
    """Day and night, with hysteresis.

    By light: below one threshold it is night, above another one day, and between them nothing
        changes. A change needs `dwell_s` without interruption, so that neither a passing lamp nor the
        camera's own infrared lamp causes flicker; only the first reading decides at once. Without light
        readings the state does not change, and it begins as day.
    """

    def __init__(self, options: Night) -> None:
        self._options = options
        self._dwell_ns = round(options.dwell_s * 1e9)
        self._is_night = options.mode == "night"
        self._has_reading = False
        self._crossed_since_ns: int | None = None

    def update(self, t_ns: int, lux: float | None, minute: int) -> bool:
        """Whether it is night at `t_ns`, `minute` minutes after midnight."""
        if self._options.mode == "schedule":
            self._is_night = _is_between(
                minute, _minute_of_day(self._options.begin), _minute_of_day(self._options.end)
            )
        elif self._options.mode == "auto" and lux is not None:
            self._update_by_lux(t_ns, lux)
        return self._is_night

    def _update_by_lux(self, t_ns: int, lux: float) -> None:
        limit = self._options.lux_above if self._is_night else self._options.lux_below
        is_crossed = lux > limit if self._is_night else lux < limit
        if not is_crossed:
            self._crossed_since_ns = None
        elif self._crossed_since_ns is None:
            self._crossed_since_ns = t_ns
        since_ns = self._crossed_since_ns
        if since_ns is not None and (not self._has_reading or t_ns - since_ns >= self._dwell_ns):
            self._is_night = not self._is_night
            self._crossed_since_ns = None
        self._has_reading = True


def _minute_of_day(time_of_day: str) -> int:
    hours, minutes = time_of_day.split(":")
    return int(hours) * MINUTES_PER_HOUR + int(minutes)


def _is_between(minute: int, begin: int, end: int) -> bool:
    """Whether a minute is in a span, which passes midnight if it ends before it begins."""
    if begin < end:
        return begin <= minute < end
    return minute >= begin or minute < end
