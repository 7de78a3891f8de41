"""The trial of a configuration on a real box: receipts for it, and an agent that starts anew with it.

Whoever lives looks whether a trial is over: the agent when it starts and while it runs, the console
while nothing is typed. One of them is enough.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from agent.base.clock import Clock
from agent.base.device_identity import DeviceIdentity
from agent.console import console_settings
from agent.console.commit_confirm import CommitConfirm, PendingCommit
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import ServiceAction
from agent.runtime import control_socket

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0


class CommitConfirmWatch:
    """Ends the trial of one configuration file that nobody has confirmed in time."""

    def __init__(self, config_path: Path, clock: Clock, boot_id: str) -> None:
        self._config_path = config_path
        self._clock = clock
        self._boot_id = boot_id
        self._commit_confirm = CommitConfirm(config_path)
        self._last_error = ""

    def undo_if_expired(self) -> PendingCommit | None:
        """What has been undone just now: the configuration is another than a moment ago. It costs
        next to nothing where nothing is on trial, and raises nothing.
        """
        return self._undo(self._commit_confirm.undo_if_expired)

    def on_agent_start(self) -> PendingCommit | None:
        """The same for the agent, before it reads its configuration: one that starts again and again
        with what is on trial does not work with it.
        """
        return self._undo(self._commit_confirm.on_agent_start)

    def _undo(self, undo: Callable[[int, str], PendingCommit | None]) -> PendingCommit | None:
        try:
            undone = undo(self._clock.boottime_ns(), self._boot_id)
        except OSError as error:
            if str(error) != self._last_error:
                log.error("a configuration that nobody has confirmed cannot be undone: %s", error)
            self._last_error = str(error)
            return None
        if undone is not None:
            log.warning(
                "config set %s by %s: undone, nobody has confirmed it", undone.what, undone.by
            )
            self._write_receipt(undone)
        return undone

    def start_thread(self, on_undone: Callable[[], None]) -> None:
        """Look each second in a thread of its own, which ends with the process, and say so once. The
        thread that feeds the watchdog touches no disk.
        """

        def poll() -> None:
            never_set = threading.Event()
            while self.undo_if_expired() is None:
                never_set.wait(CHECK_INTERVAL_S)
            on_undone()

        threading.Thread(target=poll, name="probation", daemon=True).start()

    def _write_receipt(self, undone: PendingCommit) -> None:
        """In the chain of the box as it is again."""
        settings = console_settings.read(self._config_path)
        action = f"config set {undone.what}: undone, nobody has confirmed it"
        try:
            identity = DeviceIdentity.load_or_create(settings.state_dir / "identity")
            custody_dir = settings.state_dir / "custody"
            custody = CustodyLog.open(
                custody_dir, settings.box_id, self._boot_id, self._clock, identity
            )
            custody.append(ServiceAction(by=undone.by, action=action), self._clock.boottime_ns())
        except OSError as error:
            log.error("no receipt of what was undone: %s", error)


def restart_agent(state_dir: Path) -> bool:
    """Tell the agent to stop, since systemd starts it anew. False where there is none, which is being
    started anyway: then it begins with what stands in the file now. Raises OSError.
    """
    agent = control_socket.find_agent(state_dir)
    if agent is None or agent.pid <= 1 or not agent.is_allowed:
        return False
    os.kill(agent.pid, signal.SIGTERM)
    return True
