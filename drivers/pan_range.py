"""The pan of a head with end stops: a pose is in (-180, 180], the range may be in another turn. Pure."""

from drivers.angles import HALF_TURN_DEG, unwrap_near_deg, wrap_deg
from drivers.contracts import Range


def unwrap_pan_deg(pan_deg: float, pan_range: Range) -> float:
    """Return the same direction in the turn around the middle of a range, of up to a full turn.

    A pan that is in that turn is returned as it is, also half a turn from the middle: both ends of a full turn are one direction.
    """
    is_in_turn = abs(pan_deg - pan_range.middle) <= HALF_TURN_DEG
    return pan_deg if is_in_turn else unwrap_near_deg(pan_deg, pan_range.middle)


def nearest_pan_deg(pan_deg: float, pan_range: Range | None) -> float:
    """Return the nearest direction that the head can take, in (-180, 180]; any if it has no end stops."""
    if pan_range is None:
        return wrap_deg(pan_deg)
    return wrap_deg(pan_range.clamp(unwrap_pan_deg(pan_deg, pan_range)))
