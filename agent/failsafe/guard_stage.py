"""The guard stage: run a process that stops the heads and releases the relays if the agent dies.

The agent holds one end of a pipe and sends a heartbeat through it. However the agent dies, the
kernel closes that end, or the heartbeat ends, and the guard at the other end stops the heads, see
`agent.failsafe.guard_process`. A dismissed guard exits
without. A guard that dies is replaced.

Invariant: the guard is dismissed only if everything guarded is at rest. An agent that stops while a
stage hangs is no better than one that dies.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.runtime.stage import Stage
from drivers.contracts import GpioLine

log = logging.getLogger(__name__)

PROCESS_FILE = Path(__file__).parent / "guard_process.py"
DISMISS_MESSAGE = b"goodbye\n"
HEARTBEAT = b"\n"
CHECK_INTERVAL_S = 1.0
EXIT_TIMEOUT_S = 2.0


class HeadDuty(msgspec.Struct, frozen=True, kw_only=True):
    """A head to stop, as configured."""

    name: str
    driver: str
    options: dict[str, Any]


class PinsDuty(msgspec.Struct, frozen=True, kw_only=True):
    """Outputs to set inactive, one by one."""

    driver: str
    options: dict[str, Any]
    lines: tuple[GpioLine, ...]


class Duties(msgspec.Struct, frozen=True, kw_only=True):
    """Duties of the guard after the agent's death."""

    heads: tuple[HeadDuty, ...] = ()
    pins: PinsDuty | None = None


class GuardDiedError(RuntimeError):
    """The guard has died, and was replaced."""


class GuardStage:
    """See `agent.runtime.stage.Stage`. Started before the guarded stages, and stopped after them.

    `is_at_rest` returns whether the guarded stages, after their end, have come to rest.
    """

    name = "guard"

    def __init__(self, duties: Duties, is_at_rest: Callable[[], bool]) -> None:
        self._encoded_duties = msgspec.json.encode(duties) + b"\n"
        self._is_at_rest = is_at_rest
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the guard, or None if there is none."""
        process = self._process
        return None if process is None else process.pid

    def start_process(self) -> None:
        """Start the guard before any other stage. If that fails, the stage retries."""
        try:
            self._process = self._process or self._spawn_process()
        except OSError as error:
            log.error("the guard cannot be started: %s", error)

    def run_once(self, stopping: threading.Event) -> None:
        """Check the guard, replace one that has died, and send a heartbeat.

        Raises: GuardDiedError if it was replaced, OSError if none can be started.
        """
        process = self._process
        if process is None:
            self._process = self._spawn_process()
        elif (exit_code := process.poll()) is not None:
            self._close_pipe(process)
            self._process = self._spawn_process()
            raise GuardDiedError(f"the guard has died with {exit_code}, and was replaced")
        else:
            self._write(process, HEARTBEAT)
        stopping.wait(CHECK_INTERVAL_S)

    def close(self) -> None:
        """Dismiss the guard if everything is at rest.

        Otherwise the guard waits for `hand_over` or the agent's end: a hung stage may hold its port or
        pin until then, and the guard's retries are bounded.
        """
        if not self._is_at_rest():
            log.error("a head or an output is not at rest: the guard stays")
            return
        process, self._process = self._process, None
        if process is None:
            return
        self._write(process, DISMISS_MESSAGE)
        self._close_pipe(process)
        try:
            process.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            log.warning("the guard does not exit; it acts when the pipe closes")

    def hand_over(self) -> None:
        """Make a guard that stayed execute its duties now, at the agent's end.

        The kernel would close the pipe only when the last thread has ended, and a thread that
        waits for a dead disk or camera does not end by SIGKILL either.
        """
        process = self._process
        if process is not None:
            self._close_pipe(process)

    def _spawn_process(self) -> subprocess.Popen[bytes]:
        # A session of its own: a terminal's Ctrl-C is for the agent, which then dismisses the guard.
        process = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-I", "-S", PROCESS_FILE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._write(process, self._encoded_duties)
        if process.stdin is not None:
            # A guard that is stopped reads nothing: the heartbeat must not block the agent.
            os.set_blocking(process.stdin.fileno(), False)
        return process

    @staticmethod
    def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
        if process.stdin is None:
            return
        try:
            process.stdin.write(data)
            process.stdin.flush()
        except BrokenPipeError:
            log.warning("the guard has exited already")
        except BlockingIOError:
            log.warning("the guard reads nothing")

    @staticmethod
    def _close_pipe(process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()


class GuardedStage:
    """A stage whose devices the guard stops, until the stage itself has closed them."""

    def __init__(self, stage: Stage) -> None:
        self.name = stage.name
        self._stage = stage
        self._is_released = False

    @property
    def is_released(self) -> bool:
        """Whether the stage was closed without an error. Thread-safe."""
        return self._is_released

    def run_once(self, stopping: threading.Event) -> None:
        """Run the stage."""
        self._stage.run_once(stopping)

    def close(self) -> None:
        """Close the stage."""
        self._stage.close()
        self._is_released = True
