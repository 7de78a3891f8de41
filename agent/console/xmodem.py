"""XMODEM-1K: transfer of one file over a serial line, as terminal programs have it.

Forsberg's "XMODEM/YMODEM Protocol Reference" (1988): blocks of 1024 and 128 bytes with a CRC-16, or of
128 with a checksum if the receiver asks for that. There is no file length: a file is padded to a block.
"""

import binascii
from collections.abc import Callable

from agent.base.message import Message
from agent.console.terminal import ByteLine

SOH, STX, EOT, ACK, NAK, CAN = 0x01, 0x02, 0x04, 0x06, 0x15, 0x18
CRC_REQUEST = ord("C")
CTRL_C = 0x03
"""Ctrl-C of a person whose program has no XMODEM."""
PADDING = b"\x1a"
SHORT_BLOCK_BYTES, LONG_BLOCK_BYTES = 128, 1024

START_TIMEOUT_S = 90.0
"""Time to find the menu of the terminal program."""
INVITE_INTERVAL_S = 3.0
MAX_CRC_INVITES = 20
"""After these the sender is asked for checksums: the oldest programs have no CRC."""
REPLY_TIMEOUT_S = 15.0
"""A long block at 1200 baud, and its answer."""
BYTE_TIMEOUT_S = 2.0
"""Longest gap within a block."""
MAX_DRAIN_READS = 1000
MAX_TRIES = 10
CANCEL_SEQUENCE = bytes([CAN] * 8 + [0x08] * 8)
"""Enough CAN to be received through noise, and backspaces to erase them from a screen."""


class TransferFailed(Exception):
    """The file was not transferred completely: the reason in one sentence."""


def pad(data: bytes, padding: bytes = PADDING) -> bytes:
    """Pad a file to whole short blocks, as it arrives."""
    return data + padding * (-len(data) % SHORT_BLOCK_BYTES)


def send(stream: ByteLine, data: bytes, clock_ns: Callable[[], int]) -> None:
    """Send a file. Raises TransferFailed, or HungUp."""
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
    """Encode a block of 128 or 1024 bytes. Pure."""
    header = bytes([SOH if len(content) == SHORT_BLOCK_BYTES else STX, number, 255 - number])
    return header + content + _checksum(content, with_crc=with_crc)


def _checksum(content: bytes, *, with_crc: bool) -> bytes:
    if with_crc:
        return binascii.crc_hqx(content, 0).to_bytes(2, "big")
    return bytes([sum(content) % 256])


def _wait_for_invite(reader: "_ByteReader") -> bool:
    """Wait for the receiver, and return whether it asks for CRCs."""
    deadline_ns = reader.now_ns() + int(START_TIMEOUT_S * 1e9)
    while (remaining_s := (deadline_ns - reader.now_ns()) / 1e9) > 0:
        received = reader.read_byte(remaining_s, allow_ctrl_c=True)
        if received in (CRC_REQUEST, NAK):
            return received == CRC_REQUEST
    raise TransferFailed(
        Message("no receiver has answered within {timeout_s:.0f} s", timeout_s=START_TIMEOUT_S)
    )


def _send_block(reader: "_ByteReader", stream: ByteLine, data: bytes) -> None:
    for _ in range(MAX_TRIES):
        # A late answer to the previous block must not count for this one.
        reader.discard_pending()
        stream.write(data)
        deadline_ns = reader.now_ns() + int(REPLY_TIMEOUT_S * 1e9)
        while (remaining_s := (deadline_ns - reader.now_ns()) / 1e9) > 0:
            received = reader.read_byte(remaining_s)
            if received == ACK:
                return
            if received in (NAK, CRC_REQUEST):
                break
    raise TransferFailed(
        Message("the other end has not acknowledged a block in {tries} tries", tries=MAX_TRIES)
    )


def receive(stream: ByteLine, max_bytes: int, clock_ns: Callable[[], int]) -> bytes:
    """Receive a file with its padding. Raises TransferFailed, or HungUp."""
    reader = _ByteReader(stream, clock_ns)
    try:
        return _receive_blocks(reader, stream, max_bytes)
    except TransferFailed:
        stream.write(CANCEL_SEQUENCE)
        raise


def _receive_blocks(reader: "_ByteReader", stream: ByteLine, max_bytes: int) -> bytes:
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
                raise TransferFailed(
                    Message("no whole block has come in {tries} tries", tries=MAX_TRIES)
                )
            reader.drain_input()
            stream.write(bytes([NAK]))
        else:
            received_number, content = received
            if received_number == number:
                data += content
                number, failures = (number + 1) % 256, 0
            elif received_number != (number - 1) % 256:
                raise TransferFailed(
                    Message(
                        "block {received} has come instead of {expected}",
                        received=received_number,
                        expected=number,
                    )
                )
            # The previous block again: its acknowledgement was lost.
            if len(data) > max_bytes:
                raise TransferFailed(Message("it is longer than {count} bytes", count=max_bytes))
            stream.write(bytes([ACK]))
        start_byte = reader.read_byte(REPLY_TIMEOUT_S)
        if start_byte == CAN:
            # A second CAN raises; a single one was noise.
            start_byte = reader.read_byte(BYTE_TIMEOUT_S)


def _invite_sender(reader: "_ByteReader", stream: ByteLine) -> tuple[int, bool]:
    """Invite the sender; return the first byte of its first block, and whether that has a CRC."""
    for number in range(int(START_TIMEOUT_S / INVITE_INTERVAL_S)):
        with_crc = number < MAX_CRC_INVITES
        stream.write(bytes([CRC_REQUEST if with_crc else NAK]))
        deadline_ns = reader.now_ns() + int(INVITE_INTERVAL_S * 1e9)
        while (remaining_s := (deadline_ns - reader.now_ns()) / 1e9) > 0:
            received = reader.read_byte(remaining_s, allow_ctrl_c=True)
            if received in (SOH, STX, EOT):
                return received, with_crc
    raise TransferFailed(
        Message("no sender has answered within {timeout_s:.0f} s", timeout_s=START_TIMEOUT_S)
    )


def _read_block(
    reader: "_ByteReader", start_byte: int | None, *, with_crc: bool
) -> tuple[int, bytes] | None:
    """Read a block, and return its number and content, or None if it is damaged."""
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
    """Reader of single bytes that detects a cancellation."""

    def __init__(self, stream: ByteLine, clock_ns: Callable[[], int]) -> None:
        self._stream = stream
        self.now_ns = clock_ns
        self._buffer = bytearray()
        self._cancel_count = 0

    def read_byte(self, timeout_s: float, *, allow_ctrl_c: bool = False) -> int | None:
        """Return the next byte between blocks, or None if none came in time.

        Raises TransferFailed for two CAN in a row, and for a Ctrl-C if `allow_ctrl_c`.
        """
        if not self._buffer:
            self._buffer += self._stream.read(timeout_s)
        if not self._buffer:
            return None
        byte = self._buffer.pop(0)
        self._cancel_count = self._cancel_count + 1 if byte == CAN else 0
        if self._cancel_count > 1:
            raise TransferFailed(Message("the other end has cancelled it"))
        if allow_ctrl_c and byte == CTRL_C:
            raise TransferFailed(Message("cancelled"))
        return byte

    def read_exactly(self, count: int) -> bytes | None:
        """Return `count` bytes of a block, or None if they stop coming."""
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
        """Discard waiting bytes. Raises TransferFailed if they cancel."""
        self._buffer += self._stream.read(0)
        while self._buffer:
            self.read_byte(0)

    def drain_input(self) -> None:
        """Discard the rest of a damaged block: until a silence, or a limit."""
        tail = bytes(self._buffer)
        self._buffer.clear()
        for _ in range(MAX_DRAIN_READS):
            more = self._stream.read(BYTE_TIMEOUT_S / 2)
            if not more:
                self._raise_if_cancelled(tail)
                return
            tail = (tail + more)[-len(CANCEL_SEQUENCE) :]

    def _raise_if_cancelled(self, tail: bytes) -> None:
        """Raise TransferFailed if the bytes before a silence cancel: that may happen in a block."""
        if tail.rstrip(b"\x08").endswith(bytes([CAN, CAN])):
            raise TransferFailed(Message("the other end has cancelled it"))
