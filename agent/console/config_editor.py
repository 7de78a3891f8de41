"""The configuration's file, changed on trial: see `agent.console.trial_status.ConfigDesk`."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.app import config_check
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.console.commit_confirm import CommitConfirm, PendingCommit
from agent.console.commit_confirm_watch import CommitConfirmWatch, restart_agent
from agent.console.config_edit import KeyChange, list_editable_keys, plan_changes
from agent.console.errors import ConsoleError
from agent.console.trial_status import PendingChange

log = logging.getLogger(__name__)


class ConfigEditor:
    """Of one box. `state` tells its state folder, `on_change` that the file is another one now."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        boot_id: str,
        get_state_dir: Callable[[], Path],
        on_change: Callable[[], None],
    ) -> None:
        self._path = path
        self._clock = clock
        self._boot_id = boot_id
        self._get_state_dir = get_state_dir
        self._on_change = on_change
        self._commit_confirm = CommitConfirm(path)
        self._commit_confirm_watch = CommitConfirmWatch(path, clock, boot_id)
        self._last_pending: PendingCommit | None = None

    def list_keys(self) -> Sequence[tuple[str, str]]:
        """Of the file as it stands now."""
        return list_editable_keys(self._read_text())

    def propose(self, pairs: Sequence[tuple[str, str]]) -> Sequence[KeyChange]:
        """Checked beside the file, with the agent's own loader."""
        changes = plan_changes(self._read_text(), pairs)
        self._commit_confirm.write_candidate(changes[-1].new_text)
        try:
            problem = config_check.find_problem(
                self._commit_confirm.candidate_path, self._clock, deep=True
            )
        finally:
            self._commit_confirm.remove_candidate()
        if problem is not None:
            raise UserError(
                f"not good: {problem.replace(str(self._commit_confirm.candidate_path), str(self._path))}"
            )
        return changes

    def begin(self, changes: Sequence[KeyChange], by: str, minutes: float) -> bool:
        """The file, then the agent."""
        keys = ", ".join(change.key for change in changes)
        until_ns = self._clock.boottime_ns() + int(minutes * 60e9)
        self._commit_confirm.begin(changes[-1].new_text, keys, by, self._boot_id, until_ns)
        return self._reload_and_restart(self._commit_confirm.pending())

    def pending(self) -> PendingChange | None:
        """As the file beside it says."""
        pending = self._commit_confirm.pending()
        return None if pending is None else self._to_pending_change(pending)

    def confirm(self) -> PendingChange:
        """In time."""
        self._last_pending = None
        return self._to_pending_change(
            self._commit_confirm.confirm(self._clock.boottime_ns(), self._boot_id)
        )

    def undo(self) -> PendingChange:
        """Now."""
        undone = self._commit_confirm.undo()
        if undone is None:
            raise ConsoleError("nothing is on trial")
        self._reload_and_restart(None)
        return self._to_pending_change(undone)

    def undo_if_expired(self) -> str | None:
        """Whoever has undone it, the agent or this console, it is told once."""
        try:
            undone = self._commit_confirm_watch.undo_if_expired()
            if undone is not None:
                self._reload_and_restart(None)
            else:
                pending = self._commit_confirm.pending()
                if pending is None and self._last_pending is not None:
                    undone = self._last_pending
                    self._on_change()
                self._last_pending = pending
        except OSError as error:
            log.error("the trial of a configuration: %s", error)
            return None
        if undone is None:
            return None
        return f"{undone.what}: nobody has confirmed it, so the configuration is as it was before."

    def _reload_and_restart(self, pending: PendingCommit | None) -> bool:
        self._last_pending = pending
        self._on_change()
        return restart_agent(self._get_state_dir())

    def _to_pending_change(self, pending: PendingCommit) -> PendingChange:
        remaining_s = pending.remaining_s(self._clock.boottime_ns(), self._boot_id)
        return PendingChange(keys=pending.what, by=pending.by, remaining_s=remaining_s)

    def _read_text(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{self._path}: not UTF-8 text") from error
