"""`queue`: vehicles that stand or creep in a zone of the kind `queue`."""

from agent.base.event_type import EventType
from agent.detection.rules.count_rule import CountRule
from agent.detection.rules.road_users import VEHICLES
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.view_needs import FOR_STANDING, ViewNeeds
from agent.detection.rules.zone_occupancy import ZoneVisit
from agent.detection.scene import Zone
from drivers.media import NS_PER_S

QUEUE = EventType(
    kind="queue",
    title="queue of vehicles",
    begin="{count} in a queue at{zone}",
    end="the queue at{zone} is gone{duration}",
    severity="notice",
)
DEFAULT_MIN_COUNT = 3
BEGIN_AFTER_S = 4.0
"""After 2 s, 13 of 100 queues of two had a third: a vehicle that braked or turned, or a second place of one of them."""
MAX_UNDETECTED_NS = 5 * NS_PER_S // 2
"""Time for which a vehicle that its place shows is in the queue without a detection: the whole picture is searched each 2 s."""
MAX_SPEED_KM_H = 5.0
"""A slower vehicle waits in the queue."""
MAX_SPEED, MAX_SPEED_STOOD = 0.25, 0.5
"""The same in own sizes a second if the speed on the ground is not known, and of a vehicle that has stood lately: 5 km/h
of a car, 3 of a motorcycle, 10 of a bus. A distant car that drives moves little on the picture, and has not stood.
"""


def is_queueing(visit: ZoneVisit, t_ns: int) -> bool:
    """Whether a vehicle stands, or creeps as a queue does."""
    user = visit.user
    if (
        user.label not in VEHICLES
        or user.is_false_detection
        or not (user.is_present or user.is_held)
    ):
        return False
    if user.is_held and user.is_shown and t_ns - user.undetected_since_ns > MAX_UNDETECTED_NS:
        return False
    # Without a place that shows it, one that is away from where it stood may be driving on.
    has_left = user.place is None and user.is_displaced
    if user.standing_since_ns(t_ns) is not None and not has_left:
        return True
    motion = user.ground_motion()
    if motion is not None and motion.speed_km_h is not None:
        return motion.speed_km_h < MAX_SPEED_KM_H
    speed = user.speed()
    return speed is not None and speed < (MAX_SPEED_STOOD if user.has_stood else MAX_SPEED)


def _make(zone: Zone, context: RuleContext) -> CountRule | None:
    if zone.kind != "queue":
        return None
    min_count = zone.queue_min_count or DEFAULT_MIN_COUNT
    return CountRule(QUEUE, zone, context, is_queueing, min_count, BEGIN_AFTER_S)


RULE = RuleType(
    events=(QUEUE,), make=_make, needs=ViewNeeds(labels=VEHICLES, tolerates=FOR_STANDING)
)
