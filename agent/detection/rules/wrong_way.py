"""`wrong_way`: a vehicle drives against a zone's lawful direction."""

from weakref import WeakKeyDictionary

import msgspec

from agent.base.event_type import EventType
from agent.detection.geometry import angle_between_deg, distance, heading_difference_deg, mean_point
from agent.detection.rules.road_users import VEHICLES, RoadUser, TimedPosition, TrackMemory
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.rules.view_needs import ViewNeeds
from agent.detection.rules.zone_occupancy import ZoneVisit
from agent.detection.rules.zone_rule import ZoneRule
from agent.detection.scene import Zone
from drivers.media import Point

WRONG_WAY = EventType(
    kind="wrong_way",
    title="wrong-way vehicle",
    begin="{subject}{still} goes the wrong way in{zone}{direction}",
    end="{subject} has left{zone}{direction}{duration}",
    severity="alarm",
)
BEGIN_AFTER_S, CLEAR_AFTER_S = 1.0, 3.0

WRONG_WAY_MIN_DEG = 120.0
"""A heading at least this far off the lawful direction is against it."""
WRONG_WAY_CLEAR_DEG = 90.0
"""A heading less than this off the lawful direction ends the path."""
MIN_SPEED = 0.3
"""Own sizes a second; a slower vehicle has no heading."""
MIN_TRAVEL_SIZES = 2.0
"""Own sizes: reversing into a parking space is shorter."""
MIN_TRAVEL = 0.15
"""In picture heights."""
MIN_STRAIGHTNESS = 0.8
"""Least distance from the path's begin to its end, as a ratio of its length."""


class _WrongWayPath(msgspec.Struct):
    """A path against the direction: its begin, its last position, its length so far."""

    start: TimedPosition
    last: TimedPosition
    length: float = 0.0
    is_confirmed: bool = False


class WrongWayCondition:
    """A vehicle goes against the zone's direction, straight, over some length.

    A tracker that loses one vehicle of a column for the next one makes a track that hops
    backwards. A vehicle that is far away and small, or goes back and forth, is no evidence.

    If the heading on the ground is known, it is compared with the lawful one there, at the middle of the zone: on the
    picture the lanes of a road converge, and one that leads away is foreshortened, so that a vehicle which goes
    back along it seems to cross it. Lengths stay on the picture: they are what a small box is evidence of, and a straight path
    is straight in both.
    """

    def __init__(
        self, middle: Point, direction_deg: float, road_users: TrackMemory, ground: SceneGround
    ) -> None:
        self._middle = middle
        self._direction_deg = direction_deg
        self._ground = ground
        self._road_users = road_users
        self._paths: WeakKeyDictionary[RoadUser, _WrongWayPath] = WeakKeyDictionary()
        """By road user, as long as it is remembered."""

    def __call__(self, visit: ZoneVisit, t_ns: int, /) -> int | None:
        """Return since when the vehicle goes against the direction, or None if it does not."""
        user, aspect = visit.user, self._road_users.aspect
        path = self._paths.get(user)
        is_confirmed = path is not None and path.is_confirmed
        recent = user.recent_path(0 if is_confirmed else user.continuous_since_ns)
        if user.label not in VEHICLES or recent is None:
            if not is_confirmed:
                self._paths.pop(user, None)
            return None
        start, end = recent
        deviation_deg = self._deviation_deg(user, start.point, end.point)
        if (user.speed() or 0.0) < MIN_SPEED or deviation_deg < WRONG_WAY_CLEAR_DEG:
            self._paths.pop(user, None)
            return None
        if path is None:
            if deviation_deg < WRONG_WAY_MIN_DEG:
                return None
            path = self._paths[user] = _WrongWayPath(start, start)
        path.length += distance(path.last.point, end.point, aspect)
        path.last = end
        if not path.is_confirmed:
            net_distance = distance(path.start.point, end.point, aspect)
            is_far_enough = net_distance >= max(MIN_TRAVEL_SIZES * user.size, MIN_TRAVEL)
            path.is_confirmed = is_far_enough and net_distance >= MIN_STRAIGHTNESS * path.length
        return path.start.t_ns if path.is_confirmed else None

    def _deviation_deg(self, user: RoadUser, start: Point, end: Point) -> float:
        """Return the angle between the heading and the lawful one, on the ground if both are known there."""
        aspect, motion = self._road_users.aspect, user.ground_motion()
        if motion is not None and motion.heading_deg is not None:
            lawful_deg = self._ground.heading_deg(self._middle, self._direction_deg, aspect)
            if lawful_deg is not None:
                return angle_between_deg(motion.heading_deg, lawful_deg)
        return heading_difference_deg(start, end, self._direction_deg, aspect)


def _make(zone: Zone, context: RuleContext) -> ZoneRule | None:
    if zone.direction_deg is None:
        return None
    return ZoneRule(
        WRONG_WAY,
        zone,
        context,
        WrongWayCondition(
            mean_point(zone.polygon), zone.direction_deg, context.road_users, context.ground
        ),
        after_s=BEGIN_AFTER_S,
        clear_s=CLEAR_AFTER_S,
    )


RULE = RuleType(events=(WRONG_WAY,), make=_make, needs=ViewNeeds(labels=VEHICLES))
