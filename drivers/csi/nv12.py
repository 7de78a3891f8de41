"""Pictures in NV12, as in the camera's buffers, and their copies as separate planes. Pure."""

import numpy as np

from drivers.media import Plane, Planes


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


def write_planar(luma: Plane, chroma: Plane, planes: Planes) -> None:
    """Copy a picture in NV12 into three planes."""
    y, u, v = planes
    np.copyto(y, luma)
    np.copyto(u, chroma[:, 0::2])
    np.copyto(v, chroma[:, 1::2])
