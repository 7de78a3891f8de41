"""The child's side of work that may wait: it uses a share of one core, and waits for the agent after each message."""

import time

import msgspec

from drivers.child.control_channel import DATAGRAM_BYTES
from drivers.child.main import ChildEnd

_MIN_REST_S = 0.02


class AgentGone(Exception):
    """The agent has closed its end."""


class PacedChild:
    """Rests, so that recording has the processor and the disk. Used by one thread.

    nice(2) and ioprio_set(2) are not possible: the service's unit denies both, which are in systemd's `@resources`.
    """

    def __init__(self, end: ChildEnd, work_ratio: float) -> None:
        """`work_ratio` is the share of the time in which the child works, and of one core that it uses on average."""
        self._end = end
        self._rest_ratio = 1 / work_ratio - 1
        self._restart()
        self._rested_cpu_s = 0.0
        """The start of the process is work as well."""

    def report(self, message: msgspec.Struct) -> None:
        """Send a message, and wait until the agent lets the child continue. Raises: AgentGone."""
        if not self._end.send(message) or not self._end.control.recv(DATAGRAM_BYTES):
            raise AgentGone
        self._restart()

    def rest(self) -> None:
        """Rest in proportion to the work since the last rest, by the clock or by all threads' CPU, if that was enough."""
        worked_s = max(time.monotonic() - self._rested_s, time.process_time() - self._rested_cpu_s)
        rest_s = worked_s * self._rest_ratio
        if rest_s < _MIN_REST_S:
            return
        time.sleep(rest_s)
        self._restart()

    def _restart(self) -> None:
        """Count the work from now on: what was before was a wait."""
        self._rested_s, self._rested_cpu_s = time.monotonic(), time.process_time()
