"""The queue between the processes, and to the reader: bounded, drops counted.

Packets are dropped up to the next keyframe, because a decoder can begin nowhere else. Of frames the
newest win. The child's other messages are few, and never dropped.
"""

import threading
from collections import deque
from typing import Generic, TypeVar

from drivers.media import Frame, Packet

T = TypeVar("T")

MAX_PACKET_BYTES = 8_000_000
"""Half a minute of 2 Mbit/s, a second or two of a picture that an encoder cannot cope with."""


class PacketBudget:
    """Decides which packets may wait, by the bytes that wait already."""

    def __init__(self, max_bytes: int = MAX_PACKET_BYTES) -> None:
        self._max_bytes = max_bytes
        self.queued_bytes = 0
        self.dropped = 0
        self.needs_keyframe = False
        """Packets were dropped: only a keyframe passes."""

    def try_admit(self, packet: Packet) -> bool:
        """Whether this packet may wait; otherwise it is counted as dropped."""
        fits = self.queued_bytes + len(packet.data) <= self._max_bytes
        if not fits or (self.needs_keyframe and not packet.is_key):
            self.needs_keyframe = True
            self.dropped += 1
            return False
        self.needs_keyframe = False
        self.queued_bytes += len(packet.data)
        return True

    def release(self, packet: Packet) -> None:
        """Release the bytes of a packet that was taken."""
        self.queued_bytes -= len(packet.data)


class MediaQueue(Generic[T]):
    """Media and messages in their order. Any thread may put, one takes.

    Packets wait up to the bytes that `PacketGate` allows, and at most `max_frames` frames: a new one
    replaces the oldest. Other messages are few, and wait without a bound.
    """

    def __init__(self, max_frames: int) -> None:
        self._condition = threading.Condition()
        self._items: deque[T] = deque()
        self._packet_budget = PacketBudget()
        self._max_frames = max_frames
        self._frame_count = 0
        self._dropped_frames = 0
        self._is_ended = False

    @property
    def dropped_packets(self) -> int:
        """Number of packets that were not taken in time."""
        return self._packet_budget.dropped

    @property
    def dropped_frames(self) -> int:
        """Number of frames that were not taken in time."""
        return self._dropped_frames

    @property
    def needs_keyframe(self) -> bool:
        """Whether packets are dropped until the next keyframe."""
        return self._packet_budget.needs_keyframe

    def put(self, item: T) -> None:
        """Add it, or drop what the bounds do not allow; never blocks."""
        with self._condition:
            if isinstance(item, Packet) and not self._packet_budget.try_admit(item):
                return
            if isinstance(item, Frame):
                self._reserve_frame()
            self._items.append(item)
            self._condition.notify()

    def close(self) -> None:
        """End the queue: a waiting `take` returns None from now on."""
        with self._condition:
            self._is_ended = True
            self._condition.notify_all()

    def get(self, timeout_s: float) -> T | None:
        """Return the oldest item, or None if none came within `timeout_s` or the queue has ended."""
        with self._condition:
            self._condition.wait_for(lambda: self._items or self._is_ended, timeout_s)
            if not self._items:
                return None
            item = self._items.popleft()
            if isinstance(item, Packet):
                self._packet_budget.release(item)
            elif isinstance(item, Frame):
                self._frame_count -= 1
            return item

    def _reserve_frame(self) -> None:
        if self._frame_count < self._max_frames:
            self._frame_count += 1
            return
        oldest = next(at for at, item in enumerate(self._items) if isinstance(item, Frame))
        del self._items[oldest]
        self._dropped_frames += 1
