"""Angles on a circle. Pure."""

import math

HALF_TURN_DEG = 180.0
FULL_TURN_DEG = 360.0


def wrap_deg(angle_deg: float) -> float:
    """Return the same direction in (-180, 180]."""
    wrapped_deg = math.remainder(angle_deg, FULL_TURN_DEG)
    return HALF_TURN_DEG if wrapped_deg == -HALF_TURN_DEG else wrapped_deg


def unwrap_near_deg(angle_deg: float, reference_deg: float) -> float:
    """Return the same direction as `angle_deg`, in the turn that is nearest `reference_deg`."""
    return reference_deg + wrap_deg(angle_deg - reference_deg)
