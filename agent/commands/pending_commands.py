"""Commands that outlive the run of the agent that has accepted them.

    pending-commands.json    a state file in the state folder

A restart, a reboot or an update ends this run of the agent, or may. The command is stored here before it begins; the
next run finds it, finds out what became of it, and sends the last reply.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from agent.base.state_file import StateFile
from agent.commands.command import CommandProgressSink, Deferred, ValidCommand

log = logging.getLogger(__name__)

FILE_NAME = "pending-commands.json"
MAX_PENDING = 8
"""A restart, a reboot and an update are each pending once; a file with more is damaged."""


class PendingCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command, the boot that has accepted it, and what its handler needs in order to find its outcome."""

    command: ValidCommand
    boot: str
    detail: str = ""


class _PendingCommands(msgspec.Struct, frozen=True, kw_only=True):
    commands: Annotated[tuple[PendingCommand, ...], msgspec.Meta(max_length=MAX_PENDING)] = ()


ResumeCommand: TypeAlias = Callable[[ValidCommand, Deferred], CommandProgressSink]
"""Continues a command of an earlier run: its progress and its end go to its requester."""


class PendingCommandStore:
    """The file. Thread-safe."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / FILE_NAME, _PendingCommands)
        self._lock = threading.Lock()
        self._pending = (self._file.load() or _PendingCommands()).commands

    def of_verb(self, verb: str) -> tuple[PendingCommand, ...]:
        """Return the pending commands of a verb."""
        return tuple(pending for pending in self._pending if pending.command.verb == verb)

    def add(self, pending: PendingCommand) -> None:
        """Store a command durably, before anything is done. Raises: OSError."""
        with self._lock:
            commands = (*self._pending, pending)[-MAX_PENDING:]
            self._file.write(_PendingCommands(commands=commands))
            self._pending = commands

    def deferred(self, command_id: str, timeout_s: float) -> Deferred:
        """Return the result of a pending command, which is discarded at its last reply, and not before."""
        return Deferred(timeout_s=timeout_s, forget=partial(self.discard, command_id))

    def discard(self, command_id: str) -> None:
        """Forget a command that was answered. A disk that takes nothing leaves it to the next run."""
        with self._lock:
            self._pending = tuple(
                pending for pending in self._pending if pending.command.id != command_id
            )
            try:
                self._file.write(_PendingCommands(commands=self._pending))
            except OSError as error:
                log.warning("%s: %s", self._file.path, error)
