"""Motion of one road user on the ground: a straight line through its last places. Pure.

A foot wanders by some pixels from frame to frame, and far from the camera a pixel is a metre. A least squares line
over two seconds has half of the error of the difference of its two ends, and its value at the last frame is the
place. It costs a lag: a vehicle that brakes at 5 m/s2 is shown up to 2 m ahead and 18 km/h too fast. Two seconds are
also what the speed in own sizes, and a box that a passing road user shakes, are averaged over.

A box that is covered or cut off for some frames puts its foot metres off. The median of the slopes of pairs of places
that are half a window apart does not follow them (the incomplete method of Theil and Sen); places far off its line are
left out of the least squares.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from agent.base.model import BoundingBox, GroundMotion
from agent.detection.ground_plane import GroundPlane
from drivers.media import NS_PER_S, Point

WINDOW_NS = 2 * NS_PER_S
MIN_WINDOW_NS = 350_000_000
"""Least time over which a speed is measured."""
MIN_PLACES = 4
EDGE_MARGIN = 0.01
"""A box that ends nearer to the picture's left, right or lower edge is cut off: its foot is not where it seems."""
MAX_SPEED_ERROR_KM_H, MAX_SPEED_ERROR_RATIO = 5.0, 0.1
"""A speed is given if its error is below the first, or below this share of it."""
MIN_HEADING_SPEED_KM_H = 3.0
"""A slower road user has no heading: boxes of parked cars wander by as much."""
FOOT_ERROR = 0.001
"""Least standard deviation of a foot, in picture heights: a pixel of 1080. Few places may lie on a line by chance."""
BOX_ERROR, NEW_BOX_ERROR = 0.02, 0.1
"""That of the lower edge of a box by its height, and in the time after a track begins in which the box settles: a
vehicle that enters the picture is not seen whole.
"""
SETTLE_NS = 300_000_000
MAX_DEVIATIONS = 4.5
"""A place farther off the line than this many median distances is left out: three standard deviations."""
MIN_DEVIATION_M = 0.1
"""A place nearer to the line is never left out."""
_KM_H_PER_M_S = 3.6


class _TimedPlace(NamedTuple):
    """A place in metres at the time of a frame."""

    t_ns: int
    x_m: float
    y_m: float


class GroundTrack:
    """The places of one road user in the last two seconds."""

    __slots__ = ("_begin_ns", "_box_height", "_foot", "_is_foot_hidden", "_motion", "_places")

    def __init__(self) -> None:
        self._places: deque[_TimedPlace] = deque()
        self._begin_ns = 0
        self._foot = Point(0.0, 0.0)
        self._box_height = 0.0
        self._is_foot_hidden = False
        self._motion: GroundMotion | None = None

    def restart(self) -> None:
        """Forget the places: they may be those of another road user."""
        self._places.clear()
        self._motion = None

    def hide_foot(self) -> None:
        """Take a frame in which the foot is not seen: the places are kept for `last_motion`."""
        self._is_foot_hidden = True

    def add(self, t_ns: int, foot: Point, plane: GroundPlane, box_height: float = 0.0) -> None:
        """Add the place of a foot at the time of a frame. Without one, or after a hidden foot, the track begins again."""
        place = plane.place_m(foot)
        if place is None or self._is_foot_hidden:
            self.restart()
            self._is_foot_hidden = False
        if place is None:
            return
        if not self._places:
            self._begin_ns = t_ns
        self._motion, self._foot, self._box_height = None, foot, box_height
        self._places.append(_TimedPlace(t_ns, *place))
        while len(self._places) > 1 and t_ns - self._places[1].t_ns >= WINDOW_NS:
            self._places.popleft()

    def motion(self, plane: GroundPlane) -> GroundMotion | None:
        """Return place and motion at the last frame, or None without one."""
        return None if self._is_foot_hidden else self.last_motion(plane)

    def last_motion(self, plane: GroundPlane) -> GroundMotion | None:
        """Return place and motion when the foot was last seen."""
        if self._motion is None and self._places:
            # Computed only if it is asked for: the error and the line cost thirty times the place.
            self._motion = self._find_motion(plane)
        return self._motion

    def _find_motion(self, plane: GroundPlane) -> GroundMotion | None:
        last = plane.to_ground(self._foot)
        if last is None:
            return None
        places: Sequence[_TimedPlace] = tuple(self._places)
        settled = places
        if places[0].t_ns < self._begin_ns + SETTLE_NS:
            settled = [one for one in places if one.t_ns >= self._begin_ns + SETTLE_NS]
        is_settled = _is_enough(settled)
        line = _fit_line(settled if is_settled else places)
        if line is None:
            return _motion(last.x_m, last.y_m, last.error_m)
        box_error = (BOX_ERROR if is_settled else NEW_BOX_ERROR) * self._box_height
        foot_error_m = _foot_error_m(self._foot, max(FOOT_ERROR, box_error), plane)
        return _line_motion(line, last.error_m, foot_error_m, plane)


def is_foot_visible(box: BoundingBox) -> bool:
    """Whether the middle of the lower edge of a box is where the road user touches the ground."""
    return (
        box.x >= EDGE_MARGIN
        and box.x + box.w <= 1 - EDGE_MARGIN
        and box.y + box.h <= 1 - EDGE_MARGIN
    )


class _Line(NamedTuple):
    """A straight line through places: the place at the last frame, the velocity, and how far the places are from it."""

    x_m: float
    y_m: float
    vx_m_s: float
    vy_m_s: float
    scatter_m: float
    span_s: float


def _line_motion(
    line: _Line, place_error_m: float, foot_error_m: float, plane: GroundPlane
) -> GroundMotion:
    error_m = math.hypot(place_error_m, line.scatter_m)
    speed_m_s = math.hypot(line.vx_m_s, line.vy_m_s)
    speed_error_m_s = math.hypot(
        # As if the two ends alone were measured: the tracker's filter makes neighbouring places alike.
        math.sqrt(2) * math.hypot(line.scatter_m, foot_error_m) / line.span_s,
        _length_error_m(line, plane) / line.span_s,
    )
    if speed_error_m_s > max(
        MAX_SPEED_ERROR_KM_H / _KM_H_PER_M_S, MAX_SPEED_ERROR_RATIO * speed_m_s
    ):
        return _motion(line.x_m, line.y_m, error_m)
    has_heading = speed_m_s >= max(MIN_HEADING_SPEED_KM_H / _KM_H_PER_M_S, 2 * speed_error_m_s)
    return _motion(
        line.x_m,
        line.y_m,
        error_m,
        speed_km_h=speed_m_s * _KM_H_PER_M_S,
        speed_error_km_h=speed_error_m_s * _KM_H_PER_M_S,
        heading_deg=math.degrees(math.atan2(line.vx_m_s, line.vy_m_s)) if has_heading else None,
    )


def _fit_line(places: Sequence[_TimedPlace]) -> _Line | None:
    """Return the least squares line without the places that are far off, or None if they are too few."""
    last = places[-1]
    if not _is_enough(places):
        return None
    places = _without_outliers(places)
    if not _is_enough(places):
        return None
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
    return _Line(
        x_m=last.x_m + (sum_x - vx * sum_t) / count,
        y_m=last.y_m + (sum_y - vy * sum_t) / count,
        vx_m_s=vx,
        vy_m_s=vy,
        scatter_m=math.sqrt(max(0.0, squares) / count),
        span_s=(places[-1].t_ns - places[0].t_ns) / NS_PER_S,
    )


def _is_enough(places: Sequence[_TimedPlace]) -> bool:
    return len(places) >= MIN_PLACES and places[-1].t_ns - places[0].t_ns >= MIN_WINDOW_NS


def _without_outliers(places: Sequence[_TimedPlace]) -> Sequence[_TimedPlace]:
    """Return the places without those far off the line through the median slopes of pairs half a window apart."""
    later = places[len(places) // 2 :]
    first_ns = places[0].t_ns
    vx = _median([(q.x_m - p.x_m) / (q.t_ns - p.t_ns) for p, q in zip(places, later, strict=False)])
    vy = _median([(q.y_m - p.y_m) / (q.t_ns - p.t_ns) for p, q in zip(places, later, strict=False)])
    xs = [x_m - vx * (t_ns - first_ns) for t_ns, x_m, _ in places]
    ys = [y_m - vy * (t_ns - first_ns) for t_ns, _, y_m in places]
    middle_x, middle_y = _median(xs), _median(ys)
    off_m = [math.hypot(x - middle_x, y - middle_y) for x, y in zip(xs, ys, strict=True)]
    limit_m = max(MAX_DEVIATIONS * _median(off_m), MIN_DEVIATION_M)
    if max(off_m) <= limit_m:
        return places
    return [place for place, off in zip(places, off_m, strict=True) if off <= limit_m]


def _median(values: list[float]) -> float:
    """Return the upper one of the two middle values."""
    return sorted(values)[len(values) // 2]


def _foot_error_m(foot: Point, foot_error: float, plane: GroundPlane) -> float:
    """Return how far the place moves if the foot is lower by its error."""
    here, below = plane.place_m(foot), plane.place_m(Point(foot.x, foot.y + foot_error))
    return 0.0 if here is None or below is None else math.dist(here, below)


def _length_error_m(line: _Line, plane: GroundPlane) -> float:
    """Return the error of the way along the line by the calibration's."""
    end = (line.x_m, line.y_m)
    start = (line.x_m - line.vx_m_s * line.span_s, line.y_m - line.vy_m_s * line.span_s)
    return plane.length_error_m(start, end)


def _motion(
    x_m: float,
    y_m: float,
    error_m: float,
    *,
    speed_km_h: float | None = None,
    speed_error_km_h: float | None = None,
    heading_deg: float | None = None,
) -> GroundMotion:
    """Round for a message: to a centimetre, which is finer than any foot."""
    return GroundMotion(
        x_m=round(x_m, 2),
        y_m=round(y_m, 2),
        error_m=round(error_m, 2),
        speed_km_h=None if speed_km_h is None else round(speed_km_h, 1),
        speed_error_km_h=None if speed_error_km_h is None else round(speed_error_km_h, 1),
        heading_deg=None if heading_deg is None else round(heading_deg, 1) % 360,
    )
