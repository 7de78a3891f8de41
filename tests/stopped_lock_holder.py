"""A process that locks a file or a folder with flock(2) and is stopped, as a hung agent is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAM = """
import fcntl, os, signal, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def stopped_lock_holder(path: Path) -> Iterator[None]:
    """Hold the lock of a path in a stopped process until the block ends."""
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(path)])
    try:
        status = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert status is not None
        assert status.si_code == os.CLD_STOPPED
        yield
    finally:
        process.kill()
        process.wait()
