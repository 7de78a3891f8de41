"""Annotated video: frames with their overlay as an MP4 file, written directly or on a thread."""

import queue
import threading
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import av
import msgspec

from agent.base.atomic_file import temp_path_of
from agent.base.errors import UserError
from agent.base.model import Event, FrameResult
from agent.detection.scene import Scene
from centre.annotator import Annotator
from centre.draw import Pixel
from drivers.media import Frame

MIN_HEIGHT_PX, MAX_HEIGHT_PX = 720, 1080
"""Small frames are enlarged, so that the text on them is legible."""

TICKS_PER_S = 90_000

MAX_QUEUED = 16
"""Queued frames; each keeps a decoded picture in memory."""


class AnnotatedVideo:
    """An MP4 file (H.264, 4:2:0, index first) that every player plays; a context manager.

    It is written as `.NAME.making`, and gets its name when the block ends well.
    """

    def __init__(self, path: Path, size_px: Pixel, fps: float, scene: Scene, title: str) -> None:
        """Open the file for frames of `size_px`. Raises: UserError if it cannot be written."""
        self._annotator = Annotator(scene, title)
        self._size_px = video_size(size_px)
        self._path = path
        # A device, such as /dev/null, is written to as it is.
        self._temp_path = path if path.is_char_device() else temp_path_of(path)
        try:
            self._container = av.open(
                str(self._temp_path), "w", format="mp4", options={"movflags": "+faststart"}
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
        """Return the video."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Finish the file, or remove it if the block has failed."""
        try:
            if error is None:
                self._finish()
            else:
                with suppress(av.FFmpegError, OSError):
                    self._container.close()
        finally:
            if self._temp_path != self._path:
                self._temp_path.unlink(missing_ok=True)
        return False

    def add_event(self, event: Event) -> None:
        """Show an event on the frames from now on."""
        self._annotator.add_event(event)

    def add_frame(self, frame: Frame, result: FrameResult) -> None:
        """Add a frame, unless it is not later than the one before. Raises: UserError if writing fails."""
        pts = round(result.t_ns * TICKS_PER_S / 1e9)
        canvas = self._annotator.draw(frame, result, self._size_px)
        if pts <= self._last_pts:
            return
        self._last_pts = pts
        video_frame = av.VideoFrame.from_ndarray(canvas, format="rgb24")
        video_frame.pts, video_frame.time_base = pts, Fraction(1, TICKS_PER_S)
        self._mux(video_frame)

    def _finish(self) -> None:
        """Finish the file and give it its name. Raises: UserError if writing fails."""
        try:
            self._mux(None)
        finally:
            self._close_container()
        if self._temp_path != self._path:
            try:
                self._temp_path.replace(self._path)
            except OSError as failed:
                raise self._write_error(failed) from failed

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
        return UserError(f"annotated video {str(self._path)!r}: {error.strerror or error}")


def video_size(size_px: Pixel) -> Pixel:
    """Return the video's size for frames of `size_px`: even, and large enough to read."""
    width, height = size_px
    target_height = min(MAX_HEIGHT_PX, max(MIN_HEIGHT_PX, height))
    return round(width * target_height / height / 2) * 2, target_height // 2 * 2


class _QueuedFrame(msgspec.Struct, frozen=True, kw_only=True):
    frame: Frame
    result: FrameResult


class AnnotatedVideoWriter:
    """Draws and encodes on its own thread, so that detection is not slowed down.

    The video starts at the first frame. If drawing falls behind, `add_frame` blocks with
    `every_frame`, and drops the frame without. After a failure all frames are dropped.
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
        self._ended = threading.Event()
        self.error: str | None = None
        """Reason if the video is missing or ends early, else None."""
        self._thread = threading.Thread(target=self._run, name="annotated video", daemon=True)
        self._thread.start()

    def add_frame(self, frame: Frame, result: FrameResult) -> None:
        """Add a frame. Thread-safe."""
        self._enqueue(_QueuedFrame(frame=frame, result=result))

    def add_event(self, event: Event) -> None:
        """Show an event on the frames from now on. Thread-safe."""
        self._enqueue(event)

    def close(self) -> None:
        """Draw the queued frames and finish the file. May be called again."""
        self._enqueue(None)
        self._thread.join()

    def _enqueue(self, item: _QueuedFrame | Event | None) -> None:
        if self._ended.is_set():
            return
        with suppress(queue.Full):
            self._queue.put(item, block=self._every_frame or item is None)

    def _run(self) -> None:
        self.error = "stopped by an unexpected error"
        try:
            self._write_until_closed()
            self.error = None
        except (UserError, av.FFmpegError, OSError) as error:
            self.error = str(error)
        finally:
            # From here on frames are dropped. Emptying the queue frees a thread that is blocked.
            self._ended.set()
            with suppress(queue.Empty):
                while True:
                    self._queue.get_nowait()

    def _write_until_closed(self) -> None:
        with ExitStack() as stack:
            video: AnnotatedVideo | None = None
            first_ns = 0
            while (item := self._queue.get()) is not None:
                if isinstance(item, Event):
                    if video is not None:
                        video.add_event(msgspec.structs.replace(item, t_ns=item.t_ns - first_ns))
                    continue
                if video is None:
                    size_px = (item.frame.width_px, item.frame.height_px)
                    first_ns = item.result.t_ns
                    video = stack.enter_context(
                        AnnotatedVideo(self._path, size_px, self._fps, self._scene, self._title)
                    )
                video.add_frame(item.frame, _rebase_times(item.result, first_ns))


def _rebase_times(result: FrameResult, first_ns: int) -> FrameResult:
    """Return the result with all its times counted from the video's first frame."""
    tracks = tuple(
        msgspec.structs.replace(
            track, begin_ns=track.begin_ns - first_ns, seen_ns=track.seen_ns - first_ns
        )
        for track in result.tracks
    )
    return msgspec.structs.replace(result, t_ns=result.t_ns - first_ns, tracks=tracks)
