"""The hardware under picamera2's IMX500: its device nodes and ioctls, on a tree of files in the folder VIRTUAL_CAMERA.

All else is picamera2's own: the search of the sensor in sysfs, the network's file, tensors, coordinates, the progress of the
upload. `network` and `roi` get what the kernel's driver is given; `fw_progress` and `transfer_progress` are its debugfs.
"""

import ctypes
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

FOLDER = Path(os.environ.get("VIRTUAL_CAMERA", "/nonexistent"))
NETWORK_CONTROL, ROI_CONTROL = 0x00982901, 0x00982900


def in_tree(path: Any) -> Any:
    """Return the path of a file of the machine in the tree."""
    text = str(path)
    return str(FOLDER) + text if text.startswith(("/sys/", "/dev/")) else path


class TreePath:
    """`os.path` on the tree."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(os.path, name)
        return lambda *arguments: function(*map(in_tree, arguments))


class TreeOs:
    """`os` on the tree."""

    path = TreePath()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def readlink(self, path: str) -> str:
        return str(Path(in_tree(path)).readlink())


def open_in_tree(path: str, mode: str, buffering: int = -1) -> Any:
    """Open a file of the machine in the tree."""
    return Path(in_tree(path)).open(mode, buffering)


def ioctl(_device: Any, _request: int, argument: Any) -> int:
    """Take a control, as the kernel's driver of the sensor."""
    if getattr(argument, "id", None) == NETWORK_CONTROL:
        (FOLDER / "network").write_bytes(os.pread(argument.value, 1 << 20, 0))
    elif hasattr(argument, "controls"):
        control = argument.controls[0]
        assert control.id == ROI_CONTROL
        values = ctypes.cast(control.p_u32, ctypes.POINTER(ctypes.c_uint32))
        (FOLDER / "roi").write_text(" ".join(str(values[index]) for index in range(4)))
    return 0


def change(imx500: ModuleType) -> None:
    """Put the tree under the module."""
    import fcntl  # noqa: PLC0415 - the module's own name is replaced

    driver: Any = sys.modules.get("drivers.csi.sensor_network")  # not in the process of a Hailo
    if driver is not None:
        driver.DEBUGFS_FOLDER = FOLDER / "sys/kernel/debug"
    global_camera_info = imx500.Picamera2.global_camera_info
    imx500.os = TreeOs()
    imx500.open = open_in_tree
    imx500.fcntl = SimpleNamespace(**{**vars(fcntl), "ioctl": ioctl})
    imx500.Picamera2 = SimpleNamespace(
        global_camera_info=lambda: [
            {**info, "Model": "imx500", "Num": number}
            for number, info in enumerate(global_camera_info())
        ]
    )
