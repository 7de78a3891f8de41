"""What takes a while tells how far it is and ends; a stop is done before all else."""

import random
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.base.model import CommandAccepted, CommandDone, CommandProgress
from agent.commands.command import CommandProgressSink, Deferred, ValidCommand
from agent.commands.dispatcher import IncomingCommand
from agent.commands.requester import CommandRejected
from agent.runtime.stage import StageThread
from tests.pure.command_rig import (
    MOVE,
    SET,
    STOP,
    TAKE,
    WAIT_S,
    MakeRig,
    Rig,
    command,
    make_rig,
    refused,
    result,
    rig,
)

__all__ = ["make_rig", "rig"]


class Slow:
    """A verb that takes a while, and does what a test tells it to."""

    name = "slow"
    express = ()

    class Args(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        what: str = ""

    class Result(msgspec.Struct):
        done: str

    args = Args

    def __init__(self) -> None:
        self.courses: list[CommandProgressSink] = []

    def subject(self, args: Args) -> str:
        return args.what

    def is_repeatable(self, args: Args) -> bool:
        return False

    def at_once(self, args: Args) -> str | None:
        return None

    def run(self, order: ValidCommand, course: CommandProgressSink) -> Deferred:
        self.courses.append(course)
        return Deferred(within_s=60)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def slow_rig(make_rig: MakeRig, slow: Slow) -> Rig:
    return make_rig(slow)


def test_what_takes_a_while_is_accepted_tells_how_far_it_is_and_ends(
    slow_rig: Rig, slow: Slow
) -> None:
    rig = slow_rig
    assert rig.ask({}, verb="slow") == CommandAccepted(command="one", verb="slow")
    slow.courses[0].progress(0.5, "half of it")
    rig.turn()
    assert rig.replies[-1] == CommandProgress(
        command="one", verb="slow", share=0.5, detail="half of it"
    )
    assert rig.desk.health().running == 1
    slow.courses[0].finish(lambda: Slow.Result(done="all"))
    rig.turn()
    assert result(rig.replies[-1]) == {"done": "all"}
    assert rig.ask({}, verb="slow") == rig.replies[-2]
    assert len(slow.courses) == 1


def test_a_repeat_of_what_runs_is_accepted_and_gets_the_end(slow_rig: Rig, slow: Slow) -> None:
    slow_rig.ask({}, verb="slow")
    other: list[object] = []
    slow_rig.desk.submit(
        IncomingCommand(verb="slow", payload=command({}), via="elsewhere", answer=other.append)
    )
    slow_rig.turn()
    slow.courses[0].finish(lambda: Slow.Result(done="all"))
    slow_rig.turn()
    assert [type(reply) for reply in other] == [CommandAccepted, CommandDone]
    assert len(slow_rig.replies) == 1
    assert len(slow.courses) == 1


def test_what_does_not_end_in_time_has_failed_and_its_end_comes_to_nothing(
    slow_rig: Rig, slow: Slow
) -> None:
    slow_rig.ask({}, verb="slow")
    slow_rig.clock.pass_s(61)
    slow.courses[0].progress(0.5, "so slow")
    slow_rig.turn()
    assert refused(slow_rig.replies[-1]) == ("failed", "it has not ended in time")
    count = len(slow_rig.replies)
    slow.courses[0].finish(lambda: Slow.Result(done="late"))
    slow_rig.turn()
    assert len(slow_rig.replies) == count


def test_an_end_may_be_a_refusal(slow_rig: Rig, slow: Slow) -> None:
    def fail() -> msgspec.Struct:
        raise CommandRejected("failed", "the picture cannot be made")

    slow_rig.ask({}, verb="slow")
    slow.courses[0].finish(fail)
    slow_rig.turn()
    assert refused(slow_rig.replies[-1]) == ("failed", "the picture cannot be made")


def test_when_the_agent_stops_what_waits_and_what_runs_is_answered(slow_rig: Rig) -> None:
    slow_rig.ask({}, verb="slow")
    slow_rig.send(MOVE, "two")
    slow_rig.desk.close()
    kinds = [refused(reply) for reply in slow_rig.replies[-2:]]
    assert kinds == [
        ("failed", "the agent stops: it was not begun"),
        ("failed", "the agent stopped before it was done"),
    ]
    assert slow_rig.mast.calls == []


class Running:
    """The desk's stages in threads of their own."""

    def __init__(self, rig: Rig) -> None:
        self._threads = [
            StageThread(stage, rig.clock.boottime_ns, random.Random(1), vital=False)
            for stage in rig.desk.stages
        ]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.stop()
        assert all(thread.join(WAIT_S) for thread in self._threads)


def has(ident: str) -> Callable[[list[Any]], bool]:
    return lambda replies: any(reply.command == ident for reply in replies)


@pytest.mark.parametrize(("args", "call"), [(MOVE, "Move"), (TAKE, "take")])
def test_a_stop_waits_for_no_other_command_and_takes_away_what_came_before_it(
    make_rig: MakeRig, args: dict[str, Any], call: str
) -> None:
    rig = make_rig(heads=("mast", "roof"))
    with Running(rig):
        rig.mast.held.clear()
        rig.send(args, "held-up")
        assert rig.mast.waits.wait(WAIT_S)
        rig.send(args, "behind-it")
        rig.send(STOP, "stop")
        rig.send({**STOP, "head": "roof"}, "stop-roof")
        replies = rig.wait(lambda all_: has("stop")(all_) and has("stop-roof")(all_))
        assert not has("held-up")(replies)
        assert rig.mast.calls == ["stop"]
        rig.mast.held.set()
        replies = rig.wait(has("behind-it"))
        # What was on its way when the stop came was done after it, and ended at once.
        assert rig.mast.calls == ["stop", call, "stop"]
        assert not rig.mast.moving
        behind = next(reply for reply in replies if reply.command == "behind-it")
        assert refused(behind) == ("expired", "head 'mast' was told to stop after this came in")
        rig.send(MOVE, "after")
        rig.wait(has("after"))
        assert rig.mast.moving


def test_a_stop_waits_for_no_disk_and_not_for_the_stop_of_another_head(make_rig: MakeRig) -> None:
    rig = make_rig(heads=("mast", "roof"))
    held, entered = threading.Event(), threading.Event()
    begin, stop = rig.ledger.begin, rig.masts["roof"].stop

    def slow_disk(order: ValidCommand) -> None:
        entered.set()
        assert held.wait(WAIT_S)
        begin(order)

    def dead_head(asker: Any) -> None:
        assert held.wait(WAIT_S)
        stop(asker)

    rig.ledger.begin = slow_disk  # type: ignore[method-assign]
    rig.masts["roof"].stop = dead_head  # type: ignore[method-assign]
    with Running(rig):
        rig.send(SET, "set")
        assert entered.wait(WAIT_S)
        rig.send({**STOP, "head": "roof"}, "stop-roof")
        rig.send(STOP, "stop")
        replies = rig.wait(has("stop"))
        assert [reply.command for reply in replies] == ["stop"]
        held.set()
        rig.wait(lambda all_: has("set")(all_) and has("stop-roof")(all_))


def test_a_stop_is_done_though_it_is_late_or_a_repeat(rig: Rig) -> None:
    with Running(rig):
        rig.clock.pass_s(120)
        for count in (1, 2):
            rig.send(STOP)
            replies = rig.wait(lambda all_, count=count: len(all_) == count)  # type: ignore[misc]
            assert result(replies[-1]) == {}
    assert rig.mast.calls == ["stop", "stop"]
