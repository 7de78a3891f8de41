"""From options to libcamera's controls, by name, as control_ids.yaml of libcamera has them."""

from collections.abc import Mapping

import msgspec

from drivers.csi.options import ColourGains, Options

ControlValue = bool | int | float | tuple[int, ...] | tuple[float, ...]
"""A control's value. Enumerations are numbers."""

ControlBounds = tuple[object, object, object]
"""A control's least, greatest and default value, as in Picamera2's `camera_controls`."""

_AE_NORMAL, _AE_LONG = 0, 2
_AF_MANUAL, _AF_CONTINUOUS = 0, 2
_FLICKER_MANUAL = 1
_AWB_MODES = {
    "incandescent": 1,
    "tungsten": 2,
    "fluorescent": 3,
    "indoor": 4,
    "daylight": 5,
    "cloudy": 6,
}
_US_PER_S = 1_000_000


class SupportedControls(msgspec.Struct, frozen=True, kw_only=True):
    """The controls that a camera has, within its bounds, and the names of those it lacks."""

    controls: dict[str, ControlValue]
    missing: tuple[str, ...]


def initial_controls(options: Options) -> dict[str, ControlValue]:
    """Return the initial controls, without those that the options leave to the camera."""
    controls: dict[str, ControlValue] = {}
    if options.exposure_us is not None:
        controls["ExposureTime"] = options.exposure_us
    if options.analogue_gain is not None:
        controls["AnalogueGain"] = options.analogue_gain
    if options.exposure_value is not None:
        controls["ExposureValue"] = options.exposure_value
    if options.flicker_hz is not None:
        controls["AeFlickerMode"] = _FLICKER_MANUAL
        # Lamps flicker at twice the frequency of the mains.
        controls["AeFlickerPeriod"] = _US_PER_S // (2 * options.flicker_hz)
    if isinstance(options.white_balance, ColourGains):
        controls["AwbEnable"] = False
        controls["ColourGains"] = (options.white_balance.red, options.white_balance.blue)
    elif options.white_balance != "auto":
        controls["AwbEnable"] = True
        controls["AwbMode"] = _AWB_MODES[options.white_balance]
    if options.focus == "continuous":
        controls["AfMode"] = _AF_CONTINUOUS
    elif options.focus is not None:
        controls["AfMode"] = _AF_MANUAL
        controls["LensPosition"] = options.focus
    return controls


def light_controls(
    options: Options, *, night: bool, min_fps: float | None = None
) -> dict[str, ControlValue]:
    """Return the controls that differ between day and night, and with a raised frame rate.

    A frame's duration is the longest that an exposure may be, so `night.min_fps` is what limits it. With `min_fps`
    pictures come at least as often, also at night.
    """
    min_duration_us = round(_US_PER_S / max(options.fps, min_fps or 0.0))
    night_fps = options.night.min_fps if night and min_fps is None else None
    max_duration_us = round(_US_PER_S / night_fps) if night_fps else min_duration_us
    controls: dict[str, ControlValue] = {"FrameDurationLimits": (min_duration_us, max_duration_us)}
    if options.night.mode != "day":
        controls["Saturation"] = options.night.saturation if night else 1.0
        if options.night.min_fps is not None:
            controls["AeExposureMode"] = _AE_LONG if night else _AE_NORMAL
    return controls


def supported_controls(
    controls: Mapping[str, ControlValue], advertised: Mapping[str, ControlBounds]
) -> SupportedControls:
    """Return the controls that the camera has, limited to its ranges."""
    return SupportedControls(
        controls={
            name: _clamp_to_bounds(value, advertised[name])
            for name, value in controls.items()
            if name in advertised
        },
        missing=tuple(sorted(name for name in controls if name not in advertised)),
    )


def _clamp_to_bounds(value: ControlValue, bounds: ControlBounds) -> ControlValue:
    low, high, _ = bounds
    # Some controls have no range, or 0 and 0 as one.
    if not isinstance(low, int | float) or not isinstance(high, int | float) or low >= high:
        return value
    if isinstance(value, bool):
        return value
    if isinstance(value, tuple):
        return tuple(_clamp(part, low, high) for part in value)
    return _clamp(value, low, high)


def _clamp(value: float, low: float, high: float) -> float:
    return max(low, min(value, high))
