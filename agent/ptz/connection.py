"""The way to a head's driver: opening it, what its errors mean, and the stop that is still owed."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from agent.base.model import RefusalCode
from agent.commands.requester import CommandRejected
from agent.faults.registry import FaultCode, FaultRegistry
from drivers.contracts import Ptz, PtzCapabilities
from drivers.errors import DriverError, DriverErrorKind

log = logging.getLogger(__name__)

T = TypeVar("T")

_FAULT_BY_ERROR: dict[DriverErrorKind, FaultCode] = {
    "absent": "PTZ-01",
    "busy": "PTZ-01",
    "stuck": "PTZ-01",
    "ended": "PTZ-01",
    "timeout": "PTZ-03",
}
_REJECTION_BY_ERROR: dict[DriverErrorKind, RefusalCode] = {
    "unsupported": "unsupported",
    "protocol": "failed",
}
_DISCONNECT_ERRORS: tuple[DriverErrorKind, ...] = ("absent", "stuck", "ended")
"""The driver is closed then, and opened anew."""


class HeadConnection:
    """One head's driver, open or not. Any thread may call; `open` is for the stage's own.

    Invariant: while `owes_stop`, nobody knows whether the head stands still: it was just opened, or
    an order or a stop failed.
    """

    def __init__(self, head_name: str, open_ptz: Callable[[], Ptz], faults: FaultRegistry) -> None:
        self.head_name = head_name
        self._open_ptz = open_ptz
        self._faults = faults
        self._lock = threading.Lock()
        self._ptz: Ptz | None = None
        self._open_count = 0
        self.stop_pending = False
        self.last_error: str | None = None
        self.protocol_error_count = 0
        """How often the head answered in another language."""

    @property
    def capabilities(self) -> PtzCapabilities | None:
        """What it can do, None while it is not open."""
        ptz = self._ptz
        return None if ptz is None else ptz.capabilities

    @property
    def reconnect_count(self) -> int:
        """How often it was lost and came back."""
        return max(0, self._open_count - 1)

    def open(self) -> bool:
        """Open the driver where it is not open; whether it was not. Raises DriverError."""
        if self._ptz is not None:
            return False
        try:
            ptz = self._open_ptz()
        except DriverError as error:
            self._raise_fault(error, "PTZ-01")
            raise
        with self._lock:
            self._ptz = ptz
            self._open_count += 1
            self.stop_pending = True
        self._faults.clear("PTZ-01", self.head_name)
        self.last_error = None
        return True

    def call(self, operation: Callable[[Ptz], T]) -> T:
        """What the driver gives. Raises DriverError; `absent` where it is not open, and it is closed
        where the port is gone.
        """
        ptz = self._ptz
        if ptz is None:
            raise DriverError(
                "absent", self.last_error or f"head {self.head_name!r} is not open yet"
            )
        try:
            result = operation(ptz)
        except DriverError as error:
            if error.kind == "protocol":
                self.protocol_error_count += 1
                self.last_error = str(error)
            code = _FAULT_BY_ERROR.get(error.kind)
            if code is not None:
                self._raise_fault(error, code)
            if error.kind in _DISCONNECT_ERRORS:
                self._close_driver(ptz)
            raise
        return result

    @staticmethod
    def is_disconnect(error: DriverError) -> bool:
        """Whether the driver was closed for this error, and has to be opened anew."""
        return error.kind in _DISCONNECT_ERRORS

    def stop(self) -> None:
        """Stop the head. Raises DriverError, and the stop is owed then."""
        try:
            self.call(lambda ptz: ptz.stop())
        except DriverError:
            self.stop_pending = True
            raise
        self.stop_pending = False

    def note_answer(self) -> None:
        """The head has answered, and in its own language."""
        self._faults.clear("PTZ-03", self.head_name)
        self.last_error = None

    def close(self) -> None:
        """Stop the head and let go of it."""
        ptz = self._ptz
        if ptz is not None:
            self._close_driver(ptz)

    def _close_driver(self, ptz: Ptz) -> None:
        with self._lock:
            if self._ptz is not ptz:
                return
            self._ptz = None
        try:
            ptz.close()
        except DriverError as error:
            log.warning("head %s: not closed: %s", self.head_name, error)

    def _raise_fault(self, error: DriverError, code: FaultCode) -> None:
        self.last_error = str(error)
        self._faults.raise_fault(code, self.head_name, str(error))


def rejection_for(error: DriverError) -> CommandRejected:
    """What somebody is told whose wish a driver did not do."""
    return CommandRejected(_REJECTION_BY_ERROR.get(error.kind, "unavailable"), str(error))
