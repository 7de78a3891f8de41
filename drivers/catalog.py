"""From a driver's name in the configuration to its module.

There is no registry: the name is the file's. A new device is one new file.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol, cast

import msgspec

from drivers.contracts import Camera, Gpio, Line, Ptz, Wanted
from drivers.errors import DriverError

Kind = Literal["camera", "ptz", "gpio"]
"""The folders of drivers."""


class CameraModule(Protocol):
    """What a module under `drivers/camera/` offers."""

    Options: type[msgspec.Struct]

    @staticmethod
    def open_camera(
        name: str, options: msgspec.Struct, wanted: Wanted, clock_ns: Callable[[], int]
    ) -> Camera:
        """Open the device; `name` is for messages. Raises DriverError."""
        ...


class PtzModule(Protocol):
    """What a module under `drivers/ptz/` offers."""

    Options: type[msgspec.Struct]

    @staticmethod
    def open_ptz(name: str, options: msgspec.Struct, clock_ns: Callable[[], int]) -> Ptz:
        """Open the head; `name` is for messages. Raises DriverError."""
        ...


class GpioModule(Protocol):
    """What a module under `drivers/gpio/` offers."""

    Options: type[msgspec.Struct]

    @staticmethod
    def open_gpio(
        options: msgspec.Struct, lines: Sequence[Line], clock_ns: Callable[[], int]
    ) -> Gpio:
        """Open the pins. Raises DriverError."""
        ...


def drivers_of(kind: Kind) -> tuple[str, ...]:
    """The names that `driver =` may have for this kind of device."""
    folder = Path(__file__).parent / kind
    return tuple(sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")))


def camera_module(driver: str) -> CameraModule:
    """The module of a camera driver.

    Raises DriverError `unsupported` for a name without a file, and `absent` where a library that
    the driver needs is not installed.
    """
    return cast("CameraModule", _module("camera", driver))


def ptz_module(driver: str) -> PtzModule:
    """The module of a head's driver. Raises DriverError as `camera_module`."""
    return cast("PtzModule", _module("ptz", driver))


def gpio_module(driver: str) -> GpioModule:
    """The module of a driver of pins. Raises DriverError as `camera_module`."""
    return cast("GpioModule", _module("gpio", driver))


def _module(kind: Kind, driver: str) -> ModuleType:
    if driver not in drivers_of(kind):
        allowed = ", ".join(drivers_of(kind))
        raise DriverError("unsupported", f"{kind} driver {driver!r} is unknown; allowed: {allowed}")
    try:
        return importlib.import_module(f"drivers.{kind}.{driver}")
    except ImportError as error:
        raise DriverError("absent", f"{kind} driver {driver!r} needs a library: {error}") from error
