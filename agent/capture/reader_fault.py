"""CAM-05: what a camera sends breaks the process that reads it."""

import threading
from collections.abc import Callable

from agent.faults.registry import FaultRegistry
from drivers.errors import DriverError

CLEAR_AFTER_S = 60.0
"""Time without another failure after which the fault is cleared: more than the longest backoff."""


class ReaderFault:
    """The fault of one camera, whose streams and events have a process each. Thread-safe."""

    def __init__(self, camera: str, faults: FaultRegistry, clock_ns: Callable[[], int]) -> None:
        self._camera = camera
        self._faults = faults
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._failed_ns: int | None = None

    @property
    def is_active(self) -> bool:
        """True from a failure until the fault is cleared."""
        return self._failed_ns is not None

    def on_error(self, error: DriverError) -> None:
        """Raise the fault if the error is that of a process."""
        if error.kind != "crashed":
            return
        with self._lock:
            self._failed_ns = self._clock_ns()
            self._faults.raise_fault("CAM-05", self._camera, error)

    def on_success(self) -> None:
        """Clear the fault if no process has failed for CLEAR_AFTER_S."""
        with self._lock:
            if self._failed_ns is None:
                return
            if (self._clock_ns() - self._failed_ns) / 1e9 >= CLEAR_AFTER_S:
                self._failed_ns = None
                self._faults.clear("CAM-05", self._camera)
