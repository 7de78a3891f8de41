"""agent.commands: each refusal names its command, and a command that waited at the broker is refused."""

import threading

import msgspec
import pytest

from agent.base.model import CommandRefused
from agent.commands.command import MAX_COMMAND_BYTES
from tests.conftest import ManualClock
from tests.pure.command_rig import (
    MOVE_ARGS,
    STOP_ARGS,
    CommandRig,
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
        ("dance", GOOD, "malformed"),
        ("x" * 60_000, GOOD, "malformed"),
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
    assert (reply.command, reply.code) == (None, "malformed")


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
