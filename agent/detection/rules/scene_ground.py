"""The calibrated ground of a scene, as its rules see it. Nothing is known of it while the calibration is stale."""

import math
from collections.abc import Callable

from agent.detection.ground_plane import GroundPlane
from agent.detection.scene import Scene
from drivers.media import Point

_DIRECTION_STEP = 0.02
"""In picture heights: the length of the arrow by which a direction on the picture becomes one on the ground."""


class SceneGround:
    """The ground plane in force.

    `is_stale` says whether the view has moved since the calibration.
    """

    def __init__(self, scene: Scene, is_stale: Callable[[], bool] = lambda: False) -> None:
        self._scene = scene
        self._is_stale = is_stale
        self._plane: GroundPlane | None = None

    def step(self) -> None:
        """Take whether the calibration is in force at a new frame."""
        self._plane = None if self._is_stale() else self._scene.ground_plane

    @property
    def plane(self) -> GroundPlane | None:
        """The ground plane, None without a calibration in force."""
        return self._plane

    def heading_deg(self, at: Point, direction_deg: float, aspect: float) -> float | None:
        """Return the heading on the ground of a direction on the picture, or None if that is not known.

        Directions are those of `heading_difference_deg`.
        """
        if self._plane is None:
            return None
        angle = math.radians(direction_deg)
        half_x = _DIRECTION_STEP / 2 * math.cos(angle) / aspect
        half_y = -_DIRECTION_STEP / 2 * math.sin(angle)
        start = self._plane.place_m(Point(at.x - half_x, at.y - half_y))
        end = self._plane.place_m(Point(at.x + half_x, at.y + half_y))
        if start is None or end is None:
            return None
        return math.degrees(math.atan2(end[0] - start[0], end[1] - start[1])) % 360
