"""The serial ports of this box, by the names that stay, and whether each could be opened.

Nothing is sent, and no setting of a port is changed. A port that nobody has is opened for a moment;
that raises its modem lines, as any opening does.
"""

import contextlib
import errno
import fcntl
import os
import stat
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from serial.tools import list_ports

from drivers.device_holders import Holders, holders
from drivers.device_links import links

DEV = Path("/dev")
CONSOLES = Path("/sys/class/tty")
DEVICES = Path("/sys/dev/char")

PortState = Literal["free", "busy", "denied", "absent", "unsupported", "timeout"]
"""`unsupported`: it is no serial port. `timeout`: only over TCP, its server does not answer."""

PSEUDO = range(136, 144)
"""The major numbers of pseudo-terminals (Documentation/admin-guide/devices.txt)."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How a port is, and in words why it is not free."""

    state: PortState
    why: str | None = None


FREE = Condition(state="free")


class FoundPort(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One port. `by_id` goes with the adapter, `by_path` with the socket that it is plugged into.
    `console`: the kernel talks there itself.
    """

    path: str
    by_id: str | None = None
    by_path: str | None = None
    description: str | None = None
    usb: str | None = None
    """The adapter's numbers, `vendor:product`, in hexadecimal."""
    serial_number: str | None = None
    console: bool = False
    state: PortState
    why: str | None = None

    @property
    def best_path(self) -> str:
        """The name to put into a configuration."""
        return self.by_id or self.by_path or self.path


def find_ports(dev: Path = DEV) -> tuple[FoundPort, ...]:
    """Every serial port that the kernel has a device behind."""
    by_id, by_path = links(dev / "serial/by-id"), links(dev / "serial/by-path")
    held = holders()
    return tuple(
        sorted(_found(info, by_id, by_path, held) for info in list_ports.comports()),
    )


def condition(path: str, held: Holders | None = None) -> Condition:
    """Whether a port could be opened, and if not, why. `held` is who has what open."""
    try:
        about = Path(path).stat()
        if not stat.S_ISCHR(about.st_mode):
            return Condition(state="unsupported", why="is no serial port")
        # Of a pseudo-terminal the process at the far end may hold both ends: the lock tells.
        if os.major(about.st_rdev) not in PSEUDO:
            if not _is_terminal(about.st_rdev):
                return Condition(state="unsupported", why="is no serial port")
            who = (holders() if held is None else held).get(about.st_rdev, ())
            if who:
                return Condition(state="busy", why=f"{', '.join(who)} has it")
        return _tried(path)
    except (OSError, termios.error) as error:
        return _told(error)


def _is_terminal(device: int) -> bool:
    """Whether the kernel counts it among the terminals; none is opened for that."""
    known = DEVICES / f"{os.major(device)}:{os.minor(device)}" / "subsystem"
    return not known.exists() or known.resolve().name == "tty"


def _tried(path: str) -> Condition:
    """Open it, ask for its settings and for the lock that all of ours take, and let go."""
    port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        termios.tcgetattr(port)
        fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(port)
    return FREE


def _told(error: OSError | termios.error) -> Condition:
    number = error.errno if isinstance(error, OSError) else int(error.args[0])
    match number:
        case errno.EACCES | errno.EPERM:
            said = "permission denied to this user; members of the group dialout may open it"
            return Condition(state="denied", why=said)
        case errno.EBUSY | errno.EAGAIN:
            return Condition(state="busy", why="another program has it")
        case errno.ENOTTY:
            return Condition(state="unsupported", why="is no serial port")
        case errno.ENOENT:
            return Condition(state="absent", why="no such device")
        case errno.EIO | errno.ENODEV | errno.ENXIO:
            return Condition(state="absent", why="no hardware behind it")
        case _:
            return Condition(state="absent", why=os.strerror(number or 0))


def _found(
    info: Any, by_id: Mapping[str, str], by_path: Mapping[str, str], held: Holders
) -> FoundPort:
    path = str(info.device)
    how = condition(path, held)
    usb = None if info.vid is None else f"{info.vid:04x}:{info.pid:04x}"
    return FoundPort(
        path=path,
        by_id=by_id.get(os.path.realpath(path)),
        by_path=by_path.get(os.path.realpath(path)),
        description=_given(info.description),
        usb=usb,
        serial_number=_given(info.serial_number),
        console=is_console(path),
        state=how.state,
        why=how.why,
    )


def is_console(path: str, consoles: Path = CONSOLES) -> bool:
    """Whether the kernel writes its messages to this port."""
    with contextlib.suppress(OSError):
        name = Path(os.path.realpath(path)).name
        return (consoles / name / "console").read_text(encoding="ascii").strip() == "Y"
    return False


def _given(text: str | None) -> str | None:
    """The library says `n/a` for what it does not know."""
    return None if text in (None, "", "n/a") else text
