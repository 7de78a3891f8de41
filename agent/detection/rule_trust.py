"""Picture detail of the lines and zones of a calibrated scene: which rule can be trusted for which labels. Pure.

A line or zone is as good as its worst place: road users are counted at its far end too.
"""

import math
from collections.abc import Iterator

from agent.base.health_model import AreaDensity
from agent.detection.pixel_density import MIN_PX_PER_M, least_px_per_m, unsupported_labels
from agent.detection.scene import Scene, SceneLine, Zone


def area_densities(scene: Scene, width_px: int, height_px: int) -> tuple[AreaDensity, ...]:
    """Return the density of each line and zone in a picture of this size; none without a calibration."""
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
