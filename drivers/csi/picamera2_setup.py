"""Opens and configures Picamera2, and maps its errors to DriverError."""

import importlib
from typing import Any

import msgspec

from drivers.csi.options import Options
from drivers.errors import DriverError, DriverErrorKind

BUFFER_COUNT = 6
"""Picamera2's default for video."""

NV12 = "NV12"
"""Format of both streams: the hardware encoder and libx264 take it, and luma is a separate plane."""

_BUSY_PHRASES = ("busy", "in use", "another process")


class CsiStream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as libcamera configured it; rows are `stride_bytes` apart."""

    width_px: int
    height_px: int
    stride_bytes: int


def import_picamera2(display_name: str) -> Any:
    """Import the module `picamera2`. Raises: DriverError `absent` if it is not installed."""
    try:
        return importlib.import_module("picamera2")
    except ImportError as error:
        raise DriverError(
            "absent",
            f"{display_name}: needs Picamera2 and libcamera (apt-get install python3-picamera2 on Raspberry Pi OS): {error}",
        ) from error


def find_camera(picamera2: Any, options: Options, display_name: str) -> tuple[int, str]:
    """Return the number and the id of the camera module that the options name.

    Raises: DriverError absent.
    """
    ids = [str(info["Id"]) for info in picamera2.Picamera2.global_camera_info()]
    requested = options.camera
    number = ids.index(requested) if isinstance(requested, str) and requested in ids else requested
    if not isinstance(number, int) or number >= len(ids):
        available = ", ".join(f"{at} {name!r}" for at, name in enumerate(ids)) or "none"
        raise DriverError(
            "absent", f"{display_name}: libcamera has no such camera; there are: {available}"
        )
    return number, ids[number]


def open_camera(picamera2: Any, number: int, display_name: str) -> Any:
    """Open a camera module. Raises: DriverError busy, unsupported."""
    try:
        return picamera2.Picamera2(number)
    except (RuntimeError, OSError) as error:
        raise to_driver_error(error, display_name) from error


def configure(
    camera: Any, options: Options, display_name: str, *, lores: bool
) -> dict[str, CsiStream]:
    """Configure the stream `main` and, if requested, `lores`, whose size may differ from the request.

    Raises: DriverError `unsupported`.
    """
    main = (options.width_px, options.height_px)
    lores_config = {"format": NV12, "size": (options.detect_width_px, options.detect_height_px)}
    try:
        camera.configure(
            camera.create_video_configuration(
                main={"format": NV12, "size": main},
                lores=lores_config if lores else None,
                buffer_count=BUFFER_COUNT,
                display=None,
            )
        )
    except (RuntimeError, OSError) as error:
        raise to_driver_error(error, display_name) from error
    configured = {
        name: camera.camera_configuration()[name]
        for name in (("main", "lores") if lores else ("main",))
    }
    for name, stream in configured.items():
        if stream["format"] != NV12 or (name == "main" and stream["size"] != main):
            width, height = stream["size"]
            raise DriverError(
                "unsupported",
                f"{display_name}: has no {main[0]}x{main[1]} in {NV12}; "
                f"the nearest is {width}x{height} in {stream['format']}",
            )
    return {
        name: CsiStream(
            width_px=stream["size"][0],
            height_px=stream["size"][1],
            stride_bytes=stream["stride"],
        )
        for name, stream in configured.items()
    }


def to_driver_error(error: Exception, display_name: str) -> DriverError:
    """Map Picamera2's error to a DriverError, by its first cause."""
    root_cause: BaseException = error
    while root_cause.__cause__ is not None:
        root_cause = root_cause.__cause__
    message = " ".join(str(root_cause).split())
    kind: DriverErrorKind = (
        "busy" if any(word in message.lower() for word in _BUSY_PHRASES) else "unsupported"
    )
    return DriverError(kind, f"{display_name}: {message}")
