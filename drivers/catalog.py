"""From a driver's name in the configuration to its module.

There is no registry: the name is the file's. A new device is one new file.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import msgspec

from drivers.contracts import Camera, Wanted
from drivers.errors import DriverError


class CameraModule(Protocol):
    """What a module under `drivers/camera/` offers."""

    Options: type[msgspec.Struct]

    @staticmethod
    def open_camera(
        name: str, options: msgspec.Struct, wanted: Wanted, clock_ns: Callable[[], int]
    ) -> Camera:
        """Open the device; `name` is for messages. Raises DriverError."""
        ...


def camera_drivers() -> tuple[str, ...]:
    """The names that `driver =` may have for a camera."""
    folder = Path(__file__).parent / "camera"
    return tuple(sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")))


def camera_module(driver: str) -> CameraModule:
    """The module of a camera driver.

    Raises DriverError `unsupported` for a name without a file, and `absent` where a library that
    the driver needs is not installed.
    """
    if driver not in camera_drivers():
        allowed = ", ".join(camera_drivers())
        raise DriverError("unsupported", f"camera driver {driver!r} is unknown; allowed: {allowed}")
    try:
        return cast("CameraModule", importlib.import_module(f"drivers.camera.{driver}"))
    except ImportError as error:
        raise DriverError("absent", f"camera driver {driver!r} needs a library: {error}") from error
