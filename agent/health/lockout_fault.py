"""Fault of a console that is locked after wrong answers (SVC-01), read from the console's file."""

from pathlib import Path

from agent.base.clock import Clock
from agent.base.lockout import Lockout
from agent.base.message import Message
from agent.faults.registry import FaultRegistry

FAULT_SUBJECT = "console"


class LockoutFault:
    """Raises SVC-01 as long as the console accepts no login, and clears it."""

    def __init__(self, state_dir: Path, clock: Clock, boot: str, faults: FaultRegistry) -> None:
        self._lockout = Lockout(state_dir, clock, boot)
        self._faults = faults

    def check(self) -> None:
        """Read the file that the console writes."""
        self._lockout.reload()
        remaining_s = self._lockout.remaining_s()
        if remaining_s > 0:
            detail = Message(
                "{count} wrong answers in a row, {seconds:.0f} s to wait",
                count=self._lockout.failures,
                seconds=remaining_s,
            )
            self._faults.raise_fault("SVC-01", FAULT_SUBJECT, detail)
        else:
            self._faults.clear("SVC-01", FAULT_SUBJECT)
