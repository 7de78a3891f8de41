"""The child of `drivers.csi.camera_modules`: sends libcamera's cameras, and ends.

libcamera and Picamera2 may print: their output goes nowhere.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.child.main import ChildEnd
from drivers.csi import picamera2_setup
from drivers.csi.camera_modules import CameraModule, FoundModules

STDOUT, STDERR = 1, 2


def run(end: ChildEnd) -> None:
    """Send the cameras. Raises: DriverError."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (STDOUT, STDERR):
        os.dup2(null, descriptor)
    picamera2 = picamera2_setup.import_picamera2(end.display_name)
    try:
        infos = picamera2.Picamera2.global_camera_info()
    except (RuntimeError, OSError) as error:
        raise picamera2_setup.to_driver_error(error, end.display_name) from error
    end.send(FoundModules(modules=parse_modules(infos)))


def parse_modules(infos: Sequence[Mapping[str, Any]]) -> tuple[CameraModule, ...]:
    """Convert Picamera2's list, whose order is that of its numbers. Pure."""
    return tuple(
        CameraModule(
            number=number,
            id=str(info["Id"]),
            model=str(info.get("Model", "")),
            rotation_deg=info.get("Rotation"),
            is_usb="/usb" in str(info["Id"]),
        )
        for number, info in enumerate(infos)
    )
