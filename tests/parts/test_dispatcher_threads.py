"""agent.commands.dispatcher: long commands report their progress and end; a stop is executed before all
others.
"""

import random
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agent.base.model import CommandAccepted, CommandDone, CommandProgress, IncomingCommand
from agent.commands.command import (
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    ValidCommand,
    always,
    never,
)
from agent.commands.requester import CommandRejected
from agent.runtime.stage import StageThread
from tests.parts.command_rig import (
    MOVE_ARGS,
    PRESET_SET_ARGS,
    STOP_ARGS,
    TAKE_ARGS,
    TIMEOUT_S,
    CommandRig,
    MakeRig,
    decode_result,
    encode_command,
    make_rig,
    rejection_of,
    rig,
)

__all__ = ["make_rig", "rig"]


class Slow(CommandHandler):
    """A handler that takes a while, controlled by a test."""

    class Args(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        what: str = ""

    class Result(msgspec.Struct):
        done: str

    command = CommandType(
        verb="slow",
        args=Args,
        result=Result,
        summary="",
        actions=("see",),
        describe=lambda args: args.what,
        is_idempotent=never,
    )

    def __init__(self) -> None:
        self.progress_sinks: list[CommandProgressSink] = []

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        self.progress_sinks.append(progress_sink)
        return Deferred(timeout_s=60)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def slow_rig(make_rig: MakeRig, slow: Slow) -> CommandRig:
    return make_rig(slow)


def test_a_long_command_is_accepted_reports_progress_and_ends(
    slow_rig: CommandRig, slow: Slow
) -> None:
    rig = slow_rig
    assert rig.run_command({}, verb="slow") == CommandAccepted(command="one", verb="slow")
    slow.progress_sinks[0].report_progress(0.04000000000000001, "some of it")
    rig.run_once()
    assert rig.replies[-1] == CommandProgress(
        command="one", verb="slow", progress=0.04, detail="some of it"
    )
    assert rig.dispatcher.health().running == 1
    slow.progress_sinks[0].finish(lambda: Slow.Result(done="all"))
    rig.run_once()
    assert decode_result(rig.replies[-1]) == {"done": "all"}
    assert rig.run_command({}, verb="slow") == rig.replies[-2]
    assert len(slow.progress_sinks) == 1


def test_a_repeat_of_a_running_command_is_accepted_and_gets_its_final_reply(
    slow_rig: CommandRig, slow: Slow
) -> None:
    slow_rig.run_command({}, verb="slow")
    other: list[object] = []
    slow_rig.dispatcher.submit(
        IncomingCommand(
            verb="slow", payload=encode_command({}), via="elsewhere", send_reply=other.append
        )
    )
    slow_rig.run_once()
    slow.progress_sinks[0].finish(lambda: Slow.Result(done="all"))
    slow_rig.run_once()
    assert [type(reply) for reply in other] == [CommandAccepted, CommandDone]
    assert len(slow_rig.replies) == 1
    assert len(slow.progress_sinks) == 1


class Idempotent(Slow):
    """The same, for a command that may be done twice."""

    command = msgspec.structs.replace(Slow.command, is_idempotent=always)


@pytest.mark.raises_fault("CTL-01")
def test_another_command_with_a_running_commands_id_is_rejected_without_the_store(
    make_rig: MakeRig,
) -> None:
    slow = Idempotent()
    rig = make_rig(slow)
    rig.run_command({}, verb="slow")
    rig.idempotency_store.close()
    away = rig.folder.with_name("away")
    rig.folder.rename(away)
    code, message = rejection_of(rig.run_command({"what": "else"}, verb="slow"))
    assert (code, "an id of its own" in message) == ("malformed", True)
    slow.progress_sinks[0].finish(lambda: Slow.Result(done="all"))
    rig.run_once()
    assert decode_result(rig.replies[-1]) == {"done": "all"}
    away.rename(rig.folder)


def test_a_command_that_times_out_has_failed_and_its_late_result_is_dropped(
    slow_rig: CommandRig, slow: Slow
) -> None:
    slow_rig.run_command({}, verb="slow")
    slow_rig.clock.advance_s(61)
    slow.progress_sinks[0].report_progress(0.5, "so slow")
    slow_rig.run_once()
    assert rejection_of(slow_rig.replies[-1]) == ("failed", "it has not ended in time")
    count = len(slow_rig.replies)
    slow.progress_sinks[0].finish(lambda: Slow.Result(done="late"))
    slow_rig.run_once()
    assert len(slow_rig.replies) == count


def test_a_long_command_may_end_in_a_rejection(slow_rig: CommandRig, slow: Slow) -> None:
    def fail() -> msgspec.Struct:
        raise CommandRejected("failed", "the picture cannot be made")

    slow_rig.run_command({}, verb="slow")
    slow.progress_sinks[0].finish(fail)
    slow_rig.run_once()
    assert rejection_of(slow_rig.replies[-1]) == ("failed", "the picture cannot be made")


def test_queued_and_running_commands_are_answered_when_the_agent_stops(
    slow_rig: CommandRig,
) -> None:
    slow_rig.run_command({}, verb="slow")
    slow_rig.send(MOVE_ARGS, "two")
    slow_rig.dispatcher.close()
    kinds = [rejection_of(reply) for reply in slow_rig.replies[-2:]]
    assert kinds == [
        ("failed", "the agent stops: it was not begun"),
        ("failed", "the agent stopped before it was done"),
    ]
    assert slow_rig.head.calls == []


class Kept(Slow):
    """The same, for a command that a later run would answer."""

    def __init__(self) -> None:
        super().__init__()
        self.forget: Callable[[], None] = lambda: None

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        deferred = super().run(command, progress_sink)
        return msgspec.structs.replace(deferred, forget=self.forget)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_command_is_forgotten_once_its_last_reply_is_stored_and_sent(
    make_rig: MakeRig, *, is_late: bool
) -> None:
    kept = Kept()
    rig = make_rig(kept)
    found: list[tuple[object, object]] = []

    def forget() -> None:
        record = make_rig().idempotency_store.find("one")
        found.append((record and record.reply, rig.replies[-1]))

    kept.forget = forget
    rig.run_command({}, verb="slow")
    assert found == []
    if is_late:
        rig.clock.advance_s(61)
    else:
        kept.progress_sinks[0].finish(lambda: Slow.Result(done="all"))
    rig.run_once()
    ((stored, sent),) = found
    assert stored == sent == rig.replies[-1]
    assert len(rig.replies) == 2


def test_a_command_that_a_later_run_answers_is_not_refused_when_the_agent_stops(
    make_rig: MakeRig,
) -> None:
    kept = Kept()
    rig = make_rig(kept)
    rig.run_command({}, verb="slow")
    rig.dispatcher.close()
    assert rig.replies == [CommandAccepted(command="one", verb="slow")]


class Running:
    """The desk's stages in threads of their own."""

    def __init__(self, rig: CommandRig) -> None:
        self._threads = [
            StageThread(stage, rig.clock.boottime_ns, random.Random(1), vital=False)
            for stage in rig.dispatcher.stages
        ]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.stop()
        assert all(thread.join(TIMEOUT_S) for thread in self._threads)


def has(ident: str) -> Callable[[list[Any]], bool]:
    return lambda replies: any(reply.command == ident for reply in replies)


@pytest.mark.parametrize(("args", "call"), [(MOVE_ARGS, "PtzMoveArgs"), (TAKE_ARGS, "take")])
def test_a_stop_waits_for_no_other_command_and_cancels_earlier_ones(
    make_rig: MakeRig, args: dict[str, Any], call: str
) -> None:
    rig = make_rig(heads=("mast", "roof"))
    with Running(rig):
        rig.head.gate.clear()
        rig.send(args, "held-up")
        assert rig.head.is_waiting.wait(TIMEOUT_S)
        rig.send(args, "behind-it")
        rig.send(STOP_ARGS, "stop")
        rig.send({**STOP_ARGS, "head": "roof"}, "stop-roof")
        replies = rig.wait_for_replies(lambda all_: has("stop")(all_) and has("stop-roof")(all_))
        assert not has("held-up")(replies)
        assert rig.head.calls == ["stop"]
        rig.head.gate.set()
        replies = rig.wait_for_replies(has("behind-it"))
        # What was on its way when the stop came was done after it, and ended at once.
        assert rig.head.calls == ["stop", call, "stop"]
        assert rig.head.controller.motion is None
        behind = next(reply for reply in replies if reply.command == "behind-it")
        assert rejection_of(behind) == (
            "expired",
            "head 'mast' was stopped after this came in",
        )
        rig.send(MOVE_ARGS, "after")
        rig.wait_for_replies(has("after"))
        assert rig.head.controller.motion is not None


def test_a_stop_waits_neither_for_the_disk_nor_for_another_heads_stop(make_rig: MakeRig) -> None:
    rig = make_rig(heads=("mast", "roof"))
    held, entered = threading.Event(), threading.Event()
    begin, stop = rig.idempotency_store.record_begin, rig.heads["roof"].stop

    def slow_disk(order: ValidCommand) -> None:
        entered.set()
        assert held.wait(TIMEOUT_S)
        begin(order)

    def dead_head() -> None:
        assert held.wait(TIMEOUT_S)
        stop()

    rig.idempotency_store.record_begin = slow_disk  # type: ignore[method-assign]
    rig.heads["roof"].stop = dead_head  # type: ignore[method-assign]
    with Running(rig):
        rig.send(PRESET_SET_ARGS, "set")
        assert entered.wait(TIMEOUT_S)
        rig.send({**STOP_ARGS, "head": "roof"}, "stop-roof")
        rig.send(STOP_ARGS, "stop")
        replies = rig.wait_for_replies(has("stop"))
        assert [reply.command for reply in replies] == ["stop"]
        held.set()
        rig.wait_for_replies(lambda all_: has("set")(all_) and has("stop-roof")(all_))


def test_a_late_or_repeated_stop_is_still_executed(rig: CommandRig) -> None:
    with Running(rig):
        rig.clock.advance_s(120)
        for count in (1, 2):
            rig.send(STOP_ARGS)
            replies = rig.wait_for_replies(lambda all_, count=count: len(all_) == count)  # type: ignore[misc]
            assert decode_result(replies[-1]) == {}
    assert rig.head.calls == ["stop", "stop"]
