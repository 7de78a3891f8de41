"""Command `reboot`: the board restarts, by the request file on which systemd acts with root's rights."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agent.commands.command import (
    CommandHandler,
    CommandProgressSink,
    CommandType,
    Deferred,
    NoArguments,
    ValidCommand,
    never,
)
from agent.commands.pending_commands import PendingCommand, PendingCommandStore, ResumeCommand
from agent.commands.requester import CommandRejected
from agent.health.reboot_request import request_reboot, withdraw_reboot
from agent.health.restart_command import (
    FindObstacle,
    RestartResult,
    add_pending,
    check_obstacles,
)

TIMEOUT_S = 60.0
"""systemd acts within a second; the stop of the agent takes up to 25 s."""


COMMAND = CommandType(
    verb="reboot",
    args=NoArguments,
    result=RestartResult,
    summary="the box starts again",
    actions=("maintain",),
    describe=lambda _args: "the board",
    is_idempotent=never,
    examples=(NoArguments(),),
    result_examples=(RestartResult(boot="c0ffee00-0000-4000-8000-000000000001", new_boot=True),),
)


class RebootCommandHandler(CommandHandler):
    """Handles `reboot`. `obstacles` are asked in turn."""

    command = COMMAND

    def __init__(
        self,
        pending: PendingCommandStore,
        boot: str,
        runtime_dir: Path,
        record_action: Callable[[str, str], None],
        obstacles: Sequence[FindObstacle],
    ) -> None:
        self._pending = pending
        self._boot = boot
        self._runtime_dir = runtime_dir
        self._record_action = record_action
        self._obstacles = tuple(obstacles)

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        """Request the reboot. The run of the next boot replies `done`."""
        check_obstacles(self._obstacles)
        self._record_action(command.requester.by, "reboot of the board")
        add_pending(self._pending, PendingCommand(command=command, boot=self._boot))
        try:
            request_reboot(self._runtime_dir)
        except OSError as error:
            self._pending.discard(command.id)
            raise CommandRejected("failed", f"the reboot cannot be requested: {error}") from error

        def on_timeout() -> str:
            withdraw_reboot(self._runtime_dir)
            return f"no reboot within {TIMEOUT_S:.0f} s: vigie-reboot.path does not run"

        deferred = self._pending.deferred(command.id, TIMEOUT_S)
        return msgspec.structs.replace(deferred, on_timeout=on_timeout)

    def resume(self, resume_command: ResumeCommand) -> None:
        """Reply to a reboot that an earlier run has requested. One that has not happened is withdrawn."""
        for pending in self._pending.of_verb(COMMAND.verb):
            deferred = self._pending.deferred(pending.command.id, TIMEOUT_S)
            sink = resume_command(pending.command, deferred)
            if pending.boot == self._boot:
                sink.finish(_fail_as_not_rebooted)
            else:
                sink.finish(lambda: RestartResult(boot=self._boot, new_boot=True))
            withdraw_reboot(self._runtime_dir)


def _fail_as_not_rebooted() -> RestartResult:
    raise CommandRejected(
        "failed", "the agent ended before the board was rebooted: not requested again"
    )
