"""Reports of damaged and missing state files: a receipt in the custody log, and the fault STO-08."""

import logging
from pathlib import Path

from agent.base.clock import Clock
from agent.base.damaged_file import (
    damaged_path,
    find_unreported,
    mark_reported,
    original_name,
    read_note,
)
from agent.base.message import Message
from agent.config.recording import FOOTAGE_DIR
from agent.faults.registry import FaultRegistry
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import FileQuarantined
from agent.runtime.pause import Pause

log = logging.getLogger(__name__)

SCAN_INTERVAL_S = 60.0
_SKIPPED_FOLDERS = (FOOTAGE_DIR,)
"""Large, and its recovery writes its own receipts."""


class DamageReporter:
    """Finds what was set aside in the state folder by any program of the box. Called by one thread.

    STO-08 stays until the agent starts again and finds the file in order: a technician who has restored
    the content restarts the box.
    """

    def __init__(
        self, state_dir: Path, receipt_queue: ReceiptQueue, faults: FaultRegistry, clock: Clock
    ) -> None:
        self._state_dir = state_dir
        self._receipt_queue = receipt_queue
        self._faults = faults
        self._clock = clock
        self._scan_pause = Pause()
        self._queued: set[Path] = set()

    def report(self) -> None:
        """Report new damage, if a minute has passed. Called when no receipt waits for the disk."""
        now_ns = self._clock.boottime_ns()
        if not self._scan_pause.is_over(now_ns):
            return
        self._scan_pause.begin(now_ns, SCAN_INTERVAL_S)
        for path in find_unreported(self._state_dir, _SKIPPED_FOLDERS):
            self._report_file(path, now_ns)

    def _report_file(self, path: Path, now_ns: int) -> None:
        name = str(damaged_path(path).relative_to(self._state_dir))
        subject = str(path.with_name(original_name(path)).relative_to(self._state_dir))
        note = read_note(path)
        detail = (
            Message("the file was damaged and is kept as {name}", name=damaged_path(path).name)
            if note is None
            else Message("{reason}", reason=note)
        )
        self._faults.raise_fault("STO-08", subject, detail)
        if path not in self._queued:
            self._queued.add(path)
            receipt = FileQuarantined(camera=None, name=name)
            if not self._receipt_queue.append(receipt, now_ns):
                return
        try:
            mark_reported(path)
        except OSError as error:
            log.error("%s: cannot be renamed: %s", path, error)
        else:
            self._queued.discard(path)
