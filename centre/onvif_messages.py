"""Messages of boxes as ONVIF events in JSON, as cameras of Profile M publish them over MQTT. Pure.

The topic is `<box>/onvif-ej/<topic>/&<camera>[/<rule>]`, without the namespace `tns1:`; a topic that ONVIF does
not have is in the namespace `tns:vigie`. ONVIF has no id of an event, no revision and no sequence number, so a
receiver that must not lose or count twice takes the messages of the contract. docs/centre.md has the table.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from agent.base.model import GroundMotion, Label
from agent.reporting.payloads import EventData, EventMessage, Message, TrafficCountsMessage

OBJECT_TYPES: Mapping[Label, str] = {
    "person": "Human",
    "bicycle": "Bicycle",
    "motorcycle": "Vehicle",
    "car": "Vehicle",
    "bus": "Vehicle",
    "truck": "Vehicle",
}
"""ONVIF's types of objects (tt:ObjectType)."""
VEHICLE_TYPES: Mapping[Label, str] = {
    "motorcycle": "Motorcycle",
    "car": "Car",
    "bus": "Bus",
    "truck": "Truck",
}


class OnvifMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A publication: a topic without the prefix of a broker's operator, and its payload."""

    topic: str
    payload: dict[str, Any]


def _state(field: str) -> Callable[[EventData], dict[str, Any]]:
    """Return a builder of a property's data: true from the begin, false at the end."""
    return lambda event: {field: event.phase != "end"}


def _object(event: EventData) -> dict[str, Any]:
    if event.label is None:
        return {}
    appearance: dict[str, Any] = {
        "Class": {"Type": {"@Likelihood": event.score, "#text": OBJECT_TYPES[event.label]}}
    }
    if vehicle := VEHICLE_TYPES.get(event.label):
        appearance["VehicleInfo"] = {"Type": {"@Likelihood": event.score, "#text": vehicle}}
    found: dict[str, Any] = {"@ObjectId": event.track, "Appearance": appearance}
    if isinstance(event.ground, GroundMotion) and event.ground.speed_km_h is not None:
        found["Behaviour"] = {"Speed": round(event.ground.speed_km_h / 3.6, 2)}
    return {"Object": {"Object": found}}


def _count(event: EventData) -> dict[str, Any]:
    return {"Count": 0 if event.phase == "end" else event.count}


_DataBuilder = Callable[[EventData], dict[str, Any]]
EVENT_TOPICS: Mapping[str, tuple[str, tuple[_DataBuilder, ...]]] = {
    "line": ("RuleEngine/LineDetector/Crossed", (_object,)),
    "zone": ("RuleEngine/FieldDetector/ObjectsInside", (_state("IsInside"), _object)),
    "person_on_carriageway": (
        "RuleEngine/FieldDetector/ObjectsInside",
        (_state("IsInside"), _object),
    ),
    "dwell": ("RuleEngine/LoiteringDetector/ObjectIsLoitering", (_state("State"), _object)),
    "queue": ("RuleEngine/CountAggregation/OccupancyCounter", (_count,)),
    "crowd": ("RuleEngine/CountAggregation/OccupancyCounter", (_count,)),
    "stopped": ("tns:vigie/RuleEngine/StoppedVehicle", (_state("State"), _object)),
    "parked": ("tns:vigie/RuleEngine/ParkedVehicle", (_state("State"), _object)),
    "object_left": ("tns:vigie/RuleEngine/ObjectLeft", (_state("State"),)),
    "wrong_way": ("tns:vigie/RuleEngine/WrongWayVehicle", (_state("State"), _object)),
    "view_dark": ("VideoSource/ImageTooDark/ImagingService", (_state("State"),)),
    "view_blurred": ("VideoSource/ImageTooBlurry/ImagingService", (_state("State"),)),
    "view_blocked": ("VideoSource/GlobalSceneChange/ImagingService", (_state("State"),)),
    "view_moved": ("VideoSource/GlobalSceneChange/ImagingService", (_state("State"),)),
    "view_frozen": ("VideoSource/SignalLoss", (_state("State"),)),
    "camera_lost": ("VideoSource/SignalLoss", (_state("State"),)),
    "door": ("Device/Trigger/DigitalInput", (_state("LogicalState"),)),
    "power": ("Device/HardwareFailure/PowerSupplyFailure", (_state("Failed"),)),
}
"""The topic and the data of each kind of event. Kinds that are not here have no counterpart."""
COUNTER_TOPIC = "RuleEngine/CountAggregation/Counter"


def iter_onvif_messages(message: Message) -> Iterator[OnvifMessage]:
    """Yield a box's message as ONVIF events: none, one, or one for each line and turning flow of traffic counts."""
    match message:
        case EventMessage() if mapped := EVENT_TOPICS.get(message.data.kind):
            topic, builders = mapped
            event = message.data
            data: dict[str, Any] = {}
            for build in builders:
                data |= build(event)
            is_property = event.phase != "moment"
            yield _message(
                message.box,
                topic,
                message.time,
                event.camera,
                event.name,
                data,
                is_property=is_property,
            )
        case TrafficCountsMessage():
            counts = [
                (line.name, sum(sum(labels.values()) for labels in line.counts.values()))
                for line in message.data.lines
            ]
            counts += [(flow.name, sum(flow.counts.values())) for flow in message.data.flows]
            for name, count in counts:
                yield _message(
                    message.box,
                    COUNTER_TOPIC,
                    message.data.end_time,
                    message.data.camera,
                    name,
                    {"Count": count},
                    is_property=True,
                )
        case _:
            return


def _message(
    box: str,
    topic: str,
    time: str,
    camera: str,
    rule: str | None,
    data: dict[str, Any],
    *,
    is_property: bool,
) -> OnvifMessage:
    levels = (box, "onvif-ej", topic, f"&{camera}", *((_topic_level(rule),) if rule else ()))
    source = {"VideoSource": camera} | ({"Rule": rule} if rule else {})
    payload: dict[str, Any] = {"UtcTime": time, "Source": source, "Data": data}
    if is_property:
        payload["PropertyOperation"] = "Changed"
    return OnvifMessage(topic="/".join(levels), payload=payload)


def _topic_level(name: str) -> str:
    """Return a name of a scene as one level of a topic: MQTT's own characters are replaced."""
    return "".join("_" if character in "/+#\0" else character for character in name)
