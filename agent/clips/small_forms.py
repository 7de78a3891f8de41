"""Small forms of a clip: encoded again, and as a strip of thumbnails. Run in the child."""

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import av.error
import av.video.stream
import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType

from agent.capture.jpeg import encode_jpeg
from drivers.av_stream import FrameSelector, VideoSource, open_video_source
from drivers.media import NS_PER_S

LIGHT_WIDTH_PX = 640
LIGHT_FPS = 5.0
_LIGHT_OPTIONS = {"preset": "veryfast", "crf": "30", "bf": "0", "g": "25"}
"""Without B-frames, so that every player supports it; a keyframe every five seconds."""

MAX_THUMBNAILS = 12
_COLUMNS = 4
_THUMBNAIL_WIDTH_PX = 320
MAX_STRIP_BYTES = 150_000


class SmallFormError(Exception):
    """A clip cannot be encoded again. The message is one line."""


def write_light_clip(source: Path, out: Path, on_packet: Callable[[], None]) -> None:
    """Encode a clip again, small. `on_packet` is called before each packet is decoded.

    Pictures that cannot be decoded are skipped. Raises: SmallFormError, OSError, DriverError.
    """
    video = open_video_source(str(source), source.name)
    try:
        frames = _select(video, LIGHT_FPS, on_packet)
        first = next(frames, None)
        if first is None or video.stream.time_base is None:
            raise SmallFormError("no picture of this span can be decoded")
        width = min(LIGHT_WIDTH_PX, first.width) // 2 * 2
        height = max(2, round(first.height * width / first.width / 2) * 2)
        with av.open(str(out), "w", "mp4", options={"movflags": "+faststart"}) as writer:
            stream = writer.add_stream("libx264", rate=round(LIGHT_FPS), options=_LIGHT_OPTIONS)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.thread_count = 1
            stream.codec_context.time_base = video.stream.time_base
            last_pts = -1
            for frame in _chain(first, frames):
                small = frame.reformat(width=width, height=height, format="yuv420p")
                last_pts = small.pts = max(last_pts + 1, frame.pts or 0)
                small.time_base = video.stream.time_base
                # Otherwise each keyframe of the source becomes one, which takes 1.4 times the bytes.
                small.pict_type = PictureType.NONE
                writer.mux(stream.encode(small))
            writer.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        raise SmallFormError(f"cannot be encoded again: {error.strerror}") from error
    finally:
        video.close()


def write_thumbnails(
    source: Path, duration_s: float, out: Path, on_packet: Callable[[], None]
) -> list[float]:
    """Write a JPEG with pictures of a clip, evenly spread; return their times from its begin.

    Only keyframes are decoded. Raises: SmallFormError, OSError, DriverError.
    """
    video = open_video_source(str(source), source.name)
    pictures: list[npt.NDArray[np.uint8]] = []
    times_s: list[float] = []
    try:
        context = video.stream.codec_context
        if context is None:
            raise SmallFormError("no picture of this span can be decoded")
        context.skip_frame = "NONKEY"
        for frame in _select(video, MAX_THUMBNAILS / max(1.0, duration_s), on_packet):
            width = min(_THUMBNAIL_WIDTH_PX, frame.width)
            height = max(1, round(frame.height * width / frame.width))
            small = frame.reformat(width=width, height=height, format="bgr24")
            pictures.append(np.asarray(small.to_ndarray(), np.uint8))
            times_s.append(video.ticks_to_ns(frame.pts or 0) / NS_PER_S)
            if len(pictures) == MAX_THUMBNAILS:
                break
    except av.error.FFmpegError as error:
        raise SmallFormError(f"cannot be decoded: {error.strerror}") from error
    finally:
        video.close()
    if not pictures:
        raise SmallFormError("no picture of this span can be decoded")
    out.write_bytes(encode_jpeg(_tile(pictures), MAX_STRIP_BYTES))
    return times_s


def _select(
    video: VideoSource, fps: float, on_packet: Callable[[], None]
) -> Iterator[av.VideoFrame]:
    """Yield at most `fps` pictures of each second, in presentation order."""
    selector = FrameSelector(fps)
    for packet in video.packets():
        on_packet()
        frames: list[av.VideoFrame] = []
        with contextlib.suppress(av.error.InvalidDataError):
            frames = video.decode(packet)
        for frame in frames:
            if not frame.is_corrupt and selector.select(video.ticks_to_ns(frame.pts or 0)):
                yield frame


def _chain(first: av.VideoFrame, rest: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    yield first
    yield from rest


def _tile(pictures: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Put pictures of one size into rows of four; what is left over is black."""
    height, width = pictures[0].shape[:2]
    columns = min(_COLUMNS, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for index, picture in enumerate(pictures):
        if picture.shape[:2] != (height, width):
            picture = np.asarray(cv2.resize(picture, (width, height)), np.uint8)  # noqa: PLW2901 - of another size
        row, column = divmod(index, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return sheet
