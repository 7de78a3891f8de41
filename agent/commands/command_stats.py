"""Counts of commands for health, and one line in the journal for each."""

import logging
import threading

from agent.base.health_model import CommandHealth
from agent.base.model import CommandRefused
from agent.commands.command import ValidCommand
from agent.commands.idempotency_store import FinalReply

log = logging.getLogger(__name__)


class CommandStats:
    """Counts since the agent started. Thread-safe.

    Text of a requester is logged by its `repr`, so that it stays on one line.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done_count = self._refused_count = self._dropped_count = 0

    def count_reply(
        self, command: ValidCommand, description: str, via: str, reply: FinalReply, age_ms: float
    ) -> None:
        """Count a command's last reply, `age_ms` after the command came in."""
        is_refused = isinstance(reply, CommandRefused)
        with self._lock:
            self._refused_count += is_refused
            self._done_count += not is_refused
        log.log(
            logging.WARNING if is_refused else logging.INFO,
            "command %s: %s %s, by %s over %s: %s after %.1f ms",
            command.id,
            command.verb,
            description,
            " and ".join(
                f"{signer.id!r} ({signer.certificate_role or signer.role})"
                for signer in command.signers
            ),
            via,
            f"refused, {reply.code}: {reply.message!r}"
            if isinstance(reply, CommandRefused)
            else "done",
            age_ms,
        )

    def count_refused_at_arrival(self, via: str, refusal: CommandRefused) -> None:
        """Count a command that was not queued."""
        with self._lock:
            self._refused_count += 1
        log.warning(
            "command %r over %s: refused, %s: %r",
            refusal.verb,
            via,
            refusal.code,
            refusal.message,
        )

    def count_dropped(self, description: str) -> None:
        """Count a command, or its progress, that a full queue has dropped."""
        with self._lock:
            self._dropped_count += 1
        log.error("a command or its progress is dropped: %s", description)

    def health(self, *, waiting: int, running: int) -> CommandHealth:
        """Return the counts, with what the dispatcher has now."""
        with self._lock:
            return CommandHealth(
                waiting=waiting,
                running=running,
                done=self._done_count,
                refused=self._refused_count,
                dropped=self._dropped_count,
            )
