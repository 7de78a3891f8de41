"""From packets to the selected frames, with decoding on demand. Nothing here waits or reads a clock."""

from collections import deque
from collections.abc import Callable, Iterator

import av
import av.error
import msgspec

from drivers.av_stream import FrameSelector, VideoPacket, VideoSource
from drivers.media import Frame, Planes

MAX_KEYFRAME_INTERVAL_NS = 2_500_000_000
"""Keyframes further apart hide too much: a car crosses a street's picture in about three seconds."""

MAX_GROUP_BYTES = 16_000_000
"""Bound of the packets that wait undecoded: two and a half seconds of 51 Mbit/s."""

CATCH_UP_PACKETS = 2
"""Packets decoded for each one that comes while others wait: twice the stream's pace, so that packets for recording
are delivered in between."""


class _QueuedPacket(msgspec.Struct, frozen=True, kw_only=True):
    """A packet with its source and its times: see `FrameDecoder.decode`."""

    source: VideoSource
    packet: VideoPacket
    pts_ns: int
    to_stream_ns: Callable[[int], int]
    to_boottime_ns: Callable[[int], int]


class _Group:
    """The packets since a keyframe, which a decoder can begin with. `first_seq` is the keyframe's number."""

    def __init__(self) -> None:
        self.packets: list[_QueuedPacket] = []
        self.first_seq = 0
        self._bytes = 0

    def add(self, queued: _QueuedPacket) -> bool:
        """Add a packet. Return False if the group is too long or too large now."""
        self.packets.append(queued)
        self._bytes += queued.packet.size
        length_ns = queued.pts_ns - self.packets[0].pts_ns
        return length_ns <= MAX_KEYFRAME_INTERVAL_NS and self._bytes <= MAX_GROUP_BYTES


class FrameDecoder:
    """Decodes packets to the selected frames; no more is decoded than the codec needs.

    `seq` numbers all pictures of the stream, selected or not. `t_ns` never steps back. `paint` masks the
    planes of each frame, by the frame's `t_ns`.

    `keyframe_watch` is called with the picture of each keyframe, once and in order. Returned False, it stops the
    decoding of pictures up to the next keyframe; the packets are kept. Returned True after that, all pictures since the
    keyframe before are decoded and delivered in order, so that the onset of a motion is not missed, and those
    that come meanwhile after them. A group of more than MAX_KEYFRAME_INTERVAL_NS is decoded without asking.
    Not thread-safe.
    """

    def __init__(
        self,
        fps: float,
        paint: Callable[[Planes, int], Planes],
        keyframe_watch: Callable[[Frame], bool] | None = None,
    ) -> None:
        self._selector = FrameSelector(fps)
        self._paint = paint
        self._keyframe_watch = keyframe_watch
        self._seq = 0
        self._last_ns: int | None = None
        self._backlog: deque[_QueuedPacket] = deque()
        self._group: _Group | None = None
        """None before the first keyframe, and in a group that is too long."""
        self._keyframes_only = False
        self._decoded_ns = self._watched_ns = -1
        """Stream times of the newest picture that was decoded, and of the last one that was watched."""
        self._resumed_after_ns: int | None = None

    @property
    def keyframes_only(self) -> bool:
        """Whether keyframes alone are decoded now. Thread-safe."""
        return self._keyframes_only

    def decode(
        self,
        source: VideoSource,
        packet: VideoPacket,
        pts_ns: int,
        to_stream_ns: Callable[[int], int],
        to_boottime_ns: Callable[[int], int],
    ) -> Iterator[Frame]:
        """Yield the selected frames that this packet completes; an empty packet drains the decoder.

        `stream_ns` maps a timestamp to the stream's time, and `t_ns` maps that to the frame's time. A
        picture without a timestamp has the packet's `pts_ns`. Raises: InvalidDataError of PyAV if the
        packet is damaged; what `paint` raises.
        """
        self._backlog.append(
            _QueuedPacket(
                source=source,
                packet=packet,
                pts_ns=pts_ns,
                to_stream_ns=to_stream_ns,
                to_boottime_ns=to_boottime_ns,
            )
        )
        steps = 0
        while self._backlog and (steps < CATCH_UP_PACKETS or not packet.size):
            yield from self._advance(self._backlog.popleft())
            steps += 1

    def _advance(self, queued: _QueuedPacket) -> Iterator[Frame]:
        if self._keyframe_watch is None or queued.source.is_intra_only:
            yield from self._decode_in_order(queued)
        elif not queued.packet.size:
            if self._keyframes_only:
                self._resume(queued)
            else:
                yield from self._decode_in_order(queued)
        elif self._keyframes_only:
            yield from self._advance_still(queued)
        else:
            if queued.packet.is_keyframe:
                self._group = _Group()
            if self._group is not None and not self._group.add(queued):
                self._group = None
            yield from self._decode_in_order(queued)

    def _advance_still(self, queued: _QueuedPacket) -> Iterator[Frame]:
        """Decode a keyframe alone, and keep any other packet."""
        group = self._group
        if group is None:
            return
        if not queued.packet.is_keyframe:
            if not group.add(queued):
                self._resume()
            return
        seq = group.first_seq + len(group.packets)
        frame, at_ns = self._decode_keyframe(queued, seq)
        if frame is None or self._is_wanted(frame, at_ns):
            self._resume(queued)
            return
        self._group = _Group()
        self._group.first_seq = seq
        self._group.add(queued)
        self._decoded_ns = at_ns
        if self._selector.select(at_ns):
            yield self._deliver(frame)

    def _resume(self, *following: _QueuedPacket) -> None:
        """Put the packets that were kept before all others, to be decoded in order."""
        assert self._group is not None  # noqa: S101 - keyframes are decoded alone within a group
        self._backlog.extendleft(reversed((*self._group.packets, *following)))
        self._seq = self._group.first_seq
        self._resumed_after_ns = self._decoded_ns
        self._group, self._keyframes_only = None, False

    def _decode_keyframe(self, queued: _QueuedPacket, seq: int) -> tuple[Frame | None, int]:
        """Return the picture of a keyframe and its stream time, or None if it is damaged."""
        try:
            pictures = queued.source.decode_alone(queued.packet)
        except av.error.InvalidDataError:
            return None, queued.pts_ns
        if not pictures or pictures[-1].is_corrupt:
            return None, queued.pts_ns
        at_ns = _stream_ns(pictures[-1], queued)
        return self._to_frame(pictures[-1], queued, at_ns, seq), at_ns

    def _is_wanted(self, frame: Frame, at_ns: int) -> bool:
        """Return whether the pictures around a keyframe are wanted."""
        assert self._keyframe_watch is not None  # noqa: S101 - the callers decode on demand
        self._watched_ns = at_ns
        return self._keyframe_watch(frame)

    def _decode_in_order(self, queued: _QueuedPacket) -> Iterator[Frame]:
        packet = queued.packet
        is_independent = queued.source.is_intra_only or packet.is_disposable
        if packet.size and is_independent and not self._selector.is_due(queued.pts_ns):
            self._seq += 1
            return
        for picture in queued.source.decode(packet):
            seq, self._seq = self._seq, self._seq + 1
            at_ns = _stream_ns(picture, queued)
            if self._resumed_after_ns is not None:
                if at_ns <= self._resumed_after_ns:
                    continue
                self._resumed_after_ns = None
            self._decoded_ns = at_ns
            is_selected = self._selector.select(at_ns) and not picture.is_corrupt
            begins_group = self._begins_group(picture, at_ns)
            if not (is_selected or begins_group):
                continue
            frame = self._to_frame(picture, queued, at_ns, seq)
            if is_selected:
                yield self._deliver(frame)
            if begins_group and self._group is not None:
                self._group.first_seq = seq
                if not self._is_wanted(frame, at_ns):
                    # Pictures that the decoder holds back are decoded again if they are wanted.
                    self._keyframes_only = True
                    return

    def _begins_group(self, picture: av.VideoFrame, at_ns: int) -> bool:
        """Return whether a picture is the keyframe of the group that is kept, and was not watched yet."""
        return (
            bool(picture.key_frame)
            and not picture.is_corrupt
            and at_ns > self._watched_ns
            and self._group is not None
            and at_ns >= self._group.packets[0].pts_ns
        )

    def _to_frame(
        self, picture: av.VideoFrame, queued: _QueuedPacket, at_ns: int, seq: int
    ) -> Frame:
        t_ns = queued.to_boottime_ns(at_ns)
        y, u, v = self._paint(queued.source.planes(picture), t_ns)
        return Frame(seq=seq, t_ns=t_ns, y=y, u=u, v=v)

    def _deliver(self, frame: Frame) -> Frame:
        """Return a frame with the time and the mark that its reader gets."""
        self._last_ns = frame.t_ns if self._last_ns is None else max(self._last_ns, frame.t_ns)
        if frame.t_ns == self._last_ns and not self._backlog:
            return frame
        return msgspec.structs.replace(frame, t_ns=self._last_ns, is_late=bool(self._backlog))


def _stream_ns(picture: av.VideoFrame, queued: _QueuedPacket) -> int:
    """Return the stream's time of a picture."""
    ticks = picture.pts if picture.pts is not None else picture.dts
    return queued.pts_ns if ticks is None else queued.to_stream_ns(ticks)
