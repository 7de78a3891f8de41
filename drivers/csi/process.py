"""Start, wait for and kill the child process."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

MODULE = "drivers.csi.child"


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


def start_child(descriptors: Sequence[int]) -> ChildProcess:
    """Start a new interpreter, not a fork, which would copy locks without their threads.

    `-P`: no imports from the working folder. A process group of its own: only the agent handles
    Ctrl-C in a terminal.
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
