"""Queue of receipts for the custody log, in order, in spite of a failing disk."""

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
"""Receipts in memory while the disk takes none. Beyond that the oldest is dropped, and logged."""

SUBJECT = "custody"
"""The subject of the fault CUS-01."""

AppendReceipt = Callable[[ReceiptBody, int], object]
"""Makes a receipt of an event at `t_ns` durable. Raises OSError; raises BadReceipt if it could not be
parsed again.
"""

ReadLinesBackwards = Callable[[], Iterator[bytes]]
"""Reads the lines of the chain, the newest first. Raises OSError."""


class ReceiptQueue:
    """The box's one queue of receipts. Thread-safe.

    A chain that cannot be written raises the fault CUS-01 and stops nothing: receipts wait in memory
    and are written in order when the disk accepts them again.
    """

    def __init__(
        self,
        append: AppendReceipt | None,
        faults: FaultRegistry,
        read_lines_backwards: ReadLinesBackwards = lambda: iter(()),
    ) -> None:
        """`append` is None without a custody log: receipts are discarded then."""
        self._append = append
        self._read_lines_backwards = read_lines_backwards
        self._faults = faults
        self._lock = threading.Lock()
        self._pending: deque[tuple[ReceiptBody, int]] = deque()
        self._write_lock = threading.Lock()

    def enqueue(self, body: ReceiptBody, t_ns: int) -> None:
        """Add a receipt for the next `flush`. Never waits for the disk."""
        if self._append is None:
            return
        with self._lock:
            if len(self._pending) == MAX_PENDING_RECEIPTS:
                log.error("receipt dropped, the disk takes none: %s", self._pending.popleft()[0])
            self._pending.append((body, t_ns))

    def append(self, body: ReceiptBody, t_ns: int) -> bool:
        """Add a receipt and write the queue.

        Return True if it and all before it are durable. The receipt of a recovered file is left
        out if the chain has the receipt of its close: the power failed between that receipt and
        the rename, and a segment is closed once.
        """
        self.enqueue(body, t_ns)
        return self.flush()

    def read_lines_backwards(self) -> Iterator[bytes]:
        """Yield the lines of the chain, the newest first. Raises OSError."""
        return self._read_lines_backwards()

    def flush(self) -> bool:
        """Write the pending receipts. Return True if none is left."""
        if self._append is None:
            return True
        with self._write_lock:
            try:
                is_written = self._write_pending(self._append)
            except OSError as error:
                self._faults.raise_fault("CUS-01", SUBJECT, error)
                return False
        if is_written:
            self._faults.clear("CUS-01", SUBJECT)
        return True

    def _write_pending(self, append: AppendReceipt) -> bool:
        """Return True if anything was written."""
        is_written = False
        while True:
            with self._lock:
                if not self._pending:
                    return is_written
                first = self._pending[0]
            body, t_ns = first
            if not self._is_closed_already(body):
                try:
                    append(body, t_ns)
                except BadReceipt as error:
                    # It must not block the receipts behind it.
                    log.error("receipt left out of the chain: %s: %s", error, body)
            is_written = True
            with self._lock:
                if self._pending and self._pending[0] is first:
                    self._pending.popleft()

    def _is_closed_already(self, body: ReceiptBody) -> bool:
        """Return True if the chain has the close of a recovered file: its name and hash.

        The search ends at the receipt of the file's opening, which was among the last before the
        power failed: reading the whole chain would keep all other receipts waiting.
        """
        if not isinstance(body, SegmentClosed) or not body.recovered:
            return False
        segment_name = body.segment.encode()
        for line in self._read_lines_backwards():
            if segment_name not in line:
                continue
            try:
                earlier = parse_line(line).receipt.body
            except BadReceipt:
                continue
            if not isinstance(earlier, SegmentOpened | SegmentClosed) or (
                (earlier.camera, earlier.segment) != (body.camera, body.segment)
            ):
                continue
            if isinstance(earlier, SegmentOpened):
                return False
            if earlier.sha256 == body.sha256:
                return True
        return False
