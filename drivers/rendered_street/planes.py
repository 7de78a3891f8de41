"""Conversion of a rendered picture to the planes of a frame."""

import cv2
import numpy as np
import numpy.typing as npt

from drivers.media import Plane


def bgr_to_planes(image: npt.NDArray[np.uint8]) -> tuple[Plane, Plane, Plane]:
    """Convert BGR, H x W x 3 with even sides, to read-only 4:2:0 planes."""
    height, width = image.shape[:2]
    flat: Plane = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8).reshape(-1)
    flat.flags.writeable = False
    luma = flat[: width * height].reshape(height, width)
    u, v = flat[width * height :].reshape(2, height // 2, width // 2)
    return luma, u, v
