"""XMODEM-1K, as terminal programs speak it: one file over a line that has no network.

Forsberg's "XMODEM/YMODEM Protocol Reference" (1988): blocks of 1024 and 128 bytes with a CRC-16, or of
128 with a sum where the receiver wants that. A file has no length here: it comes filled up to a whole
block.
"""

import binascii
from collections.abc import Callable
from typing import Protocol

SOH, STX, EOT, ACK, NAK, CAN = 0x01, 0x02, 0x04, 0x06, 0x15, 0x18
CRC_WANTED = ord("C")
TYPED_CANCEL = 0x03
"""Ctrl-C of a person whose program does not transfer anything."""
FILL = b"\x1a"
SHORT_BYTES, LONG_BYTES = 128, 1024

BEGIN_S = 90.0
"""For somebody to find the menu of his terminal program."""
INVITE_S = 3.0
INVITES_CRC = 20
"""After so many invitations a sender is asked for sums, which the oldest know alone."""
REPLY_S = 15.0
"""For a long block to go out at 1200 baud, and its answer to come."""
SILENCE_S = 2.0
"""Within a block nothing is so far apart."""
HUSH_READS = 1000
TRIES = 10
GIVE_UP = bytes([CAN] * 8 + [0x08] * 8)
"""Enough to be heard through noise, and rubbed out where a person reads it."""


class TransferFailed(Exception):
    """The file did not go over whole. One sentence says why."""


class Line(Protocol):
    """Eight bits wide, and without flow control."""

    def read(self, timeout_s: float) -> bytes:
        """What has come; nothing where nothing came in time."""
        ...

    def write(self, data: bytes) -> None:
        """Send it all."""
        ...


def filled(data: bytes, fill: bytes = FILL) -> bytes:
    """As it arrives: up to a whole short block."""
    return data + fill * (-len(data) % SHORT_BYTES)


def send(line: Line, data: bytes, clock_ns: Callable[[], int]) -> None:
    """Send a file to who receives. Raises Broken."""
    incoming = _Incoming(line, clock_ns)
    data = filled(data)
    try:
        with_crc = _invited(incoming)
        number, at = 1, 0
        while at < len(data):
            long = with_crc and len(data) - at >= LONG_BYTES
            size = LONG_BYTES if long else SHORT_BYTES
            _send_block(incoming, line, block(number, data[at : at + size], with_crc=with_crc))
            number, at = (number + 1) % 256, at + size
        _send_block(incoming, line, bytes([EOT]))
    except TransferFailed:
        line.write(GIVE_UP)
        raise


def block(number: int, content: bytes, *, with_crc: bool) -> bytes:
    """One block, of 128 or 1024 bytes. Pure."""
    head = bytes([SOH if len(content) == SHORT_BYTES else STX, number, 255 - number])
    return head + content + _check_of(content, with_crc=with_crc)


def _check_of(content: bytes, *, with_crc: bool) -> bytes:
    if with_crc:
        return binascii.crc_hqx(content, 0).to_bytes(2, "big")
    return bytes([sum(content) % 256])


def _invited(incoming: "_Incoming") -> bool:
    """Whether the receiver wants a CRC, once it has asked for the first block."""
    end_ns = incoming.now_ns() + int(BEGIN_S * 1e9)
    while (left_s := (end_ns - incoming.now_ns()) / 1e9) > 0:
        byte = incoming.byte(left_s, typed=True)
        if byte in (CRC_WANTED, NAK):
            return byte == CRC_WANTED
    raise TransferFailed(f"nobody has begun to receive within {BEGIN_S:.0f} s")


def _send_block(incoming: "_Incoming", line: Line, data: bytes) -> None:
    """Until it is acknowledged."""
    for _ in range(TRIES):
        # A late answer to the block before is none to this one.
        incoming.forget()
        line.write(data)
        end_ns = incoming.now_ns() + int(REPLY_S * 1e9)
        while (left_s := (end_ns - incoming.now_ns()) / 1e9) > 0:
            byte = incoming.byte(left_s)
            if byte == ACK:
                return
            if byte in (NAK, CRC_WANTED):
                break
    raise TransferFailed(f"the other end has not acknowledged a block in {TRIES} tries")


def receive(line: Line, most_bytes: int, clock_ns: Callable[[], int]) -> bytes:
    """Take a file from who sends, as it comes: filled up. Raises Broken."""
    incoming = _Incoming(line, clock_ns)
    try:
        return _receive(incoming, line, most_bytes)
    except TransferFailed:
        line.write(GIVE_UP)
        raise


def _receive(incoming: "_Incoming", line: Line, most_bytes: int) -> bytes:
    first, with_crc = _invite(incoming, line)
    data, number, misses = bytearray(), 1, 0
    head: int | None = first
    while True:
        if head == EOT:
            line.write(bytes([ACK]))
            return bytes(data)
        found = _block(incoming, head, with_crc=with_crc)
        if found is None:
            misses += 1
            if misses >= TRIES:
                raise TransferFailed(f"no whole block has come in {TRIES} tries")
            incoming.drain_input()
            line.write(bytes([NAK]))
        else:
            told, content = found
            if told == number:
                data += content
                number, misses = (number + 1) % 256, 0
            elif told != (number - 1) % 256:
                raise TransferFailed(f"block {told} has come where {number} was next")
            # The one before again: its acknowledgement was lost.
            if len(data) > most_bytes:
                raise TransferFailed(f"it is longer than {most_bytes} bytes")
            line.write(bytes([ACK]))
        head = incoming.byte(REPLY_S)
        if head == CAN:
            # A second one raises; alone it was noise.
            head = incoming.byte(SILENCE_S)


def _invite(incoming: "_Incoming", line: Line) -> tuple[int, bool]:
    """How the first block begins, and whether it has a CRC."""
    for number in range(int(BEGIN_S / INVITE_S)):
        with_crc = number < INVITES_CRC
        line.write(bytes([CRC_WANTED if with_crc else NAK]))
        end_ns = incoming.now_ns() + int(INVITE_S * 1e9)
        while (left_s := (end_ns - incoming.now_ns()) / 1e9) > 0:
            byte = incoming.byte(left_s, typed=True)
            if byte in (SOH, STX, EOT):
                return byte, with_crc
    raise TransferFailed(f"nobody has begun to send within {BEGIN_S:.0f} s")


def _block(incoming: "_Incoming", head: int | None, *, with_crc: bool) -> tuple[int, bytes] | None:
    """The number of a block and what is in it; None where it is none, or torn."""
    size = {SOH: SHORT_BYTES, STX: LONG_BYTES}.get(-1 if head is None else head)
    if size is None:
        return None
    rest = incoming.exactly(2 + size + (2 if with_crc else 1))
    if rest is None or rest[0] != 255 - rest[1]:
        return None
    content, check = rest[2 : 2 + size], rest[2 + size :]
    return (rest[0], content) if check == _check_of(content, with_crc=with_crc) else None


class _Incoming:
    """What comes, byte by byte, and what cancels between blocks."""

    def __init__(self, line: Line, clock_ns: Callable[[], int]) -> None:
        self._line = line
        self.now_ns = clock_ns
        self._waiting = bytearray()
        self._cancels = 0

    def byte(self, timeout_s: float, *, typed: bool = False) -> int | None:
        """The next one between blocks; None where none came. Raises Broken for two CAN in a row, and
        for a Ctrl-C where one may be `typed`.
        """
        if not self._waiting:
            self._waiting += self._line.read(timeout_s)
        if not self._waiting:
            return None
        byte = self._waiting.pop(0)
        self._cancels = self._cancels + 1 if byte == CAN else 0
        if self._cancels > 1:
            raise TransferFailed("the other end has cancelled it")
        if typed and byte == TYPED_CANCEL:
            raise TransferFailed("cancelled")
        return byte

    def exactly(self, count: int) -> bytes | None:
        """So many bytes of a block; None where they stop coming."""
        while len(self._waiting) < count:
            more = self._line.read(SILENCE_S)
            if not more:
                self._heed(bytes(self._waiting))
                return None
            self._waiting += more
        found = bytes(self._waiting[:count])
        del self._waiting[:count]
        self._cancels = 0
        return found

    def forget(self) -> None:
        """What waits, unless it cancels."""
        self._waiting += self._line.read(0)
        while self._waiting:
            self.byte(0)

    def drain_input(self) -> None:
        """Let a torn block pass: until nothing comes, or far too much has."""
        last = bytes(self._waiting)
        self._waiting.clear()
        for _ in range(HUSH_READS):
            more = self._line.read(SILENCE_S / 2)
            if not more:
                self._heed(last)
                return
            last = (last + more)[-len(GIVE_UP) :]

    def _heed(self, last: bytes) -> None:
        """Raise Broken where what came before a silence cancels: it may do so within a block."""
        if last.rstrip(b"\x08").endswith(bytes([CAN, CAN])):
            raise TransferFailed("the other end has cancelled it")
