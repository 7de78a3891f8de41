"""Pixels per metre: how many a road user needs to be detected, and how many a line or zone has. Pure."""

from collections.abc import Iterable, Mapping

from agent.base.model import Label
from agent.detection.ground_plane import GroundPlane
from drivers.media import Point

MIN_PX_PER_M: Mapping[Label, int] = {
    "person": 60,
    "bicycle": 60,
    "motorcycle": 60,
    "car": 30,
    "bus": 30,
    "truck": 30,
}
"""Below it road users of a label are missed, and a rule on them is not to be trusted."""


def least_px_per_m(
    plane: GroundPlane, points: Iterable[Point], width_px: int, height_px: int
) -> float:
    """Return the least pixels per metre on a line or in a zone, by its ends or corners.

    Without lens distortion the number is a linear function of the point, so no point in between has fewer.
    """
    return min(plane.pixels_per_metre(point, width_px, height_px) for point in points)


def unsupported_labels(px_per_m: float, labels: Iterable[Label]) -> tuple[Label, ...]:
    """Return the labels that have too few pixels per metre."""
    return tuple(label for label in labels if px_per_m < MIN_PX_PER_M[label])
