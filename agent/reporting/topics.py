"""Topics, encoding and decoding of the wire contract. Pure: values in, values out.

docs/wire-contract.md says the same for people, docs/asyncapi.json for machines.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import TypeVar

import msgspec

from agent.base.clock import ClockTrust, rfc3339
from agent.base.health_model import HealthReport
from agent.base.model import Event, Reply, TrafficCounts
from agent.reporting.payloads import (
    CustodyHead,
    DeclarationData,
    DeclarationMessage,
    Envelope,
    EventData,
    EventMessage,
    Message,
    OutboxMessageType,
    ReceiptData,
    SnapshotData,
    SnapshotHeader,
    StatusData,
    StatusMessage,
    TrafficCountsData,
    UtcSpan,
)

TOPIC_ROOT = "vigie/v1"
CENTRE_STATE_TOPIC = f"{TOPIC_ROOT}/centre/state"
MAX_SNAPSHOT_BYTES = 20_000
HEALTH_EXPIRY_S = 120
"""A report that the broker could not hand on within four of them is of no use any more."""
MAX_TOPIC_CHARS = 256
"""Characters of a topic that a reply may be asked for on."""
MAX_CORRELATION_BYTES = 1024
"""Of what comes back with a reply; it lies in the outbox meanwhile."""


class Priority(IntEnum):
    """What goes last when room is short: the greater number goes first."""

    EMERGENCY = 0
    """And replies: somebody waits for them."""
    EVENT = 1
    RECEIPT = 2
    TRAFFIC_COUNTS = 3
    HEALTH = 4
    SNAPSHOT = 5


class EnvelopeFields(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope's part of a message: who says it, and when."""

    id: str
    box: str
    epoch: str
    seq: int | None
    boot: str
    time: str
    clock: ClockTrust


class OutgoingMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that has no number yet.

    `topic` is what follows `up/`. `data` is the JSON of the data; of a snapshot it is the JPEG,
    and `header` the JSON. Of a reply `header` is the correlation data. `expiry_s` is MQTT's message expiry. With `newest_only` a waiting
    message of the same topic that was never sent gives its place to this one.
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
    """Any message, with data that is JSON already. Its fields stand in the order of `Message`."""

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
    """A topic that a box writes to, taken apart: `rest` is what follows the kind of message."""

    box: str
    kind: str
    sublevels: tuple[str, ...]


def up_topic(box: str, suffix: str) -> str:
    """The topic under which a box says something."""
    return f"{TOPIC_ROOT}/{box}/up/{suffix}"


def down_topic(box: str, suffix: str) -> str:
    """The topic under which a box is told something."""
    return f"{TOPIC_ROOT}/{box}/down/{suffix}"


def parse_command_topic(box: str, topic: str) -> str | None:
    """The verb of a command's topic, or None where it is none of this box."""
    verb = topic.removeprefix(down_topic(box, "command/"))
    return verb if verb != topic and verb and "/" not in verb else None


def choose_reply_topic(box: str, requested: str | None) -> str:
    """What follows `up/` in the topic of a reply: what was asked for where it is this box's own
    `up/reply` or below it, else `reply`. A command must not make a box speak anywhere else.
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
    """The parts of a box's topic, or None where it is none."""
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
    """An event with what the wire adds. `begin` is the UTC of `event.begin_ns`; `thumbnail` the
    SHA-256 of its snapshot; `t_s` the clip's time, in a replay alone.
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
    """The JSON of an event's message, byte for byte as it goes over MQTT; see `event_data`."""
    data = build_event_data(event, begin=begin, footage=footage, thumbnail=thumbnail, t_s=t_s)
    return msgspec.json.encode(EventMessage(**msgspec.structs.asdict(envelope), data=data))


def build_event_message(data: EventData, *, is_emergency: bool = False) -> OutgoingMessage:
    """For the outbox: an event."""
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
    """For the outbox: one minute of traffic; `begin` and `end` are its times in UTC."""
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
    """How the box is at `t_ns`. It is not kept: each report says more than the one before it, and
    written to the disk they would wear it out (what led to a power cut is in the flight recorder).
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
    """For the outbox: a receipt. Of the chain's heads only the newest waits: it speaks for all."""
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
    """For the outbox: a picture of `camera`, that of the event with id `event` where there is one.

    Raises ValueError where it is larger than `max_bytes`: at 100 kbit/s, twice SNAPSHOT_MAX_BYTES
    would hold up an emergency by three seconds. Only who asks for a picture may take that on.
    """
    if len(jpeg) > max_bytes:
        raise ValueError(f"a snapshot of {len(jpeg)} bytes; at most {max_bytes} may go")
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


def build_reply_message(
    reply: Reply, t_ns: int, *, topic: str, correlation: bytes | None
) -> OutgoingMessage:
    """For the outbox: what is said to a command; `topic` is that of `reply_topic`."""
    return OutgoingMessage(
        topic=topic,
        type="reply",
        priority=Priority.EMERGENCY,
        t_ns=t_ns,
        data=msgspec.json.encode(reply),
        header=correlation,
    )


def sha256_hex(data: bytes) -> str:
    """The hash by which an event names its picture."""
    return hashlib.sha256(data).hexdigest()


def encode(message_type: str, envelope: EnvelopeFields, data: bytes) -> bytes:
    """The JSON of a message whose data is JSON already."""
    return msgspec.json.encode(
        _RawMessage(type=message_type, **msgspec.structs.asdict(envelope), data=msgspec.Raw(data))
    )


def encode_status(envelope: EnvelopeFields, data: StatusData) -> bytes:
    """The JSON of a birth, a will or a farewell."""
    return msgspec.json.encode(StatusMessage(**msgspec.structs.asdict(envelope), data=data))


def encode_declaration(envelope: EnvelopeFields, data: DeclarationData) -> bytes:
    """The JSON of what the box does, for the public."""
    return msgspec.json.encode(DeclarationMessage(**msgspec.structs.asdict(envelope), data=data))


def snapshot_user_properties(
    envelope: EnvelopeFields, header: bytes
) -> tuple[tuple[str, str], ...]:
    """The user properties of a snapshot's message, name and value."""
    return (
        ("type", "snapshot"),
        ("v", "1"),
        ("id", envelope.id),
        ("box", envelope.box),
        ("epoch", envelope.epoch),
        ("seq", str(envelope.seq)),
        ("boot", envelope.boot),
        ("time", envelope.time),
        ("clock", msgspec.json.encode(envelope.clock).decode()),
        ("data", header.decode()),
    )


_MESSAGE_DECODER = msgspec.json.Decoder(Message)
_ENVELOPE_DECODER = msgspec.json.Decoder(Envelope)
_JSON_PROPERTIES = ("v", "seq", "clock", "data")
T = TypeVar("T")


def decode(topic: UpTopic, payload: bytes, properties: Mapping[str, str]) -> Message:
    """A box's message. Of a snapshot it is the header, from the user properties.

    Raises ValueError with one line where it is not what the contract says.
    """
    try:
        if topic.kind == "snapshot":
            message: Message = msgspec.convert(_decode_properties(properties), SnapshotHeader)
        else:
            message = _MESSAGE_DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"not a message of the contract: {error}") from error
    if message.box != topic.box:
        raise ValueError(f"box {message.box!r} in a message on the topic of {topic.box!r}")
    return message


def decode_envelope(
    topic: UpTopic, payload: bytes, properties: Mapping[str, str]
) -> Envelope | None:
    """What a message says of itself, whatever its data: a centre keeps, and acknowledges, what a
    newer box has to say. None where not even that can be read, or another box speaks.
    """
    try:
        if topic.kind == "snapshot":
            envelope = msgspec.convert(_decode_properties(properties), Envelope)
        else:
            envelope = _ENVELOPE_DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return envelope if envelope.box == topic.box else None


def _decode_properties(properties: Mapping[str, str]) -> dict[str, object]:
    return {
        name: msgspec.json.decode(value) if name in _JSON_PROPERTIES else value
        for name, value in properties.items()
    }


def decode_as(struct_type: type[T], payload: bytes) -> T | None:
    """An Ack or a CentreState, or None where the payload is none."""
    try:
        return msgspec.json.decode(payload, type=struct_type)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
