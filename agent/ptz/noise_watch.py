"""Whether a head's line is noisy: bytes that were no message, and answers in no known language."""

from collections.abc import Callable

from agent.faults.registry import FaultRegistry
from agent.ptz.connection import HeadConnection

SPAN_S = 30.0
NOISY_BYTES = 10
"""So many in one span: a plug that is pulled makes fewer, a line without termination more."""
MISHEARD_BYTES = 5
"""What an answer counts for that was not understood."""


class LineNoiseMonitor:
    """Compares counters from span to span. A span without any noise clears the fault."""

    def __init__(
        self, noise_bytes: Callable[[], int], link: HeadConnection, faults: FaultRegistry
    ) -> None:
        self._noise_bytes = noise_bytes
        self._link = link
        self._faults = faults
        self._since_ns: int | None = None
        self._before = 0

    def look(self, t_ns: int) -> None:
        """Look, where a span is over."""
        if self._since_ns is not None and (t_ns - self._since_ns) / 1e9 < SPAN_S:
            return
        now = self._noise_bytes() + MISHEARD_BYTES * self._link.misheard
        came, self._before = now - self._before, now
        first, self._since_ns = self._since_ns is None, t_ns
        if first:
            return
        if came >= NOISY_BYTES:
            self._faults.raise_fault(
                "PTZ-02", self._link.head, f"{came} bytes of noise in {SPAN_S:.0f} s"
            )
        elif came == 0:
            self._faults.clear("PTZ-02", self._link.head)
