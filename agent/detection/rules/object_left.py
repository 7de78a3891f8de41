"""`object_left`: an object stays in a zone for longer than `object_after_s`, and a person has to look at it.

It is found from the background alone, and has no label: the labels of detection are road users.
"""

from agent.base.event_type import EventType
from agent.base.model import Event, FrameResult
from agent.detection.geometry import bottom_centre, is_inside, round_box
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.static_foreground import StaticForeground, StaticObject
from agent.detection.rules.sustained_event import SustainedEvent
from agent.detection.rules.view_needs import FOR_STANDING, ViewNeeds
from agent.detection.scene import Zone

OBJECT_LEFT = EventType(
    kind="object_left",
    title="object left behind",
    begin="an object is{still} left in{zone}",
    end="the object in{zone} is gone{duration}",
    severity="notice",
)
CLEAR_AFTER_S = 4.0


class ObjectLeftRule:
    """Emits an event for each static object whose foot is in the zone."""

    def __init__(
        self, zone: Zone, context: RuleContext, static_foreground: StaticForeground, after_s: float
    ) -> None:
        self._zone = zone
        self._context = context
        self._static_foreground = static_foreground
        self._after_s = after_s
        self._events: dict[int, SustainedEvent] = {}

    def step(self, result: FrameResult) -> list[Event]:
        """Return what this frame begins, updates and ends."""
        objects = {
            found.id: found
            for found in self._static_foreground.objects
            if is_inside(self._zone.polygon, bottom_centre(found.box))
        }
        events = [self._step_object(found, result.t_ns) for found in objects.values()]
        for object_id in self._events.keys() - objects.keys():
            events.append(self._events[object_id].step(result.t_ns, None))
            if self._events[object_id].open_event is None:
                del self._events[object_id]
        return [event for event in events if event is not None]

    def flush(self, t_ns: int) -> list[Event]:
        """End the open events."""
        events = [event for sustained in self._events.values() for event in sustained.flush(t_ns)]
        self._events.clear()
        return events

    def _step_object(self, found: StaticObject, t_ns: int) -> Event | None:
        event = self._events.get(found.id)
        if event is None:
            event = self._events[found.id] = SustainedEvent(
                OBJECT_LEFT,
                self._context.camera,
                self._context.new_id,
                after_s=self._after_s,
                clear_s=CLEAR_AFTER_S,
            )
        since_ns = max(found.since_ns, self._context.hours_begin_ns)
        return event.step(t_ns, since_ns, {"name": self._zone.name, "box": round_box(found.box)})


def _make(zone: Zone, context: RuleContext) -> ObjectLeftRule | None:
    if zone.object_after_s is None or context.static_foreground is None:
        return None
    return ObjectLeftRule(zone, context, context.static_foreground, zone.object_after_s)


RULE = RuleType(
    events=(OBJECT_LEFT,),
    make=_make,
    needs=ViewNeeds(labels=frozenset(), tolerates=FOR_STANDING),
)
