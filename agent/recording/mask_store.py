"""Masks of footage that was recorded without them: kept by version, and painted over at export.

A camera whose stream arrives encoded is recorded as it comes. The receipt of each segment names
the masks of that time by their version, which is the SHA-256 of the file here that holds them.
"""

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import av
import av.container
import av.error
import av.video.stream
import msgspec

from agent.base.atomic_file import fsync_dir, replace_atomically
from agent.recording.custody.receipts import SegmentClosed
from drivers.av_stream import frame_planes
from drivers.encoder import to_video_frame
from drivers.errors import MaskError
from drivers.masking import MaskPainter
from drivers.media import Polygon

MASKS_DIR = "masks"
"""The folder of versions, in the state folder."""

_ENCODER_OPTIONS = {"preset": "veryfast", "crf": "20", "bf": "0"}
"""Without reordering, so that every player takes it."""


class MaskingError(Exception):
    """A clip cannot be masked, so there is none. One line says why."""


def version(masks: Sequence[Polygon]) -> str:
    """The version of masks, as receipts name it: 64 hexadecimal digits."""
    return hashlib.sha256(msgspec.json.encode(masks)).hexdigest()


def store(folder: Path, masks: Sequence[Polygon]) -> str:
    """Put masks where an export finds them, for good, and give their version. Raises OSError."""
    version_id = version(masks)
    path = folder / f"{version_id}.json"
    with contextlib.suppress(MaskingError):
        load(folder, version_id)
        return version_id
    folder.mkdir(parents=True, exist_ok=True)
    replace_atomically(path, msgspec.json.encode(masks), 0o666, apply_umask=True)
    fsync_dir(folder.parent)
    return version_id


def load(folder: Path, version_id: str) -> tuple[Polygon, ...]:
    """The masks of a version. Raises CannotMask where they are not there or not the same."""
    try:
        content = (folder / f"{version_id}.json").read_bytes()
    except OSError as error:
        raise MaskingError(f"masks {version_id}: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != version_id:
        raise MaskingError(f"masks {version_id}: the file was altered")
    return msgspec.json.decode(content, type=tuple[Polygon, ...])


def masks_to_apply(folder: Path, segments: Iterable[SegmentClosed]) -> tuple[Polygon, ...]:
    """What is still to be masked in a clip of these segments: the masks of all of them together, so
    that a clip over a change of masks shows what neither hides. Empty where nothing is.

    Raises CannotMask where the masks of one of them are not known.
    """
    found: dict[Polygon, None] = {}
    for closed in segments:
        if closed.mask_applied != "export":
            continue
        if closed.mask is None:
            raise MaskingError(f"segment {closed.segment}: its receipt names no masks")
        found.update(dict.fromkeys(load(folder, closed.mask)))
    return tuple(found)


def write_masked_clip(
    source: Path,
    out: Path,
    masks: Sequence[Polygon],
    progress: Callable[[float], None] = lambda _ratio: None,
) -> None:
    """Decode a clip, paint the masks over every picture, and encode it as H.264 in MP4.

    A picture that cannot be decoded is left out. `progress` is told the share that is done. Raises
    CannotMask, and then `out` is not there.
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
    """All pictures that decode, in presentation order."""
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
        raise MaskingError("a clip without a picture cannot be masked")
    out_stream = writer.add_stream("libx264", rate=source.average_rate, options=_ENCODER_OPTIONS)
    out_stream.width, out_stream.height, out_stream.pix_fmt = first.width, first.height, "yuv420p"
    out_stream.codec_context.time_base = source.time_base
    out_stream.codec_context.color_range = source.codec_context.color_range
    last_pts = -1
    for frame in itertools.chain([first], frames):
        if (frame.width, frame.height) != (first.width, first.height):
            raise MaskingError("a clip whose pictures change their size cannot be masked")
        pts = last_pts + 1 if frame.pts is None else max(last_pts + 1, frame.pts)
        last_pts = pts
        masked_frame = to_video_frame(painter.paint_planes(frame_planes(frame)), pts)
        masked_frame.time_base = source.time_base
        writer.mux(out_stream.encode(masked_frame))
    writer.mux(out_stream.encode(None))
