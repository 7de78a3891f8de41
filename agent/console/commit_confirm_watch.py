"""The trial of a configuration on a real box: receipts for it, and an agent that starts anew with it.

Whoever lives looks whether a trial is over: the agent when it starts and while it runs, the console
while nothing is typed. One of them is enough.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from agent.base import unix_socket
from agent.base.clock import Clock
from agent.base.device_identity import DeviceIdentity
from agent.commands import socket_server
from agent.console import console_settings as reading
from agent.console.commit_confirm import CommitConfirm, PendingCommit
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.receipts import Serviced

log = logging.getLogger(__name__)

LOOK_S = 1.0


class CommitConfirmWatch:
    """Ends the trial of one configuration file that nobody has confirmed in time."""

    def __init__(self, config: Path, clock: Clock, boot: str) -> None:
        self._config = config
        self._clock = clock
        self._boot = boot
        self._trial = CommitConfirm(config)
        self._said = ""

    def look(self) -> PendingCommit | None:
        """What has been undone just now: the configuration is another than a moment ago. It costs
        next to nothing where nothing is on trial, and raises nothing.
        """
        return self._ended(self._trial.undo_if_over)

    def start(self) -> PendingCommit | None:
        """The same for the agent, before it reads its configuration: one that starts again and again
        with what is on trial does not work with it.
        """
        return self._ended(self._trial.start)

    def _ended(self, end: Callable[[int, str], PendingCommit | None]) -> PendingCommit | None:
        try:
            undone = end(self._clock.boottime_ns(), self._boot)
        except OSError as error:
            if str(error) != self._said:
                log.error("a configuration that nobody has confirmed cannot be undone: %s", error)
            self._said = str(error)
            return None
        if undone is not None:
            log.warning(
                "config set %s by %s: undone, nobody has confirmed it", undone.what, undone.by
            )
            self._receipt(undone)
        return undone

    def watch(self, on_undone: Callable[[], None]) -> None:
        """Look each second in a thread of its own, which ends with the process, and say so once. The
        thread that feeds the watchdog touches no disk.
        """

        def looking() -> None:
            never = threading.Event()
            while self.look() is None:
                never.wait(LOOK_S)
            on_undone()

        threading.Thread(target=looking, name="probation", daemon=True).start()

    def _receipt(self, undone: PendingCommit) -> None:
        """In the chain of the box as it is again."""
        settings = reading.read(self._config)
        what = f"config set {undone.what}: undone, nobody has confirmed it"
        try:
            identity = DeviceIdentity.load_or_make(settings.state / "identity")
            folder = settings.state / "custody"
            custody = CustodyLog.open(folder, settings.box, self._boot, self._clock, identity)
            custody.append(Serviced(by=undone.by, what=what), self._clock.boottime_ns())
        except OSError as error:
            log.error("no receipt of what was undone: %s", error)


def restart_agent(state: Path) -> bool:
    """Tell the agent to stop, since systemd starts it anew. False where there is none, which is being
    started anyway: then it begins with what stands in the file now. Raises OSError.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(1.0)
        try:
            with unix_socket.socket_path(state, socket_server.SOCKET) as address:
                knock.connect(address)
        except OSError:
            return False
        agent = unix_socket.peer_credentials(knock)
    if agent.process <= 1 or not agent.is_allowed:
        return False
    os.kill(agent.process, signal.SIGTERM)
    return True
