"""drivers.visca_codec and visca_sockets against the makers' documents and other programs.

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
from drivers.visca_sockets import MAX_TRACKED_COMMANDS, CommandState, CommandTracker, SentCommand


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


def say(reply: ViscaReply) -> bytes:
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
    stream = b"".join(map(say, message))
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
    received = [*decoder.feed(say(message)), *decoder.feed(say(message))]
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


class Talk:
    """A conversation: what is sent, what the camera replies, and the state of the commands then."""

    def __init__(self) -> None:
        self.sockets = CommandTracker()
        self.commands: dict[str, SentCommand] = {}

    def send(self, *names: str) -> None:
        for name in names:
            self.commands[name] = SentCommand(name.encode())
            self.sockets.on_sent(self.commands[name])

    def cancel(self, name: str, socket: int) -> None:
        self.commands[name] = SentCommand(name.encode(), cancelled_socket=socket)
        self.sockets.on_sent(self.commands[name])

    def hear(self, *texts: str) -> None:
        for text in texts:
            reply = parse_reply(packed(text))
            assert isinstance(reply, CommandAck | CommandCompleted | ViscaError)
            self.sockets.on_reply(reply)

    def stand(self, **expected: CommandState) -> None:
        assert {name: self.commands[name].state for name in expected} == expected


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_a_command_is_acknowledged_completed_and_its_socket_is_freed(talk: Talk) -> None:
    talk.send("move")
    talk.hear("90 41 FF")
    talk.stand(move="executing")
    assert talk.sockets.busy_sockets == (1,)
    talk.hear("90 51 FF")
    talk.stand(move="done")
    assert talk.sockets.busy_sockets == ()
    assert talk.sockets.unmatched_replies == 0


def test_two_commands_may_complete_in_any_order(talk: Talk) -> None:
    # COMP overlapping-command-responses
    talk.send("one", "five")
    talk.hear("90 41 FF", "90 42 FF", "90 52 FF")
    talk.stand(one="executing", five="done")
    talk.hear("90 51 FF")
    talk.stand(one="done")


def test_a_socket_may_hold_two_and_completes_the_older_first(talk: Talk) -> None:
    # COMP multiple-commands-in-socket, "two in same socket, out of order"
    talk.send("power")
    talk.hear("90 41 FF")
    talk.send("lock", "home")
    talk.hear("90 42 FF", "90 41 FF", "90 51 FF")
    talk.stand(power="done", home="executing")
    talk.hear("90 51 FF")
    talk.stand(home="done", lock="executing")
    talk.hear("90 52 FF")
    talk.stand(lock="done")


def test_a_full_buffer_error_rejects_the_command_and_a_retry_is_a_new_command(talk: Talk) -> None:
    # COMP command-buffer-full, "resent" and "dropped"
    talk.send("close", "toggle")
    talk.hear("90 60 03 FF")
    talk.stand(close="full", toggle="sent")
    talk.send("close again")
    talk.hear("90 42 FF", "90 52 FF", "90 41 FF", "90 51 FF")
    talk.stand(toggle="done", **{"close again": "done"})


def test_a_not_executable_error_belongs_to_the_oldest_waiting_command(
    talk: Talk,
) -> None:
    # COMP completion-in-empty-socket-real-world: buttons mashed while presets are recalled
    talk.send("osd 1", "preset 2")
    talk.hear("90 41 FF", "90 51 FF")
    talk.send("osd 3", "preset 4", "osd 5", "preset 6", "osd 7", "preset 8")
    talk.hear("90 42 FF", "90 41 FF", "90 51 FF")
    talk.send("near 9", "stop 10")
    talk.hear("90 52 FF", "90 42 FF", "90 41 FF", "90 51 FF")
    talk.send("far 11", "stop 12", "near 13", "stop 14")
    talk.hear("90 52 FF", "90 42 FF", "90 41 FF", "90 51 FF", "90 52 FF", "90 42 FF")
    for name in ("osd 1", "preset 2", "osd 3", "preset 4", "osd 5", "preset 6", "osd 7"):
        assert talk.commands[name].state == "done", name
    talk.hear("90 61 41 FF", "90 62 41 FF", "90 61 41 FF", "90 62 41 FF", "90 61 41 FF")
    talk.hear("90 62 41 FF")
    for name in ("near 9", "stop 10", "far 11", "stop 12", "near 13", "stop 14"):
        assert talk.commands[name].problem == "not executable", name
    assert talk.commands["preset 8"].state == "executing"
    talk.hear("90 52 FF")
    assert talk.commands["preset 8"].state == "done"
    assert talk.sockets.unmatched_replies == 0


def test_a_completion_without_an_ack_is_accepted(talk: Talk) -> None:
    talk.send("move")
    talk.hear("90 51 FF")
    talk.stand(move="done")
    assert talk.sockets.busy_sockets == ()


def test_a_motion_is_cancelled(talk: Talk) -> None:
    talk.send("goto")
    talk.hear("90 42 FF")
    talk.cancel("break", 2)
    talk.send("stop")
    talk.hear("90 62 04 FF", "90 41 FF")
    talk.stand(goto="cancelled", stop="executing", **{"break": "done"})
    assert talk.sockets.busy_sockets == (1,)


def test_a_late_cancel_has_nothing_to_cancel(talk: Talk) -> None:
    talk.send("goto")
    talk.hear("90 42 FF")
    talk.cancel("break", 2)
    talk.hear("90 52 FF", "90 62 05 FF")
    talk.stand(goto="done", **{"break": "done"})


def test_a_camera_without_cancel_rejects_it_and_no_command_is_confused(talk: Talk) -> None:
    talk.send("goto")
    talk.hear("90 41 FF")
    talk.cancel("break", 1)
    talk.send("stop")
    talk.hear("90 60 02 FF", "90 42 FF")
    talk.stand(goto="executing", stop="executing", **{"break": "refused"})


def test_a_motion_that_fails_midway_is_an_error(talk: Talk) -> None:
    talk.send("goto")
    talk.hear("90 41 FF", "90 61 41 FF")
    talk.stand(goto="refused")
    assert talk.sockets.busy_sockets == ()


def test_late_and_unexpected_replies_are_counted_and_ignored(talk: Talk) -> None:
    talk.hear("90 51 FF", "90 41 FF", "90 62 05 FF")
    talk.send("move")
    talk.sockets.forget(talk.commands["move"])
    talk.hear("90 41 FF")
    talk.stand(move="sent")
    assert talk.sockets.unmatched_replies == 4
    assert talk.sockets.busy_sockets == ()


def test_a_camera_that_never_completes_uses_bounded_memory(talk: Talk) -> None:
    for number in range(1000):
        talk.send(f"move {number}")
        if number % 2:
            talk.hear("90 41 FF")
    assert len(talk.sockets._unacknowledged) <= MAX_TRACKED_COMMANDS
    assert len(talk.sockets._executing[1]) <= MAX_TRACKED_COMMANDS
    talk.sockets.clear()
    assert talk.sockets.busy_sockets == ()


@given(
    st.lists(
        st.one_of(
            st.just("send"),
            st.integers(1, 2).map(lambda s: f"cancel {s}"),
            st.integers(0, 2).flatmap(
                lambda s: st.sampled_from(
                    [
                        CommandAck(1, s),
                        CommandCompleted(1, s),
                        *(ViscaError(1, s, p) for p in visca.PROBLEMS.values()),
                    ]
                )
            ),
        ),
        max_size=60,
    )
)
def test_no_sequence_of_replies_breaks_the_command_table(
    talk_of: list[str | CommandAck | CommandCompleted | ViscaError],
) -> None:
    sockets, commands = CommandTracker(), []
    for step in talk_of:
        if isinstance(step, str):
            _, _, socket = step.partition(" ")
            commands.append(SentCommand(b"", cancelled_socket=int(socket) if socket else None))
            sockets.on_sent(commands[-1])
        else:
            sockets.on_reply(step)
    over = {"done", "full", "refused", "cancelled"}
    held = [*sockets._unacknowledged, *(c for queue in sockets._executing.values() for c in queue)]
    assert not [command for command in held if command.state in over]
    assert len(held) == len(set(held))
