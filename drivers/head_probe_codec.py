"""Queries that find the heads on a serial line, and the parsers of their answers. Pure.

No query moves a head. Pelco-D heads are queried for pan and tilt, VISCA cameras for position and
version. VISCA's broadcast assigns addresses to the cameras of a chain again, in the order of the
chain.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from drivers import visca_codec as visca
from drivers.pelco_codec import (
    AddressedMessage,
    PelcoDecoder,
    PositionQuery,
    PositionReport,
    encode_frame,
)
from drivers.visca_codec import ChainNumbered, InquiryAnswer, ViscaError, ViscaReply

HeadDriver = Literal["visca", "pelco_d"]
InquiryRefused = Literal["refused"]
"""The camera answered an inquiry with an error."""

VISCA_ADDRESSES = range(1, 8)
MAX_ANSWER_BYTES = visca.MAX_PACKET_BYTES

VERSION_BYTES = 7
POSITION_BYTES = 8


class HeadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of one head. Positions are in its own counts: Pelco's in hundredths of a degree.

    `reports_position` is false if the head reports no position: its answer was an acknowledgement or an
    error.
    """

    driver: HeadDriver
    address: int
    reports_position: bool
    pan_counts: int | None = None
    tilt_counts: int | None = None
    vendor_id: int | None = None
    model_id: int | None = None


def version_inquiry(address: int) -> bytes:
    """Encode the inquiry for vendor, model, ROM and sockets (EVI-D70 technical manual, page 40)."""
    return visca.make_packet(address, visca.INQUIRY, 0x00, 0x02)


def pelco_query(address: int, axis: Literal["pan", "tilt"]) -> bytes:
    """Encode the query for the position of an axis."""
    return encode_frame("D", AddressedMessage(address=address, message=PositionQuery(axis=axis)))


def strip_echo(received: bytes, query: bytes) -> bytes:
    """Return the received bytes without the query: two-wire adapters receive what they send."""
    return received.removeprefix(query)


def parse_chain_length(received: bytes) -> int | None:
    """Return the number of cameras in the chain, or None if no answer to the broadcast came."""
    free_addresses = (
        reply.first_free_address for reply in _replies(received) if isinstance(reply, ChainNumbered)
    )
    return next((one - 1 for one in free_addresses), None)


def find_visca_answer(address: int, received: bytes) -> bytes | InquiryRefused | None:
    """Return the data of this camera's answer, `refused`, or None if it did not answer."""
    for reply in _replies(received):
        if isinstance(reply, InquiryAnswer) and reply.address == address:
            return reply.data
        if isinstance(reply, ViscaError) and reply.address == address:
            return "refused"
    return None


def to_visca_head(
    address: int,
    position: bytes | InquiryRefused,
    version: bytes | InquiryRefused | None,
) -> HeadAnswer:
    """Build the HeadAnswer of a VISCA camera from its answers."""
    pan = tilt = vendor = model = None
    if isinstance(position, bytes) and len(position) == POSITION_BYTES:
        pan, tilt = visca.parse_signed(position[:4]), visca.parse_signed(position[4:])
    if isinstance(version, bytes) and len(version) == VERSION_BYTES:
        vendor, model = int.from_bytes(version[:2]), int.from_bytes(version[2:4])
    return HeadAnswer(
        driver="visca",
        address=address,
        reports_position=pan is not None and tilt is not None,
        pan_counts=pan,
        tilt_counts=tilt,
        vendor_id=vendor,
        model_id=model,
    )


def find_pelco_counts(address: int, axis: Literal["pan", "tilt"], received: bytes) -> int | None:
    """Return the position of this axis as the head reports it, or None if it did not."""
    for addressed in PelcoDecoder("D").feed(received):
        report = addressed.message
        if (
            addressed.address == address
            and isinstance(report, PositionReport)
            and report.axis == axis
        ):
            return report.value
    return None


def is_general_reply(address: int, query: bytes, received: bytes) -> bool:
    """Return whether the answer is Pelco-D's general reply: a head without positions got the query.

    The reply is `FF address alarms sum`; the sum is that of the query, with or without the alarms
    (C466M-E, 5.2.4).
    """
    if len(received) != len(query) - 3 or received[0] != query[0] or received[1] != address:
        return False
    return received[3] in (query[-1], (query[-1] + received[2]) & 0xFF)


def _replies(received: bytes) -> Sequence[ViscaReply]:
    replies = (visca.parse_reply(frame) for frame in visca.PacketFramer().feed(received))
    return [reply for reply in replies if reply is not None]
