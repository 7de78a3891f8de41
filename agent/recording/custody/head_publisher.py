"""Stage that writes pending receipts, reports damaged state files, publishes the head, and prunes the chain.

The head is published within a minute of each receipt, and listed in the state inventory: a chain that is truncated
later shows against it.
Pruning deletes whole files of the chain once none of their footage is left; a receipt states the
deleted numbers, and the rest of the chain verifies as before.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

from agent.base.clock import Clock
from agent.base.state_inventory import InventoryHead
from agent.faults.registry import FaultRegistry
from agent.recording.custody.chain import ChainHead
from agent.recording.custody.chain_files import chain_files, first_seq_of_file, read_file_lines
from agent.recording.custody.custody_log import CustodyLog
from agent.recording.custody.damage_reporter import DamageReporter
from agent.recording.custody.receipt_queue import SUBJECT, ReceiptQueue
from agent.recording.custody.receipts import (
    BadReceipt,
    SegmentClosed,
    SegmentOpened,
    parse_line,
)
from agent.runtime.pause import Pause

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 1.0
MINUTE_NS = 60_000_000_000
AFTER_MINUTE_NS = 3_000_000_000
"""The head follows the traffic counts of a minute, which come up to 2.5 s late: a centre acknowledges both at once."""
UNCHANGED_HEAD_INTERVAL_NS = 3600 * 1_000_000_000
"""Interval of an unchanged head: a message costs a synced write to the disk."""
PRUNE_INTERVAL_S = 6 * 3600.0
FULL_PRUNE_INTERVAL_S = 600.0
"""While the disk takes no receipt, which room would mend."""
KEPT_FILES = 50
"""Half a million receipts, below 400 MB: people's actions stay on record long after the footage."""

SegmentExists = Callable[[str, str], bool]
"""Returns True if the file of a camera and segment name is on the disk."""


class ChainHeadPublisher:
    """Publishes the head of the chain.

    A chain that cannot be read or written raises CUS-01. It is tried again each second.
    """

    name = SUBJECT

    def __init__(
        self,
        custody: CustodyLog,
        receipt_queue: ReceiptQueue,
        clock: Clock,
        faults: FaultRegistry,
        send_head: Callable[[ChainHead, InventoryHead | None, int], None],
        segment_exists: SegmentExists,
        damage_reporter: DamageReporter,
    ) -> None:
        self._custody = custody
        self._receipt_queue = receipt_queue
        self._clock = clock
        self._faults = faults
        self._send_head = send_head
        self._segment_exists = segment_exists
        self._damage_reporter = damage_reporter
        self._prune_pause = Pause()
        self._full_prune_pause = Pause()
        self._last_sent_ns: int | None = None
        self._last_sent_head: ChainHead | None = None

    def flush(self) -> None:
        """Write pending receipts, report damage, prune, and publish the head if it is due.

        A full disk takes no pending receipt, and pruning makes room on it: then it comes before them.
        """
        is_queue_written = self._receipt_queue.flush()
        if is_queue_written:
            self._damage_reporter.report()
        try:
            self._prune(is_queue_written=is_queue_written)
            if not is_queue_written:
                return
            head, now_ns = self._custody.head(), self._clock.boottime_ns()
            if head.seq and self._is_head_due(head, now_ns):
                self._publish_head(now_ns)
        except OSError as error:
            self._faults.raise_fault("CUS-01", SUBJECT, error)
            return
        self._faults.clear("CUS-01", SUBJECT)

    def run_once(self, stopping: threading.Event) -> None:
        """Wait a second, then flush."""
        if not stopping.wait(POLL_INTERVAL_S):
            self.flush()

    def close(self) -> None:
        """Write pending receipts and publish the final head."""
        self.flush()
        try:
            if self._custody.head().seq > self._last_sent_seq:
                self._publish_head(self._clock.boottime_ns())
        except OSError as error:
            log.error("the chain's final head is not published: %s", error)

    def _is_head_due(self, head: ChainHead, now_ns: int) -> bool:
        """True at the start, at an export, at the end of a minute after growth, else hourly."""
        if self._last_sent_ns is None or self._custody.last_export_seq > self._last_sent_seq:
            return True
        if head == self._last_sent_head:
            return now_ns - self._last_sent_ns >= UNCHANGED_HEAD_INTERVAL_NS
        return _find_minute(now_ns) > _find_minute(self._last_sent_ns)

    @property
    def _last_sent_seq(self) -> int:
        return self._last_sent_head.seq if self._last_sent_head else 0

    def _publish_head(self, now_ns: int) -> None:
        """Raises OSError."""
        head, inventory_head = self._custody.list_head()
        self._last_sent_head, self._last_sent_ns = head, now_ns
        self._send_head(head, inventory_head, now_ns)

    def _prune(self, *, is_queue_written: bool) -> None:
        """Raises OSError."""
        now_ns = self._clock.boottime_ns()
        pause = self._prune_pause if is_queue_written else self._full_prune_pause
        if not pause.is_over(now_ns):
            return
        self._prune_pause.begin(now_ns, PRUNE_INTERVAL_S)
        self._full_prune_pause.begin(now_ns, FULL_PRUNE_INTERVAL_S)
        prune_chain(self._custody, self._segment_exists, now_ns)
        try:
            self._custody.keep_reserve()
        except OSError as error:
            log.warning("the custody log has no reserve for a full disk: %s", error)


def _find_minute(t_ns: int) -> int:
    """Return the number of the minute, each beginning when a head is due."""
    return (t_ns - AFTER_MINUTE_NS) // MINUTE_NS


def prune_chain(custody: CustodyLog, segment_exists: SegmentExists, t_ns: int) -> int:
    """Delete the oldest files of the chain whose footage is gone. Returns their count.

    Deletes none if the footage of the newest receipts is missing too: then the footage disk is away.
    Raises OSError.
    """
    files = chain_files(custody.folder)
    prunable, newest = files[:-KEPT_FILES], files[-2:]
    if not prunable or not any(_has_footage(path, segment_exists) for path in newest):
        return 0
    pruned = list(takewhile(lambda path: not _has_footage(path, segment_exists), prunable))
    if not pruned:
        return 0
    last_seq = first_seq_of_file(files[len(pruned)]) - 1
    custody.prune(pruned, last_seq, t_ns)
    log.info("receipts up to %d pruned, their footage is gone", last_seq)
    return len(pruned)


def _has_footage(path: Path, segment_exists: SegmentExists) -> bool:
    return any(segment_exists(camera, name) for camera, name in _iter_segments(path))


def _iter_segments(path: Path) -> Iterator[tuple[str, str]]:
    """Yield camera and name of the segments in a file's readable receipts."""
    for line in read_file_lines(path):
        try:
            body = parse_line(line).receipt.body
        except BadReceipt:
            continue
        if isinstance(body, SegmentOpened | SegmentClosed):
            yield body.camera, body.segment
