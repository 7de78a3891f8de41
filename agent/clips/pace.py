"""Pace of the child: it rests, so that recording has the processor and the disk."""

import time

WORK_RATIO = 0.5
"""The share of the time in which the child works, and of one core that it uses on average.

The service's unit denies nice(2) and ioprio_set(2) to the agent and its children: both are in systemd's
`@resources`.
"""
_MIN_REST_S = 0.02


class Pace:
    """Sleeps as long as the work since the last rest took, by the clock or by all threads' CPU."""

    def __init__(self) -> None:
        self._rested_s = time.monotonic()
        self._rested_cpu_s = time.process_time()

    def rest(self) -> None:
        """Rest, if enough work was done since the last rest."""
        worked_s = max(time.monotonic() - self._rested_s, time.process_time() - self._rested_cpu_s)
        rest_s = worked_s * (1 / WORK_RATIO - 1)
        if rest_s < _MIN_REST_S:
            return
        time.sleep(rest_s)
        self.restart()

    def restart(self) -> None:
        """Count the work from now on: what was before was a wait."""
        self._rested_s, self._rested_cpu_s = time.monotonic(), time.process_time()
