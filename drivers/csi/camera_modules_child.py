"""The child of `drivers.csi.camera_modules`: prints libcamera's cameras as JSON, and ends.

libcamera and Picamera2 may print: their output goes to stderr.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from drivers.csi import picamera2_setup
from drivers.csi.camera_modules import CameraModule, CameraModulesReply
from drivers.errors import DriverError

STDOUT, STDERR = 1, 2


def main() -> None:
    """Print the cameras."""
    out = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        infos = picamera2_setup.import_picamera2("camera modules").Picamera2.global_camera_info()
        reply = CameraModulesReply(modules=parse_modules(infos))
    except DriverError as error:
        reply = CameraModulesReply(kind=error.kind, message=str(error))
    except (RuntimeError, OSError) as error:
        reply = CameraModulesReply(
            kind="unsupported",
            message=str(picamera2_setup.to_driver_error(error, "camera modules")),
        )
    with os.fdopen(out, "wb") as pipe:
        pipe.write(msgspec.json.encode(reply))


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


if __name__ == "__main__":
    main()
