"""`line`: a road user crosses a line of the scene."""

import msgspec

from agent.base.event_lifecycle import momentary_event
from agent.base.event_type import EventType
from agent.base.model import Event, FrameResult
from agent.detection.geometry import round_box
from agent.detection.rules.line_crossing import Crossing
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.view_needs import ViewNeeds
from agent.detection.scene import SceneLine

LINE = EventType(
    kind="line", title="crossing of a line", begin="{subject} crosses{zone}{direction}"
)


class LineCrossedRule:
    """Emits an event for each crossing of one line."""

    def __init__(self, line: SceneLine, context: RuleContext) -> None:
        self._detector = context.crossing_detectors[line.name]
        self._context = context

    def step(self, _result: FrameResult) -> list[Event]:
        """Return an event for each crossing that this frame made certain."""
        return [self._event(crossing) for crossing in self._detector.crossings]

    def flush(self, _t_ns: int) -> list[Event]:
        """Return nothing: a crossing has no length."""
        return []

    def _event(self, crossing: Crossing) -> Event:
        track = crossing.track
        return momentary_event(
            self._context.new_id,
            LINE,
            self._context.camera,
            crossing.t_ns,
            name=crossing.line.name,
            label=track.label,
            track=track.id,
            score=round(track.score, 4),
            box=round_box(track.box),
            direction=crossing.direction,
            position=round(crossing.position, 4),
            ground=crossing.ground or msgspec.UNSET,
        )


def _make(line: SceneLine, context: RuleContext) -> LineCrossedRule | None:
    return LineCrossedRule(line, context) if line.events else None


RULE = RuleType(events=(LINE,), make=_make, needs=ViewNeeds())
