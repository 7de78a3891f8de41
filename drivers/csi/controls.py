"""From options to libcamera's controls, by name, as control_ids.yaml of libcamera has them."""

from collections.abc import Mapping

import msgspec

from drivers.csi.options import ColourGains, Options

Value = bool | int | float | tuple[int, ...] | tuple[float, ...]
"""What a control may be set to. Enumerations are given as their numbers."""

Bounds = tuple[object, object, object]
"""A control's least, greatest and default value, as Picamera2's `camera_controls` has them."""

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


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """The controls that a camera has, within its bounds, and the names of those it lacks."""

    controls: dict[str, Value]
    lacking: tuple[str, ...]


def wanted(options: Options) -> dict[str, Value]:
    """The controls to begin with; what the options leave to the camera is not among them."""
    found: dict[str, Value] = {}
    if options.exposure_us is not None:
        found["ExposureTime"] = options.exposure_us
    if options.analogue_gain is not None:
        found["AnalogueGain"] = options.analogue_gain
    if options.exposure_value is not None:
        found["ExposureValue"] = options.exposure_value
    if options.flicker_hz is not None:
        found["AeFlickerMode"] = _FLICKER_MANUAL
        # Lamps flicker at twice the frequency of the mains.
        found["AeFlickerPeriod"] = _US_PER_S // (2 * options.flicker_hz)
    if isinstance(options.white_balance, ColourGains):
        found["AwbEnable"] = False
        found["ColourGains"] = (options.white_balance.red, options.white_balance.blue)
    elif options.white_balance != "auto":
        found["AwbEnable"] = True
        found["AwbMode"] = _AWB_MODES[options.white_balance]
    if options.focus == "continuous":
        found["AfMode"] = _AF_CONTINUOUS
    elif options.focus is not None:
        found["AfMode"] = _AF_MANUAL
        found["LensPosition"] = options.focus
    return found


def by_light(options: Options, *, night: bool) -> dict[str, Value]:
    """The controls that differ between day and night.

    A frame's duration is the longest that an exposure may be, so `min_fps` is what limits it.
    """
    shortest_us = round(_US_PER_S / options.fps)
    slow = options.night.min_fps if night else None
    longest_us = round(_US_PER_S / slow) if slow else shortest_us
    found: dict[str, Value] = {"FrameDurationLimits": (shortest_us, longest_us)}
    if options.night.mode != "day":
        found["Saturation"] = options.night.saturation if night else 1.0
        if options.night.min_fps is not None:
            found["AeExposureMode"] = _AE_LONG if night else _AE_NORMAL
    return found


def fitted(controls: Mapping[str, Value], advertised: Mapping[str, Bounds]) -> Fitted:
    """Only what the camera advertises, and no further than it allows."""
    return Fitted(
        controls={
            name: _within(value, advertised[name])
            for name, value in controls.items()
            if name in advertised
        },
        lacking=tuple(sorted(name for name in controls if name not in advertised)),
    )


def _within(value: Value, bounds: Bounds) -> Value:
    low, high, _ = bounds
    # Some controls have no range, or say 0 and 0 for it.
    if not isinstance(low, int | float) or not isinstance(high, int | float) or low >= high:
        return value
    if isinstance(value, bool):
        return value
    if isinstance(value, tuple):
        return tuple(_clamped(part, low, high) for part in value)
    return _clamped(value, low, high)


def _clamped(value: float, low: float, high: float) -> float:
    return max(low, min(value, high))
