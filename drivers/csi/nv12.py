"""Pictures in NV12, as in the camera's buffers, and as separate planes. Pure."""

import numpy as np

from drivers.masking import Planes
from drivers.media import Plane


def frame_bytes(width_px: int, height_px: int) -> int:
    """Return the size of a 4:2:0 picture of even width and height."""
    return width_px * height_px * 3 // 2


def nv12_views(
    buffer: Plane, width_px: int, height_px: int, stride_bytes: int
) -> tuple[Plane, Plane]:
    """Return views of luma (H x W) and chroma (H/2 x W, Cb and Cr interleaved), without padding.

    Sizes are even.
    """
    luma_bytes = stride_bytes * height_px
    luma = buffer[:luma_bytes].reshape(height_px, stride_bytes)[:, :width_px]
    chroma = buffer[luma_bytes : luma_bytes * 3 // 2].reshape(height_px // 2, stride_bytes)
    return luma, chroma[:, :width_px]


def planar_views(flat: Plane, width_px: int, height_px: int) -> Planes:
    """Return views of the three consecutive planes in `frame_bytes`."""
    luma = width_px * height_px
    quarter = luma // 4
    half = (height_px // 2, width_px // 2)
    return (
        flat[:luma].reshape(height_px, width_px),
        flat[luma : luma + quarter].reshape(half),
        flat[luma + quarter : luma + 2 * quarter].reshape(half),
    )


def write_planar(luma: Plane, chroma: Plane, planes: Planes) -> None:
    """Copy a picture in NV12 into three planes."""
    y, u, v = planes
    np.copyto(y, luma)
    np.copyto(u, chroma[:, 0::2])
    np.copyto(v, chroma[:, 1::2])
