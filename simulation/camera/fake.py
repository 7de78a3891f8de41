"""A rendered street with ground truth: a camera for tests, and for a demo without a video.

```toml
[[camera]]
name = "drawn"
driver = "fake"

[camera.options]
width_px = 1280
height_px = 720
fps = 15
seed = 1
pace = "real"
night = false
rain = 0.0
noise = 2.0
```

Cars both ways, people on the pavements and on a crossing, a car that stops and one on the wrong
side; a minute's timetable, repeated (see `simulation.street.world`). The same options give the same
pictures. `truth` returns the road users in them.

It simulates failures: `duration_s` ends the stream, `freeze_after_s` repeats the same picture from
then on, `silent_after_s` delivers nothing from then on.
"""

import threading
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Literal

import msgspec
import numpy as np

from drivers.av_stream import FrameSelector
from drivers.contracts import CameraReadings, StreamRequest
from drivers.encoder import H264Encoder
from drivers.errors import DriverError
from drivers.masking import MaskPainter
from drivers.media import NS_PER_S, Frame, Packet, Plane, StreamInfo
from simulation.street.fixed_view import FixedView, TruthBox, truth_boxes
from simulation.street.renderer import SceneConditions, StreetRenderer, bgr_to_planes

MAX_FPS = 60
GREY = 128
"""Chroma without colour."""
EvenPixels = Annotated[int, msgspec.Meta(ge=64, le=4096, multiple_of=2)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`rain` is from 0 to 1, `noise` the standard deviation of luma in steps of 255."""

    width_px: EvenPixels = 1280
    height_px: EvenPixels = 720
    fps: Annotated[float, msgspec.Meta(ge=1, le=MAX_FPS)] = 15.0
    seed: Annotated[int, msgspec.Meta(ge=0)] = 1
    pace: Literal["real", "fast"] = "real"
    night: bool = False
    rain: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    noise: Annotated[float, msgspec.Meta(ge=0, le=60)] = 2.0
    duration_s: Seconds | None = None
    freeze_after_s: Seconds | None = None
    silent_after_s: Seconds | None = None


def open_camera(
    name: str, options: Options, request: StreamRequest, clock_ns: Callable[[], int]
) -> "FakeCamera":
    """Open a street of its own.

    Raises: DriverError `unsupported` if FFmpeg has no H.264 encoder; MaskError.
    """
    return FakeCamera(name, options, request, clock_ns)


class FakeCamera:
    """The rendered street. In fast pace `t_ns` is the street's own time, from 0."""

    def __init__(
        self, name: str, options: Options, request: StreamRequest, clock_ns: Callable[[], int]
    ) -> None:
        self._display_name = f"camera {name!r}: fake"
        self._options = options
        self._request = request
        self._clock_ns = clock_ns
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._pending_media: deque[Packet | Frame] = deque()
        self._view = FixedView(options.width_px, options.height_px)
        conditions = SceneConditions(night=options.night, rain=options.rain, noise=options.noise)
        self._renderer = StreetRenderer(self._view, conditions, options.seed)
        self._drawn_moment: tuple[float, int] | None = None
        self._drawn_planes: tuple[Plane, Plane, Plane]
        self._rate = Fraction(options.fps).limit_denominator(1001)
        self._selector = FrameSelector(request.frames_fps)
        self._mask_painter = MaskPainter(request.masks, self._display_name, request.current_masks)
        self._encoder = (
            H264Encoder(
                options.width_px, options.height_px, self._rate, 1 / self._rate, self._display_name
            )
            if request.packets
            else None
        )
        self._info = StreamInfo(
            codec="h264" if self._encoder else "rawvideo",
            width_px=options.width_px,
            height_px=options.height_px,
            fps=float(self._rate),
            extradata=self._encoder.extradata if self._encoder else b"",
            masked=request.has_masks,
        )
        self._is_night = False
        self._next_frame = 0
        self._base_frame, self._base_ns = 0, 0
        """The frame since which the rate is in force, and its time."""
        self._start_ns = clock_ns() if options.pace == "real" else 0

    @property
    def info(self) -> StreamInfo:
        """The stream's parameters."""
        return self._info

    def truth_boxes(self, t_s: float) -> tuple[TruthBox, ...]:
        """Return the road users in the picture at `t_s` seconds of the street's own time."""
        return truth_boxes(self._options.seed, self._scene_time_s(t_s), self._view)

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame, or None if none is due within `timeout_s`."""
        while True:
            with self._lock:
                if self._closed.is_set():
                    raise DriverError("closed", f"{self._display_name}: is closed")
                if self._pending_media:
                    return self._pending_media.popleft()
                street_ns = self._frame_time_ns(self._next_frame)
                self._raise_if_ended(street_ns)
                wait_s = self._time_until_due_s(street_ns, timeout_s)
                if wait_s <= 0:
                    self._render(street_ns)
                    continue
            self._closed.wait(min(wait_s, timeout_s))
            with self._lock:
                late = self._time_until_due_s(street_ns, timeout_s) > 0
            if late and not self._closed.is_set():
                return None

    def set_min_fps(self, fps: float | None) -> None:
        """Change the rate of the pictures; it is never below the configured one."""
        wanted = self._options.fps if fps is None else max(fps, self._options.fps)
        with self._lock:
            self._base_ns = self._frame_time_ns(self._next_frame)
            self._base_frame = self._next_frame
            self._rate = Fraction(min(wanted, MAX_FPS)).limit_denominator(1001)

    def set_night(self, night: bool | None) -> None:  # noqa: FBT001 - as NightModeControl
        """Take grey pictures, or coloured ones; by itself it takes coloured ones."""
        self._is_night = bool(night)

    def readings(self) -> CameraReadings:
        """Return whether its pictures are grey."""
        return CameraReadings(night=self._is_night)

    def close(self) -> None:
        """Close; a waiting `read` ends at once."""
        self._closed.set()
        with self._lock:
            self._pending_media.clear()
            self._encoder = None

    def _frame_time_ns(self, frame: int) -> int:
        """Return the street's time of a picture."""
        since_base = frame - self._base_frame
        return (
            self._base_ns + since_base * NS_PER_S * self._rate.denominator // self._rate.numerator
        )

    def _raise_if_ended(self, street_ns: int) -> None:
        if (
            self._options.duration_s is not None
            and street_ns >= self._options.duration_s * NS_PER_S
        ):
            raise DriverError(
                "ended", f"{self._display_name}: ended after {self._options.duration_s:g} s"
            )

    def _time_until_due_s(self, street_ns: int, timeout_s: float) -> float:
        """Return the time until a picture is due, which is infinite if the camera is silent."""
        silent_s = self._options.silent_after_s
        if silent_s is not None and street_ns >= silent_s * NS_PER_S:
            return timeout_s + 1.0
        if self._options.pace == "fast":
            return 0.0
        return (self._start_ns + street_ns - self._clock_ns()) / NS_PER_S

    def _scene_time_s(self, t_s: float) -> float:
        """Return the street's time in the picture of `t_s`."""
        freeze_s = self._options.freeze_after_s
        return t_s if freeze_s is None else min(t_s, freeze_s)

    def _render(self, street_ns: int) -> None:
        """Render one picture if it is requested, and queue its packet and frame."""
        seq, self._next_frame = self._next_frame, self._next_frame + 1
        is_selected = self._selector.select(street_ns)
        if not is_selected and self._encoder is None:
            return
        t_ns = self._start_ns + street_ns
        y, u, v = self._mask_painter.paint_planes(self._planes(street_ns, seq), t_ns)
        if self._encoder is not None:
            for packet in self._encoder.encode((y, u, v), seq):
                self._pending_media.append(
                    Packet(
                        t_ns=t_ns,
                        pts_ns=street_ns,
                        dts_ns=street_ns,
                        is_key=packet.is_key,
                        data=packet.data,
                    )
                )
        if is_selected:
            self._pending_media.append(Frame(seq=seq, t_ns=t_ns, y=y, u=u, v=v))

    def _planes(self, street_ns: int, seq: int) -> tuple[Plane, Plane, Plane]:
        """Return the picture as 4:2:0 planes."""
        freeze_s = self._options.freeze_after_s
        if freeze_s is not None:
            # The sensor's noise freezes with the picture.
            seq = min(seq, int(freeze_s * self._rate))
        moment = self._scene_time_s(street_ns / NS_PER_S), seq
        if moment != self._drawn_moment:  # a frozen picture is drawn once
            self._drawn_planes = bgr_to_planes(self._renderer.render(*moment))
            self._drawn_moment = moment
        y, u, v = self._drawn_planes
        return (y, np.full_like(u, GREY), np.full_like(v, GREY)) if self._is_night else (y, u, v)
