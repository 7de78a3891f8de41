"""The demo's camera: a film once, at its own pace, or as fast as every frame can be judged."""

import threading
from collections.abc import Callable

import msgspec

from drivers.contracts import Camera, Wanted
from drivers.errors import DriverError
from drivers.media import Frame, Packet, StreamInfo

JUDGED_WITHIN_S = 20.0
"""A frame that is not judged in this time is given up, so that the film goes on."""


class FramePacer:
    """Lets a frame through once the one before it was judged."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    def enter(self) -> None:
        """A frame is on its way to be judged."""
        self._free.clear()

    def leave(self) -> None:
        """It was judged."""
        self._free.set()

    def wait(self, timeout_s: float) -> bool:
        """Whether the next one may come."""
        return self._free.wait(timeout_s)


class FilmCamera:
    """A replay camera that ends after `seconds` of the film, and keeps to the turnstile, if any.

    Invariant: with a turnstile no frame is handed over before the one before it was judged, so
    that none is replaced on its way.

    `base_ns` is added to the film's own times: a film that is played faster than it was made
    would otherwise have happened when the machine booted.
    """

    def __init__(
        self, camera: Camera, seconds: float | None, turnstile: FramePacer | None, base_ns: int
    ) -> None:
        self._camera = camera
        self._end_ns = None if seconds is None else round(seconds * 1e9)
        self._turnstile = turnstile
        self._base_ns = base_ns
        self._first_ns: int | None = None
        self._waited_s = 0.0

    @property
    def info(self) -> StreamInfo:
        """The film's parameters."""
        return self._camera.info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """The next packet or frame. Raises DriverError `ended` at the end of the span, too."""
        if self._turnstile is not None and not self._turnstile.wait(timeout_s):
            self._waited_s += timeout_s
            if self._waited_s < JUDGED_WITHIN_S:
                return None
        self._waited_s = 0.0
        media = self._camera.read(timeout_s)
        if media is None:
            return None
        if self._first_ns is None:
            self._first_ns = media.t_ns
        if self._end_ns is not None and media.t_ns - self._first_ns >= self._end_ns:
            raise DriverError("ended", "the part of the film that was asked for is over")
        if self._turnstile is not None and isinstance(media, Frame):
            self._turnstile.enter()
        return msgspec.structs.replace(media, t_ns=self._base_ns + media.t_ns)

    def close(self) -> None:
        """Close the film."""
        self._camera.close()


class OnceOnly:
    """Opens the film the first time; after that it has ended. A box would wait for its camera to
    come back, and a film does not.
    """

    def __init__(self, open_camera: Callable[[Wanted], Camera]) -> None:
        self._open_camera = open_camera
        self._opened = False

    def __call__(self, wanted: Wanted) -> Camera:
        """The film, or DriverError `ended`."""
        if self._opened:
            raise DriverError("ended", "the film was played to its end")
        camera = self._open_camera(wanted)
        self._opened = True
        return camera
