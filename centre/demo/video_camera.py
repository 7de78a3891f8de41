"""The demo's camera: a film once, at its own pace, or as fast as every frame can be judged."""

import threading
from collections.abc import Callable

import msgspec

from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame, Packet, StreamInfo

PROCESS_TIMEOUT_S = 20.0
"""A frame that is not judged in this time is given up, so that the film goes on."""


class FramePacer:
    """Lets a frame through once the one before it was judged."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    def mark_busy(self) -> None:
        """A frame is on its way to be judged."""
        self._free.clear()

    def mark_free(self) -> None:
        """It was judged."""
        self._free.set()

    def wait_until_free(self, timeout_s: float) -> bool:
        """Whether the next one may come."""
        return self._free.wait(timeout_s)


class DemoVideoCamera:
    """A replay camera that ends after `seconds` of the film, and keeps to the turnstile, if any.

    Invariant: with a turnstile no frame is handed over before the one before it was judged, so
    that none is replaced on its way.

    `base_ns` is added to the film's own times: a film that is played faster than it was made
    would otherwise have happened when the machine booted.
    """

    def __init__(
        self, camera: Camera, duration_s: float | None, pacer: FramePacer | None, base_ns: int
    ) -> None:
        self._camera = camera
        self._duration_ns = None if duration_s is None else round(duration_s * 1e9)
        self._pacer = pacer
        self._base_ns = base_ns
        self._first_ns: int | None = None
        self._waited_s = 0.0

    @property
    def info(self) -> StreamInfo:
        """The film's parameters."""
        return self._camera.info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """The next packet or frame. Raises DriverError `ended` at the end of the span, too."""
        if self._pacer is not None and not self._pacer.wait_until_free(timeout_s):
            self._waited_s += timeout_s
            if self._waited_s < PROCESS_TIMEOUT_S:
                return None
        self._waited_s = 0.0
        media = self._camera.read(timeout_s)
        if media is None:
            return None
        if self._first_ns is None:
            self._first_ns = media.t_ns
        if self._duration_ns is not None and media.t_ns - self._first_ns >= self._duration_ns:
            raise DriverError("ended", "the part of the film that was asked for is over")
        if self._pacer is not None and isinstance(media, Frame):
            self._pacer.mark_busy()
        return msgspec.structs.replace(media, t_ns=self._base_ns + media.t_ns)

    def close(self) -> None:
        """Close the film."""
        self._camera.close()


class OpenOnce:
    """Opens the film the first time; after that it has ended. A box would wait for its camera to
    come back, and a film does not.
    """

    def __init__(self, open_camera: Callable[[StreamRequest], Camera]) -> None:
        self._open_camera = open_camera
        self._opened = False

    def __call__(self, wanted: StreamRequest) -> Camera:
        """The film, or DriverError `ended`."""
        if self._opened:
            raise DriverError("ended", "the film was played to its end")
        camera = self._open_camera(wanted)
        self._opened = True
        return camera
