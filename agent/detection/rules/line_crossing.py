"""Crossings of a line by the centres of boxes.

A road user that is first seen within a band around the line has no side yet. A crossing counts once
the centre is clear of the band on the other side, and never while the road user is stationary. Its
time and position are those at which the centre was on the line, interpolated between two positions
at which the road user was seen: predictions do not count, and a road user that passes the line while
hidden has crossed it.
"""

import msgspec

from agent.base.model import GroundMotion, Track
from agent.detection.geometry import half_extent, interpolate, line_parameter, signed_line_distance
from agent.detection.rules.road_users import RoadUser, TimedPosition, TrackMemory
from agent.detection.scene import SceneLine
from drivers.media import Point

BAND_RATIO = 0.1
"""Half width of the band, by the box's half extent across the line."""
MIN_SWING_RATIO = 0.7
"""Least way of the centre from one side to the other, by the half extent."""
MIN_BAND = 0.002
"""Least half width of the band, in picture heights: a box is exact to a pixel or two."""


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """One crossing of one line. `position` is 0 at the line's `from` and 1 at its `to`.

    `road_user` is the id in the track memory, which outlives the track.

    `ground` is the motion on the ground once the crossing was certain, None if it is not known.
    """

    line: SceneLine
    direction: str
    t_ns: int
    position: float
    road_user: int
    track: Track
    ground: GroundMotion | None


class _LineState(msgspec.Struct):
    """The side of one road user: 1 on the right hand, -1 on the left, 0 unknown."""

    side: int
    max_offset: float = 0.0
    """Largest distance from the line on that side."""
    crossed_at: TimedPosition | None = None
    """The last passage of the centre over the line from `side`, if it is still over."""


class LineCrossingDetector:
    """Finds the crossings of one line."""

    def __init__(self, line: SceneLine, road_users: TrackMemory) -> None:
        self._line = line
        self._road_users = road_users
        self._states: dict[int, _LineState] = {}
        self.crossings: tuple[Crossing, ...] = ()
        """Those that the last step made certain."""

    def step(self) -> None:
        """Find the crossings, after `road_users` took a frame's result."""
        for user in self._road_users.forgotten:
            self._states.pop(user.id, None)
        for stayed, moved in self._road_users.handovers:
            state = self._states.pop(stayed.id, None)
            if state is not None:
                self._states[moved.id] = state
        crossings = []
        for user in self._road_users:
            if user.is_visible:
                crossing = self._evaluate(user)
                if crossing is not None:
                    crossings.append(crossing)
        self.crossings = tuple(crossings)

    def _evaluate(self, user: RoadUser) -> Crossing | None:
        line, aspect = self._line, self._road_users.aspect
        offset = self._offset(user.current.point)
        extent = half_extent(user.track.box, line.start, line.to, aspect)
        band = max(MIN_BAND, BAND_RATIO * extent)
        state = self._states.get(user.id)
        if state is None:
            state = self._states[user.id] = self._initial_state(user, offset, band)
        if user.previous is not None:
            self._update_crossed_at(state, user.previous, user.current)
        side = _sign(offset)
        is_stationary = user.stationary_since_ns(user.current.t_ns) is not None
        if side == state.side:
            state.max_offset = max(state.max_offset, abs(offset))
            return None
        is_full_swing = (
            state.side == 0 or state.max_offset + abs(offset) >= MIN_SWING_RATIO * extent
        )
        if is_stationary or abs(offset) < band or not is_full_swing:
            return None
        crossed_at, previous_side = state.crossed_at, state.side
        self._states[user.id] = _LineState(side, abs(offset))
        if previous_side == 0 or crossed_at is None:
            return None
        position = line_parameter(line.start, line.to, crossed_at.point, aspect)
        if not 0 <= position <= 1 or user.label not in line.labels:
            return None
        return Crossing(
            line=line,
            direction=line.forward_name if side > 0 else line.backward_name,
            t_ns=crossed_at.t_ns,
            position=position,
            road_user=user.id,
            track=user.track,
            ground=user.ground_motion(),
        )

    def _initial_state(self, user: RoadUser, offset: float, band: float) -> _LineState:
        if user.previous is not None:
            offset = self._offset(user.previous.point)
        return _LineState(_sign(offset), abs(offset)) if abs(offset) >= band else _LineState(0)

    def _update_crossed_at(
        self, state: _LineState, previous: TimedPosition, current: TimedPosition
    ) -> None:
        """Store where the centre passed the line, or drop it if the centre came back."""
        previous_offset, current_offset = self._offset(previous.point), self._offset(current.point)
        if _sign(current_offset) == state.side:
            state.crossed_at = None
        elif _sign(previous_offset) in (state.side, 0) and _sign(current_offset) == -state.side:
            fraction = abs(previous_offset) / (abs(previous_offset) + abs(current_offset))
            t_ns = previous.t_ns + round((current.t_ns - previous.t_ns) * fraction)
            state.crossed_at = TimedPosition(
                t_ns, interpolate(previous.point, current.point, fraction)
            )

    def _offset(self, point: Point) -> float:
        return signed_line_distance(self._line.start, self._line.to, point, self._road_users.aspect)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
