"""Start, wait for, measure and kill a child process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Protocol

MAIN_MODULE = "drivers.child.main"
MAX_OPEN_FILES = 128
"""Of a confined child. No program of a box has so few, see `is_child`."""
CHILD_VARIABLES = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
"""No thread is started on import, which no limit would hold, and glibc reserves little memory per thread."""
_PROCESS_CPU_CLOCK = 2
"""Low bits of the clock of a process, clock_getcpuclockid(3). /proc hides processes of other users from the agent."""
WINDOW_S = 10.0
"""Of the measured processor time. Opening a camera may take a whole core for a second or two."""
_started_pids: set[int] = set()
"""The interpreters of children and the fork servers that run. A process that is not reaped keeps its number."""


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
    process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
        [sys.executable, "-P", "-m", MAIN_MODULE, *arguments],
        stdin=subprocess.DEVNULL,
        env=os.environ | CHILD_VARIABLES,
        pass_fds=descriptors,
        process_group=0,
    )
    remember(process.pid)
    return _SubprocessChild(process)


def remember(pid: int) -> None:
    """Count a process as a child, and what it starts too, until `forget`."""
    _started_pids.add(pid)


def forget(pid: int) -> None:
    """Call it when a process has been reaped: its number may be another's from now on."""
    _started_pids.discard(pid)


def is_child(pid: int) -> bool:
    """Return whether a process is a child, of this process or another one, or was started by a child.

    A confined one is known by its limit, which it cannot raise, and others of this process by their ancestors. True if
    it has ended: proc(5).
    """
    while True:
        ancestors = _ancestors(pid)
        if not _started_pids.isdisjoint(ancestors):
            return True
        # One that ends meanwhile leaves its children to another parent; one of another user may be hidden.
        if ancestors == _ancestors(pid):
            return _most_open_files(pid) <= MAX_OPEN_FILES


def _most_open_files(pid: int) -> float:
    """Return the hard limit of the open files of a process, 0 if it has ended."""
    try:
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    words = limits.partition("Max open files")[2].split()
    if not words:
        return 0  # not reaped yet
    return float("inf") if words[1] == "unlimited" else int(words[1])


def _ancestors(pid: int) -> list[int]:
    """Return a process and its ancestors, as far as they can be read."""
    found = [pid]
    while parent_pid := _parent_pid(found[-1]):
        found.append(parent_pid)
    return found


def _parent_pid(pid: int) -> int:
    """Return the number of a process's parent, 0 if it has none here, or has ended."""
    fields = _stat_fields(pid)
    return 0 if fields is None else int(fields[1])


def describe_status(code: int) -> str:
    """Return an exit status in words; a signal's number is negative."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def cpu_time_s(pid: int) -> float | None:
    """Return the processor time that a process of any user has used, or None if it has ended."""
    try:
        return time.clock_gettime(~pid << 3 | _PROCESS_CPU_CLOCK)
    except OSError:
        return None


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of a process from the third on, or None if it has ended: proc(5)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The name may hold spaces and brackets; after its last bracket the third field follows.
    return stat.rpartition(")")[2].split()


class CpuMeter:
    """Measures the processor time of a child in consecutive windows. Not thread-safe.

    No limit of an unprivileged process bounds it by the hour.
    """

    def __init__(
        self,
        max_cores: float,
        clock_s: Callable[[], float] = monotonic,
        read_cpu_s: Callable[[int], float | None] = cpu_time_s,
    ) -> None:
        self._max_cores = max_cores
        self._clock_s = clock_s
        self._read_cpu_s = read_cpu_s
        self._begin_s = clock_s()
        self._begin_cpu_s = 0.0

    def excess(self, pid: int) -> str | None:
        """Return the use of the last window in words if it was too much; None within a window too."""
        elapsed_s = self._clock_s() - self._begin_s
        if elapsed_s < WINDOW_S:
            return None
        used_s = self._read_cpu_s(pid)
        if used_s is None:
            return None
        cores = (used_s - self._begin_cpu_s) / elapsed_s
        self._begin_s += elapsed_s
        self._begin_cpu_s = used_s
        if cores <= self._max_cores:
            return None
        return f"uses {cores:.1f} processor cores; allowed: {self._max_cores:g}"


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
        forget(self.pid)
        return True

    def describe_exit(self) -> str:
        code = self._process.returncode
        return "has not ended" if code is None else describe_status(code)
