"""Topics, encoding and decoding of the wire contract. Pure.

Described in docs/wire-contract.md for people, in docs/asyncapi.json for machines.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import TypeVar

import msgspec

from agent.base.clock import ClockTrust, rfc3339
from agent.base.health_model import HealthReport
from agent.base.json_decode import JsonDecoder, MalformedJson, decode_any_json, decode_json
from agent.base.model import Event, Reply, TrafficCounts
from agent.base.sha256 import sha256_hex
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.payloads import (
    ConfigMessage,
    CustodyHead,
    DeclarationMessage,
    Envelope,
    EventData,
    EventMessage,
    Message,
    OutboxMessageType,
    ReceiptData,
    ReportedConfig,
    SnapshotData,
    SnapshotHeader,
    StatusData,
    StatusMessage,
    TrafficCountsData,
    UtcSpan,
)

TOPIC_ROOT = "vigie/v1"
REVOCATIONS_TOPIC = f"{TOPIC_ROOT}/centre/revocations"
INCIDENT_FILTER = f"{TOPIC_ROOT}/incident/+"
"""Orders of incidents, one topic for each."""
MAX_SNAPSHOT_BYTES = 20_000
HEALTH_EXPIRY_S = 120
"""Four reports. An older one is of no use."""
LIVE_EXPIRY_S = 5
"""An older picture of a live look is of no use."""
WILL_EXPIRY_S = 315_360_000
"""Ten years. The broker counts it down once it has published the will: the rest tells a centre that starts later
when the box was lost.
"""
MAX_TOPIC_CHARS = 256
"""Length of a reply topic that a command may name."""
MAX_CORRELATION_BYTES = 1024
"""Of a command. It is stored in the outbox with the reply."""


class Priority(IntEnum):
    """Priority of a message. On a full outbox the greatest number is shed first."""

    EMERGENCY = 0
    """Also of replies: an operator waits for them."""
    EVENT = 1
    RECEIPT = 2
    TRAFFIC_COUNTS = 3
    HEALTH = 4
    SNAPSHOT = 5


class EnvelopeFields(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope of a message."""

    id: str
    box: str
    epoch: str
    seq: int | None
    boot: str
    time: str
    clock: ClockTrust


class OutgoingMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message without a number.

    `topic` follows `up/`. `data` is the JSON of the data; of a snapshot it is the JPEG, and `header`
    the JSON. Of a reply `header` is the correlation data. `expiry_s` is MQTT's message expiry. With
    `newest_only` it replaces a waiting message of the same topic that was never sent.
    """

    topic: str
    type: OutboxMessageType
    priority: Priority
    t_ns: int
    data: bytes
    header: bytes | None = None
    expiry_s: int | None = None
    newest_only: bool = False


class _RawMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Any message with encoded data. Its fields have the order of `Message`."""

    type: str
    v: int = 1
    id: str
    box: str
    epoch: str
    seq: int | None
    boot: str
    time: str
    clock: ClockTrust
    data: msgspec.Raw


class UpTopic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic that a box publishes on. `sublevels` follow the kind of message."""

    box: str
    kind: str
    sublevels: tuple[str, ...]


def up_topic(box: str, suffix: str) -> str:
    """Return a topic that a box publishes on."""
    return f"{TOPIC_ROOT}/{box}/up/{suffix}"


def down_topic(box: str, suffix: str) -> str:
    """Return a topic that a box subscribes to."""
    return f"{TOPIC_ROOT}/{box}/down/{suffix}"


def parse_command_topic(box: str, topic: str) -> str | None:
    """Return the verb of a command's topic, or None if it is no command of this box."""
    verb = topic.removeprefix(down_topic(box, "command/"))
    return verb if verb != topic and verb and "/" not in verb else None


def parse_incident_topic(topic: str) -> str | None:
    """Return the id of an incident's topic, or None if it is another topic."""
    incident_id = topic.removeprefix(INCIDENT_FILTER.removesuffix("+"))
    is_one = incident_id not in (topic, "") and "/" not in incident_id
    return incident_id if is_one else None


def choose_reply_topic(box: str, requested: str | None) -> str:
    """Return the reply topic after `up/`: the requested one if it is this box's `up/reply` or below
    it, else `reply`. A command must not make a box publish anywhere else.
    """
    if (
        requested is None
        or len(requested) > MAX_TOPIC_CHARS
        or any(mark in requested for mark in "+#\0")
    ):
        return "reply"
    topic = parse_up_topic(requested)
    if topic is None or (topic.box, topic.kind) != (box, "reply"):
        return "reply"
    return "/".join(("reply", *topic.sublevels))


def parse_up_topic(topic: str) -> UpTopic | None:
    """Parse a topic that a box publishes on, or return None."""
    match topic.removeprefix(f"{TOPIC_ROOT}/").split("/"):
        case [box, "up", kind, *sublevels] if topic.startswith(f"{TOPIC_ROOT}/") and box and kind:
            return UpTopic(box=box, kind=kind, sublevels=tuple(sublevels))
    return None


def build_event_data(
    event: Event,
    *,
    begin: datetime,
    footage: UtcSpan | None = None,
    thumbnail: str | None = None,
    t_s: float | None = None,
) -> EventData:
    """Return an event's data. `begin` is the UTC of `event.begin_ns`; `thumbnail` the SHA-256 of its
    snapshot; `t_s` the clip's time, of a replay only.
    """
    return EventData(
        **msgspec.structs.asdict(event),
        begin_time=rfc3339(begin),
        footage=footage,
        thumbnail=thumbnail,
        t_s=msgspec.UNSET if t_s is None else t_s,
    )


def encode_event(
    event: Event,
    envelope: EnvelopeFields,
    *,
    begin: datetime,
    footage: UtcSpan | None = None,
    thumbnail: str | None = None,
    t_s: float | None = None,
) -> bytes:
    """Return an event's message as it is sent over MQTT; see `build_event_data`."""
    data = build_event_data(event, begin=begin, footage=footage, thumbnail=thumbnail, t_s=t_s)
    return msgspec.json.encode(EventMessage(**msgspec.structs.asdict(envelope), data=data))


def build_event_message(data: EventData, *, is_emergency: bool = False) -> OutgoingMessage:
    """Return an event's message for the outbox."""
    return OutgoingMessage(
        topic=f"event/{data.camera}/{data.kind}",
        type="event",
        priority=Priority.EMERGENCY if is_emergency else Priority.EVENT,
        t_ns=data.t_ns,
        data=msgspec.json.encode(data),
    )


def build_traffic_counts_message(
    flow: TrafficCounts, *, begin: datetime, end: datetime
) -> OutgoingMessage:
    """Return the message of one minute's traffic counts; `begin` and `end` are its UTC times."""
    data = TrafficCountsData(
        **msgspec.structs.asdict(flow), begin_time=rfc3339(begin), end_time=rfc3339(end)
    )
    return OutgoingMessage(
        topic=f"flow/{flow.camera}",
        type="flow",
        priority=Priority.TRAFFIC_COUNTS,
        t_ns=flow.end_ns,
        data=msgspec.json.encode(data),
    )


def build_health_message(report: HealthReport, t_ns: int) -> OutgoingMessage:
    """Return a health report's message. It is not stored: a newer report replaces it, and writing
    each would wear out the disk. The time before a power cut is in the flight recorder.
    """
    return OutgoingMessage(
        topic="health",
        type="health",
        priority=Priority.HEALTH,
        t_ns=t_ns,
        data=msgspec.json.encode(report),
        expiry_s=HEALTH_EXPIRY_S,
        newest_only=True,
    )


def build_receipt_message(data: ReceiptData, t_ns: int) -> OutgoingMessage:
    """Return a receipt's message. Of the custody chain's heads only the newest is stored."""
    is_head = isinstance(data, CustodyHead)
    return OutgoingMessage(
        topic="receipt/head" if is_head else "receipt",
        type="receipt",
        priority=Priority.RECEIPT,
        t_ns=t_ns,
        data=msgspec.json.encode(data),
        newest_only=is_head,
    )


def build_snapshot_message(
    camera: str,
    jpeg: bytes,
    t_ns: int,
    *,
    event_id: str | None,
    max_bytes: int = MAX_SNAPSHOT_BYTES,
) -> OutgoingMessage:
    """Return the message of a camera's picture, of the event `event_id` if there is one.

    Raises: ValueError if it is larger than `max_bytes`: at 100 kbit/s, twice MAX_SNAPSHOT_BYTES delay
    an emergency by three seconds. Only a snapshot command may allow more.
    """
    if len(jpeg) > max_bytes:
        raise ValueError(f"a snapshot of {len(jpeg)} bytes; allowed: at most {max_bytes}")
    header = SnapshotData(
        camera=camera, sha256=sha256_hex(jpeg), size_bytes=len(jpeg), event=event_id
    )
    return OutgoingMessage(
        topic=f"snapshot/{camera}",
        type="snapshot",
        priority=Priority.SNAPSHOT,
        t_ns=t_ns,
        data=jpeg,
        header=msgspec.json.encode(header),
    )


def live_topic(camera: str) -> str:
    """Return the topic after `up/` of a camera's live pictures."""
    return f"live/{camera}"


def build_live_message(camera: str, jpeg: bytes, t_ns: int) -> OutgoingMessage:
    """Return the message of a picture of a live look. It is not stored: a newer picture replaces it."""
    snapshot = build_snapshot_message(camera, jpeg, t_ns, event_id=None, max_bytes=len(jpeg))
    return msgspec.structs.replace(
        snapshot, topic=live_topic(camera), expiry_s=LIVE_EXPIRY_S, newest_only=True
    )


def build_incident_picture(
    camera: str, jpeg: bytes, t_ns: int, *, event_id: str
) -> OutgoingMessage:
    """Return the message of a picture that an incident sends every few seconds. Only the newest one waits, and it is
    sent before events: the centre decides by it.
    """
    return msgspec.structs.replace(
        build_snapshot_message(camera, jpeg, t_ns, event_id=event_id),
        topic=f"snapshot/{camera}/incident",
        priority=Priority.EMERGENCY,
        newest_only=True,
    )


def build_reply_message(
    reply: Reply, t_ns: int, *, topic: str, correlation: bytes | None
) -> OutgoingMessage:
    """Return a reply's message. `topic` comes from `choose_reply_topic`."""
    return OutgoingMessage(
        topic=topic,
        type="reply",
        priority=Priority.EMERGENCY,
        t_ns=t_ns,
        data=msgspec.json.encode(reply),
        header=correlation,
    )


def encode(message_type: str, envelope: EnvelopeFields, data: bytes) -> bytes:
    """Encode a message whose data is encoded already."""
    return msgspec.json.encode(
        _RawMessage(type=message_type, **msgspec.structs.asdict(envelope), data=msgspec.Raw(data))
    )


def encode_status(envelope: EnvelopeFields, data: StatusData) -> bytes:
    """Encode a birth, a will or a last status."""
    return msgspec.json.encode(StatusMessage(**msgspec.structs.asdict(envelope), data=data))


def encode_declaration(envelope: EnvelopeFields, data: DeclarationData) -> bytes:
    """Encode a declaration."""
    return msgspec.json.encode(DeclarationMessage(**msgspec.structs.asdict(envelope), data=data))


def encode_config(envelope: EnvelopeFields, data: ReportedConfig) -> bytes:
    """Encode the configuration in force."""
    return msgspec.json.encode(ConfigMessage(**msgspec.structs.asdict(envelope), data=data))


def snapshot_user_properties(
    envelope: EnvelopeFields, header: bytes
) -> tuple[tuple[str, str], ...]:
    """Return the user properties of a picture's message, name and value."""
    return (
        ("type", "snapshot"),
        ("v", "1"),
        ("id", envelope.id),
        ("box", envelope.box),
        ("epoch", envelope.epoch),
        ("seq", msgspec.json.encode(envelope.seq).decode()),
        ("boot", envelope.boot),
        ("time", envelope.time),
        ("clock", msgspec.json.encode(envelope.clock).decode()),
        ("data", header.decode()),
    )


_MESSAGE_DECODER: JsonDecoder[Message] = JsonDecoder(Message)
_ENVELOPE_DECODER = JsonDecoder(Envelope)
_PICTURE_KINDS = ("snapshot", "live")
"""Kinds of topics whose payload is a JPEG, and whose envelope is in the user properties."""
_JSON_PROPERTIES = ("v", "seq", "clock", "data")
T = TypeVar("T")


def decode(topic: UpTopic, payload: bytes, properties: Mapping[str, str]) -> Message:
    """Decode a box's message; of a picture the header, from the user properties.

    Raises: ValueError with one line if it violates the contract.
    """
    try:
        if topic.kind in _PICTURE_KINDS:
            message: Message = msgspec.convert(_decode_properties(properties), SnapshotHeader)
        else:
            message = _MESSAGE_DECODER.decode(payload)
    except (MalformedJson, msgspec.ValidationError) as error:
        raise ValueError(f"not a message of the contract: {error}") from error
    if message.box != topic.box:
        raise ValueError(f"box {message.box!r} in a message on the topic of {topic.box!r}")
    return message


def decode_envelope(
    topic: UpTopic, payload: bytes, properties: Mapping[str, str]
) -> Envelope | None:
    """Decode the envelope only: a centre stores and acknowledges messages of newer boxes, too.

    Returns None if it cannot be decoded, or names another box.
    """
    try:
        if topic.kind in _PICTURE_KINDS:
            envelope = msgspec.convert(_decode_properties(properties), Envelope)
        else:
            envelope = _ENVELOPE_DECODER.decode(payload)
    except (MalformedJson, msgspec.ValidationError):
        return None
    return envelope if envelope.box == topic.box else None


def _decode_properties(properties: Mapping[str, str]) -> dict[str, object]:
    return {
        name: decode_any_json(value) if name in _JSON_PROPERTIES else value
        for name, value in properties.items()
    }


def decode_as(struct_type: type[T], payload: bytes) -> T | None:
    """Decode a payload, or return None if it is no `struct_type`."""
    try:
        return decode_json(payload, struct_type)
    except MalformedJson:
        return None
