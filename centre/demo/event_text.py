"""Events as plain sentences."""

from agent.base.model import Event, EventKind

_START_VERBS: dict[EventKind, str] = {
    "line": "crosses",
    "zone": "enters",
    "dwell": "stays long in",
    "stopped": "stops in",
    "wrong_way": "goes the wrong way in",
    "person_on_carriageway": "walks on the carriageway",
}
_END_VERBS: dict[EventKind, str] = {
    "zone": "leaves",
    "dwell": "leaves",
    "stopped": "drives on from",
    "wrong_way": "has left",
    "person_on_carriageway": "leaves the carriageway",
}
_CAMERA_TEXTS: dict[EventKind, str] = {
    "view_blocked": "the view is blocked",
    "view_blurred": "the view is blurred",
    "view_dark": "the view is dark",
    "view_moved": "the camera was moved",
    "view_frozen": "the view is frozen",
    "camera_lost": "the camera is lost",
}
_CONTACT_TEXTS: dict[EventKind, tuple[str, str]] = {
    "door": ("the door is open", "the door is closed"),
    "shock": ("the box was hit", "the box is at rest"),
    "power": ("mains power is lost", "mains power is back"),
    "selftest": ("the box ran its self-test", "the box ran its self-test"),
}
_GROUP_NOUNS: dict[EventKind, str] = {"queue": "queue", "crowd": "crowd"}


def describe_event(event: Event) -> str:
    """Return a sentence such as `a person crosses "path" to the left`."""
    is_end = event.phase == "end"
    if event.kind in _CAMERA_TEXTS:
        return f"{_CAMERA_TEXTS[event.kind]}: over" if is_end else _CAMERA_TEXTS[event.kind]
    if event.kind in _CONTACT_TEXTS:
        return _CONTACT_TEXTS[event.kind][is_end]
    if event.kind == "reported":
        return f"the camera reports {event.name or 'an event'}" + (": over" if is_end else "")
    location = f' "{event.name}"' if event.name else ""
    duration = f" after {event.duration_s:.0f} s" if is_end and event.duration_s else ""
    if event.kind in _GROUP_NOUNS:
        noun = _GROUP_NOUNS[event.kind]
        if is_end:
            return f"the {noun} at{location} is gone{duration}"
        return f"{event.count or 'some'} in a {noun} at{location}"
    subject = f"a {event.label}" if event.label else "a road user"
    verb = (
        _END_VERBS.get(event.kind, _START_VERBS[event.kind]) if is_end else _START_VERBS[event.kind]
    )
    direction = f" {event.direction}" if event.direction else ""
    still = " still" if event.phase == "update" else ""
    return f"{subject}{still} {verb}{location}{direction}{duration}"
