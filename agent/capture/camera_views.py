"""Views of fisheye cameras: cameras whose pictures are dewarped from those of another one."""

import threading
from collections.abc import Callable

import msgspec

from agent.detection.dewarp import Dewarper, share
from agent.runtime.queues import LatestFrame
from drivers.av_stream import FrameSelector
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.media import Frame, Packet, StreamInfo

OpenCamera = Callable[[StreamRequest], Camera]


class FrameFeed:
    """The frames of one open camera, for each of its views. Thread-safe."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._lock = threading.Lock()
        self._readers: tuple[FeedReader, ...] = ()
        self.info: StreamInfo | None = None
        """The stream, None before the camera was open."""

    def put(self, frame: Frame) -> None:
        """Store a frame for each view, see `LatestFrame.put`."""
        shared = share(frame)
        for reader in self._readers:
            reader.frames.put(shared)

    def is_wanted(self, keyframe: Frame) -> bool:
        """Return whether a view wants the pictures around a keyframe. Each one looks at it."""
        wanted = [reader.is_wanted(keyframe) for reader in self._readers]
        return any(wanted)

    def open(self, request: StreamRequest) -> "FeedReader":
        """Return a reader of the frames. Raises: DriverError if the camera was not open yet."""
        if self.info is None:
            raise DriverError("absent", f"camera {self._camera!r} is not open yet")
        reader = FeedReader(self.info, request, self._remove)
        with self._lock:
            self._readers = (*self._readers, reader)
        return reader

    def _remove(self, reader: "FeedReader") -> None:
        with self._lock:
            self._readers = tuple(one for one in self._readers if one is not reader)


class FeedReader:
    """The frames of a camera that is open, as a Camera."""

    def __init__(
        self, info: StreamInfo, request: StreamRequest, on_close: Callable[["FeedReader"], None]
    ) -> None:
        self.info = info
        self.frames = LatestFrame()
        self._keyframe_watch = request.keyframe_watch
        self._on_close = on_close
        self._is_closed = False

    def is_wanted(self, keyframe: Frame) -> bool:
        """Return whether the pictures around a keyframe are wanted."""
        return self._keyframe_watch is None or self._keyframe_watch(keyframe)

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest frame, or None. Raises: DriverError after `close`."""
        frame = self.frames.take(timeout_s)
        if self._is_closed:
            raise DriverError("closed", "the view is closed")
        return frame

    def close(self) -> None:
        """Leave the feed."""
        self._is_closed = True
        self._on_close(self)


def open_view(dewarper: Dewarper, open_camera: OpenCamera, request: StreamRequest) -> Camera:
    """Open a view of the camera that `open_camera` opens. Raises: as `open_camera`.

    Masks are drawn on the picture of that camera, before it is dewarped: the request of a view has none.
    """
    watch = request.keyframe_watch
    camera_request = msgspec.structs.replace(
        request,
        packets=False,
        masks=(),
        current_masks=None,
        keyframe_watch=None if watch is None else lambda frame: watch(dewarper.dewarp(frame)),
    )
    return ViewCamera(dewarper, open_camera(camera_request), request.frames_fps)


class ViewCamera:
    """A Camera around another one."""

    def __init__(self, dewarper: Dewarper, camera: Camera, frames_fps: float) -> None:
        self._dewarper = dewarper
        self._camera = camera
        self._selector = FrameSelector(frames_fps)
        self.info = StreamInfo(
            codec="rawvideo",
            width_px=dewarper.view.width_px,
            height_px=dewarper.view.height_px,
            fps=camera.info.fps,
        )

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the view of the next frame, or None. Raises: DriverError."""
        media = self._camera.read(timeout_s)
        if not isinstance(media, Frame) or not self._selector.select(media.t_ns):
            return None
        return self._dewarper.dewarp(media)

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()
