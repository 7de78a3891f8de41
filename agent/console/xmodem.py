"""XMODEM-1K, as terminal programs speak it: one file over a line that has no network.

Forsberg's "XMODEM/YMODEM Protocol Reference" (1988): blocks of 1024 and 128 bytes with a CRC-16, or of
128 with a sum where the receiver wants that. A file has no length here: it comes filled up to a whole
block.
"""

import binascii
from collections.abc import Callable
from typing import Protocol

SOH, STX, EOT, ACK, NAK, CAN = 0x01, 0x02, 0x04, 0x06, 0x15, 0x18
CRC_REQUEST = ord("C")
CTRL_C = 0x03
"""Ctrl-C of a person whose program does not transfer anything."""
PADDING = b"\x1a"
SHORT_BLOCK_BYTES, LONG_BLOCK_BYTES = 128, 1024

START_TIMEOUT_S = 90.0
"""For somebody to find the menu of his terminal program."""
INVITE_INTERVAL_S = 3.0
MAX_CRC_INVITES = 20
"""After so many invitations a sender is asked for sums, which the oldest know alone."""
REPLY_TIMEOUT_S = 15.0
"""For a long block to go out at 1200 baud, and its answer to come."""
BYTE_TIMEOUT_S = 2.0
"""Within a block nothing is so far apart."""
MAX_DRAIN_READS = 1000
MAX_TRIES = 10
CANCEL_SEQUENCE = bytes([CAN] * 8 + [0x08] * 8)
"""Enough to be heard through noise, and rubbed out where a person reads it."""


class TransferFailed(Exception):
    """The file did not go over whole. One sentence says why."""


class XmodemStream(Protocol):
    """Eight bits wide, and without flow control."""

    def read(self, timeout_s: float) -> bytes:
        """What has come; nothing where nothing came in time."""
        ...

    def write(self, data: bytes) -> None:
        """Send it all."""
        ...


def pad(data: bytes, padding: bytes = PADDING) -> bytes:
    """As it arrives: up to a whole short block."""
    return data + padding * (-len(data) % SHORT_BLOCK_BYTES)


def send(stream: XmodemStream, data: bytes, clock_ns: Callable[[], int]) -> None:
    """Send a file to who receives. Raises Broken."""
    reader = _ByteReader(stream, clock_ns)
    data = pad(data)
    try:
        with_crc = _wait_for_invite(reader)
        number, offset = 1, 0
        while offset < len(data):
            is_long = with_crc and len(data) - offset >= LONG_BLOCK_BYTES
            size = LONG_BLOCK_BYTES if is_long else SHORT_BLOCK_BYTES
            _send_block(
                reader,
                stream,
                encode_block(number, data[offset : offset + size], with_crc=with_crc),
            )
            number, offset = (number + 1) % 256, offset + size
        _send_block(reader, stream, bytes([EOT]))
    except TransferFailed:
        stream.write(CANCEL_SEQUENCE)
        raise


def encode_block(number: int, content: bytes, *, with_crc: bool) -> bytes:
    """One block, of 128 or 1024 bytes. Pure."""
    header = bytes([SOH if len(content) == SHORT_BLOCK_BYTES else STX, number, 255 - number])
    return header + content + _checksum(content, with_crc=with_crc)


def _checksum(content: bytes, *, with_crc: bool) -> bytes:
    if with_crc:
        return binascii.crc_hqx(content, 0).to_bytes(2, "big")
    return bytes([sum(content) % 256])


def _wait_for_invite(reader: "_ByteReader") -> bool:
    """Whether the receiver wants a CRC, once it has asked for the first block."""
    deadline_ns = reader.now_ns() + int(START_TIMEOUT_S * 1e9)
    while (remaining_s := (deadline_ns - reader.now_ns()) / 1e9) > 0:
        received = reader.read_byte(remaining_s, allow_ctrl_c=True)
        if received in (CRC_REQUEST, NAK):
            return received == CRC_REQUEST
    raise TransferFailed(f"nobody has begun to receive within {START_TIMEOUT_S:.0f} s")


def _send_block(reader: "_ByteReader", stream: XmodemStream, data: bytes) -> None:
    """Until it is acknowledged."""
    for _ in range(MAX_TRIES):
        # A late answer to the block before is none to this one.
        reader.discard_pending()
        stream.write(data)
        deadline_ns = reader.now_ns() + int(REPLY_TIMEOUT_S * 1e9)
        while (remaining_s := (deadline_ns - reader.now_ns()) / 1e9) > 0:
            received = reader.read_byte(remaining_s)
            if received == ACK:
                return
            if received in (NAK, CRC_REQUEST):
                break
    raise TransferFailed(f"the other end has not acknowledged a block in {MAX_TRIES} tries")


def receive(stream: XmodemStream, max_bytes: int, clock_ns: Callable[[], int]) -> bytes:
    """Take a file from who sends, as it comes: filled up. Raises Broken."""
    reader = _ByteReader(stream, clock_ns)
    try:
        return _receive_blocks(reader, stream, max_bytes)
    except TransferFailed:
        stream.write(CANCEL_SEQUENCE)
        raise


def _receive_blocks(reader: "_ByteReader", stream: XmodemStream, max_bytes: int) -> bytes:
    first, with_crc = _invite_sender(reader, stream)
    data, number, failures = bytearray(), 1, 0
    start_byte: int | None = first
    while True:
        if start_byte == EOT:
            stream.write(bytes([ACK]))
            return bytes(data)
        received = _read_block(reader, start_byte, with_crc=with_crc)
        if received is None:
            failures += 1
            if failures >= MAX_TRIES:
                raise TransferFailed(f"no whole block has come in {MAX_TRIES} tries")
            reader.drain_input()
            stream.write(bytes([NAK]))
        else:
            received_number, content = received
            if received_number == number:
                data += content
                number, failures = (number + 1) % 256, 0
            elif received_number != (number - 1) % 256:
                raise TransferFailed(f"block {received_number} has come where {number} was next")
            # The one before again: its acknowledgement was lost.
            if len(data) > max_bytes:
                raise TransferFailed(f"it is longer than {max_bytes} bytes")
            stream.write(bytes([ACK]))
        start_byte = reader.read_byte(REPLY_TIMEOUT_S)
        if start_byte == CAN:
            # A second one raises; alone it was noise.
            start_byte = reader.read_byte(BYTE_TIMEOUT_S)


def _invite_sender(reader: "_ByteReader", stream: XmodemStream) -> tuple[int, bool]:
    """How the first block begins, and whether it has a CRC."""
    for number in range(int(START_TIMEOUT_S / INVITE_INTERVAL_S)):
        with_crc = number < MAX_CRC_INVITES
        stream.write(bytes([CRC_REQUEST if with_crc else NAK]))
        deadline_ns = reader.now_ns() + int(INVITE_INTERVAL_S * 1e9)
        while (remaining_s := (deadline_ns - reader.now_ns()) / 1e9) > 0:
            received = reader.read_byte(remaining_s, allow_ctrl_c=True)
            if received in (SOH, STX, EOT):
                return received, with_crc
    raise TransferFailed(f"nobody has begun to send within {START_TIMEOUT_S:.0f} s")


def _read_block(
    reader: "_ByteReader", start_byte: int | None, *, with_crc: bool
) -> tuple[int, bytes] | None:
    """The number of a block and what is in it; None where it is none, or torn."""
    size = {SOH: SHORT_BLOCK_BYTES, STX: LONG_BLOCK_BYTES}.get(
        -1 if start_byte is None else start_byte
    )
    if size is None:
        return None
    rest = reader.read_exactly(2 + size + (2 if with_crc else 1))
    if rest is None or rest[0] != 255 - rest[1]:
        return None
    content, checksum = rest[2 : 2 + size], rest[2 + size :]
    return (rest[0], content) if checksum == _checksum(content, with_crc=with_crc) else None


class _ByteReader:
    """What comes, byte by byte, and what cancels between blocks."""

    def __init__(self, stream: XmodemStream, clock_ns: Callable[[], int]) -> None:
        self._stream = stream
        self.now_ns = clock_ns
        self._buffer = bytearray()
        self._cancel_count = 0

    def read_byte(self, timeout_s: float, *, allow_ctrl_c: bool = False) -> int | None:
        """The next one between blocks; None where none came. Raises Broken for two CAN in a row, and
        for a Ctrl-C where one may be `typed`.
        """
        if not self._buffer:
            self._buffer += self._stream.read(timeout_s)
        if not self._buffer:
            return None
        byte = self._buffer.pop(0)
        self._cancel_count = self._cancel_count + 1 if byte == CAN else 0
        if self._cancel_count > 1:
            raise TransferFailed("the other end has cancelled it")
        if allow_ctrl_c and byte == CTRL_C:
            raise TransferFailed("cancelled")
        return byte

    def read_exactly(self, count: int) -> bytes | None:
        """So many bytes of a block; None where they stop coming."""
        while len(self._buffer) < count:
            more = self._stream.read(BYTE_TIMEOUT_S)
            if not more:
                self._raise_if_cancelled(bytes(self._buffer))
                return None
            self._buffer += more
        content = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._cancel_count = 0
        return content

    def discard_pending(self) -> None:
        """What waits, unless it cancels."""
        self._buffer += self._stream.read(0)
        while self._buffer:
            self.read_byte(0)

    def drain_input(self) -> None:
        """Let a torn block pass: until nothing comes, or far too much has."""
        tail = bytes(self._buffer)
        self._buffer.clear()
        for _ in range(MAX_DRAIN_READS):
            more = self._stream.read(BYTE_TIMEOUT_S / 2)
            if not more:
                self._raise_if_cancelled(tail)
                return
            tail = (tail + more)[-len(CANCEL_SEQUENCE) :]

    def _raise_if_cancelled(self, tail: bytes) -> None:
        """Raise Broken where what came before a silence cancels: it may do so within a block."""
        if tail.rstrip(b"\x08").endswith(bytes([CAN, CAN])):
            raise TransferFailed("the other end has cancelled it")
