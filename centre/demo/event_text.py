"""An event in one plain sentence, for people who read no JSON."""

from agent.base.model import Event, EventKind

_DOES: dict[EventKind, str] = {
    "line": "crosses",
    "zone": "enters",
    "dwell": "lingers in",
    "stopped": "stands still in",
    "wrong_way": "goes the wrong way in",
    "person_on_carriageway": "walks on the carriageway",
}
_LEAVES: dict[EventKind, str] = {
    "zone": "leaves",
    "dwell": "moves on from",
    "stopped": "drives on from",
    "wrong_way": "is out of",
    "person_on_carriageway": "is off the carriageway",
}
_PICTURE: dict[EventKind, str] = {
    "view_blocked": "the view is blocked",
    "view_blurred": "the picture is blurred",
    "view_dark": "the picture is dark",
    "view_moved": "the camera was moved",
    "view_frozen": "the picture is frozen",
    "camera_lost": "the camera is lost",
}
_CONTACTS: dict[EventKind, tuple[str, str]] = {
    "door": ("the door is open", "the door is closed"),
    "shock": ("the box was struck", "the box is at rest"),
    "power": ("mains power is lost", "mains power is back"),
    "selftest": ("the box has tested itself", "the box has tested itself"),
}
_GATHERINGS: dict[EventKind, str] = {"queue": "queue", "crowd": "crowd"}


def sentence(event: Event) -> str:
    """Such as `a person crosses "path" to the left`."""
    over = event.phase == "end"
    if event.kind in _PICTURE:
        return f"{_PICTURE[event.kind]}: over" if over else _PICTURE[event.kind]
    if event.kind in _CONTACTS:
        return _CONTACTS[event.kind][over]
    if event.kind == "reported":
        return f"the camera reports {event.name or 'something'}" + (": over" if over else "")
    place = f' "{event.name}"' if event.name else ""
    lasted = f" after {event.duration_s:.0f} s" if over and event.duration_s else ""
    if event.kind in _GATHERINGS:
        what = _GATHERINGS[event.kind]
        if over:
            return f"the {what} at{place} is gone{lasted}"
        return f"{event.count or 'some'} in a {what} at{place}"
    who = f"a {event.label}" if event.label else "somebody"
    does = _LEAVES.get(event.kind, _DOES[event.kind]) if over else _DOES[event.kind]
    towards = f" {event.direction}" if event.direction else ""
    still = " still" if event.phase == "update" else ""
    return f"{who}{still} {does}{place}{towards}{lasted}"
