"""Query the Video4Linux2 devices at /dev/video*.

The queries start no stream and change nothing for a process that uses the device.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from drivers.device_files import DeviceHolders, find_holders, stable_names
from drivers.errors import PERMISSION_ERRNOS, errno_kind, errno_text

DEVICE_FOLDER = Path("/dev")

VIDIOC_QUERYCAP, VIDIOC_ENUM_FMT, VIDIOC_REQBUFS = 0x80685600, 0xC0405602, 0xC0145608
"""VIDIOC_QUERYCAP, VIDIOC_ENUM_FMT and VIDIOC_REQBUFS of linux/videodev2.h."""
_CAPABILITY = struct.Struct("16s32s32sIII12x")
_FORMAT = struct.Struct("III32s4sI12x")
_BUFFERS = struct.Struct("IIIIB3x")
CAP_VIDEO_CAPTURE, CAP_VIDEO_CAPTURE_MPLANE, CAP_VIDEO_M2M_MPLANE, CAP_VIDEO_M2M = (
    0x1,
    0x1000,
    0x4000,
    0x8000,
)
CAP_DEVICE_CAPS = 0x8000_0000
BUF_TYPE_CAPTURE, MEMORY_MMAP = 1, 1
MAX_FORMATS = 64

BOARD_DRIVERS = ("unicam", "bcm2835", "rp1-cfe", "pispbe", "rpi-hevc-dec", "rpivid")
"""The kernel drivers of a Raspberry Pi's sensor receivers, codecs and image processors. They are no
cameras for the driver `v4l2`: libcamera uses them."""

DRIVER_FORMATS: Mapping[str, str] = {
    "H264": "h264",
    "MJPG": "mjpeg",
    "YUYV": "yuyv422",
    "NV12": "nv12",
    "YU12": "yuv420p",
}
"""The formats of the driver `v4l2` by the kernel's four-character code, the best for recording first."""

DeviceState = Literal["free", "busy", "denied", "absent", "unsupported"]
Ioctl = Callable[[int, int, bytes], Any]


class VideoDevice(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One device node. `is_capture`: it captures video that the driver `v4l2` may read.

    `formats` are the driver's names, the best first; `other_formats` are the kernel's codes of the rest.
    """

    path: str
    by_id: str | None = None
    name: str | None = None
    kernel_driver: str | None = None
    is_capture: bool = False
    formats: tuple[str, ...] = ()
    other_formats: tuple[str, ...] = ()
    state: DeviceState = "free"
    reason: str | None = None

    @property
    def best_path(self) -> str:
        """The path for the configuration: the stable one if there is one."""
        return self.by_id or self.path


def find_devices(dev: Path = DEVICE_FOLDER, ioctl: Ioctl = fcntl.ioctl) -> tuple[VideoDevice, ...]:
    """Return every video node, cameras or not, in the order of their numbers."""
    by_id = stable_names(dev / "v4l/by-id")
    device_holders = find_holders()
    paths = sorted(dev.glob("video[0-9]*"), key=lambda path: (len(path.name), path.name))
    return tuple(
        _read_device(path, by_id.get(os.path.realpath(path)), device_holders, ioctl)
        for path in paths
    )


def _read_device(
    path: Path, by_id: str | None, device_holders: DeviceHolders, ioctl: Ioctl
) -> VideoDevice:
    node = VideoDevice(path=str(path), by_id=by_id)
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return _with_error(node, error)
    try:
        return _query_device(node, device, device_holders, ioctl)
    except OSError as error:
        return _with_error(node, error)
    finally:
        os.close(device)


def _query_device(
    node: VideoDevice, device: int, device_holders: DeviceHolders, ioctl: Ioctl
) -> VideoDevice:
    capability = _CAPABILITY.unpack(ioctl(device, VIDIOC_QUERYCAP, bytes(_CAPABILITY.size)))
    kernel_driver, name, _bus, _version, all_caps, own_caps = capability
    driver = _decode_field(kernel_driver)
    caps = own_caps if all_caps & CAP_DEVICE_CAPS else all_caps
    node = msgspec.structs.replace(node, name=_decode_field(name), kernel_driver=driver)
    if (
        not caps & CAP_VIDEO_CAPTURE
        or caps & (CAP_VIDEO_M2M | CAP_VIDEO_M2M_MPLANE)
        or driver.startswith(BOARD_DRIVERS)
    ):
        return node
    pixel_formats = tuple(dict.fromkeys(_pixel_formats(device, ioctl)))
    is_busy = _is_busy(device, ioctl)
    holder_names = ", ".join(device_holders.get(os.fstat(device).st_rdev, ())) or "another program"
    return msgspec.structs.replace(
        node,
        is_capture=True,
        formats=tuple(
            name_in_driver
            for known, name_in_driver in DRIVER_FORMATS.items()
            if known in pixel_formats
        ),
        other_formats=tuple(one for one in pixel_formats if one not in DRIVER_FORMATS),
        state="busy" if is_busy else "free",
        reason=f"{holder_names} has it" if is_busy else None,
    )


def _pixel_formats(device: int, ioctl: Ioctl) -> Iterator[str]:
    """Yield the kernel's codes of the device's pixel formats."""
    for index in range(MAX_FORMATS):
        request = _FORMAT.pack(index, BUF_TYPE_CAPTURE, 0, b"", b"", 0)
        try:
            reply = _FORMAT.unpack(ioctl(device, VIDIOC_ENUM_FMT, request))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return
        yield reply[4].decode("latin-1").strip()


def _is_busy(device: int, ioctl: Ioctl) -> bool:
    """Return whether another process has buffers of the device.

    A request for 0 buffers frees none if this process has none (V4L2 documentation,
    VIDIOC_REQBUFS).
    """
    try:
        ioctl(device, VIDIOC_REQBUFS, _BUFFERS.pack(0, BUF_TYPE_CAPTURE, MEMORY_MMAP, 0, 0))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _with_error(node: VideoDevice, error: OSError) -> VideoDevice:
    return msgspec.structs.replace(
        node,
        state="denied" if error.errno in PERMISSION_ERRNOS else errno_kind(error.errno),
        reason=errno_text(error.errno, "video device", "video"),
    )


def _decode_field(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")
