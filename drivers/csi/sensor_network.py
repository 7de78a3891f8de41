"""A network in the sensor (IMX500), by picamera2's own code: its upload, its results, its region of interest.

Runs in the child, on Picamera2's thread. The network's input, which is the unmasked picture, is never requested
(`CnnEnableInputTensor`), and its results pass the masks' filter before they leave.
"""

import importlib
import json
import math
import struct
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from drivers.contracts import SensorNetwork
from drivers.found_objects import Values, to_objects
from drivers.masking import mask_plane
from drivers.media import (
    NS_PER_S,
    WHOLE_AREA,
    FoundObject,
    PictureArea,
    Plane,
    Polygon,
    SensorInference,
)

PLANE_WIDTH_PX, PLANE_HEIGHT_PX = 320, 240
MASK_MEMORY_NS, MASK_MEMORY_PICTURES = NS_PER_S // 2, 3


class MaskFilter:
    """The masks of one camera, now and a moment ago. Drops what the network found there: the sensor sees what a mask hides.

    Invariant: an object that is kept touches no mask that was in force within MASK_MEMORY_NS before, or
    MASK_MEMORY_PICTURES. A result is of a picture before the one that carries it, which may have had other masks, and
    at night pictures may be seconds apart. Masks that are not known are the whole picture.
    """

    def __init__(self) -> None:
        self._masks: tuple[Polygon, ...] = ()
        self._plane: Plane | None = None
        self._pictures = 0
        self._former: list[tuple[int, int, Plane]] = []
        """Planes of masks that were replaced, each with the time and the number of the picture until which it counts."""

    def update(self, masks: tuple[Polygon, ...], t_ns: int) -> None:
        """Take the masks of a picture."""
        self._pictures += 1
        self._former = [
            former for former in self._former if t_ns < former[0] or self._pictures < former[1]
        ]
        if masks is self._masks:
            return
        if self._plane is not None:
            self._former.append(
                (t_ns + MASK_MEMORY_NS, self._pictures + MASK_MEMORY_PICTURES, self._plane)
            )
        self._masks = masks
        self._plane = mask_plane(masks, PLANE_WIDTH_PX, PLANE_HEIGHT_PX) if masks else None

    def keep(self, objects: Iterable[FoundObject]) -> tuple[FoundObject, ...]:
        """Return the objects that touch no mask."""
        planes = [plane for _, _, plane in self._former]
        if self._plane is not None:
            planes.append(self._plane)
        return tuple(one for one in objects if not any(_touches(one, plane) for plane in planes))


def _touches(one: FoundObject, plane: Plane) -> bool:
    """Whether a mask is within a box, or in a pixel that it only grazes."""
    height, width = plane.shape
    rows = slice(math.floor(one.y * height), math.ceil((one.y + one.h) * height) + 1)
    columns = slice(math.floor(one.x * width), math.ceil((one.x + one.w) * width) + 1)
    return bool(plane[rows, columns].any())


DEBUGFS_FOLDER = Path("/sys/kernel/debug")
FULL_SENSOR_PX = (4056, 3040)
"""The pixels that regions of interest and ScalerCrop count in, as picamera2 has them."""
SETTLE_NS, SETTLE_FRAMES = NS_PER_S // 5, 3
"""Time and frames after a move of the region in which the driver drops results: they may still be of the region before, and
do not show it. An object that is placed by the wrong region would pass the masks' filter."""
NETWORK_STAGE = 2
"""Stage of the upload, by the kernel's driver: loader, firmware, network."""

SETUP_ERRORS = (
    ImportError,
    RuntimeError,
    OSError,
    ValueError,
    KeyError,
    StopIteration,
    struct.error,
    json.JSONDecodeError,
)
"""Errors that picamera2 raises without a sensor, its driver, or a network's file that it can read."""


class ProgressFilesMixin:
    """Combined with picamera2's IMX500: reads the upload's progress from debugfs, which is root's on most systems.

    picamera2 starts `cat` and `sudo` for it, and fails without them.
    """

    imx500_device_id: str
    spi_device_id: str

    def _fw_progress_read(self) -> str:
        return _read_progress(f"imx500-fw:{self.imx500_device_id}/fw_progress")

    def _fw_progress_chunk_read(self) -> str:
        return _read_progress(f"rp2040-spi:{self.spi_device_id}/transfer_progress")


def _read_progress(name: str) -> str:
    """Return the text of a file of debugfs. Raises CalledProcessError, as picamera2 expects, if it cannot be read."""
    try:
        return (DEBUGFS_FOLDER / name).read_text(encoding="ascii")
    except OSError as error:
        raise subprocess.CalledProcessError(1, name) from error


class SensorResults:
    """The network of one camera module. Raises SETUP_ERRORS if it cannot be used."""

    def __init__(self, request: SensorNetwork, camera_id: str) -> None:
        """To be constructed before Picamera2 is opened: the upload begins when the camera is started."""
        self._module = importlib.import_module("picamera2.devices.imx500")
        imx500_class = type("Imx500", (ProgressFilesMixin, self._module.IMX500), {})
        self._imx500 = imx500_class(request.file, camera_id)
        self._request = request
        self._class_numbers = frozenset(request.labels.values())
        intrinsics = self._imx500.network_intrinsics
        if intrinsics is None or intrinsics.task != "object detection" or intrinsics.postprocess:
            raise ValueError(
                f"{request.file}: allowed: a network for object detection with its post-processing (pp)"
            )
        self._intrinsics = intrinsics
        _check_labels(intrinsics.labels, request)
        self._mask_filter = MaskFilter()
        self._area = WHOLE_AREA
        self._settled_ns, self._unsettled_frames = 0, 0

    def upload_progress(self) -> tuple[int, int]:
        """Return the bytes that the sensor has and all bytes, or 0 of 0 if the kernel does not say."""
        if self._imx500.fw_progress == self._module.IMX500.FwProgressType.NONE:
            return 0, 0
        try:
            done, total = self._imx500.get_fw_upload_progress(NETWORK_STAGE)
        except (subprocess.CalledProcessError, ValueError, IndexError):
            return 0, 0
        return int(done), int(total)

    def update_masks(self, masks: tuple[Polygon, ...], t_ns: int) -> None:
        """Take the masks of each picture, before `read`."""
        self._mask_filter.update(masks, t_ns)

    def move(self, area: PictureArea, metadata: Mapping[str, Any], t_ns: int) -> None:
        """Move the region of interest to a part of the picture."""
        if area == self._area:
            return
        self._area = area
        self._settled_ns, self._unsettled_frames = t_ns + SETTLE_NS, SETTLE_FRAMES
        crop_x, crop_y, crop_w, crop_h = metadata["ScalerCrop"]
        region = (
            (0, 0, *FULL_SENSOR_PX)
            if area == WHOLE_AREA
            else (
                round(crop_x + area.x * crop_w) // 2 * 2,
                round(crop_y + area.y * crop_h) // 2 * 2,
                round(area.w * crop_w) // 2 * 2,
                round(area.h * crop_h) // 2 * 2,
            )
        )
        self._imx500.set_inference_roi_abs(region)

    def read(
        self, metadata: Mapping[str, Any], camera: Any, stream: str, t_ns: int
    ) -> SensorInference | None:
        """Return a picture's results in 0..1 of a stream, or None if the sensor has finished none.

        Objects that touch a mask are left out.
        """
        is_settled = t_ns >= self._settled_ns and not self._unsettled_frames
        self._unsettled_frames = max(0, self._unsettled_frames - 1)
        outputs = self._imx500.get_outputs(metadata, add_batch=True)
        area = self._searched_area(metadata)
        if outputs is None or not is_settled or not (area.w and area.h):
            return None
        boxes, scores, classes = self._parse(outputs)
        found = to_objects(boxes, scores, classes, self._class_numbers, self._request.min_score)
        size_px = camera.camera_configuration()[stream]["size"]
        placed = [self._place(one, metadata, camera, stream, size_px) for one in found]
        return SensorInference(
            area=area,
            objects=self._mask_filter.keep(one for one in placed if one.w > 0 and one.h > 0),
        )

    def _parse(self, outputs: list[Values]) -> tuple[Values, Values, Values]:
        """Return boxes (y0, x0, y1, x1 in 0..1 of the network's input), scores and classes."""
        width_px, height_px = self._imx500.get_input_size()
        boxes, scores, classes = (np.asarray(output[0]) for output in outputs[:3])
        if self._intrinsics.bbox_order == "xy":
            boxes = boxes[:, [1, 0, 3, 2]]
        if self._intrinsics.bbox_normalization:
            boxes = boxes / (height_px, width_px, height_px, width_px)
        return boxes, scores, classes

    def _place(
        self,
        one: FoundObject,
        metadata: Mapping[str, Any],
        camera: Any,
        stream: str,
        size_px: tuple[int, int],
    ) -> FoundObject:
        """Return an object in 0..1 of the picture. picamera2 takes shares of the whole sensor."""
        left, top, width, height = self._region()
        full_width, full_height = FULL_SENSOR_PX
        x, y, w, h = self._imx500.convert_inference_coords(
            (
                (top + one.y * height) / full_height,
                (left + one.x * width) / full_width,
                (top + (one.y + one.h) * height) / full_height,
                (left + (one.x + one.w) * width) / full_width,
            ),
            metadata,
            camera,
            stream,
        )
        return FoundObject(
            one.class_number,
            one.score,
            *_clip_box(x / size_px[0], y / size_px[1], w / size_px[0], h / size_px[1]),
        )

    def _region(self) -> tuple[int, int, int, int]:
        """Return the region of interest that the driver has taken, in pixels of the sensor."""
        region = self._imx500.config.get("roi")
        return (0, 0, *FULL_SENSOR_PX) if region is None else tuple(region.to_tuple())

    def _searched_area(self, metadata: Mapping[str, Any]) -> PictureArea:
        left, top, width, height = self._region()
        crop_x, crop_y, crop_w, crop_h = metadata["ScalerCrop"]
        return PictureArea(
            *_clip_box(
                (left - crop_x) / crop_w,
                (top - crop_y) / crop_h,
                width / crop_w,
                height / crop_h,
            )
        )


def _clip_box(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
    """Return a box clipped to the picture."""
    left, top = min(1.0, max(0.0, x)), min(1.0, max(0.0, y))
    right, bottom = min(1.0, max(0.0, x + w)), min(1.0, max(0.0, y + h))
    return left, top, right - left, bottom - top


def _check_labels(names: list[str] | None, request: SensorNetwork) -> None:
    """Raise ValueError if the network's own names of the classes are not those of the request."""
    for label, number in request.labels.items():
        if names and (number >= len(names) or names[number] != label):
            raise ValueError(f"{request.file}: its class {number} is not {label!r}")
