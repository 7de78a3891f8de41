"""Readings from a picture's metadata, by libcamera's names. Pure."""

from collections.abc import Mapping

import msgspec

from drivers.contracts import CameraReadings


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
