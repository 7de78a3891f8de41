"""Changes of the configuration file by a technician, under commit-confirm."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.base.clock import Clock
from agent.base.message import Message, Text
from agent.config.commit_confirm import CommitConfirm, PendingCommit, Rollback
from agent.config_change import config_check
from agent.config_change.file_trial import FileTrial
from agent.console import agent_process
from agent.console.config_edit import (
    KeyChange,
    list_editable_keys,
    plan_camera_password,
    plan_changes,
)
from agent.console.errors import ConsoleError
from agent.console.text_format import format_duration

log = logging.getLogger(__name__)


def format_reminder(pending: PendingCommit, now_ns: int, boot_id: str) -> Message:
    """Format a reminder that a change waits for its confirmation."""
    return Message(
        "ON TRIAL by {by}: {keys}. It is undone in {remaining} unless you type: config confirm",
        by=pending.by,
        keys=pending.keys,
        remaining=format_duration(pending.remaining_s(now_ns, boot_id)),
    )


class ConfigEditor:
    """Editor of one box's configuration file.

    `reload` is called after each change of the file, and returns the state folder that it names.
    """

    def __init__(self, path: Path, clock: Clock, boot_id: str, reload: Callable[[], Path]) -> None:
        self._path = path
        self._clock = clock
        self._boot_id = boot_id
        self._reload = reload
        self._commit_confirm = CommitConfirm(path)
        self._file_trial = FileTrial(path, clock, boot_id)
        self._last_pending: PendingCommit | None = None

    def list_keys(self) -> Sequence[tuple[str, Text]]:
        """Return the editable keys with their current values."""
        return list_editable_keys(self._read_text())

    def propose(self, pairs: Sequence[tuple[str, str]]) -> Sequence[KeyChange]:
        """Plan changes, and check the whole new configuration as the agent would load it.

        Raises: ConsoleError if a key may not be set or the new configuration is not valid; UserError if the
        file is no TOML; OSError.
        """
        changes = plan_changes(self._read_text(), pairs)
        with self._commit_confirm.candidate(changes[-1].new_text) as candidate:
            problems = config_check.find_problems(candidate, self._clock, self._path)
        if problems:
            raise ConsoleError(Message("not valid: {reason}", reason=problems[0]))
        return changes

    def begin(self, changes: Sequence[KeyChange], by: str, minutes: float) -> bool:
        """Replace the file and restart the agent; False if no agent runs.

        Raises: UserError if another change waits for its confirmation; OSError.
        """
        keys = ", ".join(change.key for change in changes)
        until_ns = self._clock.boottime_ns() + int(minutes * 60e9)
        self._last_pending = self._commit_confirm.begin(
            changes[-1].new_text, keys, by, self._boot_id, until_ns
        )
        return agent_process.restart(self._reload())

    def set_camera_password(self, camera: str, password: str, by: str) -> None:
        """Replace the password in a camera's addresses at once, and restart the agent: the camera has accepted it.

        Raises: ConsoleError if its addresses have none; UserError if another change waits for its confirmation; OSError.
        """
        self.begin((plan_camera_password(self._read_text(), camera, password),), by, 1)
        self.confirm()

    def confirm(self) -> PendingCommit:
        """Keep the new file. Raises: UserError if nothing is pending, or too late; OSError."""
        self._last_pending = None
        return self._commit_confirm.confirm(self._clock.boottime_ns(), self._boot_id)

    def undo(self) -> Rollback:
        """Roll back and restart the agent. Raises: ConsoleError if nothing is pending; OSError."""
        rollback = self._commit_confirm.undo()
        if rollback is None:
            raise ConsoleError(Message("nothing is on trial"))
        self._last_pending = None
        agent_process.restart(self._reload())
        return rollback

    def pending(self) -> PendingCommit | None:
        """Return the change that waits for its confirmation. Raises OSError."""
        return self._commit_confirm.pending()

    def undo_if_expired(self) -> Message | None:
        """Roll back after the deadline; return a notice, also if another process has ended it.

        A notice is returned once. A disk error is logged.
        """
        try:
            rollback = self._file_trial.undo_if_expired()
            if rollback is not None:
                self._last_pending = None
                agent_process.restart(self._reload())
                return Message(
                    "{keys}: not confirmed in time; {outcome}.",
                    keys=rollback.commit.keys,
                    outcome=rollback.outcome,
                )
            last_pending, self._last_pending = self._last_pending, self._commit_confirm.pending()
        except OSError as error:
            log.error("commit-confirm of the configuration: %s", error)
            return None
        if last_pending is None or self._last_pending is not None:
            return None
        self._reload()
        if self._commit_confirm.is_active(last_pending):
            return Message("{keys}: confirmed by another process.", keys=last_pending.keys)
        return Message("{keys}: undone by another process.", keys=last_pending.keys)

    def _read_text(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConsoleError(Message("{path}: not UTF-8 text", path=str(self._path))) from error
