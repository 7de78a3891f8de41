"""Receipts on their way into the chain of custody, in order, whatever the disk does."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator

from agent.faults.registry import FaultRegistry
from agent.recording.custody.receipts import BadReceipt, Body, Closed, Opened, read_line

log = logging.getLogger(__name__)

WAIT_MOST = 10_000
"""Receipts in memory that the disk did not take. Beyond that the oldest is lost, and logged."""

Append = Callable[[Body, int], object]
"""Makes a receipt of what happened at a `t_ns` durable. Raises OSError, and BadReceipt where nobody could
read it.
"""

ReadBack = Callable[[], Iterator[bytes]]
"""The lines of the chain, the newest first. Raises OSError."""


class ReceiptQueue:
    """Any thread may tell. A chain that cannot be written raises the fault CUS-01 and stops
    nothing: receipts wait in memory and are written, in order, when it can be.
    """

    def __init__(
        self, append: Append | None, faults: FaultRegistry, read_back: ReadBack = lambda: iter(())
    ) -> None:
        """`append` is None where there is no chain: then nothing is told. `read_back` gives it."""
        self._append = append
        self._read_back = read_back
        self._faults = faults
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Body, int]] = deque()

    def append(self, body: Body, t_ns: int) -> bool:
        """Put a receipt into the chain. Whether it is durable, and all before it.

        That a file was recovered is left out where the chain has the receipt of its close: the
        power went between the receipt and the file's name, and a segment is closed once.
        """
        if self._append is None:
            return True
        with self._lock:
            if len(self._waiting) == WAIT_MOST:
                log.error("a receipt is lost: %s", self._waiting.popleft()[0])
            self._waiting.append((body, t_ns))
            return self._write(self._append)

    def flush(self) -> bool:
        """Write what waits. Whether nothing does any more."""
        if self._append is None:
            return True
        with self._lock:
            return self._write(self._append)

    def _write(self, append: Append) -> bool:
        if not self._waiting:
            return True
        try:
            while self._waiting:
                body, t_ns = self._waiting[0]
                if not (isinstance(body, Closed) and body.recovered and self._is_told(body)):
                    try:
                        append(body, t_ns)
                    except BadReceipt as error:
                        # It keeps none behind it out of the chain.
                        log.error("a receipt is left out of the chain: %s: %s", error, body)
                self._waiting.popleft()
        except OSError as error:
            self._faults.raise_fault("CUS-01", "footage", str(error))
            return False
        self._faults.clear("CUS-01", "footage")
        return True

    def _is_told(self, recovered: Closed) -> bool:
        """Whether the chain has the close of this very file: its name and hash.

        It stands behind the receipt that the file was begun, which was among the last when the power
        went. To read the whole chain would keep all other receipts waiting.
        """
        name = recovered.segment.encode()
        for text in self._read_back():
            if name not in text:
                continue
            try:
                body = read_line(text).receipt.body
            except BadReceipt:
                continue
            if not isinstance(body, Opened | Closed) or (body.camera, body.segment) != (
                recovered.camera,
                recovered.segment,
            ):
                continue
            if isinstance(body, Opened):
                return False
            if body.sha256 == recovered.sha256:
                return True
        return False
