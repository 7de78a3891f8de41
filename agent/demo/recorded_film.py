"""The annotated film of the demo: frames come from the box, events from the centre."""

import threading
from pathlib import Path

import msgspec

from agent.detect.annotate import AnnotatedFilm
from agent.detect.scene import Scene
from agent.model import Event, Sight
from drivers.media import Frame


class RecordedFilm:
    """Begins with the first frame, whose size and time it takes. Any thread may tell it things."""

    def __init__(self, path: Path, scene: Scene, title: str, fps: float) -> None:
        self._path = path
        self._scene = scene
        self._title = title
        self._fps = fps
        self._lock = threading.Lock()
        self._film: AnnotatedFilm | None = None
        self._first_ns = 0
        self._closed = False

    def saw(self, frame: Frame, sight: Sight) -> None:
        """Add a frame."""
        with self._lock:
            if self._closed:
                return
            if self._film is None:
                size_px = (frame.width_px, frame.height_px)
                self._film = AnnotatedFilm(self._path, size_px, self._fps, self._scene, self._title)
                self._first_ns = sight.t_ns
            at_ns = sight.t_ns - self._first_ns
            self._film.add(frame, msgspec.structs.replace(sight, t_ns=at_ns))

    def note(self, event: Event) -> None:
        """An event has arrived: it is told on the frames from now on."""
        with self._lock:
            if self._film is not None and not self._closed:
                at_ns = event.t_ns - self._first_ns
                self._film.note(msgspec.structs.replace(event, t_ns=at_ns))

    def close(self) -> None:
        """Finish the file."""
        with self._lock:
            self._closed = True
            if self._film is not None:
                self._film.close()
