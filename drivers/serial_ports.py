"""Find the serial ports of this box, by their stable names, and whether each could be opened.

Nothing is sent, and no setting of a port is changed. A free port is opened for a moment; that raises
its modem lines, as any opening does.
"""

import contextlib
import fcntl
import os
import stat
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from serial.tools import list_ports

from drivers.device_files import DeviceHolders, find_holders, stable_names
from drivers.errors import PERMISSION_ERRNOS, errno_kind, errno_text

DEVICE_FOLDER = Path("/dev")
TTY_CLASS_FOLDER = Path("/sys/class/tty")
CHAR_DEVICE_FOLDER = Path("/sys/dev/char")

PortState = Literal["free", "busy", "denied", "absent", "unsupported", "timeout"]
"""`unsupported`: it is no serial port. `timeout`: only over TCP, its server does not answer."""

PTY_MAJORS = range(136, 144)
"""The major numbers of pseudo-terminals (Documentation/admin-guide/devices.txt)."""


class PortCondition(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a port, and the reason if it is not free."""

    state: PortState
    reason: str | None = None


FREE = PortCondition(state="free")


class FoundPort(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One port. `by_id` is the adapter's name, `by_path` that of the socket that it is plugged into.

    `is_kernel_console`: the kernel writes its messages there.
    """

    path: str
    by_id: str | None = None
    by_path: str | None = None
    description: str | None = None
    usb_id: str | None = None
    """The adapter's numbers, `vendor:product`, in hexadecimal."""
    serial_number: str | None = None
    is_kernel_console: bool = False
    state: PortState
    reason: str | None = None

    @property
    def best_path(self) -> str:
        """The most stable path, for a configuration."""
        return self.by_id or self.by_path or self.path


def find_ports(dev: Path = DEVICE_FOLDER) -> tuple[FoundPort, ...]:
    """Return every serial port that the kernel has a device behind."""
    by_id, by_path = stable_names(dev / "serial/by-id"), stable_names(dev / "serial/by-path")
    device_holders = find_holders()
    return tuple(
        sorted(
            _to_found_port(info, by_id, by_path, device_holders) for info in list_ports.comports()
        ),
    )


def port_condition(path: str, device_holders: DeviceHolders | None = None) -> PortCondition:
    """Return whether a port could be opened. `device_holders` are the programs that have it open."""
    try:
        file_stat = Path(path).stat()
        if not stat.S_ISCHR(file_stat.st_mode):
            return PortCondition(state="unsupported", reason="is no serial port")
        # The process at the far end of a pseudo-terminal may hold both ends: the lock decides.
        if os.major(file_stat.st_rdev) not in PTY_MAJORS:
            if not _is_terminal(file_stat.st_rdev):
                return PortCondition(state="unsupported", reason="is no serial port")
            holder_names = (find_holders() if device_holders is None else device_holders).get(
                file_stat.st_rdev, ()
            )
            if holder_names:
                return PortCondition(state="busy", reason=f"{', '.join(holder_names)} has it")
        return _try_open(path)
    except (OSError, termios.error) as error:
        return _condition_from_error(error)


def _is_terminal(device: int) -> bool:
    """Return whether the kernel lists a device as a terminal, without opening it."""
    subsystem = CHAR_DEVICE_FOLDER / f"{os.major(device)}:{os.minor(device)}" / "subsystem"
    return not subsystem.exists() or subsystem.resolve().name == "tty"


def _try_open(path: str) -> PortCondition:
    """Open a port, read its settings, take the lock that the drivers take, and close it."""
    port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        termios.tcgetattr(port)
        fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(port)
    return FREE


def _condition_from_error(error: OSError | termios.error) -> PortCondition:
    number = error.errno if isinstance(error, OSError) else int(error.args[0])
    return PortCondition(
        state="denied" if number in PERMISSION_ERRNOS else errno_kind(number),
        reason=errno_text(number, "serial port", "dialout"),
    )


def _to_found_port(
    info: Any, by_id: Mapping[str, str], by_path: Mapping[str, str], device_holders: DeviceHolders
) -> FoundPort:
    path = str(info.device)
    port_state = port_condition(path, device_holders)
    usb_id = None if info.vid is None else f"{info.vid:04x}:{info.pid:04x}"
    return FoundPort(
        path=path,
        by_id=by_id.get(os.path.realpath(path)),
        by_path=by_path.get(os.path.realpath(path)),
        description=_known_or_none(info.description),
        usb_id=usb_id,
        serial_number=_known_or_none(info.serial_number),
        is_kernel_console=is_kernel_console(path),
        state=port_state.state,
        reason=port_state.reason,
    )


def is_kernel_console(path: str, consoles: Path = TTY_CLASS_FOLDER) -> bool:
    """Return whether the kernel writes its messages to this port."""
    with contextlib.suppress(OSError):
        name = Path(os.path.realpath(path)).name
        return (consoles / name / "console").read_text(encoding="ascii").strip() == "Y"
    return False


def _known_or_none(text: str | None) -> str | None:
    """Return the text, or None if the library does not know it (`n/a`)."""
    return None if text in (None, "", "n/a") else text
