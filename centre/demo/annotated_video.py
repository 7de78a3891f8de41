"""The annotated film of the demo: frames come from the box, events from the centre."""

import queue
import threading
from pathlib import Path

import av
import msgspec

from agent.base.errors import UserError
from agent.base.model import Event, FrameResult
from agent.detection.annotate import AnnotatedVideo
from agent.detection.scene import Scene
from drivers.media import Frame

MAX_QUEUED = 16
"""Frames that wait to be drawn; each keeps a decoded picture alive."""


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
