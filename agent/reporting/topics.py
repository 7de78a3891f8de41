"""Topics and encoding of the wire contract. Pure.

Described in docs/wire-contract.md for people, in docs/asyncapi.json for machines.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from agent.base.clock import ClockTrust
from agent.base.json_decode import JsonDecoder, MalformedJson, decode_any_json, decode_json
from agent.reporting.declaration.data import DeclarationData
from agent.reporting.payloads import (
    ConfigContentMessage,
    ConfigMessage,
    ConfigRehearsalMessage,
    DeclarationMessage,
    Envelope,
    Message,
    ReportedConfig,
    ReportedContent,
    SnapshotHeader,
    StatusData,
    StatusMessage,
)
from agent.reporting.rehearsal import ReportedRehearsal

TOPIC_ROOT = "vigie/v1"
REVOCATIONS_TOPIC = f"{TOPIC_ROOT}/centre/revocations"
INCIDENT_FILTER = f"{TOPIC_ROOT}/incident/+"
"""Orders of incidents, one topic for each."""
WILL_EXPIRY_S = 315_360_000
"""Ten years. The broker counts it down once it has published the will: the rest tells a centre that starts later
when the box was lost.
"""
MAX_TOPIC_CHARS = 256
"""Length of a reply topic that a command may name."""
MAX_CORRELATION_BYTES = 1024
"""Of a command. It is stored in the outbox with the reply."""


class EnvelopeFields(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope of a message."""

    id: str
    box: str
    epoch: str
    seq: int | None
    boot: str
    time: str
    clock: ClockTrust


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


def encode_config_content(envelope: EnvelopeFields, data: ReportedContent) -> bytes:
    """Encode the content of the stored version."""
    return msgspec.json.encode(ConfigContentMessage(**msgspec.structs.asdict(envelope), data=data))


def encode_config_rehearsal(envelope: EnvelopeFields, data: ReportedRehearsal) -> bytes:
    """Encode a rehearsal."""
    return msgspec.json.encode(
        ConfigRehearsalMessage(**msgspec.structs.asdict(envelope), data=data)
    )


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
