"""Media of a camera: encoded packets for recording, small decoded frames for detection.

Times are nanoseconds. `t_ns` is CLOCK_BOOTTIME, except in a video that is replayed in its own time:
there it is the presentation timestamp. `pts_ns` and `dts_ns` are the stream's own and
begin near zero.
"""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Plane: TypeAlias = npt.NDArray[np.uint8]
else:
    # The configuration and most commands need the other types of this module, and the import of numpy
    # is a third of their start.
    Plane = Any
"""One plane of a picture, rows first. It may be a view with a stride, and is never written to."""

NS_PER_S = 1_000_000_000

Planes = tuple[Plane, Plane, Plane]
"""Y, U and V of a picture, 4:2:0."""


UnitInterval = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Point(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A point in 0..1 of the picture, x to the right and y down. In TOML and JSON `[x, y]`.

    Only decoding checks the range: what is calculated may lie outside of the picture.
    """

    x: UnitInterval
    y: UnitInterval


Polygon = tuple[Point, ...]
"""Three corners or more; the last one is joined to the first."""


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a stream that a muxer needs before its first packet.

    `codec` is FFmpeg's name (`h264`, `hevc`, `mjpeg`), or `rawvideo` for a camera without packets.
    `extradata` holds the codec's parameter sets, as FFmpeg keeps them; it may be empty if they are
    in band. `masked`: the masks are burnt into the packets, and not into the frames alone.
    """

    codec: str
    width_px: int
    height_px: int
    fps: float
    extradata: bytes = b""
    masked: bool = False


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """One encoded access unit, in decoding order."""

    t_ns: int
    pts_ns: int
    dts_ns: int
    is_key: bool
    data: bytes


MAX_OBJECTS = 300
"""The most objects of one inference; those of the best score are kept."""


class FoundObject(msgspec.Struct, frozen=True, array_like=True):
    """An object that a network found: its class by number, and its box in 0..1 of a picture.

    `x` and `y` are of the upper left corner.
    """

    class_number: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    score: UnitInterval
    x: UnitInterval
    y: UnitInterval
    w: UnitInterval
    h: UnitInterval


FoundObjects = Annotated[tuple[FoundObject, ...], msgspec.Meta(max_length=MAX_OBJECTS)]


class PictureArea(msgspec.Struct, frozen=True, array_like=True):
    """A rectangle in 0..1 of a picture; `x` and `y` are of the upper left corner."""

    x: UnitInterval
    y: UnitInterval
    w: Annotated[float, msgspec.Meta(gt=0, le=1)]
    h: Annotated[float, msgspec.Meta(gt=0, le=1)]


WHOLE_AREA = PictureArea(0.0, 0.0, 1.0, 1.0)


class SensorInference(msgspec.Struct, frozen=True, kw_only=True):
    """The objects that the network in a camera's sensor found in the `area` that it saw, in 0..1 of the picture.

    Invariant: no box touches a mask. The sensor sees what masks hide, so the driver drops these.
    """

    area: PictureArea
    objects: FoundObjects


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One decoded picture, 4:2:0 planar: `y` is H x W, `u` and `v` are (H+1)//2 x (W+1)//2.

    `inference` is of the network in the camera's sensor, None without one or if it has finished none.

    Invariant: planes are never written to, so a frame can be passed to several threads. The
        planes keep the decoder's buffer alive; a frame that is kept for long costs that memory.
    `is_late`: it was decoded after later packets had come, so that the next one does not replace it.
    """

    seq: int
    t_ns: int
    y: Plane
    u: Plane
    v: Plane
    is_late: bool = False
    inference: SensorInference | None = None

    @property
    def width_px(self) -> int:
        """Width in pixels."""
        return int(self.y.shape[1])

    @property
    def height_px(self) -> int:
        """Height in pixels."""
        return int(self.y.shape[0])

    def part(self, left: int, top: int, right: int, bottom: int) -> Planes:
        """Return the planes of a rectangle, whose sides are even."""
        chroma = (slice(top // 2, bottom // 2), slice(left // 2, right // 2))
        return self.y[top:bottom, left:right], self.u[chroma], self.v[chroma]

    def luma_at_least(self, width_px: int) -> Plane:
        """Return the luma, at least `width_px` wide if it is that large."""
        return self.y
