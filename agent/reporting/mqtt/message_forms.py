"""Messages as publications: each as it is, then smaller forms for a broker whose Maximum Packet Size excludes it.

A picture is encoded smaller; a health report, a birth and the receipt of a restart leave out parts. Other messages
have one form. The forms of large messages are computed when they are asked for.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec

from agent.base.health_model import HealthReport
from agent.base.json_decode import JsonDecoder
from agent.base.sha256 import sha256_hex
from agent.reporting import topics
from agent.reporting.mqtt.packet_properties import (
    JPEG_CONTENT_TYPE,
    JSON_CONTENT_TYPE,
    publish_header_bytes,
)
from agent.reporting.outbox import schema
from agent.reporting.outbox.schema import OutboxRow
from agent.reporting.outgoing_messages import OutgoingMessage
from agent.reporting.payloads import OnlineStatus, ReceiptData, Restarted, SnapshotData
from agent.reporting.topics import EnvelopeFields

ShrinkJpeg: TypeAlias = Callable[[bytes, int], bytes | None]
"""Returns a picture as a JPEG of at most so many bytes, or None if that would show nothing."""

_OMISSIONS: tuple[tuple[str, Any], ...] = (
    ("stages", ()),
    ("detectors", ()),
    ("commands", None),
    ("footage", ()),
    ("heads", ()),
    ("disk", None),
    ("pins", None),
    ("live", None),
    ("link", None),
    ("cameras", ()),
    ("faults", ()),
)
"""Parts of a health report in the order in which they are left out, each with its empty value. Vitals and outbox
stay."""

_HEALTH_DECODER = JsonDecoder(HealthReport)
_RECEIPT_DECODER: JsonDecoder[ReceiptData] = JsonDecoder(ReceiptData)
_SNAPSHOT_DECODER = JsonDecoder(SnapshotData)


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is published. The user properties of a picture are its envelope."""

    topic: str
    payload: bytes
    user_properties: tuple[tuple[str, str], ...] = ()
    correlation: bytes | None = None
    expiry_s: int | None = None
    is_retained: bool = False

    @property
    def content_type(self) -> str:
        """The media type of the payload."""
        return JPEG_CONTENT_TYPE if self.user_properties else JSON_CONTENT_TYPE

    @property
    def header_bytes(self) -> int:
        """The size of the packet without the payload, at most."""
        return publish_header_bytes(self.topic, self.user_properties, None, self.correlation)


def stored_message_forms(
    box: str, epoch: str, row: OutboxRow, max_packet_bytes: int, shrink: ShrinkJpeg
) -> Iterator[Publication]:
    """Yield the forms of a message of the outbox."""
    topic, envelope = topics.up_topic(box, row.topic), schema.envelope_of(row, box, epoch)
    if row.type == "snapshot" and row.header is not None:
        yield from _snapshot_forms(topic, row, row.header, envelope, max_packet_bytes, shrink)
        return
    for data in _receipt_data_forms(row.data) if row.type == "receipt" else (row.data,):
        yield Publication(
            topic=topic,
            payload=topics.encode(row.type, envelope, data),
            correlation=row.header if row.type == "reply" else None,
            expiry_s=row.expiry_s,
        )


def unstored_forms(
    box: str,
    outgoing: OutgoingMessage,
    envelope: EnvelopeFields,
    max_packet_bytes: int,
    shrink: ShrinkJpeg,
) -> Iterator[Publication]:
    """Yield the forms of a health report, which is retained, or of a picture of a live look."""
    if outgoing.type == "snapshot" and outgoing.header is not None:
        topic = topics.up_topic(box, outgoing.topic)
        yield from _snapshot_forms(
            topic, outgoing, outgoing.header, envelope, max_packet_bytes, shrink
        )
        return
    for data in _health_data_forms(outgoing.data):
        yield Publication(
            topic=topics.up_topic(box, outgoing.topic),
            payload=topics.encode(outgoing.type, envelope, data),
            expiry_s=outgoing.expiry_s,
            is_retained=True,
        )


def birth_forms(birth: OnlineStatus) -> tuple[OnlineStatus, ...]:
    """Return the forms of a birth. Without any the box would stay lost for the centre."""
    lists = ("versions", "cameras", "faults", "heads", "pins")
    omitted = tuple(name for name in lists if getattr(birth, name))
    shortened = msgspec.structs.replace(
        birth, versions={}, cameras=(), faults=(), heads=(), pins=(), omitted=omitted
    )
    return birth, shortened


def retained_forms(box: str, subtopic: str, *payloads: bytes) -> list[Publication]:
    """Return the forms of a retained message, from the encoded ones."""
    topic = topics.up_topic(box, subtopic)
    return [Publication(topic=topic, payload=payload, is_retained=True) for payload in payloads]


def _health_data_forms(data: bytes) -> Iterator[bytes]:
    yield data
    report = _HEALTH_DECODER.decode(data)
    for name, empty in _OMISSIONS:
        if getattr(report, name) != empty:
            omitted = (*report.omitted, name)
            report = msgspec.structs.replace(report, **{name: empty, "omitted": omitted})
            yield msgspec.json.encode(report)


def _receipt_data_forms(data: bytes) -> Iterator[bytes]:
    yield data
    receipt = _RECEIPT_DECODER.decode(data)
    if isinstance(receipt, Restarted):
        yield msgspec.json.encode(msgspec.structs.replace(receipt, flight=None))
        yield msgspec.json.encode(msgspec.structs.replace(receipt, flight=None, last_sample=None))


def _snapshot_forms(
    topic: str,
    message: OutboxRow | OutgoingMessage,
    header: bytes,
    envelope: EnvelopeFields,
    max_packet_bytes: int,
    shrink: ShrinkJpeg,
) -> Iterator[Publication]:
    def build(jpeg: bytes, header: bytes) -> Publication:
        return Publication(
            topic=topic,
            payload=jpeg,
            user_properties=topics.snapshot_user_properties(envelope, header),
            expiry_s=message.expiry_s,
        )

    yield build(message.data, header)
    original = _SNAPSHOT_DECODER.decode(header)
    smaller = msgspec.structs.replace(original, original_sha256=original.sha256)
    # The size of a smaller picture has no more digits.
    header_bytes = build(b"", msgspec.json.encode(smaller)).header_bytes
    jpeg = shrink(message.data, max_packet_bytes - header_bytes)
    if jpeg is not None:
        smaller = msgspec.structs.replace(smaller, sha256=sha256_hex(jpeg), size_bytes=len(jpeg))
        yield build(jpeg, msgspec.json.encode(smaller))
