"""centre.onvif_messages: events as a camera of ONVIF Profile M publishes them."""

import re
from pathlib import Path

import msgspec
import pytest

from agent.app.event_types import EVENT_TYPES
from agent.base.model import LABELS, Event, FlowCounts, LineCounts
from agent.reporting import outgoing_messages
from agent.reporting.payloads import EventMessage, Message, TrafficCountsData, TrafficCountsMessage
from centre.onvif_messages import (
    COUNTER_TOPIC,
    EVENT_TOPICS,
    OBJECT_TYPES,
    OnvifMessage,
    iter_onvif_messages,
)
from tests.fleet_messages import CONNECTED, NOW, stamp, status

SECTION = (
    (Path(__file__).parents[2] / "docs" / "centre.md")
    .read_text(encoding="utf-8")
    .split("## Other formats")[1]
)
WITHOUT_COUNTERPART = {
    "shock",
    "selftest",
    "clock_step",
    "reported",
    "incident",
    "counts_untrusted",
}


def event_message(kind: str, phase: str = "begin", **fields: object) -> EventMessage:
    event = Event(
        event="e",
        rev=1,
        kind=kind,
        phase=phase,  # type: ignore[arg-type]
        camera="north",
        t_ns=1,
        begin_ns=1,
        **fields,  # type: ignore[arg-type]
    )
    data = outgoing_messages.build_event_data(event, begin=NOW)
    return EventMessage(**msgspec.structs.asdict(stamp("pole-17")), data=data)


def only(message: Message) -> OnvifMessage:
    (converted,) = iter_onvif_messages(message)
    return converted


def test_a_crossing_is_the_message_of_a_line_detector() -> None:
    crossing = event_message("line", "moment", name="zebra", label="car", track=7, score=0.81)
    assert only(crossing) == OnvifMessage(
        topic="pole-17/onvif-ej/RuleEngine/LineDetector/Crossed/&north/zebra",
        payload={
            "UtcTime": CONNECTED,
            "Source": {"VideoSource": "north", "Rule": "zebra"},
            "Data": {
                "Object": {
                    "Object": {
                        "@ObjectId": 7,
                        "Appearance": {
                            "Class": {"Type": {"@Likelihood": 0.81, "#text": "Vehicle"}},
                            "VehicleInfo": {"Type": {"@Likelihood": 0.81, "#text": "Car"}},
                        },
                    }
                }
            },
        },
    )


@pytest.mark.parametrize(
    ("kind", "phase", "expected_data"),
    [
        ("zone", "begin", {"IsInside": True}),
        ("zone", "end", {"IsInside": False}),
        ("dwell", "update", {"State": True}),
        ("queue", "update", {"Count": 4}),
        ("queue", "end", {"Count": 0}),
        ("door", "begin", {"LogicalState": True}),
        ("power", "end", {"Failed": False}),
    ],
)
def test_an_event_with_a_duration_is_a_property_until_its_end(
    kind: str, phase: str, expected_data: dict[str, object]
) -> None:
    converted = only(event_message(kind, phase, count=4))
    assert converted.payload["Data"] == expected_data
    assert converted.payload["PropertyOperation"] == "Changed"


def test_traffic_counts_are_a_counter_for_each_line_and_each_turning_flow() -> None:
    lines = (
        LineCounts(name="zebra", counts={"forward": {"car": 3, "bus": 1}, "backward": {"car": 2}}),
        LineCounts(name="gate", counts={}),
    )
    data = TrafficCountsData(
        camera="north",
        begin_ns=1,
        end_ns=2,
        observed_s=60.0,
        trusted=True,
        untrusted_reasons=(),
        lines=lines,
        zones=(),
        flows=(FlowCounts(name="n-e", origin="zebra", destination="gate", counts={"car": 2}),),
        begin_time=CONNECTED,
        end_time=CONNECTED,
    )
    message = TrafficCountsMessage(**msgspec.structs.asdict(stamp("pole-17")), data=data)
    converted = list(iter_onvif_messages(message))
    assert [each.payload["Data"] for each in converted] == [
        {"Count": 6},
        {"Count": 0},
        {"Count": 2},
    ]
    assert converted[0].topic == f"pole-17/onvif-ej/{COUNTER_TOPIC}/&north/zebra"
    assert converted[2].topic == f"pole-17/onvif-ej/{COUNTER_TOPIC}/&north/n-e"


@pytest.mark.parametrize("name", ["a/b", "a+b", "a#b"])
def test_a_name_adds_no_level_and_no_wildcard_to_the_topic(name: str) -> None:
    converted = only(event_message("line", "moment", name=name))
    assert converted.topic.endswith("/&north/a_b")
    assert converted.payload["Source"]["Rule"] == name


def test_each_kind_of_event_has_a_topic_or_is_known_to_have_none() -> None:
    assert set(EVENT_TOPICS) | WITHOUT_COUNTERPART == set(EVENT_TYPES)
    assert set(OBJECT_TYPES) == set(LABELS)
    for kind in WITHOUT_COUNTERPART:
        assert list(iter_onvif_messages(event_message(kind))) == []
    assert list(iter_onvif_messages(status())) == []


def test_the_table_of_the_documentation_equals_the_code() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| `([^`]+)` \| ", SECTION, re.MULTILINE)
    shown = {kind: topic for kinds, topic in rows for kind in re.findall(r"`(\w+)`", kinds)}
    topics_by_kind = {kind: topic for kind, (topic, _) in EVENT_TOPICS.items()}
    assert {kind: shown.get(kind) for kind in topics_by_kind} == topics_by_kind
    assert COUNTER_TOPIC in SECTION
