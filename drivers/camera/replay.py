"""A recorded video as a camera: any file that FFmpeg opens.

```toml
[[camera]]
name = "north"
driver = "replay"
options = { path = "/var/lib/vigie/clips/street.mp4", pace = "real", loop = true }
```

`pace = "real"` delivers each picture when it is due, as a camera does, and `t_ns` is its
CLOCK_BOOTTIME. `pace = "fast"` delivers pictures as fast as they are read, and `t_ns` is the video's
own time, from 0: two runs give the same.

The display matrix of the video, with which a phone notes how it was held, is applied to frames. Packets have
none: a video that it turns is refused for recording.

In real pace the driver wakes when a requested picture is due, and then delivers everything that
became due since: waking for each packet costs more than demuxing it. If only packets are requested it
wakes twice a second.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Annotated, Literal

import av.error
import msgspec

from drivers.av_stream import (
    FrameSelector,
    VideoPacket,
    VideoSource,
    open_video_source,
    to_driver_error,
    to_media_packet,
)
from drivers.contracts import StreamRequest
from drivers.display_matrix import UPRIGHT
from drivers.errors import DriverError
from drivers.frame_decoder import FrameDecoder
from drivers.masking import MaskPainter
from drivers.media import NS_PER_S, Frame, Packet, StreamInfo

MAX_WAKE_INTERVAL_NS = NS_PER_S // 2


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path`: the video. `loop`: begin again at its end, without a gap and without a step in time."""

    path: Annotated[str, msgspec.Meta(min_length=1)]
    pace: Literal["real", "fast"] = "real"
    loop: bool = False


def open_camera(
    name: str, options: Options, request: StreamRequest, clock_ns: Callable[[], int]
) -> "ReplayCamera":
    """Open the video. Raises: DriverError absent, or protocol if it is not a video."""
    return ReplayCamera(name, options, request, clock_ns)


class _TimedPacket(msgspec.Struct, frozen=True, kw_only=True):
    """A demuxed packet and its times on the video's timeline, which continues through all loops."""

    packet: VideoPacket
    pts_ns: int
    dts_ns: int


class ReplayCamera:
    """A video, once or in a loop, in one of the module's two paces."""

    def __init__(
        self, name: str, options: Options, request: StreamRequest, clock_ns: Callable[[], int]
    ) -> None:
        self._display_name = f"camera {name!r}: video {options.path!r}"
        self._options = options
        self._request = request
        self._clock_ns = clock_ns
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._pending_media: Iterator[Packet | Frame] = iter(())
        self._burst: list[_TimedPacket] = []
        self._burst_due_ns: int | None = None
        self._frame_decoder = FrameDecoder(
            request.frames_fps,
            MaskPainter(request.masks, self._display_name, request.current_masks).paint_planes,
            request.keyframe_watch,
        )
        self._wake_selector = FrameSelector(request.frames_fps)
        self._start_ns: int | None = None
        self._last_packet_ns = 0
        self._loop_offset_ns = 0
        self._decode_error: Exception | None = None
        self._failure: DriverError | None = None
        self._source = self._open()
        self._info = self._source.info
        self._step_ns = round(NS_PER_S / self._info.fps)
        self._first_ticks: int | None = None
        self._packets = self._looped_packets()

    @property
    def info(self) -> StreamInfo:
        """The video's parameters."""
        return self._info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame; in real pace None if none is due within `timeout_s`."""
        while True:
            with self._lock:
                if self._closed.is_set():
                    raise DriverError("closed", f"{self._display_name}: is closed")
                media = self._next_media()
                if media is not None:
                    return media
                due_ns = self._burst_due_ns
            if due_ns is None:
                continue
            wait_s = max(0.0, (due_ns - self._clock_ns()) / NS_PER_S)
            self._closed.wait(min(wait_s, timeout_s))
            if self._clock_ns() < due_ns and not self._closed.is_set():
                return None

    def close(self) -> None:
        """Close the video; a waiting `read` ends at once."""
        self._closed.set()
        with self._lock:
            self._packets.close()
            self._source.close()
            self._pending_media = iter(())
            self._burst.clear()

    def _next_media(self) -> Packet | Frame | None:
        """Return the queued media, refilled: in fast pace the next, in real pace all that is due."""
        try:
            media = next(self._pending_media, None)
            if media is None:
                self._advance()
                media = next(self._pending_media, None)
        except DriverError as error:
            self._failure = error
            raise
        except av.error.FFmpegError as error:
            self._failure = to_driver_error(error, self._display_name)
            raise self._failure from self._failure.__cause__
        return media

    def _advance(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._options.pace == "real":
            self._advance_in_real_pace()
        else:
            self._pending_media = self._burst_media([self._next_packet()], base_ns=0)

    def _next_packet(self) -> _TimedPacket:
        packet = next(self._packets, None)
        if packet is None:
            raise DriverError("ended", f"{self._display_name}: played to its end")
        return packet

    def _advance_in_real_pace(self) -> None:
        if self._start_ns is None:
            self._start_ns = self._clock_ns()
        if self._burst_due_ns is None:
            self._burst_due_ns = self._start_ns + self._fill_burst()
        if self._clock_ns() >= self._burst_due_ns:
            burst, self._burst, self._burst_due_ns = self._burst, [], None
            self._pending_media = self._burst_media(burst, base_ns=self._start_ns)

    def _fill_burst(self) -> int:
        """Demux up to the next requested picture, a nap's length, or the video's end.

        Return when all of it is due, in ns from the start.
        """
        due_ns = 0
        while True:
            timed = self._next_packet()
            self._burst.append(timed)
            due_ns = max(due_ns, timed.dts_ns, timed.pts_ns if self._request.frames_fps > 0 else 0)
            is_last = not timed.packet.size
            burst_ns = timed.dts_ns - self._burst[0].dts_ns
            is_requested = (
                timed.packet.is_keyframe
                if self._frame_decoder.keyframes_only
                else self._wake_selector.select(timed.pts_ns)
            )
            if is_last or is_requested or burst_ns >= MAX_WAKE_INTERVAL_NS:
                return due_ns

    def _burst_media(self, packets: list[_TimedPacket], base_ns: int) -> Iterator[Packet | Frame]:
        """Yield the packets of a burst, then its frames.

        Each packet is decoded in its turn: a decoder never frees the memory of pictures that were alive
        at the same time.
        """
        for timed in packets:
            if self._request.packets and timed.packet.size:
                self._last_packet_ns = max(self._last_packet_ns, timed.dts_ns)
                yield to_media_packet(
                    timed.packet,
                    t_ns=base_ns + self._last_packet_ns,
                    pts_ns=timed.pts_ns,
                    dts_ns=timed.dts_ns,
                )
        if self._request.frames_fps > 0:
            for timed in packets:
                yield from self._frames(timed, base_ns)

    def _frames(self, timed: _TimedPacket, base_ns: int) -> Iterator[Frame]:
        """Invariant: one broken packet at the very end is a video that was cut, not an error."""
        if timed.packet.size and self._decode_error is not None:
            at_s = (timed.pts_ns - self._loop_offset_ns) / NS_PER_S
            message = f"{self._display_name}: is damaged before {at_s:.2f} s"
            raise DriverError("protocol", message) from self._decode_error
        try:
            yield from self._frame_decoder.decode(
                self._source,
                timed.packet,
                timed.pts_ns,
                lambda ticks: self._file_time_ns(ticks) + self._loop_offset_ns,
                lambda video_ns: base_ns + max(0, video_ns),
            )
        except av.error.InvalidDataError as error:
            self._decode_error = error

    def _looped_packets(self) -> Generator[_TimedPacket, None, None]:
        """Yield the video's packets, loop after loop; an empty one at each end drains the decoder.

        Invariant: each loop begins at the end of the one before, so no time steps back.
        """
        while True:
            end_ns = yield from self._single_loop()
            if not self._options.loop:
                return
            if end_ns == 0:
                raise DriverError(
                    "protocol", f"{self._display_name}: holds no picture to loop over"
                )
            self._loop_offset_ns += end_ns
            self._decode_error = None
            self._source.close()
            self._source = self._open()

    def _single_loop(self) -> Generator[_TimedPacket, None, int]:
        """Yield the video's packets once, and return its length in ns.

        AVI may have no times: then a frame's length is added. A packet that is flagged as truncated is
        left out. With this length the decoding times of the next loop rise too.
        """
        pts_ns = dts_ns = -self._step_ns
        end_ns = 0
        first_dts_ns: int | None = None
        for packet in self._source.packets():
            if packet.is_corrupt:
                continue
            if packet.size:
                ticks = packet.dts if packet.pts is None else packet.pts
                pts_ns = pts_ns + self._step_ns if ticks is None else self._file_time_ns(ticks)
                dts_ns = pts_ns if packet.dts is None else self._file_time_ns(packet.dts)
                length_ns = self._source.ticks_to_ns(packet.duration or 0) or self._step_ns
                first_dts_ns = dts_ns if first_dts_ns is None else first_dts_ns
                end_ns = max(end_ns, pts_ns + length_ns, dts_ns + length_ns - first_dts_ns)
            yield _TimedPacket(
                packet=packet,
                pts_ns=self._loop_offset_ns + pts_ns,
                dts_ns=self._loop_offset_ns + dts_ns,
            )
        return end_ns

    def _file_time_ns(self, ticks: int) -> int:
        """Return a timestamp of the video in ns since its first packet's presentation."""
        if self._first_ticks is None:
            self._first_ticks = ticks
        return self._source.ticks_to_ns(ticks - self._first_ticks)

    def _open(self) -> VideoSource:
        source = open_video_source(self._options.path, self._display_name)
        if self._request.packets and source.orientation != UPRIGHT:
            source.close()
            raise DriverError(
                "unsupported",
                f"{self._display_name}: its display matrix turns the picture, and footage keeps none; "
                "allowed: a camera that is not recorded, or a video without such a matrix",
            )
        return source
