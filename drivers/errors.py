"""The error that a driver raises, and the one of its kinds that closes a camera for good reason."""

from typing import Literal

DriverErrorKind = Literal["absent", "busy", "timeout", "protocol", "unsupported", "ended", "stuck"]
"""Why a driver failed, in words that the agent and the technician act upon.

absent       nothing is there: no such file, host, port or device
busy         it is there, and somebody else holds it
timeout      it is there, and did not answer in time
protocol     it answered, and not in the language that was expected
unsupported  it answered, and cannot do what was asked
ended        it has no more to give: a file played to its end, a server closed the stream
stuck        the kernel holds it and cannot be made to let go: only a restart of the board helps
"""


class DriverError(Exception):
    """A device failed in a way that its user is told about.

    `str(error)` is one line that names the device, the value and what was expected. The
    cause, where there is one, is chained.
    """

    def __init__(self, kind: DriverErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: DriverErrorKind = kind


class MaskError(DriverError):
    """A mask cannot be drawn, so nothing of the camera may be shown or kept."""

    def __init__(self, message: str) -> None:
        super().__init__("unsupported", message)
