"""Pixels per metre: the levels of IEC 62676-4:2025, and how many a road user needs to be detected. Pure."""

from collections.abc import Iterable, Mapping

from agent.base.model import Label
from agent.detection.ground_plane import GroundPlane
from drivers.media import Point

LEVELS_PX_PER_M: Mapping[str, int] = {
    "overview": 20,
    "outline": 40,
    "discern": 80,
    "perceive": 125,
    "characterise": 250,
    "validate": 500,
    "scrutinise": 1500,
}
"""The levels of detail of IEC 62676-4:2025, each with its least number of pixels per metre."""

MIN_PX_PER_M: Mapping[Label, int] = {
    "person": 60,
    "bicycle": 60,
    "motorcycle": 60,
    "car": 30,
    "bus": 30,
    "truck": 30,
}
"""Below it road users of a label are missed, and a rule on them is not to be trusted."""


def detail_level(px_per_m: float) -> str | None:
    """Return the highest level of detail that a number of pixels per metre reaches, or None below the lowest."""
    reached = [name for name, limit in LEVELS_PX_PER_M.items() if px_per_m >= limit]
    return reached[-1] if reached else None


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
