"""Keeps the guard: a process that stops the heads and lets go of the relays when the agent dies.

The agent holds one end of a pipe. Whatever ends the agent, the kernel closes that end, and the guard
at the other one acts, see `agent.failsafe.guard_process`; a goodbye before it lets the guard go without. A guard that
dies is replaced.

Invariant: the goodbye is said only where all that is guarded has come to rest. An agent that stops while
something hangs is no better than one that dies.
"""

import logging
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
CHECK_INTERVAL_S = 1.0
EXIT_TIMEOUT_S = 2.0


class HeadDuty(msgspec.Struct, frozen=True, kw_only=True):
    """A head to stop, as the configuration has it."""

    name: str
    driver: str
    options: dict[str, Any]


class PinsDuty(msgspec.Struct, frozen=True, kw_only=True):
    """Outputs to set inactive, one by one."""

    driver: str
    options: dict[str, Any]
    lines: tuple[GpioLine, ...]


class Duties(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard does when the agent is gone."""

    heads: tuple[HeadDuty, ...] = ()
    pins: PinsDuty | None = None


class GuardDiedError(RuntimeError):
    """The guard has died, and another one stands."""


class GuardStage:
    """See `agent.runtime.stage.Stage`. It is to be started before what it guards, and stopped after it.

    `is_at_rest` tells, once that was to have stopped, whether it has.
    """

    name = "guard"

    def __init__(self, duties: Duties, is_at_rest: Callable[[], bool]) -> None:
        self._encoded_duties = msgspec.json.encode(duties) + b"\n"
        self._is_at_rest = is_at_rest
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The guard's process, None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def start_process(self) -> None:
        """Let the guard stand, before anything else begins. Where it cannot, its stage tries on."""
        try:
            self._process = self._process or self._spawn_process()
        except OSError as error:
            log.error("no guard: %s", error)

    def run_once(self, stopping: threading.Event) -> None:
        """See that a guard stands. Raises GuardDiedError where another one had to be started, and
        OSError where none can be.
        """
        process = self._process
        if process is None:
            self._process = self._spawn_process()
        elif (exit_code := process.poll()) is not None:
            self._close_pipe(process)
            self._process = self._spawn_process()
            raise GuardDiedError(f"the guard has died with {exit_code}; another one stands")
        stopping.wait(CHECK_INTERVAL_S)

    def close(self) -> None:
        """Say goodbye where everything is at rest. Otherwise the guard stays, for `leave_it_to_guard`
        or for the agent's end, whichever comes first: what hangs may hold its port or pin until then, and
        the guard does not try for ever.
        """
        if not self._is_at_rest():
            log.error("not all that moves or is switched has come to rest: the guard stays")
            return
        process, self._process = self._process, None
        if process is None:
            return
        self._write(process, DISMISS_MESSAGE)
        self._close_pipe(process)
        try:
            process.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            log.warning("the guard does not go; it will find the pipe closed")

    def hand_over(self) -> None:
        """The agent is at its end: a guard that stayed does its duties now. It does not wait for the
        kernel to close the pipe, which does so only when the last thread is gone, and one that waits
        for a dead disk or camera is not gone by SIGKILL either.
        """
        process = self._process
        if process is not None:
            self._close_pipe(process)

    def _spawn_process(self) -> subprocess.Popen[bytes]:
        # A session of its own: a terminal's Ctrl-C is for the agent, which then says goodbye.
        process = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-I", "-S", PROCESS_FILE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._write(process, self._encoded_duties)
        return process

    @staticmethod
    def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
        if process.stdin is None:
            return
        try:
            process.stdin.write(data)
            process.stdin.flush()
        except BrokenPipeError:
            log.warning("the guard is gone already")

    @staticmethod
    def _close_pipe(process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()


class GuardedStage:
    """A stage that the guard answers for until it has let go of what it moves or switches."""

    def __init__(self, stage: Stage) -> None:
        self.name = stage.name
        self._stage = stage
        self._is_released = False

    @property
    def is_released(self) -> bool:
        """Whether it was closed, and nothing went wrong with that. From any thread."""
        return self._is_released

    def run_once(self, stopping: threading.Event) -> None:
        """As the stage."""
        self._stage.run_once(stopping)

    def close(self) -> None:
        """As the stage."""
        self._stage.close()
        self._is_released = True
