"""Outgoing messages of a box, without a number: their topics, priorities and data. Pure."""

from datetime import datetime
from enum import IntEnum

import msgspec

from agent.base.clock import rfc3339
from agent.base.health_model import HealthReport
from agent.base.model import Event, Reply, TrafficCounts
from agent.base.sha256 import sha256_hex
from agent.reporting.payloads import (
    CustodyHead,
    EventData,
    EventMessage,
    OutboxMessageType,
    ReceiptData,
    SnapshotData,
    TrafficCountsData,
    UtcSpan,
)
from agent.reporting.topics import EnvelopeFields

MAX_SNAPSHOT_BYTES = 20_000
HEALTH_EXPIRY_INTERVALS, MIN_HEALTH_EXPIRY_S = 3, 120
"""A health report is retained for three intervals of reports: an older one says nothing of the box now."""
LIVE_EXPIRY_S = 5
"""An older picture of a live look is of no use."""


class Priority(IntEnum):
    """Priority of a message. On a full outbox the greatest number is shed first."""

    EMERGENCY = 0
    """Also of replies: an operator waits for them."""
    EVENT = 1
    RECEIPT = 2
    TRAFFIC_COUNTS = 3
    HEALTH = 4
    SNAPSHOT = 5


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


def build_health_message(report: HealthReport, t_ns: int, interval_s: float) -> OutgoingMessage:
    """Return a health report's message, of a box that reports each `interval_s`. It is not stored: a newer report
    replaces it, and writing each would wear out the disk. The time before a power cut is in the flight recorder.
    """
    return OutgoingMessage(
        topic="health",
        type="health",
        priority=Priority.HEALTH,
        t_ns=t_ns,
        data=msgspec.json.encode(report),
        expiry_s=max(MIN_HEALTH_EXPIRY_S, round(HEALTH_EXPIRY_INTERVALS * interval_s)),
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
