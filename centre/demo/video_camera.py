"""The demo's camera: a video played once, paced by its own clock or by the detector."""

import threading
from collections.abc import Callable

import msgspec

from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame, Packet, StreamInfo

PROCESS_TIMEOUT_S = 20.0
"""The camera continues if a frame has not been processed after this time."""


class FramePacer:
    """Holds back a frame until the one before it has been processed."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()

    def mark_busy(self) -> None:
        """Note that a frame has been handed over."""
        self._free.clear()

    def mark_free(self) -> None:
        """Note that the frame has been processed."""
        self._free.set()

    def wait_until_free(self, timeout_s: float) -> bool:
        """Wait for the frame to be processed. Return False on a timeout."""
        return self._free.wait(timeout_s)


class DemoVideoCamera:
    """A camera that ends after `duration_s`, and is slowed down by `pacer`, if there is one.

    Invariant: with a pacer no frame is handed over before the one before it was processed, so
    that the detect stage, which takes the newest frame, skips none.

    `base_ns` is added to the video's own times, which start at zero: the machine's boot.
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
        """The video's parameters."""
        return self._camera.info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame. Raises: DriverError `ended` after `duration_s`, too."""
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
            raise DriverError("ended", "the requested part of the video has been played")
        if self._pacer is not None and isinstance(media, Frame):
            self._pacer.mark_busy()
        return msgspec.structs.replace(media, t_ns=self._base_ns + media.t_ns)

    def close(self) -> None:
        """Close the video."""
        self._camera.close()


class OpenOnce:
    """Opens the camera once. A box reopens a lost camera, but a video that has ended stays ended."""

    def __init__(self, open_camera: Callable[[StreamRequest], Camera]) -> None:
        self._open_camera = open_camera
        self._opened = False
        self.has_ended = False
        """Whether a second camera was requested: an overloaded box reopens its streams."""

    def __call__(self, wanted: StreamRequest) -> Camera:
        """Return the camera. Raises: DriverError `ended` on every later call."""
        if self._opened:
            self.has_ended = True
            raise DriverError("ended", "the video was played to its end")
        camera = self._open_camera(wanted)
        self._opened = True
        return camera
