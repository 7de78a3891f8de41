"""Loader of driver modules by their name in the configuration.

There is no registry: the name is that of the file. A new device is one new file. Simulated devices are files of
`simulation/`, of which a box has the camera alone.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol, cast

import msgspec

from drivers.contracts import Camera, Gpio, GpioLine, Ptz, StreamRequest
from drivers.errors import DriverError

DriverFolder = Literal["camera", "ptz", "gpio"]
"""The folders of drivers."""

PACKAGES = ("drivers", "simulation")


class CameraDriverModule(Protocol):
    """The interface of a module under `drivers/camera/`."""

    Options: type[msgspec.Struct]

    @staticmethod
    def open_camera(
        name: str, options: msgspec.Struct, request: StreamRequest, clock_ns: Callable[[], int]
    ) -> Camera:
        """Open the device; `name` is for messages. Raises DriverError."""
        ...


class PtzDriverModule(Protocol):
    """The interface of a module under `drivers/ptz/`."""

    Options: type[msgspec.Struct]

    @staticmethod
    def open_ptz(name: str, options: msgspec.Struct, clock_ns: Callable[[], int]) -> Ptz:
        """Open the head; `name` is for messages. Raises DriverError."""
        ...


class GpioDriverModule(Protocol):
    """The interface of a module under `drivers/gpio/`."""

    Options: type[msgspec.Struct]

    @staticmethod
    def open_gpio(
        options: msgspec.Struct, lines: Sequence[GpioLine], clock_ns: Callable[[], int]
    ) -> Gpio:
        """Open the pins. Raises DriverError."""
        ...


def driver_names(kind: DriverFolder) -> tuple[str, ...]:
    """Return the names that the key `driver` may have for this kind of device."""
    return tuple(sorted(_driver_packages(kind)))


def load_camera_driver(driver: str) -> CameraDriverModule:
    """Import the module of a camera driver.

    Raises DriverError: `unsupported` if no file has this name, and `absent` if a library that the
    driver needs is not installed.
    """
    return cast("CameraDriverModule", _load_module("camera", driver))


def load_ptz_driver(driver: str) -> PtzDriverModule:
    """Import the module of a head's driver. Raises DriverError as `load_camera_driver` does."""
    return cast("PtzDriverModule", _load_module("ptz", driver))


def load_gpio_driver(driver: str) -> GpioDriverModule:
    """Import the module of a GPIO driver. Raises DriverError as `load_camera_driver` does."""
    return cast("GpioDriverModule", _load_module("gpio", driver))


def _load_module(kind: DriverFolder, driver: str) -> ModuleType:
    packages = _driver_packages(kind)
    if driver not in packages:
        allowed = ", ".join(sorted(packages))
        raise DriverError("unsupported", f"{kind} driver {driver!r} is unknown; allowed: {allowed}")
    try:
        return importlib.import_module(f"{packages[driver]}.{kind}.{driver}")
    except ImportError as error:
        raise DriverError("absent", f"{kind} driver {driver!r} needs a library: {error}") from error


def _driver_packages(kind: DriverFolder) -> dict[str, str]:
    """Return the package of each driver, by the driver's name."""
    root = Path(__file__).parents[1]
    return {
        file.stem: package
        for package in PACKAGES
        for file in (root / package / kind).glob("*.py")
        if not file.stem.startswith("_")
    }
