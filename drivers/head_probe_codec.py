"""What is asked of a line to find the heads on it, and what their answers tell. Pure.

Nothing here moves a head. Heads that speak Pelco-D are asked for their pan and their tilt, cameras
that speak VISCA for their place and their version. VISCA's broadcast numbers the cameras of a chain
anew, in the order in which they hang on it.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from drivers import visca_codec as visca
from drivers.pelco import PelcoDecoder, Query, Report, Telegram, encode
from drivers.visca_codec import Answer, Failed, Numbered, Reply

HeadDriver = Literal["visca", "pelco_d"]
Refused = Literal["refused"]
"""A camera answered that it cannot answer that."""

VISCA_ADDRESSES = range(1, 8)
LONGEST_ANSWER_BYTES = visca.LONGEST_BYTES

VERSION_BYTES = 7
PLACE_BYTES = 8


class HeadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What one head said. Places are in its own counts: Pelco's in hundredths of a degree. It says
    no place where it knows none; then `tells_place` is false and its answer was a mere receipt or
    a refusal.
    """

    driver: HeadDriver
    address: int
    tells_place: bool
    pan_counts: int | None = None
    tilt_counts: int | None = None
    vendor_id: int | None = None
    model_id: int | None = None


def version_inquiry(address: int) -> bytes:
    """Ask who made it. Answered by vendor, model, ROM and sockets (EVI-D70 technical manual, page 40)."""
    return visca.packet(address, visca.INQUIRY, 0x00, 0x02)


def pelco_query(address: int, axis: Literal["pan", "tilt"]) -> bytes:
    """Ask an axis where it is."""
    return encode("D", Telegram(address=address, message=Query(axis=axis)))


def without_echo(heard: bytes, question: bytes) -> bytes:
    """What was heard, without the question itself: two-wire adapters hear what they send."""
    return heard.removeprefix(question)


def numbered(heard: bytes) -> int | None:
    """How many cameras the chain has, where the answer to the broadcast says so."""
    free = (reply.free for reply in _replies(heard) if isinstance(reply, Numbered))
    return next((one - 1 for one in free), None)


def visca_answer(address: int, heard: bytes) -> bytes | Refused | None:
    """What this camera answers to an inquiry; None where nothing of it was heard."""
    for reply in _replies(heard):
        if isinstance(reply, Answer) and reply.address == address:
            return reply.data
        if isinstance(reply, Failed) and reply.address == address:
            return "refused"
    return None


def visca_head(
    address: int,
    place: bytes | Refused,
    version: bytes | Refused | None,
) -> HeadAnswer:
    """A camera by its answers."""
    pan = tilt = vendor = model = None
    if isinstance(place, bytes) and len(place) == PLACE_BYTES:
        pan, tilt = visca.signed(place[:4]), visca.signed(place[4:])
    if isinstance(version, bytes) and len(version) == VERSION_BYTES:
        vendor, model = int.from_bytes(version[:2]), int.from_bytes(version[2:4])
    return HeadAnswer(
        driver="visca",
        address=address,
        tells_place=pan is not None and tilt is not None,
        pan_counts=pan,
        tilt_counts=tilt,
        vendor_id=vendor,
        model_id=model,
    )


def pelco_counts(address: int, axis: Literal["pan", "tilt"], heard: bytes) -> int | None:
    """Where the head says that this axis is."""
    for telegram in PelcoDecoder("D").feed(heard):
        report = telegram.message
        if telegram.address == address and isinstance(report, Report) and report.axis == axis:
            return report.value
    return None


def is_receipt(address: int, question: bytes, heard: bytes) -> bool:
    """Whether a head that tells no places took the question: `FF address alarms sum`, where the sum
    is the question's, with or without the alarms (C466M-E, 5.2.4).
    """
    if len(heard) != len(question) - 3 or heard[0] != question[0] or heard[1] != address:
        return False
    return heard[3] in (question[-1], (question[-1] + heard[2]) & 0xFF)


def _replies(heard: bytes) -> Sequence[Reply]:
    replies = (visca.parse_reply(frame) for frame in visca.Framer().feed(heard))
    return [reply for reply in replies if reply is not None]
