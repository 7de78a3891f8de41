"""Motion of one road user on the ground: a straight line through its last ground positions. Pure.

A foot wanders by some pixels from frame to frame, and far from the camera a pixel is a metre. A least squares line
over two seconds has half of the error of the difference of its two ends, and its value at the last frame is the
place. It costs a lag: a vehicle that brakes at 5 m/s2 is shown up to 2 m ahead and 18 km/h too fast. Two seconds are
also what the speed in own sizes, and a box that a passing road user shakes, are averaged over.
"""

import math
from collections import deque
from collections.abc import Sequence

import msgspec

from agent.base.model import BoundingBox, GroundMotion
from agent.detection.ground_plane import GroundPosition
from drivers.media import NS_PER_S

WINDOW_NS = 2 * NS_PER_S
MIN_WINDOW_NS = NS_PER_S
"""Least time over which a speed is measured."""
MIN_POSITIONS = 4
EDGE_MARGIN = 0.01
"""A box that ends nearer to the picture's left, right or lower edge is cut off: its foot is not where it seems."""
MAX_SPEED_ERROR_KM_H, MAX_SPEED_ERROR_RATIO = 5.0, 0.2
"""A speed is given if its random error is below the first, or below this share of it."""
MIN_HEADING_SPEED_KM_H = 3.0
"""A slower road user has no heading: boxes of parked cars wander by as much."""
_KM_H_PER_M_S = 3.6


class _TimedGroundPosition(msgspec.Struct, frozen=True):
    t_ns: int
    position: GroundPosition


class GroundTrack:
    """The ground positions of one road user in the last two seconds."""

    __slots__ = ("_motion", "_positions")

    def __init__(self) -> None:
        self._positions: deque[_TimedGroundPosition] = deque()
        self._motion: GroundMotion | None = None

    def restart(self) -> None:
        """Forget the positions: they may be those of another road user."""
        self._positions.clear()
        self._motion = None

    def add(self, t_ns: int, position: GroundPosition) -> None:
        """Add the position at the time of a frame."""
        self._motion = None
        self._positions.append(_TimedGroundPosition(t_ns, position))
        while len(self._positions) > 1 and t_ns - self._positions[1].t_ns >= WINDOW_NS:
            self._positions.popleft()

    def motion(self) -> GroundMotion | None:
        """Return place and motion at the last position, or None without one."""
        if self._motion is None and self._positions:
            self._motion = _fit_motion(self._positions)
        return self._motion


def is_foot_visible(box: BoundingBox) -> bool:
    """Whether the middle of the lower edge of a box is where the road user touches the ground."""
    return (
        box.x >= EDGE_MARGIN
        and box.x + box.w <= 1 - EDGE_MARGIN
        and box.y + box.h <= 1 - EDGE_MARGIN
    )


def _fit_motion(positions: Sequence[_TimedGroundPosition]) -> GroundMotion:
    last = positions[-1]
    span_s = (last.t_ns - positions[0].t_ns) / NS_PER_S
    if len(positions) < MIN_POSITIONS or span_s * NS_PER_S < MIN_WINDOW_NS:
        return _motion(last.position.x_m, last.position.y_m, last.position.error_m)
    times_s = [(one.t_ns - last.t_ns) / NS_PER_S for one in positions]
    x_m, vx, x_scatter_m = _fit_line(times_s, [one.position.x_m for one in positions])
    y_m, vy, y_scatter_m = _fit_line(times_s, [one.position.y_m for one in positions])
    scatter_m = math.hypot(x_scatter_m, y_scatter_m)
    speed_km_h = math.hypot(vx, vy) * _KM_H_PER_M_S
    # As if the two ends alone were measured: the tracker's filter makes neighbouring positions alike.
    speed_error_km_h = math.sqrt(2) * scatter_m / span_s * _KM_H_PER_M_S
    error_m = math.hypot(last.position.error_m, scatter_m)
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


def _fit_line(times_s: Sequence[float], values: Sequence[float]) -> tuple[float, float, float]:
    """Return the value at time 0, the slope, and the root mean square of the residuals."""
    count = len(times_s)
    mean_s, mean = sum(times_s) / count, sum(values) / count
    spread = sum((t_s - mean_s) ** 2 for t_s in times_s)
    slope = (
        sum((t_s - mean_s) * (value - mean) for t_s, value in zip(times_s, values, strict=True))
        / spread
    )
    at_zero = mean - slope * mean_s
    squares = sum(
        (value - at_zero - slope * t_s) ** 2 for t_s, value in zip(times_s, values, strict=True)
    )
    return at_zero, slope, math.sqrt(squares / count)
