"""Speaking to QEMU itself: its machine protocol, one command at a time."""

import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

LOOK_S = 0.05


def connect(path: Path, within_s: float) -> socket.socket:
    """A socket that somebody is about to listen at."""
    end_s, never = time.monotonic() + within_s, threading.Event()
    while True:
        ours = socket.socket(socket.AF_UNIX)
        try:
            ours.connect(str(path))
        except OSError:
            ours.close()
            if time.monotonic() > end_s:
                raise
            never.wait(LOOK_S)
        else:
            return ours


class Qmp:
    """A connection. `events` is what QEMU told by itself, such as RESET and WATCHDOG, in order."""

    def __init__(self, path: Path, within_s: float) -> None:
        self._socket = connect(path, within_s)
        self._file = self._socket.makefile("r", encoding="utf-8")
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._answers: list[dict[str, Any]] = []
        self._ended = False
        self.events: list[str] = []
        self._file.readline()  # its greeting
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.do("qmp_capabilities")

    def do(self, command: str, within_s: float = 120.0, **arguments: Any) -> Any:
        """What it answers. Raises AssertionError where it refuses."""
        with self._turn:
            asked = {"execute": command, "arguments": arguments}
            self._socket.sendall(json.dumps(asked).encode() + b"\n")
            with self._changed:
                self._changed.wait_for(lambda: self._answers or self._ended, within_s)
                assert self._answers, f"{command}: no answer"
                answer = self._answers.pop()
        assert "return" in answer, f"{command}: {answer}"
        return answer["return"]

    def monitor(self, line: str, within_s: float = 120.0) -> str:
        """A line at the monitor that people use, for what QMP has no command for."""
        return str(self.do("human-monitor-command", within_s, **{"command-line": line}))

    def wait_for_event(self, name: str, seen: int, within_s: float) -> bool:
        """Whether one of this name comes beyond the first `seen` of them."""
        with self._changed:
            self._changed.wait_for(lambda: self.events.count(name) > seen or self._ended, within_s)
            return self.events.count(name) > seen

    def close(self) -> None:
        """End it from this side."""
        with contextlib.suppress(OSError):  # QEMU was first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._file.close()
        self._socket.close()

    def _listen(self) -> None:
        try:
            for line in self._file:
                told = json.loads(line)
                with self._changed:
                    if "event" in told:
                        self.events.append(told["event"])
                    else:
                        self._answers.append(told)
                    self._changed.notify_all()
        except (OSError, ValueError):
            pass  # QEMU was killed, or this side closed
        with self._changed:
            self._ended = True
            self._changed.notify_all()
