"""agent.commands: each refusal names its command, and a command that waited at the broker is refused."""

import threading

import msgspec
import pytest

from agent.base.model import CommandRefused, IncomingCommand, Reply
from agent.commands.command import MAX_COMMAND_BYTES
from agent.commands.dispatcher import ANSWER_INTERVAL_S, MAX_ANSWERS, MAX_STOP_ANSWERS
from tests.conftest import ManualClock
from tests.parts.command_rig import (
    MOVE_ARGS,
    STOP_ARGS,
    CommandRig,
    decode_result,
    encode_command,
    make_rig,
    rejection_of,
    rig,
)

__all__ = ["make_rig", "rig"]

GOOD = encode_command(MOVE_ARGS)


@pytest.mark.parametrize(
    ("verb", "payload", "code"),
    [
        ("dance", GOOD, "unsupported"),
        ("x" * 60_000, GOOD, "unsupported"),
        ("ptz", b'{"id": "one"}', "malformed"),
        ("ptz", encode_command(MOVE_ARGS, by=7), "malformed"),
        ("ptz", encode_command(MOVE_ARGS, by="a\nb"), "malformed"),
        ("ptz", encode_command(MOVE_ARGS, role="king"), "malformed"),
        ("ptz", encode_command(MOVE_ARGS, expires="soon"), "malformed"),
        ("ptz", encode_command(MOVE_ARGS, expires="2099-01-01T00:00:00Z"), "malformed"),
        ("ptz", encode_command(MOVE_ARGS, expires="2020-01-01T00:00:00Z"), "expired"),
        ("ptz", encode_command(MOVE_ARGS, signature="xyz"), "malformed"),
        ("ptz", encode_command({}), "malformed"),
        ("ptz", encode_command({**MOVE_ARGS, "pan": "left"}), "malformed"),
        ("ptz", encode_command({**MOVE_ARGS, "pan": 1e300}), "malformed"),
        ("ptz", encode_command({**MOVE_ARGS, "do": "fly"}), "malformed"),
        ("ptz", encode_command({**MOVE_ARGS, "head": "roof"}), "unknown"),
        ("ptz", encode_command({**MOVE_ARGS, "token": 99}), "stale_token"),
        ("ptz", encode_command(MOVE_ARGS, note="x" * MAX_COMMAND_BYTES), "malformed"),
    ],
)
def test_each_refusal_names_its_command(
    rig: CommandRig, verb: str, payload: bytes, code: str
) -> None:
    rig.submit(payload, verb=verb)
    rig.run_once()
    (reply,) = rig.replies
    assert isinstance(reply, CommandRefused)
    assert (reply.command, reply.code) == ("one", code)
    assert len(msgspec.json.encode(reply)) < 2_000


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"rubbish",
        b"[" * 10_000,
        b"[]",
        b'{"id": 7}',
        b'{"id": "a b"}',
        b'{"id": "%s"}' % (b"x" * 65),
        b'{"id": "\xff"}',
    ],
)
@pytest.mark.parametrize("verb", ["ptz", "dance"])
def test_a_refusal_without_a_readable_id_names_none(
    rig: CommandRig, verb: str, payload: bytes
) -> None:
    rig.submit(payload, verb=verb)
    rig.run_once()
    (reply,) = rig.replies
    assert isinstance(reply, CommandRefused)
    assert (reply.command, reply.code) == (None, "malformed" if verb == "ptz" else "unsupported")


def test_a_command_that_waited_at_the_broker_is_refused_and_a_stop_is_executed(
    rig: CommandRig, clock: ManualClock
) -> None:
    for synced in (True, False):
        clock.synced = synced
        assert rejection_of(rig.run_command(MOVE_ARGS, has_waited=True)) == (
            "expired",
            "it came while the box was not connected",
        )
    assert rig.head.calls == []
    rig.send(STOP_ARGS, "stop", has_waited=True)
    (express,) = rig.dispatcher.stages[1:]
    express.run_once(threading.Event())
    assert rig.head.calls == ["stop"]
    rig.run_once()
    # The id may come again, and a repeat of a command that was done is answered as that was.
    done = rig.run_command(MOVE_ARGS)
    assert rig.run_command(MOVE_ARGS, has_waited=True) == done


def test_a_flood_of_refused_commands_is_answered_for_the_first_of_each_minute(
    rig: CommandRig, clock: ManualClock
) -> None:
    """Each answer is written to the disk."""

    def flood() -> int:
        before = len(rig.replies)
        for _ in range(MAX_ANSWERS + 20):
            rig.submit(b"rubbish")
            rig.run_once()
        return len(rig.replies) - before

    assert flood() == MAX_ANSWERS
    assert flood() == 0
    assert rig.dispatcher.health().refused == 2 * (MAX_ANSWERS + 20)
    # A command of a requester who may is answered meanwhile.
    decode_result(rig.run_command(MOVE_ARGS))
    clock.advance_s(ANSWER_INTERVAL_S)
    assert flood() == MAX_ANSWERS


def test_each_refusal_at_the_box_itself_is_answered(rig: CommandRig) -> None:
    replies: list[Reply] = []
    for _ in range(MAX_ANSWERS + 20):
        rig.dispatcher.submit_local(
            IncomingCommand(verb="ptz", payload=b"", via="test", send_reply=replies.append)
        )
        rig.run_once()
    assert len(replies) == MAX_ANSWERS + 20


def test_a_flood_of_repeats_and_stops_is_answered_for_the_first_of_each_minute(
    rig: CommandRig,
) -> None:
    first = rig.run_command(MOVE_ARGS)
    for _ in range(MAX_ANSWERS + 20):
        rig.send(MOVE_ARGS)
        rig.run_once()
    assert rig.replies == [first] * (MAX_ANSWERS + 1)
    (lane,) = rig.dispatcher.stages[1:]
    without_wait = threading.Event()
    without_wait.set()
    for _ in range(MAX_STOP_ANSWERS + 20):
        rig.send(STOP_ARGS, "stop")
        lane.run_once(without_wait)
        rig.dispatcher.run_once(without_wait)
    assert rig.head.calls == ["PtzMoveArgs", *["stop"] * (MAX_STOP_ANSWERS + 20)]
    assert len(rig.replies) == MAX_ANSWERS + 1 + MAX_STOP_ANSWERS
