"""Cameras behind /dev/video*, asked what they are. None is set to work: what is asked changes nothing
for whoever uses it.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from drivers.device_holders import Holders, holders
from drivers.device_links import links

DEV = Path("/dev")

QUERYCAP, ENUM_FMT, REQBUFS = 0x80685600, 0xC0405602, 0xC0145608
"""VIDIOC_QUERYCAP, VIDIOC_ENUM_FMT and VIDIOC_REQBUFS of linux/videodev2.h."""
_CAPABILITY = struct.Struct("16s32s32sIII12x")
_FORMAT = struct.Struct("III32s4sI12x")
_BUFFERS = struct.Struct("IIIIB3x")
CAPTURE, CAPTURE_MPLANE, M2M_MPLANE, M2M = 0x1, 0x1000, 0x4000, 0x8000
DEVICE_CAPS = 0x8000_0000
CAPTURE_TYPE, MMAP = 1, 1
MOST_FORMATS = 64

OF_THE_BOARD = ("unicam", "bcm2835", "rp1-cfe", "pispbe", "rpi-hevc-dec", "rpivid")
"""What a Raspberry Pi's kernel calls its sensor receivers, codecs and image processors: their
pictures are raw or not theirs, and libcamera uses them."""

FORMATS: Mapping[str, str] = {
    "H264": "h264",
    "MJPG": "mjpeg",
    "YUYV": "yuyv422",
    "NV12": "nv12",
    "YU12": "yuv420p",
}
"""What the driver `v4l2` can ask for, by the kernel's four letters; the best to record first."""

DeviceState = Literal["free", "busy", "denied", "absent", "unsupported"]
Ioctl = Callable[[int, int, bytes], Any]


class VideoDevice(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One node. `camera`: it gives pictures that the driver `v4l2` can take. `formats` are those of
    the driver, the best first; `others` are the kernel's letters of the rest.
    """

    path: str
    by_id: str | None = None
    name: str | None = None
    kernel_driver: str | None = None
    camera: bool = False
    formats: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    state: DeviceState = "free"
    why: str | None = None

    @property
    def best_path(self) -> str:
        """The name to put into a configuration."""
        return self.by_id or self.path


def find_devices(dev: Path = DEV, ioctl: Ioctl = fcntl.ioctl) -> tuple[VideoDevice, ...]:
    """Every video node, cameras or not, in the order of their numbers."""
    by_id = links(dev / "v4l/by-id")
    held = holders()
    paths = sorted(dev.glob("video[0-9]*"), key=lambda path: (len(path.name), path.name))
    return tuple(_device(path, by_id.get(os.path.realpath(path)), held, ioctl) for path in paths)


def _device(path: Path, by_id: str | None, held: Holders, ioctl: Ioctl) -> VideoDevice:
    node = VideoDevice(path=str(path), by_id=by_id)
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return _told(node, error)
    try:
        return _asked(node, device, held, ioctl)
    except OSError as error:
        return _told(node, error)
    finally:
        os.close(device)


def _asked(node: VideoDevice, device: int, held: Holders, ioctl: Ioctl) -> VideoDevice:
    told = _CAPABILITY.unpack(ioctl(device, QUERYCAP, bytes(_CAPABILITY.size)))
    kernel_driver, name, _bus, _version, all_caps, own_caps = told
    driver = _text(kernel_driver)
    caps = own_caps if all_caps & DEVICE_CAPS else all_caps
    node = msgspec.structs.replace(node, name=_text(name), kernel_driver=driver)
    if not caps & CAPTURE or caps & (M2M | M2M_MPLANE) or driver.startswith(OF_THE_BOARD):
        return node
    letters = tuple(dict.fromkeys(_letters(device, ioctl)))
    busy = _is_busy(device, ioctl)
    who = ", ".join(held.get(os.fstat(device).st_rdev, ())) or "another program"
    return msgspec.structs.replace(
        node,
        camera=True,
        formats=tuple(word for known, word in FORMATS.items() if known in letters),
        others=tuple(one for one in letters if one not in FORMATS),
        state="busy" if busy else "free",
        why=f"{who} has it" if busy else None,
    )


def _letters(device: int, ioctl: Ioctl) -> Iterator[str]:
    """The pixel formats that it gives."""
    for index in range(MOST_FORMATS):
        question = _FORMAT.pack(index, CAPTURE_TYPE, 0, b"", b"", 0)
        try:
            told = _FORMAT.unpack(ioctl(device, ENUM_FMT, question))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return
        yield told[4].decode("latin-1").strip()


def _is_busy(device: int, ioctl: Ioctl) -> bool:
    """Whether somebody else has buffers of it. To ask for none is to give none up, where one has
    none (V4L2 documentation, VIDIOC_REQBUFS).
    """
    try:
        ioctl(device, REQBUFS, _BUFFERS.pack(0, CAPTURE_TYPE, MMAP, 0, 0))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _told(node: VideoDevice, error: OSError) -> VideoDevice:
    state: DeviceState
    match error.errno:
        case errno.EACCES | errno.EPERM:
            state = "denied"
            why = "permission denied to this user; members of the group video may open it"
        case errno.EBUSY:
            state, why = "busy", "another program has it"
        case errno.ENOTTY | errno.EINVAL:
            state, why = "unsupported", "is no video device"
        case _:
            state, why = "absent", error.strerror or "is gone"
    return msgspec.structs.replace(node, state=state, why=why)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")
