"""A camera above level ground, computed by its pose: the truth that calibrations are compared with."""

import math
import random

import msgspec

from agent.detection.ground_marks import GroundMarks, GroundPoint, KnownLength, MarkedPoint
from drivers.media import Point

STREET = [(-4.0, 8.0), (4.0, 8.0), (-4.0, 14.0), (4.0, 14.0), (-4.0, 25.0), (4.0, 25.0)]
"""Places of six marks in metres."""


class GroundCamera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera at `x_m = y_m = 0`. `focal` is in picture heights, `pan_deg` to the right of y, `roll_deg`
    clockwise, `distortion` that of the division model.
    """

    height_m: float = 6.0
    tilt_deg: float = 25.0
    focal: float = 1.1
    pan_deg: float = 0.0
    roll_deg: float = 0.0
    aspect: float = 16 / 9
    distortion: float = 0.0

    def see(self, x_m: float, y_m: float) -> tuple[Point, float] | None:
        """Return the point that shows a place and its depth, or None behind the camera."""
        pan, tilt, roll = (
            math.radians(angle) for angle in (self.pan_deg, self.tilt_deg, self.roll_deg)
        )
        right = x_m * math.cos(pan) - y_m * math.sin(pan)
        ahead = x_m * math.sin(pan) + y_m * math.cos(pan)
        depth = ahead * math.cos(tilt) + self.height_m * math.sin(tilt)
        down = self.height_m * math.cos(tilt) - ahead * math.sin(tilt)
        if depth <= 0:
            return None
        u, v = self.focal * right / depth, self.focal * down / depth
        u, v = (
            u * math.cos(roll) + v * math.sin(roll),
            v * math.cos(roll) - u * math.sin(roll),
        )
        root = 1 - 4 * self.distortion * (u * u + v * v)
        if root < 0:
            return None
        factor = 2 / (1 + math.sqrt(root))
        return Point(u * factor / self.aspect + 0.5, v * factor + 0.5), depth

    def visible_places(
        self, rng: random.Random, count: int, max_m: float = 80.0
    ) -> list[tuple[float, float]]:
        """Return places in the picture, no two of which are close to each other in it."""
        places: list[tuple[float, float]] = []
        points: list[Point] = []
        for _ in range(5000):
            x_m, y_m = rng.uniform(-max_m, max_m), rng.uniform(-max_m, max_m)
            seen = self.see(x_m, y_m)
            if seen is None or not (0.02 < seen[0].x < 0.98 and 0.02 < seen[0].y < 0.98):
                continue
            if all(math.dist((p.x, p.y), (seen[0].x, seen[0].y)) > 0.12 for p in points):
                places.append((x_m, y_m))
                points.append(seen[0])
            if len(places) == count:
                break
        return places

    def mark(self, places: list[tuple[float, float]], digits: int = 12) -> GroundMarks:
        """Return marks of visible places, each written with so many digits."""
        points = []
        for x_m, y_m in places:
            seen = self.see(x_m, y_m)
            assert seen is not None
            at = Point(round(seen[0].x, digits), round(seen[0].y, digits))
            points.append(MarkedPoint(at=at, metres=GroundPoint(x_m, y_m)))
        return GroundMarks(point=tuple(points), aspect=self.aspect)

    def mark_length(self, start: tuple[float, float], to: tuple[float, float]) -> KnownLength:
        """Return a known length between two visible places."""
        ends = [self.see(*start), self.see(*to)]
        assert ends[0] is not None
        assert ends[1] is not None
        return KnownLength(start=ends[0][0], to=ends[1][0], metres=math.dist(start, to))

    def straight(self, start: tuple[float, float], to: tuple[float, float]) -> tuple[Point, ...]:
        """Return seven points of a line that is straight on the ground."""
        points = []
        for step in range(7):
            share = step / 6
            seen = self.see(
                start[0] + (to[0] - start[0]) * share, start[1] + (to[1] - start[1]) * share
            )
            assert seen is not None
            points.append(seen[0])
        return tuple(points)
