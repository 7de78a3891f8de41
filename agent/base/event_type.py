"""Event types: what each rule declares of the events that it emits."""

from typing import Literal

import msgspec

from agent.base.model import Event

Severity = Literal["routine", "notice", "fault", "alarm"]
"""How an event is sent and drawn.

routine  a white caption on the annotated video
notice   the same; highlighted on the demo's screen
fault    a red caption: the camera sees less than it should
alarm    a person may be in danger: priority EMERGENCY on the wire, a red track, zone and caption
"""


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of event: its name on the wire, its sentences and its severity.

    `kind` is also the last level of its topic, `up/event/<camera>/<kind>`. `begin` and `end` are
    templates: `{subject}` is "a car" or "a road user", `{still}` " still" in an update, `{zone}` the
    quoted name of the zone or line, `{name}` the bare name, and `{direction}`, `{count}` and
    `{duration}` are the event's; `{reasons}` is why counts are not to be trusted. Without `end` the event has no length.
    """

    kind: str
    title: str
    begin: str
    end: str | None = None
    severity: Severity = "routine"
    has_thumbnail: bool = True

    def describe(self, event: Event) -> str:
        """Return one sentence, such as `a person crosses "path" to the left`."""
        end = self.end if event.phase == "end" else None
        return (end or self.begin).format(
            subject=f"a {event.label}" if event.label else "a road user",
            still=" still" if event.phase == "update" else "",
            zone=f' "{event.name}"' if event.name else "",
            name=event.name or "an event",
            direction=f" {event.direction}" if event.direction else "",
            count=event.count or "some",
            reasons=", ".join(event.untrusted_reasons or ()),
            duration=f" after {event.duration_s:.0f} s" if end and event.duration_s else "",
        )
