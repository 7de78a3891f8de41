"""The configuration's file, changed on trial: see `agent.console.trial_status.ConfigDesk`."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.app import config_check
from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.console.commit_confirm import CommitConfirm, PendingCommit
from agent.console.commit_confirm_watch import CommitConfirmWatch, restart_agent
from agent.console.config_edit import KeyChange, changed, keys_of
from agent.console.results import ConsoleError
from agent.console.trial_status import PendingChange

log = logging.getLogger(__name__)


class ConfigEditor:
    """Of one box. `state` tells its state folder, `on_change` that the file is another one now."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        boot: str,
        state: Callable[[], Path],
        on_change: Callable[[], None],
    ) -> None:
        self._path = path
        self._clock = clock
        self._boot = boot
        self._state = state
        self._on_change = on_change
        self._trial = CommitConfirm(path)
        self._probation = CommitConfirmWatch(path, clock, boot)
        self._known: PendingCommit | None = None

    def keys(self) -> Sequence[tuple[str, str]]:
        """Of the file as it stands now."""
        return keys_of(self._text())

    def propose(self, pairs: Sequence[tuple[str, str]]) -> Sequence[KeyChange]:
        """Checked beside the file, with the agent's own loader."""
        changes = changed(self._text(), pairs)
        self._trial.put_aside(changes[-1].text)
        try:
            said = config_check.problem(self._trial.aside, self._clock, deep=True)
        finally:
            self._trial.drop_aside()
        if said is not None:
            raise UserError(f"not good: {said.replace(str(self._trial.aside), str(self._path))}")
        return changes

    def begin(self, changes: Sequence[KeyChange], by: str, minutes: float) -> bool:
        """The file, then the agent."""
        what = ", ".join(change.key for change in changes)
        until_ns = self._clock.boottime_ns() + int(minutes * 60e9)
        self._trial.begin(changes[-1].text, what, by, self._boot, until_ns)
        return self._anew(self._trial.standing())

    def standing(self) -> PendingChange | None:
        """As the file beside it says."""
        standing = self._trial.standing()
        return None if standing is None else self._told(standing)

    def confirm(self) -> PendingChange:
        """In time."""
        self._known = None
        return self._told(self._trial.confirm(self._clock.boottime_ns(), self._boot))

    def undo(self) -> PendingChange:
        """Now."""
        undone = self._trial.undo()
        if undone is None:
            raise ConsoleError("nothing is on trial")
        self._anew(None)
        return self._told(undone)

    def watch(self) -> str | None:
        """Whoever has undone it, the agent or this console, it is told once."""
        try:
            undone = self._probation.look()
            if undone is not None:
                self._anew(None)
            else:
                standing = self._trial.standing()
                if standing is None and self._known is not None:
                    undone = self._known
                    self._on_change()
                self._known = standing
        except OSError as error:
            log.error("the trial of a configuration: %s", error)
            return None
        if undone is None:
            return None
        return f"{undone.what}: nobody has confirmed it, so the configuration is as it was before."

    def _anew(self, known: PendingCommit | None) -> bool:
        self._known = known
        self._on_change()
        return restart_agent(self._state())

    def _told(self, standing: PendingCommit) -> PendingChange:
        left_s = standing.left_s(self._clock.boottime_ns(), self._boot)
        return PendingChange(what=standing.what, by=standing.by, left_s=left_s)

    def _text(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{self._path}: not UTF-8 text") from error
