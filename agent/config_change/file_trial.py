"""A change of the box's own file on trial: its deadline, with a log line and a receipt for each rollback.

Both the agent and an idle console check it, so that either alone can roll back.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from agent.base.clock import Clock
from agent.base.device_identity import DeviceIdentity
from agent.config import console_settings
from agent.config.commit_confirm import CommitConfirm, Rollback
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import ServiceAction

log = logging.getLogger(__name__)


class FileTrial:
    """Rolls back an unconfirmed change of one configuration file."""

    def __init__(self, config_path: Path, clock: Clock, boot_id: str) -> None:
        self._config_path = config_path
        self._clock = clock
        self._boot_id = boot_id
        self._commit_confirm = CommitConfirm(config_path)
        self._last_error = ""

    def undo_if_expired(self) -> Rollback | None:
        """Roll back if the deadline has passed. A disk error is logged once, and retried."""
        return self._run(self._commit_confirm.undo_if_expired)

    def on_agent_start(self) -> Rollback | None:
        """Count a start of the agent, before it reads its configuration, or roll back."""
        return self._run(self._commit_confirm.on_agent_start)

    def _run(self, undo: Callable[[int, str], Rollback | None]) -> Rollback | None:
        try:
            rollback = undo(self._clock.boottime_ns(), self._boot_id)
        except OSError as error:
            if str(error) != self._last_error:
                log.error("an unconfirmed configuration cannot be undone: %s", error)
            self._last_error = str(error)
            return None
        if rollback is not None:
            action = f"config set {rollback.commit.keys}: not confirmed in time; {rollback.outcome}"
            log.warning("%s (set by %s)", action, rollback.commit.by)
            self._write_receipt(rollback.commit.by, action)
        return rollback

    def _write_receipt(self, by: str, action: str) -> None:
        """Append to the custody log that the configuration names after the rollback."""
        settings = console_settings.read(self._config_path)
        try:
            identity = DeviceIdentity.load_or_create(settings.state_dir / "identity")
            custody_dir = settings.state_dir / "custody"
            custody = CustodyLog.open(
                custody_dir, settings.box_id, self._boot_id, self._clock, identity
            )
            custody.append(ServiceAction(by=by, action=action), self._clock.boottime_ns())
        except OSError as error:
            log.error("no receipt of a rollback of the configuration: %s", error)
