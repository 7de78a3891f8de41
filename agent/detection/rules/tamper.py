"""`view_*`: the events of a view that shows no road users: dark, frozen, blocked, blurred, moved.

The condition of the view is diagnosed by `agent.detection.view_monitor`. Glare and low light have no event: they come with
the sun.
"""

from agent.base.event_lifecycle import EventLifecycle
from agent.base.event_type import EventType
from agent.base.model import Event, FrameResult
from agent.base.view_condition import ViewState
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.scene import Scene


def _event_type(kind: str, sentence: str) -> EventType:
    return EventType(
        kind=kind, title=sentence, begin=sentence, end=f"{sentence}: over", severity="fault"
    )


TAMPER_EVENTS: dict[ViewState, EventType] = {
    "blocked": _event_type("view_blocked", "the view is blocked"),
    "blurred": _event_type("view_blurred", "the view is blurred"),
    "dark": _event_type("view_dark", "the view is dark"),
    "moved": _event_type("view_moved", "the camera was moved"),
    "frozen": _event_type("view_frozen", "the view is frozen"),
}


class TamperRule:
    """Begins and ends an event with the condition of one camera's view."""

    def __init__(self, context: RuleContext) -> None:
        self._camera = context.camera
        self._new_id = context.new_id
        self._state: ViewState = "good"
        self._open: EventLifecycle | None = None

    def step(self, result: FrameResult) -> list[Event]:
        """Return what this picture begins, updates and ends."""
        view, t_ns = result.view, result.t_ns
        if view is None:
            return []
        if view.state == self._state:
            is_due = self._open is not None and self._open.is_due(t_ns)
            return [self._open.update(t_ns)] if self._open is not None and is_due else []
        events = self.flush(view.since_ns)
        self._state = view.state
        event_type = TAMPER_EVENTS.get(view.state)
        if event_type is not None:
            self._open = EventLifecycle.begin(
                self._new_id, event_type, self._camera, t_ns, view.since_ns
            )
            events.append(self._open.last_revision)
        return events

    def flush(self, t_ns: int) -> list[Event]:
        """End the open event."""
        lifecycle, self._open = self._open, None
        return [] if lifecycle is None else [lifecycle.end(t_ns)]


def _make(_scene: Scene, context: RuleContext) -> TamperRule:
    return TamperRule(context)


RULE = RuleType(events=tuple(TAMPER_EVENTS.values()), make=_make, needs=None)
