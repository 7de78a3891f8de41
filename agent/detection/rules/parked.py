"""`parked`: a vehicle stands in a zone for longer than `parked_after_s`, as in a zone in which parking is forbidden."""

from agent.base.event_type import EventType
from agent.detection.rules.road_users import VEHICLES
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.stopped import CLEAR_AFTER_S, stopped_since_ns
from agent.detection.rules.view_needs import FOR_STANDING, ViewNeeds
from agent.detection.rules.zone_rule import ZoneRule
from agent.detection.scene import Zone

PARKED = EventType(
    kind="parked",
    title="parked vehicle",
    begin="{subject}{still} is parked in{zone}{direction}",
    end="{subject} drives away from{zone}{direction}{duration}",
    severity="notice",
)


def _make(zone: Zone, context: RuleContext) -> ZoneRule | None:
    if zone.parked_after_s is None:
        return None
    return ZoneRule(
        PARKED,
        zone,
        context,
        stopped_since_ns,
        after_s=zone.parked_after_s,
        clear_s=CLEAR_AFTER_S,
    )


RULE = RuleType(
    events=(PARKED,), make=_make, needs=ViewNeeds(labels=VEHICLES, tolerates=FOR_STANDING)
)
