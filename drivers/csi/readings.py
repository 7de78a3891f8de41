"""From a picture's metadata, by libcamera's names, to readings. Pure."""

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


def lux_of(metadata: Mapping[str, object]) -> float | None:
    """The light that the camera measured, None where it does not."""
    return _parsed(metadata).lux


def readings_of(
    metadata: Mapping[str, object],
    *,
    night: bool,
    dropped_frames: int = 0,
    dropped_packets: int = 0,
) -> CameraReadings:
    """What a picture's metadata says, with what the driver knows itself."""
    said = _parsed(metadata)
    return CameraReadings(
        night=night,
        exposure_us=said.exposure_time,
        analogue_gain=_rounded(said.analogue_gain),
        lux=_rounded(said.lux),
        colour_temperature_k=said.colour_temperature,
        lens_dioptres=_rounded(said.lens_position),
        focus_score=said.focus_fom,
        dropped_frames=dropped_frames,
        dropped_packets=dropped_packets,
    )


def _parsed(metadata: Mapping[str, object]) -> _Metadata:
    return msgspec.convert(metadata, _Metadata, strict=False)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
