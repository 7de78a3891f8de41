"""The processor time of a child, which no limit of an unprivileged process bounds by the hour."""

from collections.abc import Callable
from time import monotonic

from drivers.child.process import cpu_time_s

WINDOW_S = 10.0
"""Opening a camera may take a whole core for a second or two."""


class CpuMeter:
    """Measures a child in consecutive windows. Not thread-safe."""

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
