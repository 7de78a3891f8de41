"""Dewarping: the pictures of a fisheye camera as a view without its distortion, by maps that are computed once."""

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.config.fisheye import ViewOptions
from agent.detection import image
from agent.detection.fisheye_lens import FisheyeLens, view_rays
from drivers.masking import MASK_CHROMA, MASK_LUMA
from drivers.media import Frame, Plane, Planes

_OUTSIDE_PX = -16.0
"""A position outside of each picture: it has the colour of a mask."""

Maps = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]
Size = tuple[int, int]


class Dewarper:
    """The maps of one view. Thread-safe."""

    def __init__(self, lens: FisheyeLens, view: ViewOptions) -> None:
        self._lens = lens
        self.view = view
        self._maps: dict[tuple[Size, Size], Maps] = {}

    def dewarp(self, frame: Frame) -> "DewarpedFrame":
        """Return the view of a frame."""
        return DewarpedFrame(
            seq=frame.seq,
            t_ns=frame.t_ns,
            y=frame.y,
            u=frame.u,
            v=frame.v,
            is_late=frame.is_late,
            source=frame,
            dewarper=self,
        )

    def maps(self, source: Plane, size_px: Size) -> Maps:
        """Return the maps of this size for a plane, computed at the first call."""
        source_size_px = (source.shape[1], source.shape[0])
        maps = self._maps.get((source_size_px, size_px))
        if maps is None:
            if len(self._maps) > _MAX_MAPS:
                self._maps.clear()
            maps = make_maps(self._lens, self.view, source_size_px, size_px)
            self._maps[source_size_px, size_px] = maps
        return maps


_MAX_MAPS = 8
"""Of one view: of luma, chroma and the luma of the motion gate. A stream that changes its size needs others."""


class SharedFrame(Frame, frozen=True, kw_only=True):
    """A frame of a fisheye camera, whose luma is reduced once for all its views."""

    reduced: dict[int, Plane] = msgspec.field(default_factory=dict)

    def luma_at_least(self, width_px: int) -> Plane:
        """Return the luma at this width."""
        luma = self.reduced.get(width_px)
        if luma is None:
            luma = self.reduced[width_px] = image.downscale_luma(self.y, width_px)
        return luma


def share(frame: Frame) -> SharedFrame:
    """Return a frame for several views."""
    return SharedFrame(
        seq=frame.seq, t_ns=frame.t_ns, y=frame.y, u=frame.u, v=frame.v, is_late=frame.is_late
    )


class DewarpedFrame(Frame, frozen=True, kw_only=True):
    """A frame of a view, of which only what is read is dewarped: most frames are read by the motion gate alone.

    `source` is the frame of the fisheye camera. The planes are properties in place of the fields.
    """

    source: Frame
    dewarper: Dewarper

    @property
    def width_px(self) -> int:
        """Width in pixels."""
        return self.dewarper.view.width_px

    @property
    def height_px(self) -> int:
        """Height in pixels."""
        return self.dewarper.view.height_px

    # mypy knows no property in place of a field, which a struct has.
    @property  # type: ignore[misc]
    def y(self) -> Plane:
        """The whole luma."""
        return self.luma_at_least(self.width_px)

    @property  # type: ignore[misc]
    def u(self) -> Plane:
        """The whole first plane of chroma."""
        return self.part(0, 0, self.width_px, self.height_px)[1]

    @property  # type: ignore[misc]
    def v(self) -> Plane:
        """The whole second plane of chroma."""
        return self.part(0, 0, self.width_px, self.height_px)[2]

    def part(self, left: int, top: int, right: int, bottom: int) -> Planes:
        """Return the planes of a rectangle, whose sides are even."""
        size_px, half_px = (
            (self.width_px, self.height_px),
            (self.width_px // 2, self.height_px // 2),
        )
        luma = self.dewarper.maps(self.source.y, size_px)
        chroma = self.dewarper.maps(self.source.u, half_px)
        rows, columns = slice(top, bottom), slice(left, right)
        half_rows, half_columns = slice(top // 2, bottom // 2), slice(left // 2, right // 2)
        return (
            _remap(self.source.y, luma, (rows, columns), MASK_LUMA),
            _remap(self.source.u, chroma, (half_rows, half_columns), MASK_CHROMA),
            _remap(self.source.v, chroma, (half_rows, half_columns), MASK_CHROMA),
        )

    def luma_at_least(self, width_px: int) -> Plane:
        """Return the luma at this width. The fisheye picture is reduced first, so that each pixel is a mean, as of any camera."""
        reduction = min(1.0, width_px / self.width_px)
        source = image.gate_luma(self.source, round(self.source.width_px * reduction))
        size_px = (round(self.width_px * reduction), round(self.height_px * reduction))
        whole = (slice(None), slice(None))
        return _remap(source, self.dewarper.maps(source, size_px), whole, MASK_LUMA)


def make_maps(lens: FisheyeLens, view: ViewOptions, source_size_px: Size, size_px: Size) -> Maps:
    """Return the fixed-point maps of a plane of a view, for `cv2.remap`."""
    width_px, height_px = size_px
    x, y = np.meshgrid(
        (np.arange(width_px) + 0.5) / width_px, (np.arange(height_px) + 0.5) / height_px
    )
    rays = lens.to_camera(view_rays(view, x, y))
    positions = lens.project(rays, source_size_px[0] / source_size_px[1])
    # A pixel's number is its middle.
    pixels = positions * np.array(source_size_px) - 0.5
    pixels = np.nan_to_num(pixels, nan=_OUTSIDE_PX).clip(_OUTSIDE_PX, np.iinfo(np.int16).max)
    fixed, fractions = cv2.convertMaps(
        pixels[..., 0].astype(np.float32), pixels[..., 1].astype(np.float32), cv2.CV_16SC2
    )
    return np.asarray(fixed, np.int16), np.asarray(fractions, np.uint16)


def _remap(plane: Plane, maps: Maps, part: tuple[slice, slice], outside: int) -> Plane:
    view = np.asarray(
        cv2.remap(
            plane,
            maps[0][part],
            maps[1][part],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(outside,),
        ),
        np.uint8,
    )
    view.flags.writeable = False
    return view
