"""How CPU is measured: in turns, in one run, on one core; medians, and ratios taken turn by turn.

Time is what the kernel charges to a process, in the program and in the kernel itself. Other work
on the machine makes it longer by a few per cent through the caches they share, and for all
alike; so a ratio within one turn is worth more than two numbers from two runs.
"""

import contextlib
import os
import resource
import statistics
from collections.abc import Callable, Iterator, Mapping

import cv2
import msgspec


def cpu_s(usage_target: int = resource.RUSAGE_SELF) -> float:
    """CPU seconds so far, of this process (all its threads) or of its children that ended."""
    usage = resource.getrusage(usage_target)
    return usage.ru_utime + usage.ru_stime


def process_cpu_s(pid: int) -> float:
    """CPU seconds so far of a process that runs, all its threads; in hundredths, proc(5)."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the second may hold spaces."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()


def resident_mb(pid: int | None = None) -> float:
    """What a process has in memory now, in MB of a million bytes. None: this one."""
    with open(f"/proc/{pid or 'self'}/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def one_core() -> Iterator[int]:
    """Keep this thread, and what it starts, on one core; OpenCV does its work in the caller."""
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
        """Median milliseconds of one of the `parts` that a work consists of."""
        return 1e3 * statistics.median(self.seconds[name]) / parts

    def ratio(self, name: str, reference: str) -> float:
        """Median over the turns of how much one work cost, over another one."""
        pairs = zip(self.seconds[name], self.seconds[reference], strict=True)
        return statistics.median(one / other for one, other in pairs)


Work = Callable[[], float | None]
"""Something to be measured. It may say itself how many CPU seconds it took, elsewhere."""


def run_in_turns(works: Mapping[str, Work], turns: int = 7) -> TurnTimes:
    """Do each work once to warm up, then all of them in turns, every second turn backwards."""
    seconds_by_work: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for turn in range(turns):
        names = list(works) if turn % 2 == 0 else list(works)[::-1]
        for name in names:
            start_s = cpu_s()
            reported_s = works[name]()
            seconds_by_work[name].append(cpu_s() - start_s if reported_s is None else reported_s)
    return TurnTimes({name: tuple(seconds) for name, seconds in seconds_by_work.items()})
