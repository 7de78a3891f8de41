"""PyAV streams: opening, decoding, planes, and errors by kind, for several drivers.

Nothing in this module waits or reads a clock; a driver decides when it reads.
"""

import ctypes
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import av
import av.container
import av.error
import av.video
import av.video.stream
import numpy as np

from drivers.display_matrix import UPRIGHT, Orientation, parse_display_matrix
from drivers.errors import DriverError, DriverErrorKind, errno_kind
from drivers.media import NS_PER_S, Packet, Plane, Planes, StreamInfo

MAX_ALLOCATION_BYTES = 134_217_728
"""A camera names the length of its description and the size of its picture. A decoded picture of 8192x4320
takes 53 MB.
"""

MAX_FPS, DEFAULT_FPS = 240.0, 25.0
"""FFmpeg guesses the unit of the timestamps as the rate of a stream that states none: 90000 over RTP."""

MAX_EARLY_NS = 20_000_000
"""A picture this much earlier than its place on the grid is on time."""

VideoPacket: TypeAlias = "av.Packet[av.video.stream.VideoStream]"
"""A demuxed packet; generic for the type checker alone, hence the quotes."""

_PLANAR_420 = ("yuv420p", "yuvj420p")

_ERROR_KINDS: tuple[tuple[type[Exception], DriverErrorKind, str], ...] = (
    (av.error.FileNotFoundError, "absent", "no such file or device"),
    (av.error.HTTPNotFoundError, "absent", "the server knows no such path"),
    (av.error.ConnectionRefusedError, "absent", "no server listens there"),
    (av.error.IsADirectoryError, "protocol", "is a folder; expected a file"),
    (av.error.PermissionError, "unsupported", "permission denied to this user"),
    (av.error.ArgumentError, "unsupported", "refuses the request"),
    (av.error.HTTPUnauthorizedError, "protocol", "the server refuses this username and password"),
    (av.error.HTTPForbiddenError, "protocol", "the server forbids this path to this user"),
    (av.error.HTTPServerError, "protocol", "the server reports an error of its own"),
    (av.error.ExitError, "timeout", "no answer in time"),
    (av.error.TimeoutError, "timeout", "no answer in time"),
    (av.error.InvalidDataError, "protocol", "is not video that FFmpeg can read"),
    (av.error.DecoderNotFoundError, "unsupported", "no decoder for this codec"),
    (av.error.ConnectionResetError, "ended", "the other side closed the connection"),
    (av.error.BrokenPipeError, "ended", "the other side closed the connection"),
    (av.error.EOFError, "ended", "ended before the stream began"),
    (MemoryError, "crashed", "it takes more memory to read than it may have"),
)


def _limit_allocations() -> None:
    """Limit each allocation of FFmpeg in this process: av_max_alloc(), libavutil/mem.h.

    PyAV does not offer the function; it is that of the library that PyAV has loaded.
    """
    with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as maps:
        libraries = {line.split()[-1] for line in maps if "libavutil" in line}
    for library in libraries:
        ctypes.CDLL(library).av_max_alloc(ctypes.c_size_t(MAX_ALLOCATION_BYTES))


_limit_allocations()


def to_driver_error(error: Exception, display_name: str) -> DriverError:
    """Map a library's error to a DriverError. The name of the device holds no secret.

    The cause is chained without the address that the library repeats: it may hold a password.
    """
    translated = _classify_error(error, display_name)
    if isinstance(error, av.error.FFmpegError):
        translated.__cause__ = type(error)(error.errno or 0, error.strerror or "")
    return translated


def _classify_error(error: Exception, display_name: str) -> DriverError:
    for error_type, matched_kind, message in _ERROR_KINDS:
        if isinstance(error, error_type):
            return DriverError(matched_kind, f"{display_name}: {message}")
    if isinstance(error, av.error.FFmpegError):
        return DriverError(errno_kind(error.errno), f"{display_name}: failed: {error.strerror}")
    return DriverError("protocol", f"{display_name}: {type(error).__name__}")


class VideoSource:
    """An open container and its first video stream, decoded by one thread.

    One decoder thread costs the least CPU, and its output does not depend on timing. `orientation` is for the decoded
    pictures, and `info` has the size of the displayed ones. Not thread-safe.
    """

    def __init__(self, container: av.container.InputContainer, display_name: str) -> None:
        self._container = container
        self._display_name = display_name
        if not container.streams.video:
            container.close()
            raise DriverError("unsupported", f"{display_name}: has no video stream")
        self.stream: av.video.stream.VideoStream = container.streams.video[0]
        context = self.stream.codec_context
        if context is None or context.width <= 0 or context.height <= 0:
            container.close()
            raise DriverError("protocol", f"{display_name}: its video stream has no picture size")
        orientation = _read_orientation(context)
        if orientation is None:
            container.close()
            raise DriverError(
                "unsupported",
                f"{display_name}: its display matrix does more than turn the picture; allowed: turns by 90, 180 or "
                "270 degrees, mirrored or not",
            )
        self.orientation = orientation
        context.thread_type = "NONE"
        context.thread_count = 1
        time_base = self.stream.time_base
        self._tick_num = time_base.numerator * NS_PER_S if time_base else 1
        self._tick_den = time_base.denominator if time_base else 1
        self.is_intra_only = bool(context.codec.intra_only)
        self.info = _stream_info(self.stream, orientation)
        self.duration_s = (container.duration or 0) / av.time_base
        """Length of the video, 0 if unknown."""
        self.creation_time = _creation_time(container.metadata)
        self._context = context

    def ticks_to_ns(self, ticks: int) -> int:
        """Return a timestamp or duration of the stream in ns."""
        return ticks * self._tick_num // self._tick_den

    def ns_to_ticks(self, t_ns: int) -> int:
        """Return a time or duration in ns as a timestamp or duration of the stream."""
        return t_ns * self._tick_den // self._tick_num

    def seek(self, ticks: int) -> None:
        """Continue at the last keyframe not after a timestamp, as the container's index has it. Raises: PyAV's errors."""
        self._container.seek(ticks, stream=self.stream)

    def packets(self) -> Iterator[VideoPacket]:
        """Yield all packets in file order; the last one is empty and drains the decoder."""
        return self._container.demux(self.stream)

    def decode(self, packet: VideoPacket) -> list[av.VideoFrame]:
        """Return the pictures that this packet completes, in presentation order.

        It works after the container is closed too. Raises: PyAV's errors, which the driver interprets.
        """
        return self._context.decode(packet)

    def decode_alone(self, packet: VideoPacket) -> list[av.VideoFrame]:
        """Return the picture of a keyframe. The decoder forgets all before and after it.

        Raises: as `decode`.
        """
        self._context.flush_buffers()
        pictures = self._context.decode(packet) + self._context.decode(None)
        self._context.flush_buffers()
        return pictures

    def planes(self, picture: av.VideoFrame) -> Planes:
        """Return the planes of a decoded picture as they are displayed, as `frame_planes`."""
        return self.orientation.turn_planes(frame_planes(picture))

    def close(self) -> None:
        """Close the container. No other method may be running."""
        self._container.close()


def open_video_source(file: str, display_name: str, **av_options: Any) -> VideoSource:
    """Open a file, device or address; `av_options` go to `av.open`. Raises DriverError."""
    return VideoSource(open_container(file, display_name, **av_options), display_name)


def open_container(file: str, display_name: str, **av_options: Any) -> av.container.InputContainer:
    """Open a container, as `open_video_source`. Raises DriverError."""
    try:
        container: av.container.InputContainer = av.open(file, mode="r", **av_options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        translated = to_driver_error(error, display_name)
        raise translated from translated.__cause__
    return container


def _creation_time(metadata: Mapping[str, str]) -> str:
    """Return the text of a container's creation time, empty without one.

    The tag of Apple's devices is the start of the recording with its offset; that of ISO/IEC 14496-12 has none.
    """
    return metadata.get("com.apple.quicktime.creationdate") or metadata.get("creation_time", "")


def _read_orientation(context: av.video.codeccontext.VideoCodecContext) -> Orientation | None:
    matrix = context.coded_side_data.get("display_matrix")
    return UPRIGHT if matrix is None else parse_display_matrix(matrix)


def _stream_info(stream: av.video.stream.VideoStream, orientation: Orientation) -> StreamInfo:
    context = stream.codec_context
    sides_px = (context.width, context.height)
    width_px, height_px = reversed(sides_px) if orientation.is_transposed else sides_px
    rates = (stream.average_rate, stream.guessed_rate, context.framerate)
    return StreamInfo(
        codec=context.codec.canonical_name,
        width_px=width_px,
        height_px=height_px,
        fps=next((float(rate) for rate in rates if rate and rate <= MAX_FPS), DEFAULT_FPS),
        extradata=bytes(context.extradata or b""),
    )


def frame_planes(frame: av.VideoFrame) -> Planes:
    """Return the planes of a decoded picture as views on the decoder's memory, without a copy.

    A format other than 4:2:0 planar is converted first. FFmpeg counts references: the decoder uses
    other memory as long as a view is alive.
    """
    if frame.format.name not in _PLANAR_420:
        frame = frame.reformat(format="yuv420p")
    y, u, v = frame.planes
    return _plane_view(y), _plane_view(u), _plane_view(v)


def _plane_view(plane: av.video.plane.VideoPlane) -> Plane:
    """Rows may be padded: the view leaves the padding out by slicing."""
    flat = np.frombuffer(plane, np.uint8)
    view = flat.reshape(plane.height, plane.line_size)[:, : plane.width]
    view.flags.writeable = False
    return view


def to_media_packet(packet: VideoPacket, *, t_ns: int, pts_ns: int, dts_ns: int) -> Packet:
    """Return a packet with the driver's times. Its bytes are copied."""
    return Packet(
        t_ns=t_ns, pts_ns=pts_ns, dts_ns=dts_ns, is_key=packet.is_keyframe, data=bytes(packet)
    )


class FrameSelector:
    """Selects pictures, so that there are at most `fps` a second of their own time.

    Pictures are taken on a grid of 1/fps seconds that begins with the first one. A picture slightly
    early counts as on time, because timestamps are rounded and jitter; the grid does not move with
    it, so the average is bounded.
    """

    def __init__(self, fps: float) -> None:
        self._is_disabled = fps <= 0
        self._step_ns = 0 if self._is_disabled or math.isinf(fps) else round(NS_PER_S / fps)
        self._tolerance_ns = min(MAX_EARLY_NS, self._step_ns // 4)
        self._due_ns: int | None = None

    def is_due(self, t_ns: int) -> bool:
        """Whether a picture of this time would be taken."""
        if self._is_disabled:
            return False
        return self._due_ns is None or t_ns + self._tolerance_ns >= self._due_ns

    def select(self, t_ns: int) -> bool:
        """Whether to take the picture of this time. If it is taken, the grid moves on."""
        if not self.is_due(t_ns):
            return False
        due_ns = t_ns if self._due_ns is None else self._due_ns
        self._due_ns = due_ns + self._step_ns
        if self._due_ns < t_ns:
            # The stream is slower than `fps`, or there was a gap.
            self._due_ns = t_ns + self._step_ns
        return True
