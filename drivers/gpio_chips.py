"""Find the GPIO chips of the kernel, and whether gpiozero can open the header's.

No line is touched: only the name of a chip is read.
"""

import fcntl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from drivers.errors import DriverError

DEVICE_FOLDER = Path("/dev")
GET_CHIPINFO = 0x8044B401
"""GPIO_GET_CHIPINFO_IOCTL of linux/gpio.h: name, label, number of lines."""
_CHIPINFO = struct.Struct("32s32sI")

Ioctl = Callable[[int, int, bytes], Any]


class PinChip(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One chip. `label` is its maker's name, such as `pinctrl-rp1`."""

    path: str
    label: str | None = None
    lines: int | None = None
    state: Literal["free", "denied", "unsupported"] = "free"


class PinFactory(msgspec.Struct, frozen=True, kw_only=True):
    """The pin factory of gpiozero, and the board that it found."""

    name: str
    board: str | None = None


def find_chips(dev: Path = DEVICE_FOLDER, ioctl: Ioctl = fcntl.ioctl) -> tuple[PinChip, ...]:
    """Return every GPIO chip."""
    return tuple(sorted(_read_chip(path, ioctl) for path in dev.glob("gpiochip[0-9]*")))


def open_factory() -> PinFactory:
    """Open gpiozero's pin factory, until the process ends.

    Raises: DriverError `absent` (no chip, no library), `unsupported` (denied to this user).
    """
    try:
        import gpiozero  # noqa: PLC0415 - few commands need it, and it is not everywhere

        from drivers import pin_factory  # noqa: PLC0415
    except ImportError as error:
        raise DriverError("absent", f"pins: needs gpiozero: {error}") from error
    with pin_factory.pin_errors("pins"):
        factory = gpiozero.Device.pin_factory
        name = type(factory).__name__.removesuffix("Factory").lower()
        return PinFactory(name=name, board=str(factory.board_info.description))


def _read_chip(path: Path, ioctl: Ioctl) -> PinChip:
    try:
        with path.open("rb", buffering=0) as chip:
            reply = ioctl(chip.fileno(), GET_CHIPINFO, bytes(_CHIPINFO.size))
    except PermissionError:
        return PinChip(path=str(path), state="denied")
    except OSError:
        return PinChip(path=str(path), state="unsupported")
    name, label, lines = _CHIPINFO.unpack(reply)
    return PinChip(path=str(path), label=_decode_field(label) or _decode_field(name), lines=lines)


def _decode_field(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")
