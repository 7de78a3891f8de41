"""One image of a sweep, with the pose that it was taken at."""

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from drivers.contracts import Pose
from drivers.media import Frame

Image = npt.NDArray[np.uint8]
"""H x W x 3, BGR."""
Mask = npt.NDArray[np.uint8]
"""H x W, 255 inside, 0 outside."""
FloatArray = npt.NDArray[np.float64]


class Shot(msgspec.Struct, frozen=True, kw_only=True):
    """One image of a sweep, and the reported pose, known within `error_deg`."""

    pose: Pose
    error_deg: float
    image: Image


def frame_to_bgr(frame: Frame, max_width_px: int = 1280) -> Image:
    """Convert a frame to an image, scaled down to `max_width_px`."""
    height, width = frame.height_px // 2 * 2, frame.width_px // 2 * 2
    half = (slice(height // 2), slice(width // 2))
    planes = (frame.y[:height, :width], frame.u[half], frame.v[half])
    flat = np.concatenate([plane.reshape(-1) for plane in planes])
    image = cv2.cvtColor(flat.reshape(height * 3 // 2, width), cv2.COLOR_YUV2BGR_I420)
    if width > max_width_px:
        size = (max_width_px, max(2, round(height * max_width_px / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8)
