"""Fault codes in one table, and the registry of active faults.

A code is the same on MQTT, in the journal, on the status LED and in docs/runbook.md. A fault is raised by
its code, so every fault is in the table. Its meaning and its remedy are in agent/faults/texts, which the
running agent does not load.
"""

import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from agent.base.health_model import Fault
from agent.base.message import Message, encode_message, message_of

FaultCode = Literal[
    "CAM-01",
    "CAM-02",
    "CAM-03",
    "CAM-04",
    "CAM-05",
    "CAM-06",
    "CAM-07",
    "CAM-08",
    "CAM-09",
    "CAM-10",
    "CTL-01",
    "CUS-01",
    "CUS-02",
    "DET-01",
    "DET-02",
    "GPI-01",
    "GPI-02",
    "GPI-03",
    "GPI-04",
    "GPI-05",
    "MSK-01",
    "NET-01",
    "NET-02",
    "NET-03",
    "NET-04",
    "NET-05",
    "NET-06",
    "PTZ-01",
    "PTZ-02",
    "PTZ-03",
    "PTZ-04",
    "PTZ-05",
    "PTZ-06",
    "STO-01",
    "STO-02",
    "STO-03",
    "STO-04",
    "STO-05",
    "STO-06",
    "STO-07",
    "STO-08",
    "SVC-01",
    "SVC-02",
    "SYS-01",
    "SYS-02",
    "SYS-03",
    "SYS-04",
    "SYS-05",
    "SYS-06",
    "SYS-07",
    "SYS-08",
    "SYS-09",
    "SYS-10",
]


Severity = Literal["warning", "error", "critical"]
"""critical: the box does not fulfil its purpose, or soon will not; error: a part of it does not work;
warning: it works and needs a technician's or an operator's attention.
"""


class FaultDefinition(msgspec.Struct, frozen=True):
    """A fault's severity and its English title."""

    severity: Severity
    title: str


FAULTS: dict[FaultCode, FaultDefinition] = {
    "CAM-01": FaultDefinition("error", "camera cannot be opened"),
    "CAM-02": FaultDefinition("error", "no frames"),
    "CAM-03": FaultDefinition("critical", "camera module hangs"),
    "CAM-04": FaultDefinition("warning", "fewer frames than wanted"),
    "CAM-05": FaultDefinition("error", "camera breaks its reader"),
    "CAM-06": FaultDefinition("warning", "ground calibration is stale"),
    "CAM-07": FaultDefinition("error", "the view shows no road users"),
    "CAM-08": FaultDefinition("warning", "too little light, or glare"),
    "CAM-09": FaultDefinition("warning", "counts are not to be trusted"),
    "CAM-10": FaultDefinition("warning", "hardware decoder out of service"),
    "CTL-01": FaultDefinition("error", "commands cannot be kept"),
    "CUS-01": FaultDefinition("error", "receipts of footage cannot be written"),
    "CUS-02": FaultDefinition("warning", "the box has a new key"),
    "DET-01": FaultDefinition("error", "model refused"),
    "DET-02": FaultDefinition("warning", "accelerator out of service"),
    "GPI-01": FaultDefinition("error", "pins cannot be opened"),
    "GPI-02": FaultDefinition("warning", "door open"),
    "GPI-03": FaultDefinition("warning", "shock detected"),
    "GPI-04": FaultDefinition("error", "mains power lost"),
    "GPI-05": FaultDefinition("critical", "battery nearly empty"),
    "MSK-01": FaultDefinition("critical", "mask not loaded"),
    "NET-01": FaultDefinition("error", "broker not reachable"),
    "NET-02": FaultDefinition("error", "broker refuses"),
    "NET-03": FaultDefinition("warning", "centre does not acknowledge"),
    "NET-04": FaultDefinition("error", "broker refuses the certificate"),
    "NET-05": FaultDefinition("warning", "certificate expires soon"),
    "NET-06": FaultDefinition("warning", "certificate not renewed"),
    "PTZ-01": FaultDefinition("error", "head cannot be opened"),
    "PTZ-02": FaultDefinition("warning", "noise on the head's bus"),
    "PTZ-03": FaultDefinition("error", "head does not answer"),
    "PTZ-04": FaultDefinition("error", "head does not arrive"),
    "PTZ-05": FaultDefinition("warning", "head is worn"),
    "PTZ-06": FaultDefinition("error", "head moves without an order"),
    "STO-01": FaultDefinition("error", "outbox damaged"),
    "STO-02": FaultDefinition("critical", "cannot record"),
    "STO-03": FaultDefinition("error", "ring full of holds"),
    "STO-04": FaultDefinition("error", "footage cannot be held"),
    "STO-05": FaultDefinition("error", "disk nearly full"),
    "STO-06": FaultDefinition("warning", "disk slow"),
    "STO-07": FaultDefinition("warning", "disk worn"),
    "STO-08": FaultDefinition("warning", "state file damaged or missing"),
    "SVC-01": FaultDefinition("warning", "wrong answers at the console"),
    "SVC-02": FaultDefinition("error", "self-test failed"),
    "SYS-01": FaultDefinition("warning", "clock not synchronised"),
    "SYS-02": FaultDefinition("error", "too hot"),
    "SYS-03": FaultDefinition("error", "voltage too low or board slowed down"),
    "SYS-04": FaultDefinition("error", "short of memory"),
    "SYS-05": FaultDefinition("warning", "overloaded"),
    "SYS-06": FaultDefinition("warning", "unexpected restart"),
    "SYS-07": FaultDefinition("error", "degraded mode"),
    "SYS-08": FaultDefinition("warning", "update fell back"),
    "SYS-09": FaultDefinition("warning", "clock stepped"),
    "SYS-10": FaultDefinition("warning", "update feed expired"),
}


_SEVERITIES = ("critical", "error", "warning")


def _rank(fault: Fault) -> tuple[int, bool, str, int]:
    """Sort by severity. SYS-07 follows from another fault, and comes after its equals."""
    return (
        _SEVERITIES.index(fault.severity),
        fault.code == "SYS-07",
        fault.code,
        fault.since_ns,
    )


class FaultRegistry:
    """The active faults, by code and subject. Thread-safe."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._active: dict[tuple[FaultCode, str], Fault] = {}

    def raise_fault(self, code: FaultCode, subject: str, detail: Message | Exception) -> None:
        """Raise a fault, or update its detail: a message, or the error that is the cause.

        Its time stays that of the first call.
        """
        definition = FAULTS[code]
        text = detail if isinstance(detail, Message) else message_of(detail)
        with self._lock:
            previous = self._active.get((code, subject))
            self._active[code, subject] = Fault(
                code=code,
                severity=definition.severity,
                title=definition.title,
                subject=subject,
                since_ns=previous.since_ns if previous else self._clock_ns(),
                detail=str(text),
                detail_message=encode_message(text) if isinstance(text, Message) else None,
            )

    def clear(self, code: FaultCode, subject: str) -> None:
        """Clear a fault if it is active."""
        with self._lock:
            self._active.pop((code, subject), None)

    def active(self) -> tuple[Fault, ...]:
        """Return all active faults, the worst first: the order of reports, the console and the LED."""
        with self._lock:
            return tuple(sorted(self._active.values(), key=_rank))
