"""CPU measurement: in turns, in one run, on one core; medians, and ratios per turn.

CPU time is user and system time. Other work on the machine lengthens it by a few per cent through shared
caches, for all alike: a ratio within one turn is more reliable than two numbers of two runs.
"""

import contextlib
import os
import resource
import statistics
from collections.abc import Callable, Iterator, Mapping

import cv2
import msgspec


def cpu_s(usage_target: int = resource.RUSAGE_SELF) -> float:
    """Return CPU seconds so far, of this process (all threads) or of its ended children."""
    usage = resource.getrusage(usage_target)
    return usage.ru_utime + usage.ru_stime


def process_cpu_s(pid: int) -> float:
    """Return CPU seconds so far of a running process, all threads; in hundredths, proc(5)."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on: the second may contain spaces."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()


def resident_mb(pid: int | None = None) -> float:
    """Return the resident memory of a process, by default this one, in MB of a million bytes."""
    with open(f"/proc/{pid or 'self'}/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def one_core() -> Iterator[int]:
    """Pin this thread and its children to one core; OpenCV works in the calling thread."""
    before, threads = os.sched_getaffinity(0), cv2.getNumThreads()
    core = max(before)
    os.sched_setaffinity(0, {core})
    cv2.setNumThreads(1)
    try:
        yield core
    finally:
        os.sched_setaffinity(0, before)
        cv2.setNumThreads(threads)


class TurnTimes(msgspec.Struct, frozen=True):
    """CPU seconds of each work in each turn."""

    seconds: Mapping[str, tuple[float, ...]]

    def ms(self, name: str, parts: int) -> float:
        """Return the median milliseconds of one of a work's `parts`."""
        return 1e3 * statistics.median(self.seconds[name]) / parts

    def ratio(self, name: str, reference: str) -> float:
        """Return the median over the turns of one work's cost divided by another's."""
        pairs = zip(self.seconds[name], self.seconds[reference], strict=True)
        return statistics.median(one / other for one, other in pairs)


Work = Callable[[], float | None]
"""A piece of work to measure. It may return its own CPU seconds if they are spent elsewhere."""


def run_in_turns(works: Mapping[str, Work], turns: int = 7, *, warm_up: bool = True) -> TurnTimes:
    """Run each work once to warm up, then all in turns, every second turn in reverse order."""
    seconds_by_work: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values() if warm_up else ():
        work()
    for turn in range(turns):
        names = list(works) if turn % 2 == 0 else list(works)[::-1]
        for name in names:
            start_s = cpu_s()
            reported_s = works[name]()
            seconds_by_work[name].append(cpu_s() - start_s if reported_s is None else reported_s)
    return TurnTimes({name: tuple(seconds) for name, seconds in seconds_by_work.items()})
