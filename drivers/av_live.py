"""Live cameras through PyAV: a thread that reads, so that a frozen server blocks no other thread.

libav's calls block: opening, reading and closing a frozen server can take many times the timeout
(a read timeout of 3 s was measured to end after 6 s, because the close waits once more), and Python
cannot set its interrupt callback. So a thread of the camera does all three, and `read` and `open`
return within their own timeouts. The thread ends by libav's timeouts and closes the container; a format without
timeouts, as v4l2, may keep it for ever, with the device open.

Packets are decoded in `read`, in bursts: the thread wakes the reader when a requested picture has
come, not for each packet.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import dropwhile
from time import monotonic

import av.error
import msgspec

from drivers.av_stream import (
    FrameSelector,
    VideoPacket,
    VideoSource,
    to_driver_error,
    to_media_packet,
)
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.frame_decoder import FrameDecoder
from drivers.media import NS_PER_S, Frame, Packet, Planes, StreamInfo
from drivers.timeline import PacketTimes, StreamTimeline

MAX_BURST_NS = NS_PER_S // 2
"""Time over which packets are collected if no frames are requested."""

MAX_QUEUED_PACKETS = 512
"""Packets that may wait for `read`. Beyond them the thread stops reading, and the sender drops."""

MAX_PAUSE_S = 0.2
"""200 KB of an 8 Mb/s stream wait in the socket meanwhile; longer, and a camera with small buffers
may drop pictures. Napping between bursts saved about a quarter of the CPU time of reading a
640x360 stream of 25 frames a second with 5 of them wanted (two runs)."""

RAW_CODEC = "rawvideo"

_CLOSE_TIMEOUT_S = 0.5

_left_threads: dict[str, threading.Thread] = {}
"""By the camera's name in messages: its thread, if libav still held it when the camera was closed."""


def wait_until_left(display_name: str, timeout_s: float) -> bool:
    """Wait until libav has left the camera of this name that was closed last. Return False if it has not in time."""
    thread = _left_threads.get(display_name)
    if thread is None:
        return True
    thread.join(timeout_s)
    if thread.is_alive():
        return False
    _left_threads.pop(display_name, None)
    return True


class _QueuedPacket(msgspec.Struct, frozen=True):
    packet: VideoPacket
    times: PacketTimes


class LiveCamera:
    """A live stream.

    `open_stream` blocks; it is called on the camera's own thread. `paint` masks a frame's planes by its `t_ns`; the masks
    of the request are not looked at. `can_pause`: unread data waits safely, as in a TCP connection.
    """

    def __init__(
        self,
        display_name: str,
        open_stream: Callable[[], VideoSource],
        request: StreamRequest,
        clock_ns: Callable[[], int],
        *,
        paint: Callable[[Planes, int], Planes],
        open_timeout_s: float,
        read_timeout_s: float,
        can_pause: bool,
    ) -> None:
        self._display_name = display_name
        self._open_stream = open_stream
        self._request = request
        self._clock_ns = clock_ns
        self._read_timeout_s = read_timeout_s
        self._can_pause = can_pause
        self._condition = threading.Condition()
        self._source: VideoSource | None = None
        self._queue: deque[_QueuedPacket] = deque()
        self._burst_is_due = False
        self._failure: DriverError | None = None
        self._closed = False
        self._last_arrival_ns = 0
        self._pending_media: Iterator[Packet | Frame] = iter(())
        self._frame_decoder = FrameDecoder(request.frames_fps, paint, request.keyframe_watch)
        self._keyframe_seen = False
        self._last_packet_ns = 0
        self._thread = threading.Thread(target=self._run, name=f"read {display_name}", daemon=True)
        self._thread.start()
        self._info = self._wait_until_open(open_timeout_s)

    @property
    def info(self) -> StreamInfo:
        """The stream's parameters."""
        return self._info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """Return the next packet or frame, or None. Raises: DriverError `timeout` after a long silence."""
        deadline_s = monotonic() + timeout_s
        while True:
            if self._closed:
                raise DriverError("closed", f"{self._display_name}: is closed")
            media = next(self._pending_media, None)
            if media is not None:
                return media
            burst = self._next_burst(deadline_s)
            self._pending_media = self._burst_media(burst)
            if not burst and monotonic() >= deadline_s:
                return None

    def close(self) -> None:
        """Close. The camera's thread closes the stream as soon as libav returns."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._thread.join(_CLOSE_TIMEOUT_S)
        self._note_thread()

    def _note_thread(self) -> None:
        if self._thread.is_alive():
            _left_threads[self._display_name] = self._thread

    def _wait_until_open(self, timeout_s: float) -> StreamInfo:
        with self._condition:
            self._condition.wait_for(lambda: self._source or self._failure, timeout_s)
            if self._failure is None and self._source is not None:
                return self._source.info
            self._closed = True
            if self._failure is not None:
                raise self._failure
        self._note_thread()
        raise DriverError("timeout", f"{self._display_name}: did not open within {timeout_s:g} s")

    def _next_burst(self, deadline_s: float) -> list[_QueuedPacket]:
        """Wait for a burst. Returns nothing if none came until the deadline."""
        with self._condition:
            silence_s = (self._clock_ns() - self._last_arrival_ns) / NS_PER_S
            wait_s = min(deadline_s - monotonic(), self._read_timeout_s - silence_s)
            self._condition.wait_for(
                lambda: self._burst_is_due or self._failure or self._closed, max(0.0, wait_s)
            )
            if self._closed:
                return []
            silence_s = (self._clock_ns() - self._last_arrival_ns) / NS_PER_S
            if self._failure is None and silence_s >= self._read_timeout_s:
                limit = f"{self._read_timeout_s:g} s"
                self._failure = DriverError(
                    "timeout", f"{self._display_name}: sent nothing for {limit}"
                )
            if not self._burst_is_due and self._failure is None:
                return []
            if not self._queue and self._failure is not None:
                raise self._failure
            burst = list(self._queue)
            self._queue.clear()
            self._burst_is_due = False
            self._condition.notify_all()
            return burst

    def _burst_media(self, burst: list[_QueuedPacket]) -> Iterator[Packet | Frame]:
        """Yield the packets of a burst with their times, then its frames.

        Each packet is decoded in its turn: a decoder never frees the memory of pictures that were alive
        at the same time. Packets before the first keyframe are left out. A damaged packet costs its
        pictures alone: a lost datagram is no reason to reconnect.
        """
        source = self._source
        if source is None:
            return
        if not self._keyframe_seen:
            burst = list(dropwhile(lambda arrived: not arrived.packet.is_keyframe, burst))
            self._keyframe_seen = bool(burst)
        if self._request.packets and source.info.codec != RAW_CODEC:
            for queued in burst:
                yield self._media_packet(queued.packet, queued.times)
        if self._request.frames_fps > 0:
            for queued in burst:
                with contextlib.suppress(av.error.InvalidDataError):
                    yield from self._frames(source, queued.packet, queued.times)

    def _frames(
        self, source: VideoSource, packet: VideoPacket, times: PacketTimes
    ) -> Iterator[Frame]:
        return self._frame_decoder.decode(
            source,
            packet,
            times.pts_ns,
            lambda ticks: times.stream_ns(source.ticks_to_ns(ticks)),
            times.boottime_ns,
        )

    def _media_packet(self, packet: VideoPacket, times: PacketTimes) -> Packet:
        t_ns = max(self._last_packet_ns, times.boottime_ns(times.dts_ns))
        self._last_packet_ns = t_ns
        return to_media_packet(packet, t_ns=t_ns, pts_ns=times.pts_ns, dts_ns=times.dts_ns)

    def _run(self) -> None:
        """Open, read to the end, close, on the camera's thread. `read` raises its errors."""
        try:
            source = self._open_stream()
        except DriverError as error:
            self._set_failure(error)
            return
        try:
            with self._condition:
                self._last_arrival_ns = self._clock_ns()
                self._source = source
                self._condition.notify_all()
            self._read_packets(source)
            self._set_failure(DriverError("ended", f"{self._display_name}: the stream ended"))
        except av.error.FFmpegError as error:
            self._set_failure(to_driver_error(error, self._display_name))
        finally:
            source.close()

    def _set_failure(self, error: DriverError) -> None:
        with self._condition:
            self._failure = self._failure or error
            self._condition.notify_all()

    def _read_packets(self, source: VideoSource) -> None:
        """Queue packets for `read` until the stream ends or the camera is closed."""
        timeline = StreamTimeline(round(NS_PER_S / source.info.fps))
        wake_selector = FrameSelector(self._request.frames_fps)
        pause_s = self._pause_s(source.info.fps)
        for packet in source.packets():
            if self._closed:
                return
            if not packet.size:
                continue
            now_ns = self._clock_ns()
            times = timeline.map_packet(
                None if packet.pts is None else source.ticks_to_ns(packet.pts),
                None if packet.dts is None else source.ticks_to_ns(packet.dts),
                now_ns,
            )
            is_still = self._frame_decoder.keyframes_only
            is_due = packet.is_keyframe if is_still else wake_selector.select(times.pts_ns)
            with self._condition:
                self._condition.wait_for(
                    lambda: len(self._queue) < MAX_QUEUED_PACKETS or self._closed
                )
                self._queue.append(_QueuedPacket(packet, times))
                self._last_arrival_ns = now_ns
                oldest_age_ns = now_ns - self._queue[0].times.arrival_ns
                if (
                    not is_due
                    and oldest_age_ns < MAX_BURST_NS
                    and len(self._queue) < MAX_QUEUED_PACKETS
                ):
                    continue
                self._burst_is_due = True
                self._condition.notify_all()
                burst_pause_s = MAX_PAUSE_S if is_still and self._can_pause else pause_s
                if burst_pause_s > 0:
                    self._condition.wait_for(lambda: self._closed, burst_pause_s)

    def _pause_s(self, fps: float) -> float:
        """Return the time to wait after a burst: up to shortly before the next one."""
        if not self._can_pause:
            return 0.0
        burst_s = 1 / self._request.frames_fps if self._request.frames_fps > 0 else MAX_PAUSE_S
        return min(MAX_PAUSE_S, burst_s - 1.5 / fps)
