"""`dwell`: a road user stays in a zone for longer than `dwell_after_s`."""

from agent.base.event_type import EventType
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.view_needs import FOR_STANDING, ViewNeeds
from agent.detection.rules.zone_rule import ZoneRule, while_present
from agent.detection.scene import Zone

DWELL = EventType(
    kind="dwell",
    title="long stay in a zone",
    begin="{subject}{still} stays long in{zone}{direction}",
    end="{subject} leaves{zone}{direction}{duration}",
    severity="notice",
)


def _make(zone: Zone, context: RuleContext) -> ZoneRule | None:
    if zone.dwell_after_s is None:
        return None
    return ZoneRule(DWELL, zone, context, while_present, after_s=zone.dwell_after_s, clear_s=0)


RULE = RuleType(events=(DWELL,), make=_make, needs=ViewNeeds(tolerates=FOR_STANDING))
