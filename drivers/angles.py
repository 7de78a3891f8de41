"""Angles on a circle. Pure."""

import math

HALF_TURN_DEG = 180.0


def wrap_deg(angle_deg: float) -> float:
    """The same direction in (-180, 180]."""
    turned = math.remainder(angle_deg, 2 * HALF_TURN_DEG)
    return HALF_TURN_DEG if turned == -HALF_TURN_DEG else turned


def nearest_deg(angle_deg: float, to_deg: float) -> float:
    """The same direction as `angle_deg`, counted on from turn to turn, nearest `to_deg`."""
    return to_deg + wrap_deg(angle_deg - to_deg)
