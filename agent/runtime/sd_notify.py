"""Notifications to systemd, sd_notify(3): datagrams to the socket in NOTIFY_SOCKET."""

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 1.0
"""A service manager that does not read must delay neither the supervisor nor a stop."""


class Notifier:
    """Sends state lines to systemd. Does nothing without NOTIFY_SOCKET."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET")
        # A leading @ names a socket in the abstract namespace, sd_notify(3).
        self._address = "\0" + address[1:] if address and address[0] == "@" else address
        watchdog_us = int(environ.get("WATCHDOG_USEC", "0"))
        self.watchdog_s: float | None = watchdog_us / 1e6 if watchdog_us else None

    @property
    def has_manager(self) -> bool:
        """True if a service manager has started this process."""
        return self._address is not None

    def ready(self) -> None:
        """Report that the stages are started. Cameras need not have answered."""
        self._send("READY=1")

    def pet_watchdog(self) -> None:
        """Report that every vital stage's loop turns."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the status line of `systemctl status`."""
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """Report that the agent is stopping on request."""
        self._send("STOPPING=1")

    def _send(self, line: str) -> None:
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(SEND_TIMEOUT_S)
            try:
                sock.sendto(line.encode(), self._address)
            except OSError as error:
                # A service manager that does not listen is no reason to stop watching a street.
                log.warning("sd_notify: %s: not sent: %s", line, error)
