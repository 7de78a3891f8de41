"""The error that drivers raise, and its kinds and texts for the kernel's error numbers."""

import errno
import os
from typing import Literal

DriverErrorKind = Literal[
    "absent", "closed", "busy", "timeout", "protocol", "unsupported", "ended", "crashed", "stuck"
]
"""The reason of a driver's failure, on which the agent and the technician act.

absent       there is no such file, host, port or device
closed       the driver was closed by this program
busy         the device exists, and another process has it open
timeout      the device exists, and did not answer in time
protocol     the device's answer is not of the expected protocol
unsupported  the device answered, and lacks the requested function
ended        the source is over: a file played to its end, a server closed the stream
crashed      the process that reads the device crashed, hung, or reached one of its limits
stuck        the kernel holds the device and does not release it: only a restart of the board helps
"""

ErrnoKind = Literal["absent", "busy", "unsupported"]
PERMISSION_ERRNOS = (errno.EACCES, errno.EPERM)

_KIND_BY_ERRNO: dict[int, ErrnoKind] = {
    errno.EACCES: "unsupported",
    errno.EPERM: "unsupported",
    errno.EBUSY: "busy",
    errno.EAGAIN: "busy",
    errno.ENOTTY: "unsupported",
    errno.EINVAL: "unsupported",
}
_TEXT_BY_ERRNO: dict[int, str] = {
    errno.EACCES: "permission denied to this user; members of the group {group} may open it",
    errno.EPERM: "permission denied to this user; members of the group {group} may open it",
    errno.EBUSY: "another program has it",
    errno.EAGAIN: "another program has it",
    errno.ENOTTY: "is no {device}",
    errno.EINVAL: "is no {device}",
    errno.ENOENT: "no such device",
    errno.ENODEV: "no hardware behind it",
    errno.ENXIO: "no hardware behind it",
    errno.EIO: "no hardware behind it",
}


def errno_kind(number: int | None) -> ErrnoKind:
    """Return the kind of a kernel's error number; `absent` if it is in no table."""
    return _KIND_BY_ERRNO.get(number or 0, "absent")


def errno_text(number: int | None, device: str, group: str) -> str:
    """Return the text of an error on opening a device that the members of `group` may open."""
    text = _TEXT_BY_ERRNO.get(number or 0, os.strerror(number or 0))
    return text.format(device=device, group=group)


class DriverError(Exception):
    """A failure of a device.

    `str(error)` is one line that names the device, the value and what was expected. The cause, if
    there is one, is chained.
    """

    def __init__(self, kind: DriverErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: DriverErrorKind = kind


class MaskError(DriverError):
    """A mask that cannot be drawn: nothing of the camera may be shown or recorded."""

    def __init__(self, message: str) -> None:
        super().__init__("unsupported", message)
