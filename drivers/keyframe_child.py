"""The child that decodes keyframes of a camera that is recorded and not watched.

FFmpeg parses the camera's packets here, as in `drivers.stream_child`. The masks are painted in the parent.
"""

from typing import TypeAlias

import av.error
import msgspec
import numpy as np
from av.video.codeccontext import VideoCodecContext

from drivers.av_stream import frame_planes
from drivers.child import messages
from drivers.child.confinement import Confinement, confine
from drivers.child.main import ChildEnd
from drivers.media import Packet
from drivers.stream_child import MAX_MEMORY_BYTES

MAX_SIDE_PX = 1280
"""A larger picture is scaled down: it has to pass through a message."""
MAX_PIXELS = 50_000_000
"""Of a picture before that: 8K has 33 million. A photo of a megabyte may have a thousand million, and take all memory."""


class KeyframeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`codec` is FFmpeg's name."""

    codec: str


class DecodedKeyframe(msgspec.Struct, frozen=True, kw_only=True, tag="picture"):
    """The picture of the last packet, 4:2:0 planar, the rows without gaps."""

    width_px: messages.Side
    height_px: messages.Side
    y: bytes
    u: bytes
    v: bytes


class NoPicture(msgspec.Struct, frozen=True, kw_only=True, tag="none"):
    """The last packet has no picture that can be decoded alone."""


KeyframeMessage: TypeAlias = DecodedKeyframe | NoPicture

keyframe_decoder: msgspec.msgpack.Decoder[KeyframeMessage | messages.Failed] = (
    msgspec.msgpack.Decoder(KeyframeMessage | messages.Failed)
)
_packet_decoder: msgspec.msgpack.Decoder[Packet] = msgspec.msgpack.Decoder(Packet)


def prepare() -> None:
    """Build the tables of the usual decoder, which all children share."""
    _open_decoder("h264")


def run(end: ChildEnd) -> None:
    """Answer each packet with its picture, until the parent's end is closed."""
    settings = messages.from_raw(end.settings, KeyframeSettings)
    confine(Confinement(memory_bytes=MAX_MEMORY_BYTES), end)
    decoder = _open_decoder(settings.codec)
    for packet in end.read_stream(_packet_decoder):
        end.send(_decode(decoder, packet.data))


def _open_decoder(codec: str) -> VideoCodecContext:
    decoder: VideoCodecContext = VideoCodecContext.create(codec, "r")  # type: ignore[assignment] # of a video codec
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    decoder.open()
    return decoder


def _decode(decoder: VideoCodecContext, data: bytes) -> DecodedKeyframe | NoPicture:
    """Decode a packet alone: the decoder is drained and empty afterwards."""
    try:
        pictures = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except av.error.FFmpegError:
        pictures = []
    decoder.flush_buffers()
    if not pictures or pictures[0].is_corrupt:
        return NoPicture()
    picture = pictures[0]
    scale = min(1.0, MAX_SIDE_PX / max(picture.width, picture.height))
    width_px, height_px = (
        max(2, round(side * scale) // 2 * 2) for side in (picture.width, picture.height)
    )
    planes = frame_planes(picture.reformat(width_px, height_px, format="yuv420p"))
    y, u, v = (np.ascontiguousarray(plane).tobytes() for plane in planes)
    return DecodedKeyframe(width_px=width_px, height_px=height_px, y=y, u=u, v=v)
