"""Picamera2, opened and configured, and what goes wrong with that in a driver's words."""

import importlib
from typing import Any

import msgspec

from drivers.csi.options import Options
from drivers.errors import DriverError, DriverErrorKind

BUFFERS = 6
"""Picamera2's own number for video."""

NV12 = "NV12"
"""Both streams: the hardware encoder and libx264 take it, and its luma is a plane of its own."""

_BUSY = ("busy", "in use", "another process")


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as libcamera gives it; rows are `stride_bytes` apart."""

    width_px: int
    height_px: int
    stride_bytes: int


def library(what: str) -> Any:
    """The module `picamera2`. Raises DriverError `absent` where it is not installed."""
    try:
        return importlib.import_module("picamera2")
    except ImportError as error:
        raise DriverError(
            "absent",
            f"{what}: needs Picamera2 and libcamera (apt-get install python3-picamera2 on Raspberry Pi OS): {error}",
        ) from error


def open_camera(picamera2: Any, options: Options, what: str) -> Any:
    """The Picamera2 of the module that the options name.

    Raises DriverError: absent, busy, unsupported.
    """
    ids = [str(info["Id"]) for info in picamera2.Picamera2.global_camera_info()]
    wanted = options.camera
    number = ids.index(wanted) if isinstance(wanted, str) and wanted in ids else wanted
    if not isinstance(number, int) or number >= len(ids):
        there = ", ".join(f"{at} {name!r}" for at, name in enumerate(ids)) or "none"
        raise DriverError("absent", f"{what}: libcamera has no such camera; there are: {there}")
    try:
        return picamera2.Picamera2(number)
    except (RuntimeError, OSError) as error:
        raise told(error, what) from error


def configure(camera: Any, options: Options, what: str, *, lores: bool) -> dict[str, Stream]:
    """Set up the streams `main` and, if wanted, `lores`. The second one may come out in another
    size than was asked for. Raises DriverError `unsupported`.
    """
    main = (options.width_px, options.height_px)
    small = {"format": NV12, "size": (options.detect_width_px, options.detect_height_px)}
    try:
        camera.configure(
            camera.create_video_configuration(
                main={"format": NV12, "size": main},
                lores=small if lores else None,
                buffer_count=BUFFERS,
                display=None,
            )
        )
    except (RuntimeError, OSError) as error:
        raise told(error, what) from error
    given = {
        name: camera.camera_configuration()[name]
        for name in (("main", "lores") if lores else ("main",))
    }
    for name, stream in given.items():
        if stream["format"] != NV12 or (name == "main" and stream["size"] != main):
            width, height = stream["size"]
            raise DriverError(
                "unsupported",
                f"{what}: has no {main[0]}x{main[1]} in {NV12}; "
                f"the nearest is {width}x{height} in {stream['format']}",
            )
    return {
        name: Stream(
            width_px=stream["size"][0],
            height_px=stream["size"][1],
            stride_bytes=stream["stride"],
        )
        for name, stream in given.items()
    }


def told(error: Exception, what: str) -> DriverError:
    """Picamera2's error in a driver's words: its first cause says the most."""
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    said = " ".join(str(first).split())
    kind: DriverErrorKind = "busy" if any(word in said.lower() for word in _BUSY) else "unsupported"
    return DriverError(kind, f"{what}: {said}")
