"""Speaking to QEMU itself: its machine protocol, one command at a time."""

import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

POLL_INTERVAL_S = 0.05


def connect_when_listening(path: Path, timeout_s: float) -> socket.socket:
    """Connect to a socket whose listener is about to start."""
    deadline_s, never_set = time.monotonic() + timeout_s, threading.Event()
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if time.monotonic() > deadline_s:
                raise
            never_set.wait(POLL_INTERVAL_S)
        else:
            return connection


class QmpClient:
    """A connection. `events` is what QEMU sent unrequested, such as RESET and WATCHDOG, in order."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._socket = connect_when_listening(path, timeout_s)
        self._file = self._socket.makefile("r", encoding="utf-8")
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._answers: list[dict[str, Any]] = []
        self._is_ended = False
        self.events: list[str] = []
        self._file.readline()  # its greeting
        self._thread = threading.Thread(target=self._read_messages, daemon=True)
        self._thread.start()
        self.execute("qmp_capabilities")

    def execute(self, command: str, timeout_s: float = 120.0, **arguments: Any) -> Any:
        """Execute a QMP command and return its answer. Raises AssertionError if it fails."""
        with self._lock:
            request = {"execute": command, "arguments": arguments}
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            with self._changed:
                self._changed.wait_for(lambda: self._answers or self._is_ended, timeout_s)
                assert self._answers, f"{command}: no answer"
                answer = self._answers.pop()
        assert "return" in answer, f"{command}: {answer}"
        return answer["return"]

    def run_monitor_command(self, command_line: str, timeout_s: float = 120.0) -> str:
        """A line at the monitor that people use, for what QMP has no command for."""
        return str(
            self.execute("human-monitor-command", timeout_s, **{"command-line": command_line})
        )

    def wait_for_event(self, name: str, previous_count: int, timeout_s: float) -> bool:
        """Whether one of this name comes beyond the first `seen` of them."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.events.count(name) > previous_count or self._is_ended, timeout_s
            )
            return self.events.count(name) > previous_count

    def close(self) -> None:
        """End it from this side."""
        with contextlib.suppress(OSError):  # QEMU was first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._file.close()
        self._socket.close()

    def _read_messages(self) -> None:
        try:
            for line in self._file:
                message = json.loads(line)
                with self._changed:
                    if "event" in message:
                        self.events.append(message["event"])
                    else:
                        self._answers.append(message)
                    self._changed.notify_all()
        except (OSError, ValueError):
            pass  # QEMU was killed, or this side closed
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()
