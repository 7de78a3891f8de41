"""A camera whose stream is decoded and encoded again, so that what is recorded is masked.

It is a Camera around another one, and costs a decoder and an encoder for every picture.
"""

import threading
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import msgspec

from drivers.av_stream import NS_PER_S, FramePick
from drivers.contracts import Camera, Wanted
from drivers.encoder import GOP_S, Encoder
from drivers.errors import DriverError
from drivers.media import Frame, Packet, StreamInfo

TICKS_PER_S = 90_000
_GOP_NS = round(GOP_S * NS_PER_S)


def open_transcoded(what: str, open_camera: Callable[[Wanted], Camera], wanted: Wanted) -> Camera:
    """Open a camera for its frames alone, and make H.264 of them; where no packets are wanted it is
    the camera itself. Raises what `open_camera` does, and DriverError `unsupported`.
    """
    if not wanted.packets:
        return open_camera(wanted)
    every = msgspec.structs.replace(wanted, packets=False, frames_fps=float("inf"))
    camera = open_camera(every)
    try:
        return Transcoding(what, camera, wanted)
    except DriverError:
        camera.close()
        raise


class Transcoding:
    """Invariant: no packet of the camera's own is ever handed out."""

    def __init__(self, what: str, camera: Camera, wanted: Wanted) -> None:
        self._what = what
        self._camera = camera
        self._pick = FramePick(wanted.frames_fps)
        info = camera.info
        self._encoder = Encoder(
            info.width_px,
            info.height_px,
            Fraction(info.fps).limit_denominator(1001),
            Fraction(1, TICKS_PER_S),
            what,
        )
        self._info = StreamInfo(
            codec="h264",
            width_px=info.width_px,
            height_px=info.height_px,
            fps=info.fps,
            extradata=self._encoder.extradata,
            masked=wanted.masked,
        )
        self._inside = threading.Lock()
        self._closed = False
        self._ready: deque[Packet | Frame] = deque()
        self._first_ns: int | None = None
        self._last_ticks = -1
        self._key_ns = 0

    @property
    def info(self) -> StreamInfo:
        """The parameters of the stream that is encoded here."""
        return self._info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """The next packet or frame, or None. Raises DriverError."""
        with self._inside:
            if self._ready:
                return self._ready.popleft()
        media = self._camera.read(timeout_s)
        with self._inside:
            if self._closed:
                raise DriverError("absent", f"{self._what}: is closed")
            if isinstance(media, Frame):
                self._take(media)
            return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()
        with self._inside:
            self._closed = True
            self._ready.clear()

    def _take(self, frame: Frame) -> None:
        if self._first_ns is None:
            self._first_ns = self._key_ns = frame.t_ns
        past_ns = frame.t_ns - self._first_ns
        # Two pictures of one moment are a tick apart: a file needs times that rise.
        ticks = max(self._last_ticks + 1, past_ns * TICKS_PER_S // NS_PER_S)
        self._last_ticks = ticks
        # A camera that is slower than it said would else have its keyframes too far apart.
        key = frame.t_ns - self._key_ns >= _GOP_NS
        for unit in self._encoder.encode((frame.y, frame.u, frame.v), ticks, key=key):
            if unit.is_key:
                self._key_ns = frame.t_ns
            at_ns = unit.ticks * NS_PER_S // TICKS_PER_S
            self._ready.append(
                Packet(
                    t_ns=frame.t_ns, pts_ns=at_ns, dts_ns=at_ns, is_key=unit.is_key, data=unit.data
                )
            )
        if self._pick.take(frame.t_ns):
            self._ready.append(frame)
