"""Masks of footage that was recorded without them: kept by version, and painted over at export.

A camera whose stream arrives encoded is recorded as it comes. The receipt of each segment names
the masks of that time by their version, which is the SHA-256 of the file here that holds them.
"""

import contextlib
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import av
import av.container
import av.error
import av.video.stream
import msgspec

from agent.base.atomic_file import fsync_dir
from agent.recording.custody.receipts import Closed
from drivers.av_stream import planes
from drivers.encoder import picture_of
from drivers.errors import MaskRefused
from drivers.masking import MaskPainter
from drivers.media import Polygon

MASKS = "masks"
"""The folder of versions, in the state folder."""

_QUALITY = {"preset": "veryfast", "crf": "20", "bf": "0"}
"""Without reordering, so that every player takes it."""


class CannotMask(Exception):
    """A clip cannot be masked, so there is none. One line says why."""


def version(masks: Sequence[Polygon]) -> str:
    """The version of masks, as receipts name it: 64 hexadecimal digits."""
    return hashlib.sha256(msgspec.json.encode(masks)).hexdigest()


def keep(folder: Path, masks: Sequence[Polygon]) -> str:
    """Put masks where an export finds them, for good, and give their version. Raises OSError."""
    name = version(masks)
    path = folder / f"{name}.json"
    with contextlib.suppress(CannotMask):
        load(folder, name)
        return name
    folder.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.writing")
    with aside.open("wb") as file:
        file.write(msgspec.json.encode(masks))
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    fsync_dir(folder)
    fsync_dir(folder.parent)
    return name


def load(folder: Path, name: str) -> tuple[Polygon, ...]:
    """The masks of a version. Raises CannotMask where they are not there or not the same."""
    try:
        content = (folder / f"{name}.json").read_bytes()
    except OSError as error:
        raise CannotMask(f"masks {name}: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != name:
        raise CannotMask(f"masks {name}: the file was altered")
    return msgspec.json.decode(content, type=tuple[Polygon, ...])


def missing(folder: Path, segments: Iterable[Closed]) -> tuple[Polygon, ...]:
    """What is still to be masked in a clip of these segments: the masks of all of them together, so
    that a clip over a change of masks shows what neither hides. Empty where nothing is.

    Raises CannotMask where the masks of one of them are not known.
    """
    found: dict[Polygon, None] = {}
    for closed in segments:
        if closed.mask_applied != "export":
            continue
        if closed.mask is None:
            raise CannotMask(f"segment {closed.segment}: its receipt names no masks")
        found.update(dict.fromkeys(load(folder, closed.mask)))
    return tuple(found)


def masked_clip(
    source: Path,
    out: Path,
    masks: Sequence[Polygon],
    progress: Callable[[float], None] = lambda _share: None,
) -> None:
    """Decode a clip, paint the masks over every picture, and encode it as H.264 in MP4.

    A picture that cannot be decoded is left out. `progress` is told the share that is done. Raises
    CannotMask, and then `out` is not there.
    """
    try:
        painter = MaskPainter(masks, str(source))
        with (
            av.open(str(source)) as reader,
            av.open(str(out), "w", "mp4", options={"movflags": "+faststart"}) as writer,
        ):
            pictures = _pictures(reader, progress)
            _write(pictures, reader.streams.video[0], writer, painter)
    except (MaskRefused, av.error.FFmpegError, OSError, IndexError) as error:
        out.unlink(missing_ok=True)
        raise CannotMask(f"{source}: cannot be masked: {error}") from error
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _pictures(
    reader: av.container.InputContainer, progress: Callable[[float], None]
) -> Iterator[av.VideoFrame]:
    """All pictures that decode, in presentation order."""
    total = max(1, reader.size or 0)
    done = 0
    for packet in reader.demux(reader.streams.video[0]):
        done += packet.size
        with contextlib.suppress(av.error.InvalidDataError):
            yield from packet.decode()
        progress(min(1.0, done / total))
    progress(1.0)


def _write(
    pictures: Iterator[av.VideoFrame],
    source: av.video.stream.VideoStream,
    writer: av.container.OutputContainer,
    painter: MaskPainter,
) -> None:
    first = next(pictures, None)
    if first is None or source.time_base is None:
        raise CannotMask("a clip without a picture cannot be masked")
    target = writer.add_stream("libx264", rate=source.average_rate, options=_QUALITY)
    target.width, target.height, target.pix_fmt = first.width, first.height, "yuv420p"
    target.codec_context.time_base = source.time_base
    target.codec_context.color_range = source.codec_context.color_range
    last = -1
    for picture in itertools.chain([first], pictures):
        if (picture.width, picture.height) != (first.width, first.height):
            raise CannotMask("a clip whose pictures change their size cannot be masked")
        ticks = last + 1 if picture.pts is None else max(last + 1, picture.pts)
        last = ticks
        painted = picture_of(painter.painted(planes(picture)), ticks)
        painted.time_base = source.time_base
        writer.mux(target.encode(painted))
    writer.mux(target.encode(None))
