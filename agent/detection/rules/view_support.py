"""Support of the rules by the view: which lines and zones show road users well enough, and why others do not."""

import math
from collections.abc import Iterable, Mapping

import msgspec

from agent.base.health_model import UnsupportedArea
from agent.base.model import Event, FrameResult, Label
from agent.base.view_condition import VIEW_LIMITS, ViewCondition, ViewLimit
from agent.detection.car_heights import CarHeights
from agent.detection.geometry import bottom_centre, interpolate, is_inside, mean_point
from agent.detection.pixel_density import unsupported_labels, view_angle_deg
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.rules.view_needs import MIN_VIEW_ANGLE_DEG, ViewNeeds
from agent.detection.scene import Scene, SceneLine, Zone
from drivers.media import NS_PER_S, Point

JUDGE_INTERVAL_NS = NS_PER_S
MIN_SMALL_RATIO = 0.1
"""A smaller part is not worth a word."""
_LINE_POINTS, _ZONE_ROWS = 9, 6
"""Points of a line, and rows and columns of points over the bounding box of a zone, at which pixels per metre are taken."""
_LINE_EXPONENT, _ZONE_EXPONENT = 2, 3
"""A pixel shows more of the ground the farther away it is: of a length along the street by the square of the pixels per metre,
of an area by the cube.
"""


class ViewSupport:
    """Judges each line and zone once a second, by the ground if it is calibrated, and otherwise by the heights of cars.

    The middle decides whether the view supports it as a whole.
    """

    def __init__(self, scene: Scene, ground: SceneGround, needs: Mapping[str, ViewNeeds]) -> None:
        """`needs` are by the kind of event."""
        self._areas: tuple[SceneLine | Zone, ...] = (*scene.line, *scene.zone)
        self._points = {area.name: _points_of(area) for area in self._areas}
        self._size_px = (0, 0)
        self._ground = ground
        self._needs = needs
        self._car_heights = CarHeights()
        self._judged_ns: int | None = None
        self._found: dict[str, UnsupportedArea] = {}
        self._is_small = False
        self._picture_view: ViewCondition | None = None
        self.view: ViewCondition | None = None
        """The condition of the view at the last frame, with `small` among its limits if all labels of a line or zone are."""

    @property
    def unsupported(self) -> tuple[UnsupportedArea, ...]:
        """The lines and zones that the view does not support, in all of them or in a part. Thread-safe."""
        return tuple(self._found.values())

    @property
    def supported_count(self) -> int | None:
        """The number of lines and zones that the view supports, None if that is not known. Thread-safe."""
        is_known = self._ground.plane is not None or self._car_heights.is_known
        found = sum(bool(one.small) or _is_flat(one.angle_deg) for one in self.unsupported)
        return len(self._areas) - found if is_known else None

    def step(self, result: FrameResult) -> FrameResult:
        """Return the result of a frame with the limits of the scene's places added to those of the picture."""
        self._car_heights.step(result)
        self._size_px = (result.width_px, result.height_px)
        if self._judged_ns is None or result.t_ns - self._judged_ns >= JUDGE_INTERVAL_NS:
            self._judged_ns = result.t_ns
            judged = (self._judge(area) for area in self._areas)
            self._found = {one.name: one for one in judged if one is not None}
            self._is_small = any(
                set(area.labels) <= set(self.small_labels(area.name)) for area in self._areas
            )
        view = self.view = self._picture_view = result.view
        if view is None or not self._is_small:
            return result
        self.view = msgspec.structs.replace(view, limits=_in_order((*view.limits, "small")))
        return msgspec.structs.replace(result, view=self.view)

    def small_labels(self, area: str) -> tuple[Label, ...]:
        """Return the labels that are too small in the middle of a line or zone."""
        found = self._found.get(area)
        return () if found is None else found.small

    def mark(self, event: Event) -> Event:
        """Return an event of a line or zone with the reasons for which the view does not support its rule now."""
        needs, view = self._needs.get(event.kind), self._picture_view
        is_known = view is not None or self._ground.plane is not None
        if needs is None or event.name is None or not is_known:
            return event
        labels = needs.labels if event.label is None else (event.label,)
        limits = set(() if view is None else view.limits) - needs.tolerates
        found = self._found.get(event.name)
        small = self.small_labels(event.name)
        if event.label is not None and event.box is not None:
            px_per_m = self._px_per_m(bottom_centre(event.box))
            small = () if px_per_m is None else unsupported_labels(px_per_m, labels)
        if set(labels) & set(small):
            limits.add("small")
        if found is not None and _is_flat(found.angle_deg):
            limits.add("flat")
        return msgspec.structs.replace(event, view_limits=_in_order(limits))

    def _px_per_m(self, point: Point) -> float | None:
        """Return the pixels per metre at a point of the ground, or None if that is not known."""
        if self._ground.plane is None:
            return self._car_heights.px_per_m(point.y, self._size_px[1])
        return self._ground.plane.pixels_per_metre(point, *self._size_px)

    def _small_ratio(self, area: SceneLine | Zone) -> dict[Label, float]:
        """Return the part of an area's ground in which each label is too small, from MIN_SMALL_RATIO on."""
        exponent = _LINE_EXPONENT if isinstance(area, SceneLine) else _ZONE_EXPONENT
        whole, small = 0.0, dict.fromkeys(area.labels, 0.0)
        for point in self._points[area.name]:
            # Beyond the horizon there is no ground, and next to it too much.
            px_per_m = max(1.0, self._px_per_m(point) or 0.0)
            part = px_per_m**-exponent
            whole += part
            for label in unsupported_labels(px_per_m, area.labels):
                small[label] += part
        ratios = {label: round(part / whole, 2) for label, part in small.items()}
        return {label: ratio for label, ratio in ratios.items() if ratio >= MIN_SMALL_RATIO}

    def _judge(self, area: SceneLine | Zone) -> UnsupportedArea | None:
        """Return why the view does not support an area, or None if it does or that is not known."""
        is_line = isinstance(area, SceneLine)
        middle = mean_point((area.start, area.to) if isinstance(area, SceneLine) else area.polygon)
        plane, px_per_m = self._ground.plane, self._px_per_m(middle)
        if px_per_m is None:
            return None
        angle_deg = None if plane is None else view_angle_deg(plane, middle, *self._size_px)
        small, small_ratio = unsupported_labels(px_per_m, area.labels), self._small_ratio(area)
        if not small and not small_ratio and not _is_flat(angle_deg):
            return None
        return UnsupportedArea(
            kind="line" if is_line else "zone",
            name=area.name,
            px_per_m=math.floor(px_per_m * 10) / 10,
            small=small,
            small_ratio=small_ratio,
            angle_deg=None if angle_deg is None else round(angle_deg, 1),
        )


def _points_of(area: SceneLine | Zone) -> tuple[Point, ...]:
    """Return points all over a line or zone. A zone that is too thin for any has its middle."""
    if isinstance(area, SceneLine):
        steps = _LINE_POINTS - 1
        return tuple(interpolate(area.start, area.to, step / steps) for step in range(steps + 1))
    xs, ys = zip(*((corner.x, corner.y) for corner in area.polygon), strict=True)
    begin, end = Point(min(xs), min(ys)), Point(max(xs), max(ys))
    fractions = [(index + 0.5) / _ZONE_ROWS for index in range(_ZONE_ROWS)]
    grid = (
        Point(begin.x + (end.x - begin.x) * column, begin.y + (end.y - begin.y) * row)
        for row in fractions
        for column in fractions
    )
    inside = tuple(point for point in grid if is_inside(area.polygon, point))
    return inside or (mean_point(area.polygon),)


def _is_flat(angle_deg: float | None) -> bool:
    return angle_deg is not None and angle_deg < MIN_VIEW_ANGLE_DEG


def _in_order(limits: Iterable[ViewLimit]) -> tuple[ViewLimit, ...]:
    found = set(limits)
    return tuple(limit for limit in VIEW_LIMITS if limit in found)
