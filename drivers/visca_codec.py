"""Codec of VISCA: packets and bytes to replies. Pure.

A packet is 3 to 16 bytes: a header, whose top bit is set, a body without such bytes, and FF. It has
no checksum. From the controller (address 0) to camera n the header is 8n, to all 88; from camera n
it is (8 + n) << 4. Numbers are sent as nibbles, one to a byte, the highest first; pan and tilt are
signed. Sources: Sony EVI-D70 technical manual, pages 33 to 40, and EVI-H100S, page 29.

Serial lines have 8 data bits, no parity, one stop bit; 9600 baud as delivered.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

PACKET_END = 0xFF
MAX_PACKET_BYTES = 16
MIN_PACKET_BYTES = 3
BROADCAST = 0x88
COMMAND, INQUIRY = 0x01, 0x09
LENS_GROUP, HEAD_GROUP = 0x04, 0x06

ADDRESS_SET = bytes((BROADCAST, 0x30, 0x01, PACKET_END))
"""Number all cameras of the chain; comes back as 88 30 0n FF, where n is the first free address."""

MAX_LENS_SPEED = 8
"""Zoom and focus have eight speeds, 0 to 7 on the line; here 1 to 8, so that 0 is rest."""

ViscaProblem = Literal["length", "syntax", "full", "cancelled", "no socket", "not executable"]
PROBLEMS: dict[int, ViscaProblem] = {
    0x01: "length",
    0x02: "syntax",
    0x03: "full",
    0x04: "cancelled",
    0x05: "no socket",
    0x41: "not executable",
}


class CommandAck(msgspec.Struct, frozen=True):
    """A command was accepted and is executed in this socket."""

    address: int
    socket: int


class CommandCompleted(msgspec.Struct, frozen=True):
    """The command in this socket is done; in socket 0 it is the interface's own."""

    address: int
    socket: int


class InquiryAnswer(msgspec.Struct, frozen=True):
    """The answer to an inquiry."""

    address: int
    data: bytes


class ViscaError(msgspec.Struct, frozen=True):
    """A command was refused, or not completed."""

    address: int
    socket: int
    problem: ViscaProblem


class ChainNumbered(msgspec.Struct, frozen=True):
    """All cameras of the chain are numbered; `first_free_address` is the next number."""

    first_free_address: int


class NetworkChange(msgspec.Struct, frozen=True):
    """A camera came or went: its chain has to be numbered again."""

    address: int


ViscaReply: TypeAlias = (
    CommandAck | CommandCompleted | InquiryAnswer | ViscaError | ChainNumbered | NetworkChange
)


def make_packet(address: int, *body: int) -> bytes:
    """Return a packet from the controller to a camera, 1 to 7."""
    return bytes((0x80 | address, *body, PACKET_END))


def if_clear(address: int) -> bytes:
    """Clear all commands of this camera; answered by CommandCompleted in socket 0."""
    return make_packet(address, COMMAND, 0x00, 0x01)


def cancel(address: int, socket: int) -> bytes:
    """Cancel the command in a socket; answered by ViscaError `cancelled` or `no socket`."""
    return make_packet(address, 0x20 | socket)


def pan_tilt_drive(address: int, pan: int, tilt: int) -> bytes:
    """Turn until the next command. Speeds are steps, positive to the right and up."""
    return make_packet(
        address,
        *(COMMAND, HEAD_GROUP, 0x01),
        *(max(abs(pan), 1), max(abs(tilt), 1)),
        *(_direction_code(pan, 0x02, 0x01), _direction_code(tilt, 0x01, 0x02)),
    )


def pan_tilt_absolute(
    address: int, pan: int, tilt: int, *, pan_speed: int, tilt_speed: int
) -> bytes:
    """Go to a position, in the camera's own units."""
    return make_packet(
        address, COMMAND, HEAD_GROUP, 0x02, pan_speed, tilt_speed, *nibbles(pan), *nibbles(tilt)
    )


def zoom_drive(address: int, speed: int) -> bytes:
    """Zoom until the next command: towards tele at 1 to 8, towards wide at -1 to -8, 0 to rest."""
    return make_packet(address, COMMAND, LENS_GROUP, 0x07, _lens_code(speed))


def zoom_direct(address: int, position: int) -> bytes:
    """Go to a zoom position."""
    return make_packet(address, COMMAND, LENS_GROUP, 0x47, *nibbles(position))


def focus_drive(address: int, speed: int) -> bytes:
    """Focus until the next command: far at 1 to 8, near at -1 to -8, 0 to rest. Manual focus only."""
    return make_packet(address, COMMAND, LENS_GROUP, 0x08, _lens_code(speed))


def autofocus(address: int, *, on: bool) -> bytes:
    """Switch autofocus on or off."""
    return make_packet(address, COMMAND, LENS_GROUP, 0x38, 0x02 if on else 0x03)


def preset_store(address: int, memory: int) -> bytes:
    """Store the present position."""
    return make_packet(address, COMMAND, LENS_GROUP, 0x3F, 0x01, memory)


def preset_recall(address: int, memory: int) -> bytes:
    """Go to a stored position."""
    return make_packet(address, COMMAND, LENS_GROUP, 0x3F, 0x02, memory)


def pan_tilt_inquiry(address: int) -> bytes:
    """Query pan and tilt; answered by eight nibbles."""
    return make_packet(address, INQUIRY, HEAD_GROUP, 0x12)


def zoom_inquiry(address: int) -> bytes:
    """Query the zoom; answered by four nibbles."""
    return make_packet(address, INQUIRY, LENS_GROUP, 0x47)


def nibbles(value: int) -> bytes:
    """Return sixteen bits as four bytes; a negative number as its two's complement."""
    return bytes((value >> shift) & 0x0F for shift in (12, 8, 4, 0))


def parse_unsigned(data: bytes) -> int | None:
    """Return the number of four nibbles, or None if they are not nibbles."""
    if len(data) != 4 or max(data) > 0x0F:  # noqa: PLR2004 - four nibbles make 16 bits
        return None
    return data[0] << 12 | data[1] << 8 | data[2] << 4 | data[3]


def parse_signed(data: bytes) -> int | None:
    """Return the number of four nibbles as two's complement, or None if they are not nibbles."""
    value = parse_unsigned(data)
    return value if value is None or value < 1 << 15 else value - (1 << 16)


def parse_reply(frame: bytes) -> ViscaReply | None:
    """Parse a whole packet from a camera; return None if it is not valid."""
    header, body = frame[0], frame[1:-1]
    if header == BROADCAST:
        well_formed = len(body) == 2 and body[0] == 0x30 and 1 < body[1] <= 8  # noqa: PLR2004
        return ChainNumbered(first_free_address=body[1]) if well_formed else None
    # A camera that is not numbered yet has address 0.
    if header & 0x0F or header < 0x80 or not body:  # noqa: PLR2004 - the top bit
        return None
    return _parse_body((header >> 4) - 8, body)


def _parse_body(address: int, body: bytes) -> ViscaReply | None:
    kind, socket, data = body[0] & 0xF0, body[0] & 0x0F, body[1:]
    reply: ViscaReply | None = None
    if body == b"\x38":
        reply = NetworkChange(address=address)
    elif kind == 0x40 and not data:  # noqa: PLR2004 - kinds as in the manual's table
        reply = CommandAck(address=address, socket=socket)
    elif kind == 0x50:  # noqa: PLR2004
        reply = InquiryAnswer(address, data) if data else CommandCompleted(address, socket)
    elif kind == 0x60 and len(data) == 1 and data[0] in PROBLEMS:  # noqa: PLR2004
        reply = ViscaError(address=address, socket=socket, problem=PROBLEMS[data[0]])
    return reply


class PacketFramer:
    """Cuts a stream into packets. All other bytes are noise.

    It recovers with the first whole packet after a disturbance, because FF ends a packet and nothing
    else, and a byte with the top bit set begins one.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.noise_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the packets that are complete with these bytes."""
        found = []
        for byte in data:
            if byte & 0x80 and byte != PACKET_END:
                self.flush()
            self._buffer.append(byte)
            if byte == PACKET_END:
                if len(self._buffer) >= MIN_PACKET_BYTES and self._buffer[0] & 0x80:
                    found.append(bytes(self._buffer))
                    self._buffer.clear()
                self.flush()
            elif len(self._buffer) == MAX_PACKET_BYTES:
                self.flush()
        return found

    def flush(self) -> None:
        """Drop an incomplete packet."""
        self.noise_bytes += len(self._buffer)
        self._buffer.clear()


class ReplyDecoder:
    """Finds the replies of one camera, and those that concern the chain, in a stream of bytes.

    Replies of other cameras of the chain are skipped, and are no noise.
    """

    def __init__(self, address: int) -> None:
        self._address = address
        self._framer = PacketFramer()
        self._invalid_bytes = 0

    @property
    def noise_bytes(self) -> int:
        """The number of bytes so far that belonged to no reply of any camera."""
        return self._framer.noise_bytes + self._invalid_bytes

    def feed(self, data: bytes) -> Sequence[ViscaReply]:
        """Return the replies that are complete with these bytes."""
        replies = []
        for frame in self._framer.feed(data):
            reply = parse_reply(frame)
            if reply is None:
                self._invalid_bytes += len(frame)
            elif isinstance(reply, ChainNumbered | NetworkChange) or reply.address == self._address:
                replies.append(reply)
        return replies

    def flush(self) -> None:
        """Drop an incomplete packet."""
        self._framer.flush()


def _direction_code(speed: int, positive: int, negative: int) -> int:
    return positive if speed > 0 else negative if speed < 0 else 0x03


def _lens_code(speed: int) -> int:
    if speed == 0:
        return 0x00
    return (0x20 if speed > 0 else 0x30) | (abs(speed) - 1)
