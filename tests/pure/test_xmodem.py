"""agent.console.xmodem over a line that loses and changes bytes: a file arrives whole, or an error is
raised.
"""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.console import xmodem
from agent.console.xmodem import ACK, CAN, EOT, NAK, SOH, STX, TransferFailed, encode_block, pad
from tests.conftest import ManualClock

MOST = 100_000
LONGEST_NS = 600 * 1_000_000_000
CANCELLED = bytes([CAN, CAN])


class Peer:
    """The other end, which answers what it is sent; without input time passes. `hurt` changes the bytes on
    the line, by the number of the piece.
    """

    def __init__(self, *hurt: dict[int, Callable[[bytes], bytes]]) -> None:
        self.clock = ManualClock()
        self.out_hurt, self.in_hurt = hurt or ({}, {})
        self.waiting = bytearray()
        self.sent = bytearray()
        self._out = self._in = 0

    def read(self, timeout_s: float) -> bytes:
        left_s = max(timeout_s, 0.001)
        while not self.waiting and left_s > 0:
            self.clock.advance_s(min(left_s, 1.0))
            left_s -= 1.0
            self.quiet()
        found, self.waiting = bytes(self.waiting), bytearray()
        return found

    def write(self, data: bytes) -> None:
        self.sent += data
        hurt = self.out_hurt.get(self._out, bytes)
        self._out += 1
        self.received(hurt(data))

    def answer(self, data: bytes) -> None:
        hurt = self.in_hurt.get(self._in, bytes)
        self._in += 1
        self.waiting += hurt(data)

    def received(self, data: bytes) -> None:
        """Bytes that came over the line in one piece."""

    def quiet(self) -> None:
        """A line without progress."""


class Receiver(Peer):
    """Receives a file as in the reference: torn blocks are requested again, repeated ones kept once."""

    def __init__(self, *hurt: dict[int, Callable[[bytes], bytes]], crc: bool = True) -> None:
        super().__init__(*hurt)
        self.crc = crc
        self.got = bytearray()
        self.number = 1
        self.done = False

    def quiet(self) -> None:
        if not self.got and not self.done:
            self.answer(b"C" if self.crc else bytes([NAK]))

    def received(self, data: bytes) -> None:
        if data == bytes([EOT]):
            self.done = True
            self.answer(bytes([ACK]))
            return
        size = {SOH: 128, STX: 1024}.get(data[0] if data else 0, 0)
        if size and data == encode_block(data[1], data[3 : 3 + size], with_crc=self.crc):
            if data[1] == self.number:
                self.got += data[3 : 3 + size]
                self.number = (self.number + 1) % 256
            self.answer(bytes([ACK]))
        elif data:
            self.answer(bytes([NAK]))


class Sender(Peer):
    """Gives a file, in blocks of 1024 and 128 bytes."""

    def __init__(self, data: bytes, *hurt: dict[int, Callable[[bytes], bytes]]) -> None:
        super().__init__(*hurt)
        self.data = pad(data)
        self.at = self.size = 0
        self.number = 0
        self.begun = self.done = False

    def received(self, data: bytes) -> None:
        if data in (b"C", bytes([NAK])):
            self.crc = data == b"C" if not self.begun else self.crc
            if not self.begun:
                self.begun = True
                self.number, self.size = 1, self._next_size()
            self._send()
        elif data == bytes([ACK]) and self.begun:
            self.done = self.at >= len(self.data)
            self.at += self.size
            self.number = (self.number + 1) % 256
            self.size = self._next_size()
            if not self.done:
                self._send()

    def quiet(self) -> None:
        if self.begun and not self.done:
            self._send()

    def _next_size(self) -> int:
        return 1024 if len(self.data) - self.at >= 1024 else 128

    def _send(self) -> None:
        content = self.data[self.at : self.at + self.size]
        self.answer(
            encode_block(self.number, content, with_crc=self.crc) if content else bytes([EOT])
        )


FILES = st.binary(max_size=4000)


def drop(_data: bytes) -> bytes:
    return b""


def spoil(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]


def halve(data: bytes) -> bytes:
    return data[: len(data) // 2]


HURTS = st.dictionaries(st.integers(0, 12), st.sampled_from([drop, spoil, halve]), max_size=4)


@given(FILES, st.booleans())
def test_a_sent_file_is_whole_and_padded(data: bytes, crc: bool) -> None:
    peer = Receiver(crc=crc)
    xmodem.send(peer, data, peer.clock.boottime_ns)
    assert bytes(peer.got) == pad(data)
    assert peer.done


@settings(deadline=None)
@given(FILES, HURTS, HURTS)
def test_corrupted_blocks_are_sent_again(
    data: bytes,
    out: dict[int, Callable[[bytes], bytes]],
    back: dict[int, Callable[[bytes], bytes]],
) -> None:
    peer = Receiver(out, back)
    xmodem.send(peer, data, peer.clock.boottime_ns)
    assert bytes(peer.got) == pad(data)


@given(FILES)
def test_a_received_file_is_whole(data: bytes) -> None:
    peer = Sender(data)
    assert xmodem.receive(peer, MOST, peer.clock.boottime_ns) == pad(data)


@settings(deadline=None)
@given(FILES, HURTS, HURTS)
def test_corrupted_blocks_are_requested_again(
    data: bytes,
    out: dict[int, Callable[[bytes], bytes]],
    back: dict[int, Callable[[bytes], bytes]],
) -> None:
    peer = Sender(data, out, back)
    assert xmodem.receive(peer, MOST, peer.clock.boottime_ns) == pad(data)


def test_long_blocks_carry_a_file_and_short_ones_its_end() -> None:
    peer = Receiver()
    xmodem.send(peer, bytes(2100), peer.clock.boottime_ns)
    assert len(peer.got) == 2176
    assert len(peer.sent) == 2 * 1029 + 133 + 1


def test_block_numbers_wrap_around() -> None:
    data = bytes(range(256)) * 200
    receiver, sender = Receiver(crc=False), Sender(data * 6)
    xmodem.send(receiver, data, receiver.clock.boottime_ns)
    assert bytes(receiver.got) == data
    assert xmodem.receive(sender, 1 << 20, sender.clock.boottime_ns) == data * 6


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        (b"", "no receiver has answered within 90 s"),
        (b"\x03", "cancelled"),
        (CANCELLED, "the other end has cancelled it"),
        (b"C" + CANCELLED, "the other end has cancelled it"),
        (b"C" + bytes([ACK]) * 2 + CANCELLED, "the other end has cancelled it"),
        (b"C", "has not acknowledged a block in 10 tries"),
    ],
)
def test_sending_without_a_receiver_is_given_up(typed: bytes, why: str) -> None:
    peer = Peer()
    peer.waiting += typed
    with pytest.raises(TransferFailed, match=why):
        xmodem.send(peer, bytes(5000), peer.clock.boottime_ns)
    assert peer.sent.endswith(xmodem.CANCEL_SEQUENCE)


BLOCK = encode_block(1, bytes(128), with_crc=True)


@pytest.mark.parametrize(
    ("came", "why"),
    [
        (b"", "no sender has answered within 90 s"),
        (b"\x03", "cancelled"),
        (CANCELLED, "the other end has cancelled it"),
        (BLOCK + CANCELLED, "the other end has cancelled it"),
        (BLOCK + BLOCK[:40] + CANCELLED * 4 + b"\x08" * 8, "the other end has cancelled it"),
        (BLOCK + b"x" * 40 + CANCELLED, "the other end has cancelled it"),
        (BLOCK, "no whole block has come in 10 tries"),
        (BLOCK + encode_block(9, bytes(128), with_crc=True), "block 9 has come instead of 2"),
        (
            b"".join(encode_block(n, bytes(1024), with_crc=True) for n in range(1, 6)),
            "it is longer than 4096 bytes",
        ),
    ],
)
def test_receiving_without_a_sender_is_given_up(came: bytes, why: str) -> None:
    peer = Peer()
    peer.waiting += came
    with pytest.raises(TransferFailed, match=why):
        xmodem.receive(peer, 4096, peer.clock.boottime_ns)
    assert peer.sent.endswith(xmodem.CANCEL_SEQUENCE)


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=300), st.just(BLOCK), st.just(CANCELLED))))
def test_any_input_ends_within_minutes_in_a_file_or_a_reason(came: list[bytes]) -> None:
    for run in (
        lambda peer: xmodem.receive(peer, 4096, peer.clock.boottime_ns),
        lambda peer: xmodem.send(peer, bytes(3000), peer.clock.boottime_ns),
    ):
        peer = Peer()
        begun_ns = peer.clock.boottime_ns()
        peer.waiting += b"".join(came)
        with suppress(TransferFailed):
            run(peer)
        assert peer.clock.boottime_ns() < begun_ns + LONGEST_NS
