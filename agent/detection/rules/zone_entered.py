"""`zone`: a road user enters and leaves a zone."""

from agent.base.event_type import EventType
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.view_needs import ViewNeeds
from agent.detection.rules.zone_rule import ZoneRule, while_present
from agent.detection.scene import Zone

ZONE = EventType(
    kind="zone",
    title="visit to a zone",
    begin="{subject}{still} enters{zone}{direction}",
    end="{subject} leaves{zone}{direction}{duration}",
    # A busy junction has thousands of these a day: their pictures would fill a metered link.
    has_thumbnail=False,
)


def _make(zone: Zone, context: RuleContext) -> ZoneRule | None:
    if not zone.events:
        return None
    return ZoneRule(ZONE, zone, context, while_present, after_s=0, clear_s=0)


RULE = RuleType(events=(ZONE,), make=_make, needs=ViewNeeds())
