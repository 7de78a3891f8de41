"""Peak of resident memory, of this process and of the children of a fork server, for tests of hostile peers."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.child.fork_server import ForkServer

SAMPLE_INTERVAL_S = 0.005


def reset_peak_memory() -> int:
    """Reset the peak to what the process has now, and return it in bytes: proc(5), clear_refs."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory_bytes()


def peak_memory_bytes(pid: int | str = "self") -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def children_of(server: ForkServer) -> list[int]:
    """The children that run, and those that have not been reaped."""
    process = server._process
    if process is None:
        return []
    with contextlib.suppress(OSError):
        pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return [int(pid) for pid in pids]
    return []


class PeakGrowth:
    """The largest growth of any child since it was first seen."""

    def __init__(self) -> None:
        self.bytes = 0


@contextmanager
def sampled_growth(server: ForkServer) -> Iterator[PeakGrowth]:
    growth, done = PeakGrowth(), threading.Event()
    first: dict[int, int] = {}

    def sample() -> None:
        while not done.wait(SAMPLE_INTERVAL_S):
            for pid in children_of(server):
                with contextlib.suppress(OSError, IndexError):
                    peak = peak_memory_bytes(pid)
                    growth.bytes = max(growth.bytes, peak - first.setdefault(pid, peak))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield growth
    finally:
        done.set()
        sampler.join()
