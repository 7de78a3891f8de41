"""One image of a sweep, projected onto the panorama's cylinder. Pure.

On the cylinder a direction is `px_per_rad` times its pan to the right, and `px_per_rad` times the
tangent of its tilt up; rows count down, so the horizon is row 0.
"""

import math

import cv2
import msgspec
import numpy as np

from agent.config.heads import FieldOfView
from agent.ptz.motion.field_of_view import horizontal_fov_deg
from agent.ptz.panorama.shot import Image, Mask, Shot
from drivers.contracts import Pose

_MAX_TILT_DEG = 75.0
"""Beyond this tilt a cylinder is too distorted."""


class CylinderStrip(msgspec.Struct, frozen=True, kw_only=True):
    """An image on the cylinder, which begins at the column `left_px` and the row `top_px`.

    `mask` is 255 where the image shows something. `source` is the image as it was taken, scaled to
    the cylinder.
    """

    pose: Pose
    error_deg: float
    source: Image
    focal_px: float
    px_per_rad: float
    image: Image
    mask: Mask
    left_px: int
    top_px: int

    @property
    def center_px(self) -> float:
        """The column of its pose."""
        return math.radians(self.pose.pan_deg) * self.px_per_rad

    @property
    def right_px(self) -> int:
        """The first column after it."""
        return self.left_px + int(self.image.shape[1])

    @property
    def bottom_px(self) -> int:
        """The first row below it."""
        return self.top_px + int(self.image.shape[0])

    def shift_right(self, offset_px: int) -> "CylinderStrip":
        """Return the strip shifted to the right."""
        return msgspec.structs.replace(self, left_px=self.left_px + offset_px)

    def rotate(self, pan_deg: float, tilt_deg: float) -> "CylinderStrip":
        """Return the strip projected from a pose further right and up."""
        pose = msgspec.structs.replace(
            self.pose, pan_deg=self.pose.pan_deg + pan_deg, tilt_deg=self.pose.tilt_deg + tilt_deg
        )
        return _project(self.source, pose, self.error_deg, self.focal_px, self.px_per_rad)


def project_shot(shot: Shot, fov: FieldOfView, max_width_px: int) -> CylinderStrip:
    """Project a shot onto a cylinder of its own resolution, or of `max_width_px` if that is less."""
    height, width = shot.image.shape[:2]
    focal_px = width / 2 / math.tan(math.radians(horizontal_fov_deg(fov, shot.pose.zoom) / 2))
    scale = min(1.0, max_width_px / (2 * math.pi * focal_px))
    source = shot.image
    if scale < 1:
        size = (max(2, round(width * scale)), max(2, round(height * scale)))
        source = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8)
        focal_px *= source.shape[1] / width
    return _project(source, shot.pose, shot.error_deg, focal_px, focal_px)


def _project(
    source: Image, pose: Pose, error_deg: float, focal_px: float, px_per_rad: float
) -> CylinderStrip:
    height, width = source.shape[:2]
    tilt = math.radians(pose.tilt_deg)
    sin, cos = math.sin(tilt), math.cos(tilt)
    center_px = math.radians(pose.pan_deg) * px_per_rad
    left, right, top, bottom = _extent(width, height, focal_px, sin, cos)
    left_px, right_px = (math.floor(center_px + px_per_rad * side) for side in (left, right))
    top_px, bottom_px = (math.floor(-px_per_rad * side) for side in (top, bottom))
    pan = ((np.arange(left_px, right_px + 1) + 0.5 - center_px) / px_per_rad)[None, :]
    tan_tilt = (-(np.arange(top_px, bottom_px + 1) + 0.5) / px_per_rad)[:, None]
    depth = np.maximum(cos * np.cos(pan) + sin * tan_tilt, 1e-6)
    x = width / 2 + focal_px * np.sin(pan) / depth - 0.5
    y = height / 2 - focal_px * (cos * tan_tilt - sin * np.cos(pan)) / depth - 0.5
    is_inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    image = cv2.remap(
        source, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return CylinderStrip(
        pose=pose,
        error_deg=error_deg,
        source=source,
        focal_px=focal_px,
        px_per_rad=px_per_rad,
        image=np.asarray(image, np.uint8),
        mask=is_inside.astype(np.uint8) * 255,
        left_px=left_px,
        top_px=top_px,
    )


def _extent(
    width: int, height: int, focal_px: float, sin: float, cos: float
) -> tuple[float, float, float, float]:
    """Return the extent of an image, from its edge, where all extremes are.

    Pans in radians left and right of its middle, and the tangents of tilt at its top and bottom.
    """
    edge = np.linspace(-1, 1, 33)
    right = np.concatenate([edge, edge, np.full(33, -1.0), np.full(33, 1.0)]) * width / 2
    up = np.concatenate([np.full(33, 1.0), np.full(33, -1.0), edge, edge]) * height / 2
    depth = cos * focal_px - sin * up
    pan = np.arctan2(right, depth)
    slope = (sin * focal_px + cos * up) / np.maximum(np.hypot(right, depth), 1e-9)
    max_slope = math.tan(math.radians(_MAX_TILT_DEG))
    slope = np.clip(slope, -max_slope, max_slope)
    return float(np.min(pan)), float(np.max(pan)), float(np.max(slope)), float(np.min(slope))
