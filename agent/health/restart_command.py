"""Command `restart`: the agent stops in order, and its service manager starts it again."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

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

TIMEOUT_S = 120.0
"""Of a stop that hangs: the unit's TimeoutStopSec= and TimeoutStartSec= together are longer than any other."""


NO_SERVICE_MANAGER = (
    "no service manager would start the agent again; allowed: an agent that systemd has started"
)

FindObstacle: TypeAlias = Callable[[], str | None]
"""Returns in one sentence why an action would do harm now, or None."""


class RestartResult(msgspec.Struct, frozen=True, kw_only=True):
    """The boot of the run that follows, and whether it is another one than before."""

    boot: str
    new_boot: bool


COMMAND = CommandType(
    verb="restart",
    args=NoArguments,
    result=RestartResult,
    summary="the agent starts again",
    actions=("maintain",),
    describe=lambda _args: "the agent",
    is_idempotent=never,
    examples=(NoArguments(),),
    result_examples=(RestartResult(boot="c0ffee00-0000-4000-8000-000000000000", new_boot=False),),
)


class RestartCommandHandler(CommandHandler):
    """Handles `restart`.

    `stop_agent` begins the agent's stop in order; None if nothing would start it again. `record_action` takes the
    requester and the action for the custody log. `obstacles` are asked in turn.
    """

    command = COMMAND

    def __init__(
        self,
        pending: PendingCommandStore,
        boot: str,
        record_action: Callable[[str, str], None],
        stop_agent: Callable[[], None] | None,
        obstacles: Sequence[FindObstacle],
    ) -> None:
        self._pending = pending
        self._boot = boot
        self._record_action = record_action
        self._stop_agent = stop_agent
        self._obstacles = tuple(obstacles)

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> Deferred:
        """Begin the stop. The next run replies `done`."""
        if self._stop_agent is None:
            raise CommandRejected("unsupported", NO_SERVICE_MANAGER)
        check_obstacles(self._obstacles)
        self._record_action(command.requester.by, "restart of the agent")
        add_pending(self._pending, PendingCommand(command=command, boot=self._boot))
        self._stop_agent()
        return self._pending.deferred(command.id, TIMEOUT_S)

    def resume(self, resume_command: ResumeCommand) -> None:
        """Reply to the restarts that have led to this run: each run after the request is one."""
        for pending in self._pending.of_verb(COMMAND.verb):
            result = RestartResult(boot=self._boot, new_boot=pending.boot != self._boot)
            deferred = self._pending.deferred(pending.command.id, TIMEOUT_S)
            sink = resume_command(pending.command, deferred)
            sink.finish(lambda result=result: result)  # type: ignore[misc]


def check_obstacles(obstacles: Sequence[FindObstacle]) -> None:
    """Raise CommandRejected if an action would do harm now."""
    for find_obstacle in obstacles:
        obstacle = find_obstacle()
        if obstacle is not None:
            raise CommandRejected("busy", obstacle)


def add_pending(store: PendingCommandStore, pending: PendingCommand) -> None:
    """Store a command that ends this run. Raises: CommandRejected, before anything is done."""
    try:
        store.add(pending)
    except OSError as error:
        raise CommandRejected(
            "failed", f"it ends this run of the agent, and cannot be stored: {error}"
        ) from error
