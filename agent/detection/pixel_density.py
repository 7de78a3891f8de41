"""Pixels per metre: how many a road user needs to be detected, and how many a line or zone has. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping

from agent.base.health_model import AreaDensity
from agent.base.model import Label
from agent.detection.ground_plane import GroundPlane
from agent.detection.scene import Scene, SceneLine, Zone
from drivers.media import Point

MIN_PX_PER_M: Mapping[Label, int] = {
    "person": 10,
    "bicycle": 10,
    "motorcycle": 10,
    "car": 7,
    "bus": 7,
    "truck": 7,
}
"""Below it road users of a label are missed, and a rule on them is not to be trusted."""

_STEP = 0.004
"""In picture heights: the length on the picture whose length on the ground shows the angle of the view."""


def least_px_per_m(
    plane: GroundPlane, points: Iterable[Point], width_px: int, height_px: int
) -> float:
    """Return the least pixels per metre on a line or in a zone, by its ends or corners.

    Without lens distortion the number is a linear function of the point, so no point in between has fewer.
    """
    return min(plane.pixels_per_metre(point, width_px, height_px) for point in points)


def view_angle_deg(plane: GroundPlane, point: Point, width_px: int, height_px: int) -> float | None:
    """Return the angle between the line of sight and the ground at a point, or None at and beyond the horizon.

    It is the arc sine of how much a metre along the line of sight is shortened, compared with one across.
    """
    above, below = Point(point.x, point.y - _STEP / 2), Point(point.x, point.y + _STEP / 2)
    far, near = plane.place_m(above), plane.place_m(below)
    across_px = plane.pixels_per_metre(point, width_px, height_px)
    if far is None or near is None or not across_px:
        return None
    along_px = _STEP * height_px / math.dist(far, near)
    return math.degrees(math.asin(min(1.0, along_px / across_px)))


def unsupported_labels(px_per_m: float, labels: Iterable[Label]) -> tuple[Label, ...]:
    """Return the labels that have too few pixels per metre."""
    return tuple(label for label in labels if px_per_m < MIN_PX_PER_M[label])


def area_densities(scene: Scene, width_px: int, height_px: int) -> tuple[AreaDensity, ...]:
    """Return the density of each line and zone in a picture of this size; none without a calibration.

    A line or zone is as good as its worst place: road users are counted at its far end too.
    """
    plane = scene.ground_plane
    if plane is None:
        return ()
    size_px = (width_px, height_px)
    return (
        *(
            _density(line, least_px_per_m(plane, (line.start, line.to), *size_px))
            for line in scene.line
        ),
        *(_density(zone, least_px_per_m(plane, zone.polygon, *size_px)) for zone in scene.zone),
    )


def iter_low_density_areas(scene: Scene, width_px: int, height_px: int) -> Iterator[AreaDensity]:
    """Yield the lines and zones that have too few pixels per metre for one of their labels."""
    return (area for area in area_densities(scene, width_px, height_px) if area.needed_px_per_m)


def _density(area: SceneLine | Zone, px_per_m: float) -> AreaDensity:
    return AreaDensity(
        kind="line" if isinstance(area, SceneLine) else "zone",
        name=area.name,
        px_per_m=math.floor(px_per_m * 10) / 10,
        needed_px_per_m={
            label: MIN_PX_PER_M[label] for label in unsupported_labels(px_per_m, area.labels)
        },
    )
