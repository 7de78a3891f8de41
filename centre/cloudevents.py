"""Messages of boxes as CloudEvents 1.0, JSON format: https://cloudevents.io. Pure.

docs/centre.md has the table of attributes.
"""

import base64

import msgspec

from agent.base.json_decode import JsonDecoder
from agent.reporting.payloads import (
    EventMessage,
    Message,
    ReceiptMessage,
    ReplyMessage,
    SnapshotHeader,
    StatusMessage,
    TrafficCountsMessage,
)
from agent.reporting.topics import TOPIC_ROOT
from centre.client import ReceivedMessage


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A CloudEvent. `sequence`, `epoch`, `boot`, `clocksynced` and `event` are extension attributes, whose names
    have lower case letters and digits only.
    """

    id: str
    source: str
    type: str
    time: str
    datacontenttype: str
    subject: str | None = None
    sequence: str | None = None
    epoch: str
    boot: str
    clocksynced: bool
    event: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | msgspec.UnsetType = msgspec.UNSET
    specversion: str


class _PayloadData(msgspec.Struct, frozen=True):
    data: msgspec.Raw


_DATA_DECODER = JsonDecoder(_PayloadData)


def to_cloud_event(received: ReceivedMessage) -> CloudEvent | None:
    """Return a box's message as a CloudEvent, or None if it is not of this version of the contract."""
    message = received.message
    if message is None:
        return None
    is_snapshot = isinstance(message, SnapshotHeader)
    return CloudEvent(
        specversion="1.0",
        id=message.id,
        source=f"{TOPIC_ROOT}/{message.box}",
        type=f"vigie.{_type_suffix(message)}",
        time=message.time,
        subject=_subject(message),
        datacontenttype="image/jpeg" if is_snapshot else "application/json",
        sequence=None if message.seq is None else str(message.seq),
        epoch=message.epoch,
        boot=message.boot,
        clocksynced=message.clock.synced,
        event=_event(message),
        data=msgspec.UNSET if is_snapshot else _raw_data(received.payload),
        data_base64=(base64.b64encode(received.payload).decode() if is_snapshot else msgspec.UNSET),
    )


def _raw_data(payload: bytes) -> msgspec.Raw:
    """Return the data as the box sent it, with fields that this version does not know, on one line."""
    return msgspec.Raw(msgspec.json.format(_DATA_DECODER.decode(payload).data, indent=-1))


def _type_suffix(message: Message) -> str:
    """Return the type of the message, and of its data if there are several."""
    name = str(message.__struct_config__.tag)
    match message:
        case EventMessage():
            return f"{name}.{message.data.kind}"
        case StatusMessage() | ReceiptMessage() | ReplyMessage():
            return f"{name}.{message.data.__struct_config__.tag}"
    return name


def _subject(message: Message) -> str | None:
    match message:
        case EventMessage() | TrafficCountsMessage() | SnapshotHeader():
            return message.data.camera
        case ReplyMessage():
            return message.data.verb
    return None


def _event(message: Message) -> str | None:
    """Return the id that the revisions of an event and its picture share."""
    return message.data.event if isinstance(message, EventMessage | SnapshotHeader) else None
