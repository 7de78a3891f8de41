"""Start, wait for and kill a child process."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

MAIN_MODULE = "drivers.child.main"


class ChildProcess(Protocol):
    """A started process."""

    pid: int

    def kill(self) -> None:
        """Send SIGKILL, which does nothing if the process has ended."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` for its end, and reap it. Return whether it has ended."""
        ...

    def describe_exit(self) -> str:
        """Return how it ended, in words."""
        ...


ChildStarter = Callable[[Sequence[int]], ChildProcess]
"""Starts the child with these descriptors, and closes none of them. Raises: OSError."""


def new_interpreter(module: str) -> ChildStarter:
    """Return the starter of a child in an interpreter of its own, not a fork of this process.

    A fork would copy this process's keys, and locks without their threads. `module` is one of
    `drivers.child.main`.
    """
    return partial(_start_interpreter, module)


def _start_interpreter(module: str, descriptors: Sequence[int]) -> ChildProcess:
    """Start the child. It ends with the thread that calls this.

    `-P`: no imports from the working folder. A process group of its own: only the agent handles
    Ctrl-C in a terminal.
    """
    arguments = [module, str(os.getpid()), *map(str, descriptors)]
    return _SubprocessChild(
        subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
            [sys.executable, "-P", "-m", MAIN_MODULE, *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            process_group=0,
        )
    )


def describe_status(code: int) -> str:
    """Return an exit status in words; a signal's number is negative."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def cpu_time_s(pid: int) -> float | None:
    """Return the processor time that a process has used, or None if it has ended: proc(5)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The name may hold spaces and brackets; after its last bracket the third field follows.
    user_ticks, system_ticks = stat.rpartition(")")[2].split()[11:13]
    return (int(user_ticks) + int(system_ticks)) / os.sysconf("SC_CLK_TCK")


class _SubprocessChild:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout_s: float) -> bool:
        try:
            self._process.wait(max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            return False
        return True

    def describe_exit(self) -> str:
        code = self._process.returncode
        return "has not ended" if code is None else describe_status(code)
