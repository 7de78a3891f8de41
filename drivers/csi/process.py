"""The parent's hold on the child process."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

MODULE = "drivers.csi.child"


class ChildProcess(Protocol):
    """A process that was started."""

    pid: int

    def kill(self) -> None:
        """Send SIGKILL; nothing happens where it has ended."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, within `timeout_s` seconds; then it leaves no zombie."""
        ...

    def describe_exit(self) -> str:
        """In words, how it ended."""
        ...


ChildStarter = Callable[[Sequence[int]], ChildProcess]
"""Starts the child with these descriptors, and closes none of them. Raises OSError."""


def start_child(descriptors: Sequence[int]) -> ChildProcess:
    """A new interpreter, not a fork: locks and threads of this process are not its.

    `-P`: the working folder is no place to import from. A group of its own: Ctrl-C in a terminal is
    the agent's to act upon.
    """
    return _SubprocessChild(
        subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
            [sys.executable, "-P", "-m", MODULE, *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            process_group=0,
        )
    )


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
        if code is None:
            return "has not ended"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
