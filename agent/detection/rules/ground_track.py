"""Motion of one road user on the ground: a straight line through its last places. Pure.

A foot wanders by some pixels from frame to frame, and far from the camera a pixel is a metre. A least squares line
over two seconds has half of the error of the difference of its two ends, and its value at the last frame is the
place. It costs a lag: a vehicle that brakes at 5 m/s2 is shown up to 2 m ahead and 18 km/h too fast. Two seconds are
also what the speed in own sizes, and a box that a passing road user shakes, are averaged over.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from agent.base.model import BoundingBox, GroundMotion
from agent.detection.ground_plane import GroundPlane
from drivers.media import NS_PER_S, Point

WINDOW_NS = 2 * NS_PER_S
MIN_WINDOW_NS = NS_PER_S
"""Least time over which a speed is measured."""
MIN_PLACES = 4
EDGE_MARGIN = 0.01
"""A box that ends nearer to the picture's left, right or lower edge is cut off: its foot is not where it seems."""
MAX_SPEED_ERROR_KM_H, MAX_SPEED_ERROR_RATIO = 5.0, 0.2
"""A speed is given if its random error is below the first, or below this share of it."""
MIN_HEADING_SPEED_KM_H = 3.0
"""A slower road user has no heading: boxes of parked cars wander by as much."""
_KM_H_PER_M_S = 3.6


class _TimedPlace(NamedTuple):
    """A place in metres at the time of a frame."""

    t_ns: int
    x_m: float
    y_m: float


class GroundTrack:
    """The places of one road user in the last two seconds."""

    __slots__ = ("_foot", "_motion", "_places")

    def __init__(self) -> None:
        self._places: deque[_TimedPlace] = deque()
        self._foot = Point(0.0, 0.0)
        self._motion: GroundMotion | None = None

    def restart(self) -> None:
        """Forget the places: they may be those of another road user."""
        self._places.clear()
        self._motion = None

    def add(self, t_ns: int, foot: Point, plane: GroundPlane) -> None:
        """Add the place of a foot at the time of a frame. Without one the track begins again."""
        place = plane.place_m(foot)
        if place is None:
            self.restart()
            return
        self._motion, self._foot = None, foot
        self._places.append(_TimedPlace(t_ns, *place))
        while len(self._places) > 1 and t_ns - self._places[1].t_ns >= WINDOW_NS:
            self._places.popleft()

    def motion(self, plane: GroundPlane) -> GroundMotion | None:
        """Return place and motion at the last frame, or None without one."""
        if self._motion is None and self._places:
            # Computed only if it is asked for: the error and the line cost ten times the place.
            last = plane.to_ground(self._foot)
            self._motion = None if last is None else _fit_motion(self._places, last.error_m)
        return self._motion


def is_foot_visible(box: BoundingBox) -> bool:
    """Whether the middle of the lower edge of a box is where the road user touches the ground."""
    return (
        box.x >= EDGE_MARGIN
        and box.x + box.w <= 1 - EDGE_MARGIN
        and box.y + box.h <= 1 - EDGE_MARGIN
    )


def _fit_motion(places: Sequence[_TimedPlace], place_error_m: float) -> GroundMotion:
    last = places[-1]
    span_ns = last.t_ns - places[0].t_ns
    if len(places) < MIN_PLACES or span_ns < MIN_WINDOW_NS:
        return _motion(last.x_m, last.y_m, place_error_m)
    count = len(places)
    sum_t = sum_x = sum_y = sum_tt = sum_tx = sum_ty = sum_xx = sum_yy = 0.0
    # By the last place and time, so that no precision is lost far from the origin.
    for t_ns, x_m, y_m in places:
        t, x, y = (t_ns - last.t_ns) / NS_PER_S, x_m - last.x_m, y_m - last.y_m
        sum_t += t
        sum_x += x
        sum_y += y
        sum_tt += t * t
        sum_tx += t * x
        sum_ty += t * y
        sum_xx += x * x
        sum_yy += y * y
    spread = sum_tt - sum_t * sum_t / count
    cross_x, cross_y = sum_tx - sum_t * sum_x / count, sum_ty - sum_t * sum_y / count
    vx, vy = cross_x / spread, cross_y / spread
    squares = (sum_xx - sum_x * sum_x / count - vx * cross_x) + (
        sum_yy - sum_y * sum_y / count - vy * cross_y
    )
    scatter_m = math.sqrt(max(0.0, squares) / count)
    x_m = last.x_m + (sum_x - vx * sum_t) / count
    y_m = last.y_m + (sum_y - vy * sum_t) / count
    speed_km_h = math.hypot(vx, vy) * _KM_H_PER_M_S
    # As if the two ends alone were measured: the tracker's filter makes neighbouring places alike.
    speed_error_km_h = math.sqrt(2) * scatter_m / (span_ns / NS_PER_S) * _KM_H_PER_M_S
    error_m = math.hypot(place_error_m, scatter_m)
    if speed_error_km_h > max(MAX_SPEED_ERROR_KM_H, MAX_SPEED_ERROR_RATIO * speed_km_h):
        return _motion(x_m, y_m, error_m)
    has_heading = speed_km_h >= max(MIN_HEADING_SPEED_KM_H, 2 * speed_error_km_h)
    heading_deg = math.degrees(math.atan2(vx, vy)) if has_heading else None
    return _motion(x_m, y_m, error_m, speed_km_h, heading_deg)


def _motion(
    x_m: float,
    y_m: float,
    error_m: float,
    speed_km_h: float | None = None,
    heading_deg: float | None = None,
) -> GroundMotion:
    """Round for a message: to a centimetre, which is finer than any foot."""
    return GroundMotion(
        x_m=round(x_m, 2),
        y_m=round(y_m, 2),
        error_m=round(error_m, 2),
        speed_km_h=None if speed_km_h is None else round(speed_km_h, 1),
        heading_deg=None if heading_deg is None else round(heading_deg, 1) % 360,
    )
