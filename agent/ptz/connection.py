"""The connection to a head's driver: opening it, its faults, and a stop that is still pending."""

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
    # Not `busy`: the driver stays open, so no opening would clear PTZ-01.
    "absent": "PTZ-01",
    "closed": "PTZ-01",
    "stuck": "PTZ-01",
    "ended": "PTZ-01",
    "timeout": "PTZ-03",
    "crashed": "CAM-05",
}
_REJECTION_BY_ERROR: dict[DriverErrorKind, RefusalCode] = {
    "unsupported": "unsupported",
    "protocol": "failed",
}
_DISCONNECT_ERRORS: tuple[DriverErrorKind, ...] = ("absent", "closed", "stuck", "ended")
"""After these the driver is closed, and opened again."""


class HeadConnection:
    """One head's driver, open or not. Thread-safe; `open` is called on the stage's thread.

    Invariant: while `stop_pending`, the head may be moving: it was just opened, its line was lost, or an
    order or a stop failed.
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
        """How often the head answered in another protocol."""

    @property
    def capabilities(self) -> PtzCapabilities | None:
        """The capabilities of the head, None while it is not open."""
        ptz = self._ptz
        return None if ptz is None else ptz.capabilities

    @property
    def reconnect_count(self) -> int:
        """How often the driver was opened again after it was lost."""
        return max(0, self._open_count - 1)

    def open(self) -> bool:
        """Open the driver; return False if it is open already. Raises: DriverError."""
        if self._ptz is not None:
            return False
        try:
            ptz = self._open_ptz()
        except DriverError as error:
            self._raise_fault(error, "PTZ-01")
            if error.kind == "crashed":
                self._raise_fault(error, "CAM-05")
            raise
        with self._lock:
            self._ptz = ptz
            self._open_count += 1
            self.stop_pending = True
        self._faults.clear("PTZ-01", self.head_name)
        self.last_error = None
        return True

    def call(self, operation: Callable[[Ptz], T]) -> T:
        """Run an operation of the driver, and close the driver if its port is gone.

        Raises: DriverError of the operation; `absent` if the driver is not open.
        """
        ptz = self._ptz
        if ptz is None:
            raise DriverError(
                "absent", self.last_error or f"head {self.head_name!r} is not open yet"
            )
        try:
            return operation(ptz)
        except DriverError as error:
            if error.kind == "protocol":
                self.protocol_error_count += 1
            if error.kind in ("protocol", "busy"):
                self.last_error = str(error)
            code = _FAULT_BY_ERROR.get(error.kind)
            if code is not None:
                self._raise_fault(error, code)
            if error.kind in _DISCONNECT_ERRORS:
                self._close_driver(ptz)
                self.stop_pending = True
            raise

    @staticmethod
    def is_disconnect(error: DriverError) -> bool:
        """Return whether the driver was closed because of this error."""
        return error.kind in _DISCONNECT_ERRORS

    def stop(self) -> None:
        """Stop the head. Raises: DriverError, and then the stop is pending."""
        try:
            self.call(lambda ptz: ptz.stop())
        except DriverError:
            self.stop_pending = True
            raise
        self.stop_pending = False

    def note_answer(self) -> None:
        """Clear the faults of a head that does not answer, or whose answers break their reader."""
        self._faults.clear("PTZ-03", self.head_name)
        self._faults.clear("CAM-05", self.head_name)
        self.last_error = None

    def close(self) -> None:
        """Stop the head and close the driver."""
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
        self._faults.raise_fault(code, self.head_name, error)


def rejection_for(error: DriverError) -> CommandRejected:
    """Map a DriverError to the rejection that the requester gets."""
    return CommandRejected(_REJECTION_BY_ERROR.get(error.kind, "unavailable"), str(error))
