"""Queues between two threads, each with a bound, a drop rule and a counter."""

import threading
from collections import deque
from collections.abc import Callable

from drivers.media import Frame, Packet

LATE_FRAME_TIMEOUT_S = 0.2
"""Time that a late frame waits for the one before; packets for recording wait for as long."""


class LatestFrame:
    """A queue of one frame. A new frame replaces one that was not taken: the newest wins.

    A late frame, of which more follow at once, waits for LATE_FRAME_TIMEOUT_S first.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._frame: Frame | None = None
        self._replaced = 0

    @property
    def replaced(self) -> int:
        """The count of frames that were replaced before they were taken."""
        return self._replaced

    def put(self, frame: Frame) -> None:
        """Store a frame. Blocks if it is late, see above."""
        with self._condition:
            if frame.is_late:
                self._condition.wait_for(lambda: self._frame is None, LATE_FRAME_TIMEOUT_S)
            if self._frame is not None:
                self._replaced += 1
            self._frame = frame
            self._condition.notify_all()

    def take(self, timeout_s: float) -> Frame | None:
        """Return the newest frame, or None if none comes within `timeout_s` seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._frame is not None, timeout_s)
            frame, self._frame = self._frame, None
            self._condition.notify_all()
            return frame


class PacketQueue:
    """Queue of packets for the recorder, at most `max_bytes` of them.

    On overflow the packet and all that follow are dropped up to the next keyframe, because a
    decoder can begin nowhere else. `on_gap` is then called with the times of the first packet lost
    and of the keyframe that follows.
    """

    def __init__(self, max_bytes: int, on_gap: Callable[[int, int], None]) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._packets: deque[Packet] = deque()
        self._bytes = 0
        self._has_keyframe = False
        self._max_bytes = max_bytes
        self._on_gap = on_gap
        self._gap_begin_ns: int | None = None
        self._gap_end_ns = 0
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """The count of packets dropped."""
        return self._dropped

    @property
    def has_keyframe(self) -> bool:
        """True if a keyframe is among the queued packets."""
        return self._has_keyframe

    def put(self, packet: Packet) -> bool:
        """Queue a packet. Never blocks. Return False if it was dropped."""
        gap: tuple[int, int] | None = None
        with self._lock:
            fits = self._bytes + len(packet.data) <= self._max_bytes
            if self._gap_begin_ns is not None and packet.is_key and fits:
                gap = (self._gap_begin_ns, packet.t_ns)
                self._gap_begin_ns = None
            if self._gap_begin_ns is not None or not fits:
                if self._gap_begin_ns is None:
                    self._gap_begin_ns = packet.t_ns
                self._gap_end_ns = packet.t_ns
                self._dropped += 1
                return False
            self._packets.append(packet)
            self._bytes += len(packet.data)
            if packet.is_key and not self._has_keyframe:
                self._has_keyframe = True
                self._changed.notify()
        if gap is not None:
            self._on_gap(*gap)
        return True

    def wait_for_keyframe(self, timeout_s: float, stopping: threading.Event) -> None:
        """Return if a keyframe is queued, after `timeout_s`, or after `wake` if `stopping` is set."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_keyframe or stopping.is_set(), timeout_s)

    def wake(self) -> None:
        """Have `wait_for_keyframe` look at its `stopping`."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Report an open gap up to the last packet lost. Called after the last `put`."""
        with self._lock:
            begin_ns, self._gap_begin_ns = self._gap_begin_ns, None
        if begin_ns is not None:
            self._on_gap(begin_ns, self._gap_end_ns)

    def drain(self) -> list[Packet]:
        """Remove and return all queued packets, the oldest first."""
        with self._lock:
            packets = list(self._packets)
            self._packets.clear()
            self._bytes = 0
            self._has_keyframe = False
            return packets
