"""Line crossings, judged by the centre of the box.

Who is first seen within a band around the line has no side yet. A crossing counts once the centre
is clear of the band on the other side, and never while its road user stands. Its time and place are those of the moment in which the centre was on the line,
between two spots where the road user was really seen: no prediction is ever judged, and one who
jumps over the line while hidden has crossed it.
"""

import msgspec

from agent.base.model import Track
from agent.detection.geometry import Point, along, between, half_extent, right_of
from agent.detection.rules.road_users import RoadUser, TimedPosition, TrackMemory
from agent.detection.scene import SceneLine

BAND = 0.1
"""Of the box's half extent across the line: nearer, the centre may be on either side."""
SWING = 0.7
"""Of the half extent: how far the centre comes from the one side to the other at the least."""
NARROWEST_BAND = 0.002
"""In picture heights: a box can be no more exact than a pixel or two."""


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """One crossing of one line. `position` is 0 at the line's `from` and 1 at its `to`."""

    line: SceneLine
    direction: str
    t_ns: int
    position: float
    track: Track


class _Passage(msgspec.Struct):
    """How one road user stands to the line: 1 on the right hand, -1 on the left, 0 unknown."""

    side: int
    reach: float = 0.0
    """How far from the line it has been on that side."""
    over: TimedPosition | None = None
    """The last time that the centre came over the line from `side`, if it is still over."""


class LineRule:
    """Finds who crosses one line."""

    def __init__(self, line: SceneLine, users: TrackMemory) -> None:
        self._line = line
        self._users = users
        self._passages: dict[int, _Passage] = {}

    def step(self) -> list[Crossing]:
        """The crossings that the last sight made certain."""
        for user in self._users.gone:
            self._passages.pop(user.id, None)
        crossings = []
        for user in self._users:
            if user.seen:
                crossing = self._judge(user)
                if crossing is not None:
                    crossings.append(crossing)
        return crossings

    def _judge(self, user: RoadUser) -> Crossing | None:
        line, aspect = self._line, self._users.aspect
        offset = self._offset(user.now.at)
        extent = half_extent(user.track.box, line.start, line.to, aspect)
        band = max(NARROWEST_BAND, BAND * extent)
        passage = self._passages.get(user.id)
        if passage is None:
            passage = self._passages[user.id] = self._first(user, offset, band)
        if user.before is not None:
            self._mark(passage, user.before, user.now)
        side = _sign(offset)
        stands = user.stands_since_ns(user.now.t_ns) is not None
        if side == passage.side:
            passage.reach = max(passage.reach, abs(offset))
            return None
        swings = passage.side == 0 or passage.reach + abs(offset) >= SWING * extent
        if stands or abs(offset) < band or not swings:
            return None
        over, was = passage.over, passage.side
        self._passages[user.id] = _Passage(side, abs(offset))
        if was == 0 or over is None:
            return None
        position = along(line.start, line.to, over.at, aspect)
        if not 0 <= position <= 1 or user.label not in line.labels:
            return None
        return Crossing(
            line=line,
            direction=line.forward if side > 0 else line.backward,
            t_ns=over.t_ns,
            position=position,
            track=user.track,
        )

    def _first(self, user: RoadUser, offset: float, band: float) -> _Passage:
        if user.before is not None:
            offset = self._offset(user.before.at)
        return _Passage(_sign(offset), abs(offset)) if abs(offset) >= band else _Passage(0)

    def _mark(self, passage: _Passage, before: TimedPosition, now: TimedPosition) -> None:
        """Remember where the centre came over the line, or forget it where it came back."""
        came, went = self._offset(before.at), self._offset(now.at)
        if _sign(went) == passage.side:
            passage.over = None
        elif _sign(came) in (passage.side, 0) and _sign(went) == -passage.side:
            share = abs(came) / (abs(came) + abs(went))
            t_ns = before.t_ns + round((now.t_ns - before.t_ns) * share)
            passage.over = TimedPosition(t_ns, between(before.at, now.at, share))

    def _offset(self, point: Point) -> float:
        return right_of(self._line.start, self._line.to, point, self._users.aspect)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
