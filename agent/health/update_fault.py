"""Fault of an update that fell back (SYS-08), read from the slot state that root writes."""

from pathlib import Path

from agent.base import slot_state
from agent.faults.registry import FaultRegistry

SLOT_STATE_DIR = "state/rauc"
FAULT_SUBJECT = "update"
CHECK_INTERVAL_NS = 60_000_000_000


class UpdateFault:
    """Raises SYS-08 while the newest update has fallen back and is neither replaced nor accepted."""

    def __init__(self, root: Path, faults: FaultRegistry) -> None:
        self._folder = root / SLOT_STATE_DIR
        self._faults = faults
        self._checked_ns: int | None = None

    def check(self, t_ns: int) -> None:
        """Read the file if a minute has passed. A box without slots has no such file."""
        if self._checked_ns is not None and t_ns - self._checked_ns < CHECK_INTERVAL_NS:
            return
        self._checked_ns = t_ns
        failed = slot_state.read(self._folder).failed_trial
        if failed is None:
            self._faults.clear("SYS-08", FAULT_SUBJECT)
            return
        reason = slot_state.FAILURE_TEXTS[failed.reason]
        detail = f"version {failed.version or '(unknown)'}: {reason} ({failed.time})"
        self._faults.raise_fault("SYS-08", FAULT_SUBJECT, detail)
