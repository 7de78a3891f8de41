"""Whether a head's line is noisy: bytes that were no message, and answers in no known language."""

from collections.abc import Callable

from agent.faults.registry import FaultRegistry
from agent.ptz.connection import HeadConnection

WINDOW_S = 30.0
NOISY_BYTES_PER_WINDOW = 10
"""So many in one span: a plug that is pulled makes fewer, a line without termination more."""
BYTES_PER_PROTOCOL_ERROR = 5
"""What an answer counts for that was not understood."""


class LineNoiseMonitor:
    """Compares counters from span to span. A span without any noise clears the fault."""

    def __init__(
        self, noise_bytes: Callable[[], int], connection: HeadConnection, faults: FaultRegistry
    ) -> None:
        self._noise_bytes = noise_bytes
        self._connection = connection
        self._faults = faults
        self._window_start_ns: int | None = None
        self._last_total_bytes = 0

    def check(self, t_ns: int) -> None:
        """Look, where a span is over."""
        if self._window_start_ns is not None and (t_ns - self._window_start_ns) / 1e9 < WINDOW_S:
            return
        total_bytes = (
            self._noise_bytes() + BYTES_PER_PROTOCOL_ERROR * self._connection.protocol_error_count
        )
        new_bytes, self._last_total_bytes = total_bytes - self._last_total_bytes, total_bytes
        is_first, self._window_start_ns = self._window_start_ns is None, t_ns
        if is_first:
            return
        if new_bytes >= NOISY_BYTES_PER_WINDOW:
            self._faults.raise_fault(
                "PTZ-02",
                self._connection.head_name,
                f"{new_bytes} bytes of noise in {WINDOW_S:.0f} s",
            )
        elif new_bytes == 0:
            self._faults.clear("PTZ-02", self._connection.head_name)
