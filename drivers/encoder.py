"""H.264 encoder of planes, for cameras without an encoder and for transcoding."""

from fractions import Fraction

import av
import av.error
import msgspec
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from drivers.errors import DriverError
from drivers.media import Planes

GOP_S = 2.0


def to_video_frame(planes: Planes, ticks: int) -> av.VideoFrame:
    """Return a copy of the planes, of even size, as FFmpeg takes them."""
    y, u, v = planes
    flat = np.concatenate([y.reshape(-1), u.reshape(-1), v.reshape(-1)])
    picture = av.VideoFrame.from_ndarray(flat.reshape(-1, y.shape[1]), format="yuv420p")
    picture.pts = ticks
    return picture


class EncodedUnit(msgspec.Struct, frozen=True, kw_only=True):
    """One access unit and the timestamp of its picture, in ticks."""

    ticks: int
    is_key: bool
    data: bytes


class H264Encoder:
    """libx264 with the least CPU, no reordering, and one thread, so that its bytes repeat.

    Each picture is encoded at once. A keyframe comes every GOP_S seconds at the stream's nominal
        rate, and if the caller asks for one.
    """

    def __init__(
        self, width_px: int, height_px: int, fps: Fraction, time_base: Fraction, display_name: str
    ) -> None:
        """Raises: DriverError `unsupported` if FFmpeg has no libx264, or not this size."""
        self._display_name = display_name
        self._size_px = (width_px, height_px)
        try:
            context = VideoCodecContext.create("libx264", "w")
            context.width, context.height = width_px, height_px
            context.pix_fmt = "yuv420p"
            context.framerate = fps
            context.time_base = time_base
            context.gop_size = max(1, round(GOP_S * fps))
            context.thread_count = 1
            context.flags |= av.codec.context.Flags.global_header
            context.options = {
                "preset": "ultrafast",
                "tune": "zerolatency",
                "crf": "26",
                "forced-idr": "1",
            }
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise DriverError(
                "unsupported", f"{display_name}: no H.264 encoder for {width_px}x{height_px}"
            ) from error
        self._context = context
        self.extradata = bytes(context.extradata or b"")

    def encode(
        self, planes: Planes, ticks: int, *, force_keyframe: bool = False
    ) -> list[EncodedUnit]:
        """Encode one picture; `ticks` of the time base rise from one to the next.

        Raises: DriverError `protocol` if the picture has another size.
        """
        y = planes[0]
        if (y.shape[1], y.shape[0]) != self._size_px:
            size_text, expected_text = (
                f"{y.shape[1]}x{y.shape[0]}",
                f"{self._size_px[0]}x{self._size_px[1]}",
            )
            raise DriverError(
                "protocol",
                f"{self._display_name}: its pictures are {size_text} now, not {expected_text}",
            )
        picture = to_video_frame(planes, ticks)
        if force_keyframe:
            picture.pict_type = PictureType.I
        return [
            EncodedUnit(ticks=packet.pts or 0, is_key=packet.is_keyframe, data=bytes(packet))
            for packet in self._context.encode(picture)
        ]
