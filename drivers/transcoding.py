"""Transcoding: a camera's stream is decoded, masked and encoded again for recording.

It is a Camera around another one, and costs a decoder and an encoder for every picture.
"""

import threading
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import msgspec

from drivers.av_stream import FrameSelector
from drivers.contracts import Camera, StreamRequest
from drivers.encoder import GOP_S, H264Encoder
from drivers.errors import DriverError
from drivers.media import NS_PER_S, Frame, Packet, StreamInfo

TICKS_PER_S = 90_000
_GOP_NS = round(GOP_S * NS_PER_S)


def open_transcoded(
    display_name: str, open_camera: Callable[[StreamRequest], Camera], request: StreamRequest
) -> Camera:
    """Open a camera for its frames, and encode them as H.264.

    Without packets in the request the camera is returned as it is. Raises: as `open_camera`, and
    DriverError `unsupported`.
    """
    if not request.packets:
        return open_camera(request)
    frame_request = msgspec.structs.replace(
        request, packets=False, frames_fps=float("inf"), keyframe_watch=None
    )
    camera = open_camera(frame_request)
    try:
        return TranscodingCamera(display_name, camera, request)
    except DriverError:
        camera.close()
        raise


class TranscodingCamera:
    """Invariant: no packet of the camera's own is ever delivered."""

    def __init__(self, display_name: str, camera: Camera, request: StreamRequest) -> None:
        self._display_name = display_name
        self._camera = camera
        self._selector = FrameSelector(request.frames_fps)
        info = camera.info
        self._encoder = H264Encoder(
            info.width_px,
            info.height_px,
            Fraction(info.fps).limit_denominator(1001),
            Fraction(1, TICKS_PER_S),
            display_name,
        )
        self._info = StreamInfo(
            codec="h264",
            width_px=info.width_px,
            height_px=info.height_px,
            fps=info.fps,
            extradata=self._encoder.extradata,
            masked=request.has_masks,
        )
        self._lock = threading.Lock()
        self._closed = False
        self._pending_media: deque[Packet | Frame] = deque()
        self._first_ns: int | None = None
        self._last_ticks = -1
        self._last_key_ns = 0

    @property
    def info(self) -> StreamInfo:
        """The parameters of the encoded stream."""
        return self._info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame, or None. Raises: DriverError."""
        with self._lock:
            if self._pending_media:
                return self._pending_media.popleft()
        media = self._camera.read(timeout_s)
        with self._lock:
            if self._closed:
                raise DriverError("closed", f"{self._display_name}: is closed")
            if isinstance(media, Frame):
                self._encode_frame(media)
            return self._pending_media.popleft() if self._pending_media else None

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()
        with self._lock:
            self._closed = True
            self._pending_media.clear()

    def _encode_frame(self, frame: Frame) -> None:
        if self._first_ns is None:
            self._first_ns = self._last_key_ns = frame.t_ns
        elapsed_ns = frame.t_ns - self._first_ns
        # Two pictures of the same time are a tick apart: a file needs rising times.
        ticks = max(self._last_ticks + 1, elapsed_ns * TICKS_PER_S // NS_PER_S)
        self._last_ticks = ticks
        # A camera slower than its nominal rate would otherwise have its keyframes too far apart.
        force_keyframe = frame.t_ns - self._last_key_ns >= _GOP_NS
        for unit in self._encoder.encode(
            (frame.y, frame.u, frame.v), ticks, force_keyframe=force_keyframe
        ):
            if unit.is_key:
                self._last_key_ns = frame.t_ns
            stream_ns = unit.ticks * NS_PER_S // TICKS_PER_S
            self._pending_media.append(
                Packet(
                    t_ns=frame.t_ns,
                    pts_ns=stream_ns,
                    dts_ns=stream_ns,
                    is_key=unit.is_key,
                    data=unit.data,
                )
            )
        if self._selector.select(frame.t_ns):
            self._pending_media.append(frame)
