"""An IMX500 for the tests: its tree of files, a network's file and tensors, as picamera2 reads them."""

import ctypes
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SCALER_CROP = (0, 380, 4056, 2280)
"""A picture of 16:9 on the sensor of 4056 x 3040."""

COCO_START = ("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck")

_INFO_LINES = (
    *("networkID=000000", "apParamSize=0", "networkNum=1", "networkOrdinal=0"),
    *("inputTensorFormat=RGB", *(f"inputTensorNorm_{name}=0x0" for name in ("K03", "K13", "K23"))),
    *(f"inputTensorNorm_{name}=0x100" for name in ("K00", "K22", "K02", "K20", "K11")),
)


def fit_sensor(folder: Path, camera_id: str = "Virtual0") -> None:
    """Make the tree of a machine with the sensor."""
    device = folder / "sys/class/video4linux/v4l-subdev0"
    real = folder / "sys/devices/i2c-10/10-001a"
    (real / "driver").mkdir(parents=True)
    device.mkdir(parents=True)
    (folder / "dev").mkdir()
    (folder / "dev/v4l-subdev0").touch()
    (device / "device").symlink_to(real)
    (folder / "sys/module/imx500").mkdir(parents=True)
    (real / "driver/module").symlink_to(folder / "sys/module/imx500")
    (real / "of_node").symlink_to(f"/sys/firmware/devicetree/base/{camera_id}")
    set_progress(folder, 0, 0)


def set_progress(folder: Path, done_bytes: int, total_bytes: int) -> None:
    """Set the progress of the network's upload in debugfs."""
    for name, text in (
        ("imx500-fw:10-001a/fw_progress", f"2 {done_bytes} {total_bytes}"),
        ("rp2040-spi:10-0040/transfer_progress", "0"),
    ):
        path = folder / "sys/kernel/debug" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_network(
    path: Path,
    size_px: tuple[int, int] = (320, 320),
    cpu: Mapping[str, object] | None = None,
    labels: Sequence[str] = COCO_START,
) -> Path:
    """Write a network's file: a block of firmware, and a cpio archive with its description."""
    intrinsics = {
        "task": "object detection",
        "cpu": dict(cpu or {"bbox_normalization": True, "bbox_order": "yx"}),
        "classes": {"labels": list(labels)},
    }
    sizes = (f"inputTensorWidth={size_px[0]}", f"inputTensorHeight={size_px[1]}")
    info = "\n".join((*_INFO_LINES[:4], *sizes, *_INFO_LINES[4:]))
    payload = bytes(100)
    block = struct.pack(">4sI", b"9464", len(payload)) + bytes(52) + payload + b"3695"
    archive = b"".join(
        _cpio_entry(name, content.encode())
        for name, content in (
            ("network_info.txt", info),
            ("network_intrinsics", json.dumps(intrinsics)),
            ("TRAILER!!!", ""),
        )
    )
    path.write_bytes(block + archive)
    return path


def _cpio_entry(name: str, content: bytes) -> bytes:
    fields = [0, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


class _TensorInfo(ctypes.LittleEndianStructure):
    _fields_ = (
        ("tensor_data_num", ctypes.c_uint32),
        ("num_dimensions", ctypes.c_uint32),
        ("size", ctypes.c_uint16 * 16),
    )


class _OutputInfo(ctypes.LittleEndianStructure):
    """libcamera's CnnOutputTensorInfoExported."""

    _fields_ = (
        ("network_name", ctypes.c_char * 64),
        ("num_tensors", ctypes.c_uint32),
        ("info", _TensorInfo * 16),
        ("frame_count", ctypes.c_uint8),
    )


def metadata_of(*tensors: npt.NDArray[Any]) -> dict[str, object]:
    """Return the metadata of a picture that carries these tensors."""
    info = _OutputInfo(network_name=b"street", num_tensors=len(tensors))
    for index, tensor in enumerate(tensors):
        info.info[index].tensor_data_num = tensor.size
        info.info[index].num_dimensions = tensor.ndim
        for axis, length in enumerate(tensor.shape):
            info.info[index].size[axis] = length
    flat = np.concatenate([tensor.flatten(order="F") for tensor in tensors])
    return {
        "ScalerCrop": list(SCALER_CROP),
        "CnnOutputTensor": [round(float(value), 5) for value in flat],
        "CnnOutputTensorInfo": list(bytes(info)),
    }


def detections(
    *rows: tuple[float, float, float, float, float, int], size_px: int = 320
) -> dict[str, object]:
    """Return the metadata of objects: y0, x0, y1, x1 in 0..1 of the network's input, score, class."""
    boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4) * size_px
    scores = np.array([row[4] for row in rows], np.float32)
    classes = np.array([row[5] for row in rows], np.float32)
    return metadata_of(boxes, scores, classes, np.array([len(rows)], np.float32))


def write_metadata(folder: Path, metadata: Mapping[str, object]) -> None:
    """Replace the metadata of the pictures to come, at once."""
    new = folder / "metadata.json.new"
    new.write_text(json.dumps(metadata))
    new.rename(folder / "metadata.json")
