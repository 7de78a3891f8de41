"""`stopped`: a vehicle stands in a zone for longer than `stopped_after_s`."""

from agent.base.event_type import EventType
from agent.detection.rules.road_users import VEHICLES
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.view_needs import FOR_STANDING, ViewNeeds
from agent.detection.rules.zone_occupancy import ZoneVisit
from agent.detection.rules.zone_rule import ZoneRule
from agent.detection.scene import Zone

STOPPED = EventType(
    kind="stopped",
    title="stopped vehicle",
    begin="{subject}{still} stops in{zone}{direction}",
    end="{subject} drives on from{zone}{direction}{duration}",
    severity="alarm",
)
CLEAR_AFTER_S = 5.0


def stopped_since_ns(visit: ZoneVisit, t_ns: int) -> int | None:
    """Return since when a vehicle has stood in the zone, or None if it does not."""
    user = visit.user
    if user.label not in VEHICLES or user.is_displaced or user.is_false_detection:
        return None
    since_ns = user.standing_since_ns(t_ns)
    return None if since_ns is None else max(since_ns, visit.since_ns)


def _make(zone: Zone, context: RuleContext) -> ZoneRule | None:
    if zone.stopped_after_s is None:
        return None
    return ZoneRule(
        STOPPED,
        zone,
        context,
        stopped_since_ns,
        after_s=zone.stopped_after_s,
        clear_s=CLEAR_AFTER_S,
    )


RULE = RuleType(
    events=(STOPPED,), make=_make, needs=ViewNeeds(labels=VEHICLES, tolerates=FOR_STANDING)
)
