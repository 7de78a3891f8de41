"""The registry of rules: the one place that knows them all. docs/adding/rule.md adds one."""

from collections.abc import Mapping

from agent.base.event_type import EventType
from agent.detection.rules import (
    camera_lost,
    counts_untrusted,
    crowd,
    dwell,
    line_crossed,
    object_left,
    parked,
    person_on_carriageway,
    queue,
    stopped,
    tamper,
    wrong_way,
    zone_entered,
)
from agent.detection.rules.rule import RuleType
from agent.detection.rules.view_needs import ViewNeeds
from agent.detection.scene import Scene, SceneLine, Zone

LINE_RULES: tuple[RuleType[SceneLine], ...] = (line_crossed.RULE,)
"""Made for each line of the scene, and stepped first."""

ZONE_RULES: tuple[RuleType[Zone], ...] = (
    zone_entered.RULE,
    dwell.RULE,
    stopped.RULE,
    parked.RULE,
    wrong_way.RULE,
    person_on_carriageway.RULE,
    queue.RULE,
    crowd.RULE,
    object_left.RULE,
)
"""Made for each zone of the scene."""

SCENE_RULES: tuple[RuleType[Scene], ...] = (tamper.RULE, counts_untrusted.RULE)
"""Made once for each camera, and stepped last."""

EVENT_TYPES: tuple[EventType, ...] = (
    *(event for line_rule in LINE_RULES for event in line_rule.events),
    *(event for zone_rule in ZONE_RULES for event in zone_rule.events),
    *(event for scene_rule in SCENE_RULES for event in scene_rule.events),
    camera_lost.CAMERA_LOST,
)
"""Every kind of event that detection emits, in the order of the documents."""

_EVENTS_AND_NEEDS = (
    *((rule.events, rule.needs) for rule in LINE_RULES),
    *((rule.events, rule.needs) for rule in ZONE_RULES),
    *((rule.events, rule.needs) for rule in SCENE_RULES),
)
NEEDS: Mapping[str, ViewNeeds] = {
    event.kind: needs
    for events, needs in _EVENTS_AND_NEEDS
    if needs is not None
    for event in events
}
"""Needs of each rule of the view, by the kinds of its events."""
