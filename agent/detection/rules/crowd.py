"""`crowd`: at least `crowd_min_count` people in a zone."""

from agent.base.event_type import EventType
from agent.detection.rules.count_rule import CountRule
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.view_needs import FOR_STANDING, ViewNeeds
from agent.detection.rules.zone_occupancy import ZoneVisit
from agent.detection.scene import Zone

CROWD = EventType(
    kind="crowd",
    title="crowd of people",
    begin="{count} in a crowd at{zone}",
    end="the crowd at{zone} is gone{duration}",
    severity="notice",
)
BEGIN_AFTER_S = 2.0


def is_person(visit: ZoneVisit, _t_ns: int) -> bool:
    """Whether the road user is a person."""
    return visit.user.label == "person"


def _make(zone: Zone, context: RuleContext) -> CountRule | None:
    if zone.crowd_min_count is None:
        return None
    return CountRule(CROWD, zone, context, is_person, zone.crowd_min_count, BEGIN_AFTER_S)


RULE = RuleType(events=(CROWD,), make=_make, needs=ViewNeeds(tolerates=FOR_STANDING))
