"""What the live cameras that PyAV opens share: one thread that reads, so that nobody hangs.

libav's calls block: opening, reading and closing a frozen server can take many times the timeout
that was set (a read timeout of 3 s was measured to end after 6 s, since the close waits once
more), and its interrupt callback is out of Python's reach. So a thread of the camera's own does
all three, and the driver keeps its own time: `read` and `open` give up when they said they would,
whatever the native code does. The thread then ends by libav's timeouts and closes the container.

Packets are decoded in `read`, in bursts: the reader wakes it when a picture that is wanted has
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
    NS_PER_S,
    FrameMaker,
    FramePick,
    Source,
    VideoPacket,
    driver_error,
    media_packet,
)
from drivers.contracts import Wanted
from drivers.errors import DriverError
from drivers.masking import MaskPainter
from drivers.media import Frame, Packet, StreamInfo
from drivers.timeline import Placed, Timeline

LONGEST_BURST_NS = NS_PER_S // 2
"""Packets wait this long for company where no picture is wanted."""

MAX_WAITING = 512
"""Packets that may wait for `read`. Then the reader stops reading: the sender drops, not we."""

LONGEST_NAP_S = 0.2
"""200 KB of an 8 Mb/s stream wait in the socket meanwhile; longer, and a camera with small buffers
may drop pictures. Napping between bursts saved about a quarter of the CPU time of reading a
640x360 stream of 25 frames a second with 5 of them wanted (two runs)."""

RAW = "rawvideo"

_GRACE_S = 0.5


class _Arrived(msgspec.Struct, frozen=True):
    packet: VideoPacket
    placed: Placed


class LiveCamera:
    """A stream that comes when it comes.

    `open_stream` blocks, and is called in the own thread. `may_nap`: what is not read waits
    safely, as in a TCP connection.
    """

    def __init__(
        self,
        what: str,
        open_stream: Callable[[], Source],
        wanted: Wanted,
        clock_ns: Callable[[], int],
        *,
        open_timeout_s: float,
        read_timeout_s: float,
        may_nap: bool,
    ) -> None:
        self._what = what
        self._open_stream = open_stream
        self._wanted = wanted
        self._clock_ns = clock_ns
        self._read_timeout_s = read_timeout_s
        self._may_nap = may_nap
        self._condition = threading.Condition()
        self._source: Source | None = None
        self._waiting: deque[_Arrived] = deque()
        self._burst_is_due = False
        self._failed: DriverError | None = None
        self._closed = False
        self._last_ns = 0
        self._ready: Iterator[Packet | Frame] = iter(())
        self._maker = FrameMaker(
            wanted.frames_fps, MaskPainter(wanted.masks, what, wanted.masks_now)
        )
        self._keyframe_seen = False
        self._last_packet_ns = 0
        self._thread = threading.Thread(target=self._run, name=f"read {what}", daemon=True)
        self._thread.start()
        self._info = self._wait_until_open(open_timeout_s)

    @property
    def info(self) -> StreamInfo:
        """The stream's parameters."""
        return self._info

    def read(self, timeout_s: float) -> Packet | Frame | None:
        """The next packet or frame, or None. Raises DriverError `timeout` after a long silence."""
        deadline_s = monotonic() + timeout_s
        while True:
            if self._closed:
                raise DriverError("absent", f"{self._what}: is closed")
            media = next(self._ready, None)
            if media is not None:
                return media
            burst = self._take_burst(deadline_s)
            self._ready = self._media(burst)
            if not burst and monotonic() >= deadline_s:
                return None

    def close(self) -> None:
        """Let go. The own thread closes the stream as soon as libav returns to it."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._thread.join(_GRACE_S)

    def _wait_until_open(self, timeout_s: float) -> StreamInfo:
        with self._condition:
            self._condition.wait_for(lambda: self._source or self._failed, timeout_s)
            if self._failed is None and self._source is not None:
                return self._source.info
            self._closed = True
            if self._failed is not None:
                raise self._failed
        raise DriverError("timeout", f"{self._what}: did not open within {timeout_s:g} s")

    def _take_burst(self, deadline_s: float) -> list[_Arrived]:
        """What has come, once it is worth waking for; empty where nothing was until the deadline."""
        with self._condition:
            silence_s = (self._clock_ns() - self._last_ns) / NS_PER_S
            wait_s = min(deadline_s - monotonic(), self._read_timeout_s - silence_s)
            self._condition.wait_for(
                lambda: self._burst_is_due or self._failed or self._closed, max(0.0, wait_s)
            )
            if self._closed:
                return []
            silence_s = (self._clock_ns() - self._last_ns) / NS_PER_S
            if self._failed is None and silence_s >= self._read_timeout_s:
                limit = f"{self._read_timeout_s:g} s"
                self._failed = DriverError("timeout", f"{self._what}: sent nothing for {limit}")
            if not self._burst_is_due and self._failed is None:
                return []
            if not self._waiting and self._failed is not None:
                raise self._failed
            burst = list(self._waiting)
            self._waiting.clear()
            self._burst_is_due = False
            self._condition.notify_all()
            return burst

    def _media(self, burst: list[_Arrived]) -> Iterator[Packet | Frame]:
        """The packets of a burst, placed in time, then its frames. Each is decoded when it is its
        turn: a decoder keeps for ever the memory of all the pictures that were alive at one time.

        What precedes the first keyframe is left out. A damaged packet costs its pictures and no
        more: a lost datagram is no reason to reconnect.
        """
        source = self._source
        if source is None:
            return
        if not self._keyframe_seen:
            burst = list(dropwhile(lambda arrived: not arrived.packet.is_keyframe, burst))
            self._keyframe_seen = bool(burst)
        if self._wanted.packets and source.info.codec != RAW:
            for arrived in burst:
                yield self._packet(arrived.packet, arrived.placed)
        if self._wanted.frames_fps > 0:
            for arrived in burst:
                with contextlib.suppress(av.error.InvalidDataError):
                    yield from self._frames(source, arrived.packet, arrived.placed)

    def _frames(self, source: Source, packet: VideoPacket, placed: Placed) -> Iterator[Frame]:
        return self._maker.frames(
            source,
            packet,
            placed.pts_ns,
            lambda ticks: placed.stream_ns(source.ns(ticks)),
            placed.t_ns,
        )

    def _packet(self, packet: VideoPacket, placed: Placed) -> Packet:
        t_ns = max(self._last_packet_ns, placed.t_ns(placed.dts_ns))
        self._last_packet_ns = t_ns
        return media_packet(packet, t_ns=t_ns, pts_ns=placed.pts_ns, dts_ns=placed.dts_ns)

    def _run(self) -> None:
        """The own thread: open, read to the end, close; whatever goes wrong is told to `read`."""
        try:
            source = self._open_stream()
        except DriverError as error:
            self._fail(error)
            return
        try:
            with self._condition:
                self._last_ns = self._clock_ns()
                self._source = source
                self._condition.notify_all()
            self._drain(source)
            self._fail(DriverError("ended", f"{self._what}: the stream ended"))
        except av.error.FFmpegError as error:
            self._fail(driver_error(error, self._what))
        finally:
            source.close()

    def _fail(self, error: DriverError) -> None:
        with self._condition:
            self._failed = self._failed or error
            self._condition.notify_all()

    def _drain(self, source: Source) -> None:
        """Put packets where `read` finds them, until the stream ends or nobody wants more."""
        timeline = Timeline(round(NS_PER_S / source.info.fps))
        wake = FramePick(self._wanted.frames_fps)
        nap_s = self._nap_s(source.info.fps)
        for packet in source.packets():
            if self._closed:
                return
            if not packet.size:
                continue
            now_ns = self._clock_ns()
            placed = timeline.place(
                None if packet.pts is None else source.ns(packet.pts),
                None if packet.dts is None else source.ns(packet.dts),
                now_ns,
            )
            is_due = wake.take(placed.pts_ns)
            with self._condition:
                self._condition.wait_for(lambda: len(self._waiting) < MAX_WAITING or self._closed)
                self._waiting.append(_Arrived(packet, placed))
                self._last_ns = now_ns
                old_ns = now_ns - self._waiting[0].placed.arrival_ns
                if not is_due and old_ns < LONGEST_BURST_NS and len(self._waiting) < MAX_WAITING:
                    continue
                self._burst_is_due = True
                self._condition.notify_all()
                if nap_s > 0:
                    self._condition.wait_for(lambda: self._closed, nap_s)

    def _nap_s(self, fps: float) -> float:
        """How long to leave the socket alone after a burst: up to shortly before the next one."""
        if not self._may_nap:
            return 0.0
        burst_s = 1 / self._wanted.frames_fps if self._wanted.frames_fps > 0 else LONGEST_NAP_S
        return min(LONGEST_NAP_S, burst_s - 1.5 / fps)
