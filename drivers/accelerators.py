"""Find accelerators: a Hailo by its PCI ids, the sensor IMX500 by the device tree. No device is opened."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

ROOT = Path("/")
_HAILO_VENDOR = "0x1e60"
_HAILO_NAMES = {"0x2864": "Hailo-8 or Hailo-8L", "0x45c4": "Hailo-10H"}
"""By the device ids of Hailo's kernel drivers. Only HailoRT tells a Hailo-8L from a Hailo-8."""
_IMX500_COMPATIBLE = "sony,imx500"
MAX_FILE_BYTES = 4096
"""Of a file in sysfs."""


class Accelerator(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One accelerator. `place` is its PCI address, or its node in the device tree, which is libcamera's id of the camera.

    `device` is the node that a program opens; None if no driver of the kernel serves it.
    """

    kind: Literal["hailo", "imx500"]
    name: str
    place: str
    device: str | None = None
    state: Literal["free", "denied", "absent"] = "free"


CanAccess = Callable[[Path, int], bool]


def find_accelerators(
    root: Path = ROOT, can_access: CanAccess = os.access
) -> tuple[Accelerator, ...]:
    """Return every accelerator of the machine whose files are in `root`, sorted."""
    found = [*_find_hailos(root, can_access), *_find_imx500s(root, can_access)]
    return tuple(sorted(found, key=lambda one: (one.kind, one.place)))


def _find_hailos(root: Path, can_access: CanAccess) -> Iterator[Accelerator]:
    for folder in (root / "sys/bus/pci/devices").glob("*"):
        if _read(folder / "vendor") != _HAILO_VENDOR:
            continue
        device_id = _read(folder / "device")
        device = next(
            (
                f"/dev/{line.removeprefix('DEVNAME=')}"
                for uevent in sorted(folder.glob("*/*/uevent"))
                for line in _read(uevent).splitlines()
                if line.startswith("DEVNAME=")
            ),
            None,
        )
        yield Accelerator(
            kind="hailo",
            name=_HAILO_NAMES.get(device_id, f"Hailo, device {device_id}"),
            place=folder.name,
            device=device,
            state=_state(root, device, can_access),
        )


def _find_imx500s(root: Path, can_access: CanAccess) -> Iterator[Accelerator]:
    for folder in (root / "sys/bus/i2c/devices").glob("*"):
        if _IMX500_COMPATIBLE not in _read(folder / "of_node/compatible").split("\0"):
            continue
        node = (folder / "of_node").resolve().as_posix()
        device = next(
            (f"/dev/{path.name}" for path in sorted(folder.glob("video4linux/v4l-subdev*"))), None
        )
        yield Accelerator(
            kind="imx500",
            name="IMX500",
            place=node.partition("/devicetree")[2] or node,
            device=device,
            state=_state(root, device, can_access),
        )


def _state(
    root: Path, device: str | None, can_access: CanAccess
) -> Literal["free", "denied", "absent"]:
    if device is None or not (root / device.lstrip("/")).exists():
        return "absent"
    is_allowed = can_access(root / device.lstrip("/"), os.R_OK | os.W_OK)
    return "free" if is_allowed else "denied"


def _read(path: Path) -> str:
    """Return the text of a file, or nothing if there is none."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES).decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""
