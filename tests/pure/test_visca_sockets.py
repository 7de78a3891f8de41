"""drivers.visca_sockets: the conversation with a camera, command by command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import visca_codec as visca
from drivers.visca_codec import (
    CommandAck,
    CommandCompleted,
    ViscaError,
    parse_reply,
)
from drivers.visca_sockets import MAX_TRACKED_COMMANDS, CommandState, CommandTracker, SentCommand


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

    def receive(self, *texts: str) -> None:
        for text in texts:
            reply = parse_reply(bytes.fromhex(text))
            assert isinstance(reply, CommandAck | CommandCompleted | ViscaError)
            self.sockets.on_reply(reply)

    def expect_states(self, **expected: CommandState) -> None:
        assert {name: self.commands[name].state for name in expected} == expected


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_a_command_is_acknowledged_completed_and_its_socket_is_freed(talk: Talk) -> None:
    talk.send("move")
    talk.receive("90 41 FF")
    talk.expect_states(move="executing")
    assert talk.sockets.busy_sockets == (1,)
    talk.receive("90 51 FF")
    talk.expect_states(move="done")
    assert talk.sockets.busy_sockets == ()
    assert talk.sockets.unmatched_replies == 0


def test_two_commands_may_complete_in_any_order(talk: Talk) -> None:
    # COMP overlapping-command-responses
    talk.send("one", "five")
    talk.receive("90 41 FF", "90 42 FF", "90 52 FF")
    talk.expect_states(one="executing", five="done")
    talk.receive("90 51 FF")
    talk.expect_states(one="done")


def test_a_socket_may_hold_two_and_completes_the_older_first(talk: Talk) -> None:
    # COMP multiple-commands-in-socket, "two in same socket, out of order"
    talk.send("power")
    talk.receive("90 41 FF")
    talk.send("lock", "home")
    talk.receive("90 42 FF", "90 41 FF", "90 51 FF")
    talk.expect_states(power="done", home="executing")
    talk.receive("90 51 FF")
    talk.expect_states(home="done", lock="executing")
    talk.receive("90 52 FF")
    talk.expect_states(lock="done")


def test_a_full_buffer_error_rejects_the_command_and_a_retry_is_a_new_command(talk: Talk) -> None:
    # COMP command-buffer-full, "resent" and "dropped"
    talk.send("close", "toggle")
    talk.receive("90 60 03 FF")
    talk.expect_states(close="full", toggle="sent")
    talk.send("close again")
    talk.receive("90 42 FF", "90 52 FF", "90 41 FF", "90 51 FF")
    talk.expect_states(toggle="done", **{"close again": "done"})


def test_a_not_executable_error_belongs_to_the_oldest_waiting_command(
    talk: Talk,
) -> None:
    # COMP completion-in-empty-socket-real-world: buttons mashed while presets are recalled
    talk.send("osd 1", "preset 2")
    talk.receive("90 41 FF", "90 51 FF")
    talk.send("osd 3", "preset 4", "osd 5", "preset 6", "osd 7", "preset 8")
    talk.receive("90 42 FF", "90 41 FF", "90 51 FF")
    talk.send("near 9", "stop 10")
    talk.receive("90 52 FF", "90 42 FF", "90 41 FF", "90 51 FF")
    talk.send("far 11", "stop 12", "near 13", "stop 14")
    talk.receive("90 52 FF", "90 42 FF", "90 41 FF", "90 51 FF", "90 52 FF", "90 42 FF")
    for name in ("osd 1", "preset 2", "osd 3", "preset 4", "osd 5", "preset 6", "osd 7"):
        assert talk.commands[name].state == "done", name
    talk.receive("90 61 41 FF", "90 62 41 FF", "90 61 41 FF", "90 62 41 FF", "90 61 41 FF")
    talk.receive("90 62 41 FF")
    for name in ("near 9", "stop 10", "far 11", "stop 12", "near 13", "stop 14"):
        assert talk.commands[name].problem == "not executable", name
    assert talk.commands["preset 8"].state == "executing"
    talk.receive("90 52 FF")
    assert talk.commands["preset 8"].state == "done"
    assert talk.sockets.unmatched_replies == 0


def test_a_completion_without_an_ack_is_accepted(talk: Talk) -> None:
    talk.send("move")
    talk.receive("90 51 FF")
    talk.expect_states(move="done")
    assert talk.sockets.busy_sockets == ()


def test_a_motion_is_cancelled(talk: Talk) -> None:
    talk.send("goto")
    talk.receive("90 42 FF")
    talk.cancel("break", 2)
    talk.send("stop")
    talk.receive("90 62 04 FF", "90 41 FF")
    talk.expect_states(goto="cancelled", stop="executing", **{"break": "done"})
    assert talk.sockets.busy_sockets == (1,)


def test_a_late_cancel_has_nothing_to_cancel(talk: Talk) -> None:
    talk.send("goto")
    talk.receive("90 42 FF")
    talk.cancel("break", 2)
    talk.receive("90 52 FF", "90 62 05 FF")
    talk.expect_states(goto="done", **{"break": "done"})


def test_a_camera_without_cancel_rejects_it_and_no_command_is_confused(talk: Talk) -> None:
    talk.send("goto")
    talk.receive("90 41 FF")
    talk.cancel("break", 1)
    talk.send("stop")
    talk.receive("90 60 02 FF", "90 42 FF")
    talk.expect_states(goto="executing", stop="executing", **{"break": "refused"})


def test_a_motion_that_fails_midway_is_an_error(talk: Talk) -> None:
    talk.send("goto")
    talk.receive("90 41 FF", "90 61 41 FF")
    talk.expect_states(goto="refused")
    assert talk.sockets.busy_sockets == ()


def test_late_and_unexpected_replies_are_counted_and_ignored(talk: Talk) -> None:
    talk.receive("90 51 FF", "90 41 FF", "90 62 05 FF")
    talk.send("move")
    talk.sockets.forget(talk.commands["move"])
    talk.receive("90 41 FF")
    talk.expect_states(move="sent")
    assert talk.sockets.unmatched_replies == 4
    assert talk.sockets.busy_sockets == ()


def test_a_camera_that_never_completes_uses_bounded_memory(talk: Talk) -> None:
    for number in range(1000):
        talk.send(f"move {number}")
        if number % 2:
            talk.receive("90 41 FF")
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
