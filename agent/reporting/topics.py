"""Topics, encoding and decoding of the wire contract. Pure: values in, values out.

docs/wire-contract.md says the same for people, docs/asyncapi.json for machines.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import TypeVar

import msgspec

from agent.base.clock import ClockTrust
from agent.base.health_model import HealthReport
from agent.base.model import Event, Flow, Reply
from agent.reporting.payloads import (
    CustodyHead,
    DeclarationData,
    DeclarationMessage,
    Envelope,
    EventData,
    EventMessage,
    FlowData,
    Message,
    MessageType,
    ReceiptData,
    SnapshotData,
    SnapshotHeader,
    Span,
    StatusData,
    StatusMessage,
)

ROOT = "vigie/v1"
CENTRE_STATE = f"{ROOT}/centre/state"
SNAPSHOT_MAX_BYTES = 20_000
HEALTH_EXPIRY_S = 120
"""A report that the broker could not hand on within four of them is of no use any more."""
TOPIC_MOST = 256
"""Characters of a topic that a reply may be asked for on."""
CORRELATION_MOST_BYTES = 1024
"""Of what comes back with a reply; it lies in the outbox meanwhile."""

EMERGENCIES = frozenset({"stopped", "wrong_way", "person_on_carriageway"})
"""Kinds of event that somebody may be in danger for: they pass everything else that waits."""


class Priority(IntEnum):
    """What goes last when room is short: the greater number goes first."""

    EMERGENCY = 0
    """And replies: somebody waits for them."""
    EVENT = 1
    RECEIPT = 2
    FLOW = 3
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
    type: MessageType
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
    what: str
    rest: tuple[str, ...]


def rfc3339(when: datetime) -> str:
    """UTC with milliseconds, cut and not rounded: `2026-11-03T07:41:05.250Z`."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def up(box: str, rest: str) -> str:
    """The topic under which a box says something."""
    return f"{ROOT}/{box}/up/{rest}"


def down(box: str, rest: str) -> str:
    """The topic under which a box is told something."""
    return f"{ROOT}/{box}/down/{rest}"


def commanded(box: str, topic: str) -> str | None:
    """The verb of a command's topic, or None where it is none of this box."""
    verb = topic.removeprefix(down(box, "command/"))
    return verb if verb != topic and verb and "/" not in verb else None


def reply_topic(box: str, asked: str | None) -> str:
    """What follows `up/` in the topic of a reply: what was asked for where it is this box's own
    `up/reply` or below it, else `reply`. A command must not make a box speak anywhere else.
    """
    if asked is None or len(asked) > TOPIC_MOST or any(mark in asked for mark in "+#\0"):
        return "reply"
    topic = parse_up(asked)
    if topic is None or (topic.box, topic.what) != (box, "reply"):
        return "reply"
    return "/".join(("reply", *topic.rest))


def parse_up(topic: str) -> UpTopic | None:
    """The parts of a box's topic, or None where it is none."""
    match topic.removeprefix(f"{ROOT}/").split("/"):
        case [box, "up", what, *rest] if topic.startswith(f"{ROOT}/") and box and what:
            return UpTopic(box=box, what=what, rest=tuple(rest))
    return None


def event_data(
    event: Event,
    *,
    begin: datetime,
    footage: Span | None = None,
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


def event_message(
    event: Event,
    stamp: EnvelopeFields,
    *,
    begin: datetime,
    footage: Span | None = None,
    thumbnail: str | None = None,
    t_s: float | None = None,
) -> bytes:
    """The JSON of an event's message, byte for byte as it goes over MQTT; see `event_data`."""
    data = event_data(event, begin=begin, footage=footage, thumbnail=thumbnail, t_s=t_s)
    return msgspec.json.encode(EventMessage(**msgspec.structs.asdict(stamp), data=data))


def event_draft(data: EventData) -> OutgoingMessage:
    """For the outbox: an event."""
    urgent = data.kind in EMERGENCIES
    return OutgoingMessage(
        topic=f"event/{data.camera}/{data.kind}",
        type="event",
        priority=Priority.EMERGENCY if urgent else Priority.EVENT,
        t_ns=data.t_ns,
        data=msgspec.json.encode(data),
    )


def flow_draft(flow: Flow, *, begin: datetime, end: datetime) -> OutgoingMessage:
    """For the outbox: one minute of traffic; `begin` and `end` are its times in UTC."""
    data = FlowData(
        **msgspec.structs.asdict(flow), begin_time=rfc3339(begin), end_time=rfc3339(end)
    )
    return OutgoingMessage(
        topic=f"flow/{flow.camera}",
        type="flow",
        priority=Priority.FLOW,
        t_ns=flow.end_ns,
        data=msgspec.json.encode(data),
    )


def health_draft(report: HealthReport, t_ns: int) -> OutgoingMessage:
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


def receipt_draft(data: ReceiptData, t_ns: int) -> OutgoingMessage:
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


def snapshot_draft(
    camera: str,
    jpeg: bytes,
    t_ns: int,
    *,
    event: str | None,
    max_bytes: int = SNAPSHOT_MAX_BYTES,
) -> OutgoingMessage:
    """For the outbox: a picture of `camera`, that of the event with id `event` where there is one.

    Raises ValueError where it is larger than `max_bytes`: at 100 kbit/s, twice SNAPSHOT_MAX_BYTES
    would hold up an emergency by three seconds. Only who asks for a picture may take that on.
    """
    if len(jpeg) > max_bytes:
        raise ValueError(f"a snapshot of {len(jpeg)} bytes; at most {max_bytes} may go")
    header = SnapshotData(camera=camera, sha256=sha256_hex(jpeg), size_bytes=len(jpeg), event=event)
    return OutgoingMessage(
        topic=f"snapshot/{camera}",
        type="snapshot",
        priority=Priority.SNAPSHOT,
        t_ns=t_ns,
        data=jpeg,
        header=msgspec.json.encode(header),
    )


def reply_draft(
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


def encode(kind: str, stamp: EnvelopeFields, data: bytes) -> bytes:
    """The JSON of a message whose data is JSON already."""
    return msgspec.json.encode(
        _RawMessage(type=kind, **msgspec.structs.asdict(stamp), data=msgspec.Raw(data))
    )


def encode_status(stamp: EnvelopeFields, data: StatusData) -> bytes:
    """The JSON of a birth, a will or a farewell."""
    return msgspec.json.encode(StatusMessage(**msgspec.structs.asdict(stamp), data=data))


def encode_declaration(stamp: EnvelopeFields, data: DeclarationData) -> bytes:
    """The JSON of what the box does, for the public."""
    return msgspec.json.encode(DeclarationMessage(**msgspec.structs.asdict(stamp), data=data))


def snapshot_properties(stamp: EnvelopeFields, header: bytes) -> tuple[tuple[str, str], ...]:
    """The user properties of a snapshot's message, name and value."""
    return (
        ("type", "snapshot"),
        ("v", "1"),
        ("id", stamp.id),
        ("box", stamp.box),
        ("epoch", stamp.epoch),
        ("seq", str(stamp.seq)),
        ("boot", stamp.boot),
        ("time", stamp.time),
        ("clock", msgspec.json.encode(stamp.clock).decode()),
        ("data", header.decode()),
    )


_MESSAGE = msgspec.json.Decoder(Message)
_ENVELOPE = msgspec.json.Decoder(Envelope)
_JSON_PROPERTIES = ("v", "seq", "clock", "data")
T = TypeVar("T")


def decode(topic: UpTopic, payload: bytes, properties: Mapping[str, str]) -> Message:
    """A box's message. Of a snapshot it is the header, from the user properties.

    Raises ValueError with one line where it is not what the contract says.
    """
    try:
        if topic.what == "snapshot":
            message: Message = msgspec.convert(_fields(properties), SnapshotHeader)
        else:
            message = _MESSAGE.decode(payload)
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
        if topic.what == "snapshot":
            envelope = msgspec.convert(_fields(properties), Envelope)
        else:
            envelope = _ENVELOPE.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return envelope if envelope.box == topic.box else None


def _fields(properties: Mapping[str, str]) -> dict[str, object]:
    return {
        name: msgspec.json.decode(value) if name in _JSON_PROPERTIES else value
        for name, value in properties.items()
    }


def decode_as(kind: type[T], payload: bytes) -> T | None:
    """An Ack or a CentreState, or None where the payload is none."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
