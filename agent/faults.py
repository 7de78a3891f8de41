"""Fault codes: one table, and the faults that are active now.

A code is the same on MQTT, in the journal and in docs/runbook.md. A fault is raised by its code
alone, so none exists that the table does not explain.
"""

import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from agent.model import Fault

FaultCode = Literal[
    "CAM-01",
    "CAM-02",
    "CAM-03",
    "CTL-01",
    "CUS-01",
    "CUS-02",
    "DET-01",
    "GPI-01",
    "GPI-02",
    "GPI-03",
    "GPI-04",
    "GPI-05",
    "MSK-01",
    "NET-01",
    "NET-02",
    "NET-03",
    "PTZ-01",
    "PTZ-02",
    "PTZ-03",
    "PTZ-04",
    "PTZ-05",
    "STO-01",
    "STO-02",
    "STO-03",
    "STO-04",
    "SYS-01",
]


class FaultKind(msgspec.Struct, frozen=True):
    """What a code means, and what to do about it at the box."""

    severity: Literal["warning", "error", "critical"]
    title: str
    advice: str


FAULTS: dict[FaultCode, FaultKind] = {
    "CAM-01": FaultKind(
        "error", "camera cannot be opened", "Check its cable, power, address and password."
    ),
    "CAM-02": FaultKind("error", "no frames", "The camera is open and silent: power-cycle it."),
    "CAM-03": FaultKind(
        "critical",
        "camera module hangs",
        "Its process cannot be ended, and the board restarts itself. Where it comes back, change "
        "the ribbon cable, then the module.",
    ),
    "CTL-01": FaultKind(
        "error",
        "commands cannot be kept",
        "Check the disk: space, wear, mount. What must not be done twice is refused meanwhile.",
    ),
    "CUS-01": FaultKind(
        "error",
        "receipts of footage cannot be written",
        "Check the disk: space, wear, mount. What is recorded meanwhile cannot be proved.",
    ),
    "CUS-02": FaultKind(
        "warning",
        "the box has a new key",
        "The old one could not be read and was set aside: tell the centre, which must trust the "
        "new one from today.",
    ),
    "DET-01": FaultKind(
        "error",
        "model refused",
        "The model file does not match its card: install the package again. "
        "The box records without detection.",
    ),
    "GPI-01": FaultKind(
        "error",
        "pins cannot be opened",
        "Check the pin numbers in the configuration, and that no other program has them "
        "(`vigie probe`).",
    ),
    "GPI-02": FaultKind("warning", "door open", "Close and lock the box."),
    "GPI-03": FaultKind(
        "warning", "box was struck", "Look at the box, the pole and the aim of the camera."
    ),
    "GPI-04": FaultKind(
        "error", "mains power lost", "The box runs on its battery: check the supply and its fuse."
    ),
    "GPI-05": FaultKind(
        "critical", "battery nearly empty", "Restore the mains, or change the battery."
    ),
    "MSK-01": FaultKind(
        "critical",
        "mask not loaded",
        "The camera stays closed: nothing of it is recorded, watched or shown. Mend its scene file "
        "(`vigie check-config` says what is wrong) and start the agent again.",
    ),
    "NET-01": FaultKind(
        "error", "broker not reachable", "Check the link, the name, the port and the firewall."
    ),
    "NET-02": FaultKind(
        "error",
        "broker refuses",
        "Check the certificate, its dates, and that the broker knows this box's id.",
    ),
    "NET-03": FaultKind(
        "warning",
        "centre does not acknowledge",
        "The broker answers, the centre does not: call it.",
    ),
    "PTZ-01": FaultKind(
        "error",
        "head cannot be opened",
        "Check the serial adapter, its name in the configuration, and that nothing else uses it.",
    ),
    "PTZ-02": FaultKind(
        "warning",
        "noise on the head's bus",
        "Check the cable, its shield and the termination, the speed and who else is on the bus.",
    ),
    "PTZ-03": FaultKind(
        "error",
        "head does not answer",
        "Check its power, its address, its protocol and both wires (swap A and B).",
    ),
    "PTZ-04": FaultKind(
        "error",
        "head does not arrive",
        "Something blocks it, or its motor slips: look at it while it moves.",
    ),
    "PTZ-05": FaultKind(
        "warning", "head is worn", "It has moved further than its maker promises: plan a new one."
    ),
    "STO-01": FaultKind(
        "error", "outbox damaged", "It was set aside and a new one begun: send it to the centre."
    ),
    "STO-02": FaultKind("critical", "cannot record", "Check the disk: space, wear, mount."),
    "STO-03": FaultKind(
        "error",
        "ring full of holds",
        "Held footage fills the budget, and the oldest events' holds go first: export what is "
        "needed and release it, see `vigie footage holds`.",
    ),
    "STO-04": FaultKind(
        "error",
        "footage cannot be held",
        "A hold cannot be written, and would not outlast a power cut: check the disk.",
    ),
    "SYS-01": FaultKind("warning", "clock not synchronised", "Check the link to the time servers."),
}


class FaultBoard:
    """The faults that are active, by code and subject. Any thread may raise and clear."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._active: dict[tuple[FaultCode, str], Fault] = {}
        self.changed = threading.Event()
        """Set when a fault came or went; the reporter clears it."""

    def raise_fault(self, code: FaultCode, subject: str, detail: str) -> None:
        """The fault is there. Its time stays that of the first call, its detail is the newest."""
        kind = FAULTS[code]
        with self._lock:
            before = self._active.get((code, subject))
            self._active[code, subject] = Fault(
                code=code,
                severity=kind.severity,
                title=kind.title,
                subject=subject,
                since_ns=before.since_ns if before else self._clock_ns(),
                detail=detail,
            )
        if before is None:
            self.changed.set()

    def clear(self, code: FaultCode, subject: str) -> None:
        """The fault is gone; nothing happens where it was not there."""
        with self._lock:
            gone = self._active.pop((code, subject), None)
        if gone is not None:
            self.changed.set()

    def active(self) -> tuple[Fault, ...]:
        """All active faults, the oldest first."""
        with self._lock:
            return tuple(sorted(self._active.values(), key=lambda fault: fault.since_ns))
