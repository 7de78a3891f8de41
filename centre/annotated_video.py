"""Annotated film: frames with their overlay, as an MP4 file, written at once or by a thread."""

import queue
import threading
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
import msgspec

from agent.base.errors import UserError
from agent.base.model import Event, FrameResult
from agent.detection.scene import Scene
from centre.annotator import Annotator
from centre.draw import Pixel
from drivers.media import Frame

MIN_HEIGHT_PX, MAX_HEIGHT_PX = 720, 1080
"""Small pictures are enlarged, so that what is written on them can be read."""

TICKS_PER_S = 90_000

MAX_QUEUED = 16
"""Frames that wait to be drawn; each keeps a decoded picture alive."""


class AnnotatedVideo:
    """An MP4 file (H.264, 4:2:0, its index first) that every player plays.

    Use it as a context; `note` events before the frame that they are to appear on.
    """

    def __init__(self, path: Path, size_px: Pixel, fps: float, scene: Scene, title: str) -> None:
        """`size_px` is of the camera's picture. Raises UserError where `path` cannot be written."""
        self._annotator = Annotator(scene, title)
        self._size_px = video_size(size_px)
        self._path = path
        try:
            self._container = av.open(
                str(path), "w", format="mp4", options={"movflags": "+faststart"}
            )
            self._stream = self._container.add_stream(
                "libx264", rate=Fraction(fps).limit_denominator(1001)
            )
            self._stream.width, self._stream.height = self._size_px
            self._stream.pix_fmt = "yuv420p"
            self._stream.options = {"crf": "21", "preset": "veryfast"}
            self._stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
            self._container.start_encoding()
        except (av.FFmpegError, OSError) as error:
            raise self._write_error(error) from error
        self._last_pts = -1

    def __enter__(self) -> Self:
        """The film itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Finish the file."""
        self.close()
        return False

    def add_event(self, event: Event) -> None:
        """Take an event."""
        self._annotator.add_event(event)

    def add_frame(self, frame: Frame, result: FrameResult) -> None:
        """Add a frame. Frames that do not come later than the one before are left out. Raises UserError
        where the disk takes no more.
        """
        pts = round(result.t_ns * TICKS_PER_S / 1e9)
        canvas = self._annotator.draw(frame, result, self._size_px)
        if pts <= self._last_pts:
            return
        self._last_pts = pts
        video_frame = av.VideoFrame.from_ndarray(canvas, format="rgb24")
        video_frame.pts, video_frame.time_base = pts, Fraction(1, TICKS_PER_S)
        self._mux(video_frame)

    def close(self) -> None:
        """Finish the file. Raises UserError where the disk takes no more."""
        try:
            self._mux(None)
        finally:
            self._close_container()

    def _mux(self, video_frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(video_frame))
        except (av.FFmpegError, OSError) as error:
            raise self._write_error(error) from error

    def _close_container(self) -> None:
        try:
            self._container.close()
        except (av.FFmpegError, OSError) as error:
            raise self._write_error(error) from error

    def _write_error(self, error: av.FFmpegError | OSError) -> UserError:
        return UserError(f"annotated film {str(self._path)!r}: {error.strerror or error}")


def video_size(size_px: Pixel) -> Pixel:
    """The size of the annotated film of a picture: even, and large enough to read."""
    width, height = size_px
    target_height = min(MAX_HEIGHT_PX, max(MIN_HEIGHT_PX, height))
    return round(width * target_height / height / 2) * 2, target_height // 2 * 2


class _QueuedFrame(msgspec.Struct, frozen=True, kw_only=True):
    frame: Frame
    result: FrameResult


class AnnotatedVideoWriter:
    """Draws and encodes in a thread of its own, so that the box is not slowed by it.

    It begins with the first frame, whose size and time it takes. With `every_frame` the giver
    waits where drawing does not keep up, else the frame is left out of the film.
    """

    def __init__(
        self, path: Path, scene: Scene, title: str, fps: float, *, every_frame: bool
    ) -> None:
        self._path = path
        self._scene = scene
        self._title = title
        self._fps = fps
        self._every_frame = every_frame
        self._queue: queue.Queue[_QueuedFrame | Event | None] = queue.Queue(MAX_QUEUED)
        self._video: AnnotatedVideo | None = None
        self._first_ns = 0
        self.error: str | None = None
        """Why the film could not be written, if so."""
        self._thread = threading.Thread(target=self._run, name="annotated film", daemon=True)
        self._thread.start()

    def add_frame(self, frame: Frame, result: FrameResult) -> None:
        """Add a frame."""
        self._enqueue(_QueuedFrame(frame=frame, result=result))

    def add_event(self, event: Event) -> None:
        """An event has arrived: it is told on the frames from now on."""
        self._enqueue(event)

    def close(self) -> None:
        """Draw what waits, and finish the file."""
        self._queue.put(None)
        self._thread.join()

    def _enqueue(self, item: _QueuedFrame | Event) -> None:
        try:
            self._queue.put(item, block=self._every_frame)
        except queue.Full:
            return

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            self._process(item)
        self._process(None)

    def _process(self, item: _QueuedFrame | Event | None) -> None:
        """After a failure the rest is taken and left, so that nobody waits for room."""
        if self.error is not None:
            return
        try:
            if item is None:
                if self._video is not None:
                    self._video.close()
            elif isinstance(item, Event):
                self._add_event(item)
            else:
                self._add_frame(item)
        except (UserError, av.FFmpegError, OSError) as error:
            self.error = str(error)

    def _add_frame(self, queued: _QueuedFrame) -> None:
        frame, result = queued.frame, queued.result
        if self._video is None:
            size_px = (frame.width_px, frame.height_px)
            self._video = AnnotatedVideo(self._path, size_px, self._fps, self._scene, self._title)
            self._first_ns = result.t_ns
        self._video.add_frame(frame, _rebase_times(result, self._first_ns))

    def _add_event(self, event: Event) -> None:
        if self._video is not None:
            video_ns = event.t_ns - self._first_ns
            self._video.add_event(msgspec.structs.replace(event, t_ns=video_ns))


def _rebase_times(result: FrameResult, first_ns: int) -> FrameResult:
    """The sight with all its times counted from the film's first frame."""
    tracks = tuple(
        msgspec.structs.replace(
            track, begin_ns=track.begin_ns - first_ns, seen_ns=track.seen_ns - first_ns
        )
        for track in result.tracks
    )
    return msgspec.structs.replace(result, t_ns=result.t_ns - first_ns, tracks=tracks)
