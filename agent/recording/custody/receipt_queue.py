"""Receipts on their way into the chain of custody, in order, whatever the disk does."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator

from agent.faults.registry import FaultRegistry
from agent.recording.custody.receipts import (
    BadReceipt,
    ReceiptBody,
    SegmentClosed,
    SegmentOpened,
    parse_line,
)

log = logging.getLogger(__name__)

MAX_PENDING_RECEIPTS = 10_000
"""Receipts in memory that the disk did not take. Beyond that the oldest is lost, and logged."""

AppendReceipt = Callable[[ReceiptBody, int], object]
"""Makes a receipt of what happened at a `t_ns` durable. Raises OSError, and BadReceipt where nobody could
read it.
"""

ReadLinesBackwards = Callable[[], Iterator[bytes]]
"""The lines of the chain, the newest first. Raises OSError."""


class ReceiptQueue:
    """Any thread may tell. A chain that cannot be written raises the fault CUS-01 and stops
    nothing: receipts wait in memory and are written, in order, when it can be.
    """

    def __init__(
        self,
        append: AppendReceipt | None,
        faults: FaultRegistry,
        read_lines_backwards: ReadLinesBackwards = lambda: iter(()),
    ) -> None:
        """`append` is None where there is no chain: then nothing is told. `read_back` gives it."""
        self._append = append
        self._read_lines_backwards = read_lines_backwards
        self._faults = faults
        self._lock = threading.Lock()
        self._pending: deque[tuple[ReceiptBody, int]] = deque()

    def append(self, body: ReceiptBody, t_ns: int) -> bool:
        """Put a receipt into the chain. Whether it is durable, and all before it.

        That a file was recovered is left out where the chain has the receipt of its close: the
        power went between the receipt and the file's name, and a segment is closed once.
        """
        if self._append is None:
            return True
        with self._lock:
            if len(self._pending) == MAX_PENDING_RECEIPTS:
                log.error("a receipt is lost: %s", self._pending.popleft()[0])
            self._pending.append((body, t_ns))
            return self._write_pending(self._append)

    def flush(self) -> bool:
        """Write what waits. Whether nothing does any more."""
        if self._append is None:
            return True
        with self._lock:
            return self._write_pending(self._append)

    def _write_pending(self, append: AppendReceipt) -> bool:
        if not self._pending:
            return True
        try:
            while self._pending:
                body, t_ns = self._pending[0]
                if not (
                    isinstance(body, SegmentClosed)
                    and body.recovered
                    and self._has_close_receipt(body)
                ):
                    try:
                        append(body, t_ns)
                    except BadReceipt as error:
                        # It keeps none behind it out of the chain.
                        log.error("a receipt is left out of the chain: %s: %s", error, body)
                self._pending.popleft()
        except OSError as error:
            self._faults.raise_fault("CUS-01", "footage", str(error))
            return False
        self._faults.clear("CUS-01", "footage")
        return True

    def _has_close_receipt(self, recovered: SegmentClosed) -> bool:
        """Whether the chain has the close of this very file: its name and hash.

        It stands behind the receipt that the file was begun, which was among the last when the power
        went. To read the whole chain would keep all other receipts waiting.
        """
        segment_name = recovered.segment.encode()
        for line in self._read_lines_backwards():
            if segment_name not in line:
                continue
            try:
                body = parse_line(line).receipt.body
            except BadReceipt:
                continue
            if not isinstance(body, SegmentOpened | SegmentClosed) or (
                body.camera,
                body.segment,
            ) != (
                recovered.camera,
                recovered.segment,
            ):
                continue
            if isinstance(body, SegmentOpened):
                return False
            if body.sha256 == recovered.sha256:
                return True
        return False
