"""Support of the rules by the view: which lines and zones show road users well enough, and why others do not."""

import math
from collections.abc import Iterable, Mapping

import msgspec

from agent.base.health_model import UnsupportedArea
from agent.base.model import Event, FrameResult, Label
from agent.base.view_condition import VIEW_LIMITS, ViewCondition, ViewLimit
from agent.detection.car_heights import CarHeights
from agent.detection.geometry import mean_point
from agent.detection.pixel_density import unsupported_labels, view_angle_deg
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.rules.view_needs import MIN_VIEW_ANGLE_DEG, ViewNeeds
from agent.detection.scene import Scene, SceneLine, Zone
from drivers.media import NS_PER_S

JUDGE_INTERVAL_NS = NS_PER_S


class ViewSupport:
    """Judges each line and zone by its middle, once a second: with fewer pixels there, half of it or more has too few.

    By the ground if it is calibrated, and otherwise by the heights of cars.
    """

    def __init__(self, scene: Scene, ground: SceneGround, needs: Mapping[str, ViewNeeds]) -> None:
        """`needs` are by the kind of event."""
        self._areas: tuple[SceneLine | Zone, ...] = (*scene.line, *scene.zone)
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
        """The lines and zones that the view does not support. Thread-safe."""
        return tuple(self._found.values())

    @property
    def supported_count(self) -> int | None:
        """The number of lines and zones that the view supports, None if that is not known. Thread-safe."""
        is_known = self._ground.plane is not None or self._car_heights.is_known
        return len(self._areas) - len(self._found) if is_known else None

    def step(self, result: FrameResult) -> FrameResult:
        """Return the result of a frame with the limits of the scene's places added to those of the picture."""
        self._car_heights.step(result)
        if self._judged_ns is None or result.t_ns - self._judged_ns >= JUDGE_INTERVAL_NS:
            self._judged_ns = result.t_ns
            judged = (self._judge(area, result) for area in self._areas)
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
        """Return the labels that are too small at a line or zone."""
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
        if found is not None and set(labels) & set(found.small):
            limits.add("small")
        if (
            found is not None
            and found.angle_deg is not None
            and found.angle_deg < needs.min_angle_deg
        ):
            limits.add("flat")
        return msgspec.structs.replace(event, view_limits=_in_order(limits))

    def _judge(self, area: SceneLine | Zone, result: FrameResult) -> UnsupportedArea | None:
        """Return why the view does not support an area, or None if it does or that is not known."""
        is_line = isinstance(area, SceneLine)
        middle = mean_point((area.start, area.to) if isinstance(area, SceneLine) else area.polygon)
        plane, size_px = self._ground.plane, (result.width_px, result.height_px)
        angle_deg = None
        if plane is None:
            px_per_m = self._car_heights.px_per_m(middle.y, result.height_px)
        else:
            px_per_m = plane.pixels_per_metre(middle, *size_px)
            angle_deg = view_angle_deg(plane, middle, *size_px)
        if px_per_m is None:
            return None
        small = unsupported_labels(px_per_m, area.labels)
        is_flat = angle_deg is not None and angle_deg < MIN_VIEW_ANGLE_DEG
        if not small and not is_flat:
            return None
        return UnsupportedArea(
            kind="line" if is_line else "zone",
            name=area.name,
            px_per_m=math.floor(px_per_m * 10) / 10,
            small=small,
            angle_deg=None if angle_deg is None else round(angle_deg, 1),
        )


def _in_order(limits: Iterable[ViewLimit]) -> tuple[ViewLimit, ...]:
    found = set(limits)
    return tuple(limit for limit in VIEW_LIMITS if limit in found)
