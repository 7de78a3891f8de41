"""drivers.visca_codec against the makers' documents and other programs.

None of the expected bytes is computed here. Where they come from:

SONY    EVI-D70 technical manual, pages 33 to 40, and EVI-H100S, page 29
G2      GrantSparks/grafton-visca, docs/PTZOptics-G2-VISCA-over-IP-Command-List.md (1da9a43)
LIB     glikely/libvisca, visca/libvisca.{h,c} (07f9e86)
COMP    bitfocus/companion-module-ptzoptics-visca, src/visca/__tests__ (1440778): what cameras
        answered to a person who pressed buttons
ANGLES  a table of a PTZOptics controller's tests that a search for 81 01 06 02 found:
        "Pan Tilt Angle 2448 / 1296" and "-2448 / -1296"
"""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import visca_codec as visca
from drivers.visca_codec import (
    ChainNumbered,
    CommandAck,
    CommandCompleted,
    InquiryAnswer,
    NetworkChange,
    PacketFramer,
    ReplyDecoder,
    ViscaError,
    ViscaReply,
    parse_reply,
)


def packed(text: str) -> bytes:
    return bytes.fromhex(text)


SENT: list[tuple[str, bytes, str]] = [
    ("SONY left", visca.pan_tilt_drive(1, -0x18, 0)[:4], "81 01 06 01"),
    ("SONY left, both fast", visca.pan_tilt_drive(1, -0x18, 0), "81 01 06 01 18 01 01 03 FF"),
    ("G2 up", visca.pan_tilt_drive(1, 0, 0x14), "81 01 06 01 01 14 03 01 FF"),
    ("G2 down", visca.pan_tilt_drive(1, 0, -0x14), "81 01 06 01 01 14 03 02 FF"),
    ("G2 right", visca.pan_tilt_drive(1, 0x18, 0), "81 01 06 01 18 01 02 03 FF"),
    ("G2 up left", visca.pan_tilt_drive(1, -0x18, 0x14), "81 01 06 01 18 14 01 01 FF"),
    ("G2 up right", visca.pan_tilt_drive(1, 0x18, 0x14), "81 01 06 01 18 14 02 01 FF"),
    ("G2 down left", visca.pan_tilt_drive(1, -0x18, -0x14), "81 01 06 01 18 14 01 02 FF"),
    ("G2 down right", visca.pan_tilt_drive(1, 0x18, -0x14), "81 01 06 01 18 14 02 02 FF"),
    ("G2 stop", visca.pan_tilt_drive(1, 0, 0), "81 01 06 01 01 01 03 03 FF"),
    (
        "SONY pan -0x1A0, tilt 0xC8",
        visca.pan_tilt_absolute(1, -0x1A0, 0xC8, pan_speed=0x18, tilt_speed=0x14),
        "81 01 06 02 18 14 0F 0E 06 00 00 00 0C 08 FF",
    ),
    (
        "ANGLES 2448 / 1296",
        visca.pan_tilt_absolute(1, 2448, 1296, pan_speed=0x18, tilt_speed=0x14),
        "81 01 06 02 18 14 00 09 09 00 00 05 01 00 FF",
    ),
    (
        "ANGLES -2448 / -1296",
        visca.pan_tilt_absolute(1, -2448, -1296, pan_speed=1, tilt_speed=1),
        "81 01 06 02 01 01 0F 06 07 00 0F 0A 0F 00 FF",
    ),
    ("G2 zoom stop", visca.zoom_drive(1, 0), "81 01 04 07 00 FF"),
    ("G2 tele, slowest", visca.zoom_drive(1, 1), "81 01 04 07 20 FF"),
    ("G2 tele, fastest", visca.zoom_drive(1, 8), "81 01 04 07 27 FF"),
    ("G2 wide, slowest", visca.zoom_drive(1, -1), "81 01 04 07 30 FF"),
    ("G2 wide, fastest", visca.zoom_drive(1, -8), "81 01 04 07 37 FF"),
    ("SONY zoom to 4000h", visca.zoom_direct(1, 0x4000), "81 01 04 47 04 00 00 00 FF"),
    ("COMP focus stop", visca.focus_drive(1, 0), "81 01 04 08 00 FF"),
    ("LIB focus far, fast", visca.focus_drive(1, 8), "81 01 04 08 27 FF"),
    ("LIB focus near, slow", visca.focus_drive(1, -1), "81 01 04 08 30 FF"),
    ("G2 autofocus", visca.autofocus(1, on=True), "81 01 04 38 02 FF"),
    ("G2 manual focus", visca.autofocus(1, on=False), "81 01 04 38 03 FF"),
    ("SONY store 5", visca.preset_store(1, 5), "81 01 04 3F 01 05 FF"),
    ("COMP recall 4", visca.preset_recall(1, 4), "81 01 04 3F 02 04 FF"),
    ("SONY where", visca.pan_tilt_inquiry(1), "81 09 06 12 FF"),
    ("SONY zoom", visca.zoom_inquiry(1), "81 09 04 47 FF"),
    ("SONY cancel socket 2", visca.cancel(1, 2), "81 22 FF"),
    ("SONY clear camera 3", visca.if_clear(3), "83 01 00 01 FF"),
    ("SONY number the chain", visca.ADDRESS_SET, "88 30 01 FF"),
    ("SONY camera 7 tele", visca.zoom_drive(7, 3), "87 01 04 07 22 FF"),
]


@pytest.mark.parametrize(("made", "written"), [row[1:] for row in SENT], ids=[r[0] for r in SENT])
def test_packets_to_a_camera_match_the_makers_document(made: bytes, written: str) -> None:
    assert made == packed(written)


RECEIVED: list[tuple[str, str, ViscaReply | None]] = [
    ("SONY ack", "90 41 FF", CommandAck(1, 1)),
    ("SONY completion", "90 52 FF", CommandCompleted(1, 2)),
    ("SONY interface cleared", "90 50 FF", CommandCompleted(1, 0)),
    ("COMP inquiry", "90 50 02 FF", InquiryAnswer(1, b"\x02")),
    ("SONY syntax error", "90 60 02 FF", ViscaError(1, 0, "syntax")),
    ("SONY length error", "90 60 01 FF", ViscaError(1, 0, "length")),
    ("COMP buffer full", "90 60 03 FF", ViscaError(1, 0, "full")),
    ("SONY cancelled", "90 62 04 FF", ViscaError(1, 2, "cancelled")),
    ("SONY no socket", "90 61 05 FF", ViscaError(1, 1, "no socket")),
    ("COMP not executable", "90 61 41 FF", ViscaError(1, 1, "not executable")),
    ("SONY two cameras", "88 30 03 FF", ChainNumbered(3)),
    ("SONY seven cameras", "88 30 08 FF", ChainNumbered(8)),
    ("COMP a change at camera 1", "90 38 FF", NetworkChange(1)),
    ("COMP a change at camera 4", "C0 38 FF", NetworkChange(4)),
    ("COMP a change before it has a number", "80 38 FF", NetworkChange(0)),
    ("SONY camera 7", "F0 41 FF", CommandAck(7, 1)),
    ("COMP no such reply", "90 42 06 FF", None),
    ("an unknown problem", "90 60 77 FF", None),
    ("a header that no camera has", "9A 41 FF", None),
    ("a chain without cameras", "88 30 01 FF", None),
]


@pytest.mark.parametrize(("text", "meant"), [r[1:] for r in RECEIVED], ids=[r[0] for r in RECEIVED])
def test_replies_decode_as_the_makers_document(text: str, meant: ViscaReply | None) -> None:
    assert parse_reply(packed(text)) == meant


def test_a_position_is_eight_nibbles_of_two_signed_numbers() -> None:
    # SONY: F725h is -170 degrees of an EVI-D70, 04B0h is +90.
    data = packed("0F 07 02 05 00 04 0B 00")
    assert (visca.parse_signed(data[:4]), visca.parse_signed(data[4:])) == (-2267, 1200)
    assert visca.parse_unsigned(packed("04 00 00 00")) == 0x4000
    assert visca.parse_signed(packed("0F 07 12 05")) is None
    assert visca.parse_unsigned(packed("04 00 00")) is None


@given(st.integers(-(1 << 15), (1 << 15) - 1), st.integers(0, (1 << 16) - 1))
def test_numbers_survive_encoding_in_nibbles(value: int, place: int) -> None:
    assert visca.parse_signed(visca.nibbles(value)) == value
    assert visca.parse_unsigned(visca.nibbles(place)) == place


def encode_reply(reply: ViscaReply) -> bytes:
    """A reply as a camera would send it: the decoder's inverse, for round trips only."""
    match reply:
        case ChainNumbered(free):
            return bytes((0x88, 0x30, free, 0xFF))
        case NetworkChange(address):
            return bytes((0x80 | address << 4, 0x38, 0xFF))
        case CommandAck(address, socket):
            return bytes((0x80 | address << 4, 0x40 | socket, 0xFF))
        case CommandCompleted(address, socket):
            return bytes((0x80 | address << 4, 0x50 | socket, 0xFF))
        case InquiryAnswer(address, data):
            return bytes((0x80 | address << 4, 0x50)) + data + b"\xff"
        case ViscaError(address, socket, problem):
            code = next(c for c, p in visca.PROBLEMS.items() if p == problem)
            return bytes((0x80 | address << 4, 0x60 | socket, code, 0xFF))


addresses, sockets = st.integers(1, 7), st.integers(0, 15)
replies: st.SearchStrategy[ViscaReply] = st.one_of(
    st.builds(CommandAck, addresses, sockets),
    st.builds(CommandCompleted, addresses, sockets),
    st.builds(
        InquiryAnswer,
        addresses,
        st.binary(min_size=1, max_size=13).map(lambda b: bytes(x & 0x7F for x in b)),
    ),
    st.builds(ViscaError, addresses, sockets, st.sampled_from(sorted(visca.PROBLEMS.values()))),
    st.builds(ChainNumbered, st.integers(2, 8)),
    st.builds(NetworkChange, addresses),
)


@given(st.lists(replies, max_size=8), st.lists(st.integers(0, 100), max_size=8), addresses)
def test_replies_are_decoded_from_any_fragments(
    message: list[ViscaReply], cuts: list[int], address: int
) -> None:
    stream = b"".join(map(encode_reply, message))
    decoder = ReplyDecoder(address)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    received = [r for a, b in pairwise(edges) for r in decoder.feed(stream[a:b])]
    concerns_all = (ChainNumbered, NetworkChange)
    assert received == [r for r in message if isinstance(r, concerns_all) or r.address == address]
    assert decoder.noise_bytes == 0


@given(st.binary(max_size=60), replies)
def test_after_any_noise_the_decoder_is_in_step_within_two_frames(
    noise: bytes, message: ViscaReply
) -> None:
    decoder = ReplyDecoder(getattr(message, "address", 1) or 1)
    decoder.feed(noise)
    received = [*decoder.feed(encode_reply(message)), *decoder.feed(encode_reply(message))]
    assert received[-1] == message


def test_a_million_bytes_of_noise_neither_grow_nor_stop_the_decoder() -> None:
    chance = random.Random(38)
    decoder, framer = ReplyDecoder(1), PacketFramer()
    answer = packed("90 50 0F 07 02 05 00 04 0B 00 FF")
    understood = 0
    for _ in range(1_000_000 // 55):
        block = bytearray(chance.randbytes(22) + answer * 3)
        for index in range(len(block)):
            if chance.random() < 0.01:
                block[index] ^= 1 << chance.randrange(8)
        received = decoder.feed(bytes(block))
        framer.feed(bytes(block))
        understood += sum(isinstance(reply, InquiryAnswer) for reply in received)
        assert len(framer._buffer) < 16
    # One frame of 11 bytes is whole with 0.99 ** 11 = 0.895 of chance.
    assert understood > 0.85 * 3 * (1_000_000 // 55)
