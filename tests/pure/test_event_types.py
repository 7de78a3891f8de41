"""agent.app.event_types: the declared kinds of events."""

import re

import pytest

from agent.app.event_types import EVENT_TYPES
from agent.base.event_type import EventType
from agent.base.model import Event
from agent.capture.camera_source import CAMERA_EVENT_TYPES

KINDS = tuple(EVENT_TYPES)


def test_no_kind_is_declared_twice() -> None:
    assert len({event_type.kind for event_type in CAMERA_EVENT_TYPES}) == len(CAMERA_EVENT_TYPES)
    assert len(EVENT_TYPES) == len(CAMERA_EVENT_TYPES) + len(
        ("door", "shock", "power", "selftest", "clock_step", "incident")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_a_level_of_a_topic(kind: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind)


def test_events_that_endanger_people_are_alarms() -> None:
    alarms = {kind for kind, event_type in EVENT_TYPES.items() if event_type.severity == "alarm"}
    assert alarms == {"stopped", "wrong_way", "person_on_carriageway", "incident"}


def test_a_name_with_braces_is_text() -> None:
    event_type = EventType(kind="k", title="t", begin="{subject} enters{zone}")
    event = Event(
        event="e",
        rev=1,
        kind="k",
        phase="begin",
        camera="c",
        t_ns=1,
        begin_ns=1,
        name="{label} {0}",
    )
    assert event_type.describe(event) == 'a road user enters "{label} {0}"'
