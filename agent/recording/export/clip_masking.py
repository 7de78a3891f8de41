"""Masking of clips at export: decodes a clip, paints its masks and encodes it again."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import av.container
import av.error
import av.video.stream

from agent.recording.mask_store import MaskingError
from drivers.av_stream import frame_planes
from drivers.encoder import to_video_frame
from drivers.errors import MaskError
from drivers.masking import MaskPainter
from drivers.media import Polygon

_ENCODER_OPTIONS = {"preset": "veryfast", "crf": "20", "bf": "0"}
"""Without B-frames, so that every player supports it."""


def write_masked_clip(
    source: Path,
    out: Path,
    masks: Sequence[Polygon],
    progress: Callable[[float], None] = lambda _ratio: None,
) -> None:
    """Decode a clip, paint the masks over every frame, and encode it as H.264 in MP4.

    Frames that cannot be decoded are skipped. `progress` gets a ratio. Raises MaskingError; `out` does
    not exist then.
    """
    try:
        mask_painter = MaskPainter(masks, str(source))
        with (
            av.open(str(source)) as reader,
            av.open(str(out), "w", "mp4", options={"movflags": "+faststart"}) as writer,
        ):
            frames = _decode_frames(reader, progress)
            _encode_masked(frames, reader.streams.video[0], writer, mask_painter)
    except (MaskError, av.error.FFmpegError, OSError, IndexError) as error:
        out.unlink(missing_ok=True)
        raise MaskingError(f"{source}: cannot be masked: {error}") from error
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _decode_frames(
    reader: av.container.InputContainer, progress: Callable[[float], None]
) -> Iterator[av.VideoFrame]:
    """Yield all decodable frames, in presentation order."""
    total_bytes = max(1, reader.size or 0)
    done_bytes = 0
    for packet in reader.demux(reader.streams.video[0]):
        done_bytes += packet.size
        with contextlib.suppress(av.error.InvalidDataError):
            yield from packet.decode()
        progress(min(1.0, done_bytes / total_bytes))
    progress(1.0)


def _encode_masked(
    frames: Iterator[av.VideoFrame],
    source: av.video.stream.VideoStream,
    writer: av.container.OutputContainer,
    painter: MaskPainter,
) -> None:
    first = next(frames, None)
    if first is None or source.time_base is None:
        raise MaskingError("a clip without a frame cannot be masked")
    out_stream = writer.add_stream("libx264", rate=source.average_rate, options=_ENCODER_OPTIONS)
    out_stream.width, out_stream.height, out_stream.pix_fmt = first.width, first.height, "yuv420p"
    out_stream.codec_context.time_base = source.time_base
    out_stream.codec_context.color_range = source.codec_context.color_range
    last_pts = -1
    for frame in itertools.chain([first], frames):
        if (frame.width, frame.height) != (first.width, first.height):
            raise MaskingError("a clip whose frame size changes cannot be masked")
        pts = last_pts + 1 if frame.pts is None else max(last_pts + 1, frame.pts)
        last_pts = pts
        masked_frame = to_video_frame(painter.paint_planes(frame_planes(frame)), pts)
        masked_frame.time_base = source.time_base
        writer.mux(out_stream.encode(masked_frame))
    writer.mux(out_stream.encode(None))
