"""Readings from a picture's metadata, by libcamera's names, and the night that they show. Pure: light and time are arguments."""

from collections.abc import Mapping

import msgspec

from drivers.contracts import CameraReadings
from drivers.csi.options import Night

MINUTES_PER_HOUR = 60


class _Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    exposure_time: int | None = None
    analogue_gain: float | None = None
    lux: float | None = None
    colour_temperature: int | None = None
    lens_position: float | None = None
    focus_fom: int | None = msgspec.field(name="FocusFoM", default=None)


def read_lux(metadata: Mapping[str, object]) -> float | None:
    """Return the light that the camera measured, or None if it measures none."""
    return _parse_metadata(metadata).lux


def to_readings(
    metadata: Mapping[str, object],
    *,
    night: bool,
    dropped_frames: int = 0,
    dropped_packets: int = 0,
) -> CameraReadings:
    """Return a picture's readings, with the driver's own counters."""
    parsed = _parse_metadata(metadata)
    return CameraReadings(
        night=night,
        exposure_us=parsed.exposure_time,
        analogue_gain=_round_or_none(parsed.analogue_gain),
        lux=_round_or_none(parsed.lux),
        colour_temperature_k=parsed.colour_temperature,
        lens_dioptres=_round_or_none(parsed.lens_position),
        focus_score=parsed.focus_fom,
        dropped_frames=dropped_frames,
        dropped_packets=dropped_packets,
    )


def _parse_metadata(metadata: Mapping[str, object]) -> _Metadata:
    return msgspec.convert(metadata, _Metadata, strict=False)


def _round_or_none(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


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
