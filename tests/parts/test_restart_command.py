"""agent.health.restart_command and reboot_command: done once, and answered by the run that follows.

Real state files and a real idempotency store.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.base.model import CommandAccepted, Reply, ReplyAddress
from agent.commands.command import CommandProgressSink, Deferred, ValidCommand
from agent.commands.pending_commands import FILE_NAME, MAX_PENDING, PendingCommandStore
from agent.commands.requester import Requester
from agent.health.reboot_command import TIMEOUT_S, RebootCommandHandler
from agent.health.reboot_request import REBOOT_FILE
from agent.health.restart_command import TIMEOUT_S as RESTART_TIMEOUT_S
from agent.health.restart_command import RestartCommandHandler
from tests.conftest import ManualClock
from tests.parts.command_rig import CommandRig, MakeRig, decode_result, make_rig, rejection_of

__all__ = ["make_rig"]

BOOT, NEXT_BOOT = "boot-1", "boot-2"
ADDRESS = ReplyAddress(topic="reply/amina", correlation=b"one")


class Box:
    """The handlers of one run of the agent, on a folder that outlives it."""

    def __init__(
        self,
        folder: Path,
        make: MakeRig,
        boot: str = BOOT,
        *,
        has_manager: bool = True,
        obstacle: str | None = None,
    ) -> None:
        self.runtime_dir = folder / "run"
        self.stops = 0
        self.actions: list[tuple[str, str]] = []
        self.answers: list[tuple[ReplyAddress | None, Reply]] = []
        pending = PendingCommandStore(folder)

        def record(by: str, action: str) -> None:
            self.actions.append((by, action))

        def stop_agent() -> None:
            self.stops += 1

        self.restart = RestartCommandHandler(
            pending, boot, record, stop_agent if has_manager else None, [lambda: obstacle]
        )
        self.reboot = RebootCommandHandler(
            pending, boot, self.runtime_dir, record, [lambda: obstacle]
        )
        self.rig: CommandRig = make(self.restart, self.reboot)
        self.restart.resume(self._resume)
        self.reboot.resume(self._resume)

    @property
    def reboot_requested(self) -> bool:
        return (self.runtime_dir / REBOOT_FILE).exists()

    def end(self) -> None:
        """The agent stops in order."""
        self.rig.dispatcher.close()

    def _resume(self, command: ValidCommand, deferred: Deferred) -> CommandProgressSink:
        return self.rig.dispatcher.resume(
            command,
            lambda reply: self.answers.append((command.reply_address, reply)),
            deferred,
        )


@pytest.fixture
def start(tmp_path: Path, make_rig: MakeRig) -> Callable[..., Box]:
    return lambda *args, **kwargs: Box(tmp_path, make_rig, *args, **kwargs)


def accepted(box: Box, verb: str, command_id: str = "one") -> bool:
    return isinstance(box.rig.run_command({}, command_id, verb=verb), CommandAccepted)


def test_a_restart_is_accepted_and_the_next_run_answers_done(start: Callable[..., Box]) -> None:
    first = start()
    assert accepted(first, "restart")
    assert (first.stops, first.actions) == (1, [("amina", "restart of the agent")])
    first.end()
    assert len(first.rig.replies) == 1, "the stop itself is no failure"

    second = start()
    second.rig.run_all()
    ((address, reply),) = second.answers
    assert address is None
    assert decode_result(reply) == {"boot": BOOT, "new_boot": False}


def test_a_repeat_after_the_restart_gets_done_and_restarts_nothing(
    start: Callable[..., Box],
) -> None:
    first = start()
    assert accepted(first, "restart")
    first.end()
    second = start()
    second.rig.run_all()
    assert decode_result(second.rig.run_command({}, verb="restart"))["new_boot"] is False
    assert second.stops == 0
    second.end()
    third = start()
    third.rig.run_all()
    assert third.answers == [], "it was answered before"


def test_a_repeat_that_comes_before_the_answer_gets_it_too(start: Callable[..., Box]) -> None:
    first = start()
    assert accepted(first, "restart")
    first.end()
    second = start()
    second.rig.send({}, verb="restart")
    second.rig.run_all()
    assert second.stops == 0
    assert {type(reply).__name__ for reply in second.rig.replies} <= {
        "CommandAccepted",
        "CommandDone",
    }


def test_a_run_that_crashed_after_the_begin_is_answered_by_the_next_one(
    start: Callable[..., Box],
) -> None:
    first = start()
    assert accepted(first, "restart")
    first.rig.idempotency_store.close()
    second = start()
    second.rig.run_all()
    assert decode_result(second.answers[0][1])["boot"] == BOOT


@pytest.mark.parametrize("verb", ["restart", "reboot"])
def test_a_run_that_ends_before_its_dispatcher_turns_leaves_the_answer_to_the_next_one(
    start: Callable[..., Box], verb: str
) -> None:
    first = start()
    assert accepted(first, verb)
    first.end()
    second = start(NEXT_BOOT)
    assert second.answers == [], "it is killed, or a part that is built later raises"

    third = start(NEXT_BOOT)
    third.rig.run_all()
    ((_, reply),) = third.answers
    assert decode_result(reply) == {"boot": NEXT_BOOT, "new_boot": True}
    fourth = start(NEXT_BOOT)
    fourth.rig.run_all()
    assert fourth.answers == [], "it was answered before"


@pytest.mark.parametrize("verb", ["restart", "reboot"])
def test_a_kill_after_the_answer_repeats_the_same_one_in_another_boot_too(
    tmp_path: Path, start: Callable[..., Box], verb: str
) -> None:
    first = start()
    assert accepted(first, verb)
    first.end()
    pending = (tmp_path / FILE_NAME).read_bytes()
    second = start()
    second.rig.run_all()
    second.end()
    (tmp_path / FILE_NAME).write_bytes(pending)  # killed before it was removed from the file

    third = start(NEXT_BOOT)
    third.rig.run_all()
    assert third.answers == second.answers
    assert PendingCommandStore(tmp_path).of_verb(verb) == ()


@pytest.mark.raises_fault("CTL-01")
@pytest.mark.parametrize("verb", ["restart", "reboot"])
def test_an_answer_that_cannot_be_stored_is_sent_and_left_to_the_next_run(
    start: Callable[..., Box], verb: str
) -> None:
    first = start()
    assert accepted(first, verb)
    first.end()
    second = start(NEXT_BOOT)
    away = second.rig.folder.with_name("away")
    second.rig.folder.rename(away)
    second.rig.run_all()
    away.rename(second.rig.folder)
    third = start(NEXT_BOOT)
    third.rig.run_all()
    assert third.answers == second.answers
    assert len(third.answers) == 1


def test_a_stop_that_hangs_has_failed_and_is_not_answered_again(
    start: Callable[..., Box], clock: ManualClock
) -> None:
    first = start()
    assert accepted(first, "restart")
    clock.advance_s(RESTART_TIMEOUT_S + 1)
    first.rig.run_all()
    assert rejection_of(first.rig.replies[-1]) == ("failed", "it has not ended in time")
    second = start()
    second.rig.run_all()
    assert second.answers == []


def test_without_a_service_manager_nothing_would_start_the_agent_again(
    start: Callable[..., Box],
) -> None:
    box = start(has_manager=False)
    code, why = rejection_of(box.rig.run_command({}, verb="restart"))
    assert (code, box.stops) == ("unsupported", 0)
    assert "allowed: an agent that systemd has started" in why


def test_a_reboot_is_requested_once_and_answered_in_the_next_boot(
    start: Callable[..., Box],
) -> None:
    first = start()
    assert accepted(first, "reboot")
    assert first.reboot_requested
    assert first.actions == [("amina", "reboot of the board")]
    first.end()
    (first.runtime_dir / REBOOT_FILE).unlink()  # systemd acts, and /run is empty after the boot
    second = start(NEXT_BOOT)
    second.rig.run_all()
    assert decode_result(second.answers[0][1]) == {"boot": NEXT_BOOT, "new_boot": True}
    assert decode_result(second.rig.run_command({}, verb="reboot"))["new_boot"] is True
    assert not second.reboot_requested


def test_a_reboot_that_did_not_happen_is_not_requested_again(start: Callable[..., Box]) -> None:
    first = start()
    assert accepted(first, "reboot")
    first.end()
    second = start()
    second.rig.run_all()
    code, why = rejection_of(second.answers[0][1])
    assert (code, second.reboot_requested) == ("failed", False)
    assert "before the board was rebooted" in why


def test_a_reboot_that_systemd_does_not_act_on_is_withdrawn(
    start: Callable[..., Box], clock: ManualClock
) -> None:
    box = start()
    assert accepted(box, "reboot")
    clock.advance_s(TIMEOUT_S + 1)
    box.rig.send({"do": "list"}, "two")
    box.rig.run_all()
    code, why = rejection_of(box.rig.replies[-1])
    assert (code, box.reboot_requested) == ("failed", False)
    assert why == "no reboot within 60 s: vigie-reboot.path does not run"
    box.end()
    again = start(NEXT_BOOT)
    again.rig.run_all()
    assert again.answers == []


@pytest.mark.parametrize("verb", ["restart", "reboot"])
def test_nothing_is_done_while_it_would_do_harm(start: Callable[..., Box], verb: str) -> None:
    box = start(obstacle="the system is on trial")
    assert rejection_of(box.rig.run_command({}, verb=verb)) == ("busy", "the system is on trial")
    assert (box.stops, box.reboot_requested, box.actions) == (0, False, [])


@pytest.mark.parametrize("verb", ["restart", "reboot"])
def test_nothing_is_done_on_a_disk_that_takes_nothing(
    tmp_path: Path, start: Callable[..., Box], verb: str
) -> None:
    box = start()
    (tmp_path / ".pending-commands.json.making").mkdir()
    code, why = rejection_of(box.rig.run_command({}, verb=verb))
    assert (code, box.stops, box.reboot_requested) == ("failed", 0, False)
    assert "cannot be stored" in why


def test_the_address_of_the_requester_is_kept_for_the_answer(start: Callable[..., Box]) -> None:
    first = start()
    command = ValidCommand(
        arrival_number=1,
        verb="restart",
        id="one",
        requester=Requester(id="amina", role="operator"),
        expires=datetime(2026, 11, 25, tzinfo=UTC),
        args={},
        digest=b"x" * 32,
        reply_address=ADDRESS,
    )
    first.restart.run(command, CommandProgressSink(lambda *_: None, lambda *_: None))
    second = start()
    second.rig.run_all()
    assert [address for address, _ in second.answers] == [ADDRESS]


def test_a_damaged_file_is_set_aside_and_answers_nothing(
    tmp_path: Path, start: Callable[..., Box]
) -> None:
    first = start()
    assert accepted(first, "restart")
    first.end()
    (tmp_path / "pending-commands.json").write_bytes(b"{")
    second = start()
    second.rig.run_all()
    assert second.answers == []
    assert rejection_of(second.rig.run_command({}, verb="restart"))[0] == "failed"
    assert second.stops == 0


def test_the_file_is_bounded(tmp_path: Path, start: Callable[..., Box]) -> None:
    box = start()
    for number in range(MAX_PENDING + 3):
        assert accepted(box, "restart", f"id-{number}")
    assert len(PendingCommandStore(tmp_path).of_verb("restart")) == MAX_PENDING
