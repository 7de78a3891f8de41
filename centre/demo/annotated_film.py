"""The annotated film of the demo: frames come from the box, events from the centre."""

import queue
import threading
from pathlib import Path

import av
import msgspec

from agent.base.errors import UserError
from agent.base.model import Event, FrameResult
from agent.detection.annotate import AnnotatedFilm
from agent.detection.scene import Scene
from drivers.media import Frame

WAITING_MOST = 16
"""Frames that wait to be drawn; each keeps a decoded picture alive."""


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    frame: Frame
    sight: FrameResult


class RecordedFilm:
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
        self._waiting: queue.Queue[_Seen | Event | None] = queue.Queue(WAITING_MOST)
        self._film: AnnotatedFilm | None = None
        self._first_ns = 0
        self.failed: str | None = None
        """Why the film could not be written, if so."""
        self._thread = threading.Thread(target=self._draw_all, name="annotated film", daemon=True)
        self._thread.start()

    def saw(self, frame: Frame, sight: FrameResult) -> None:
        """Add a frame."""
        self._give(_Seen(frame=frame, sight=sight))

    def note(self, event: Event) -> None:
        """An event has arrived: it is told on the frames from now on."""
        self._give(event)

    def close(self) -> None:
        """Draw what waits, and finish the file."""
        self._waiting.put(None)
        self._thread.join()

    def _give(self, item: _Seen | Event) -> None:
        try:
            self._waiting.put(item, block=self._every_frame)
        except queue.Full:
            return

    def _draw_all(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._guarded(item)
        self._guarded(None)

    def _guarded(self, item: _Seen | Event | None) -> None:
        """After a failure the rest is taken and left, so that nobody waits for room."""
        if self.failed is not None:
            return
        try:
            if item is None:
                if self._film is not None:
                    self._film.close()
            elif isinstance(item, Event):
                self._note(item)
            else:
                self._add(item)
        except (UserError, av.FFmpegError, OSError) as error:
            self.failed = str(error)

    def _add(self, seen: _Seen) -> None:
        frame, sight = seen.frame, seen.sight
        if self._film is None:
            size_px = (frame.width_px, frame.height_px)
            self._film = AnnotatedFilm(self._path, size_px, self._fps, self._scene, self._title)
            self._first_ns = sight.t_ns
        self._film.add(frame, _counted_from(sight, self._first_ns))

    def _note(self, event: Event) -> None:
        if self._film is not None:
            at_ns = event.t_ns - self._first_ns
            self._film.note(msgspec.structs.replace(event, t_ns=at_ns))


def _counted_from(sight: FrameResult, first_ns: int) -> FrameResult:
    """The sight with all its times counted from the film's first frame."""
    tracks = tuple(
        msgspec.structs.replace(
            track, begin_ns=track.begin_ns - first_ns, seen_ns=track.seen_ns - first_ns
        )
        for track in sight.tracks
    )
    return msgspec.structs.replace(sight, t_ns=sight.t_ns - first_ns, tracks=tracks)
