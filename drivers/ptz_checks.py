"""Checks that every head driver makes: of its options and of its orders."""

import msgspec

from drivers.contracts import Aux, Pose, PtzCapabilities, Range, Velocity
from drivers.errors import DriverError


def check_ranges(options: msgspec.Struct, *names: str) -> None:
    """Check the options of these names. Raises: ValueError if a range runs backwards or is empty."""
    for name in names:
        span: Range | None = getattr(options, name)
        if span is not None and span.low >= span.high:
            raise ValueError(f"{name}: low {span.low} is not below high {span.high}")


def check_velocity(head: str, capabilities: PtzCapabilities, velocity: Velocity) -> None:
    """Raises: DriverError `unsupported` if the head lacks the zoom or focus that is driven."""
    require(head, "zoom", is_there=velocity.zoom == 0 or capabilities.zoom_ratio > 1)
    require(head, "focus", is_there=velocity.focus == 0 or capabilities.focus)


def check_pose(head: str, capabilities: PtzCapabilities, pose: Pose) -> None:
    """Raises: DriverError `unsupported` if the head cannot be sent to a pose, or not to its zoom."""
    require(head, "absolute position", is_there=capabilities.absolute)
    require(head, "zoom", is_there=pose.zoom == 0 or capabilities.zoom_ratio > 1)


def check_preset(head: str, capabilities: PtzCapabilities, number: int) -> None:
    """Raises: DriverError `unsupported` if the head has no preset of this number."""
    require(head, f"preset {number}", is_there=1 <= number <= capabilities.presets)


def check_aux(head: str, capabilities: PtzCapabilities, aux: Aux) -> None:
    """Raises: DriverError `unsupported` if the head has no such auxiliary."""
    require(head, aux, is_there=aux in capabilities.aux)


def require(head: str, feature: str, *, is_there: bool) -> None:
    """Raises: DriverError `unsupported` if the feature is not there."""
    if not is_there:
        raise DriverError("unsupported", f"{head}: it has no {feature}")
