"""Packets of a camera for live video: what the recorder gets, at the same time, while somebody looks."""

import threading
from collections import deque

from drivers.media import NS_PER_S, Packet, StreamInfo

MAX_WAITING_BYTES = 4_000_000
"""A keyframe of 4K, and a second or two behind it."""
MAX_WAITING_NS = 3 * NS_PER_S
"""Live video that is later than this is cut short."""


class PacketSubscription:
    """The packets of one opening of a camera, from a keyframe on. One thread puts, one takes.

    If they are not taken in time, those that wait are dropped, up to the next keyframe: the newest win.
    """

    def __init__(self, info: StreamInfo) -> None:
        self.info = info
        self._condition = threading.Condition()
        self._packets: deque[Packet] = deque()
        self._waiting_bytes = 0
        self._needs_keyframe = True
        self.is_ended = False
        """The camera was opened again, or the packets are not wanted any more."""
        self.dropped = 0

    def put(self, packet: Packet) -> None:
        """Queue a packet. Never blocks."""
        with self._condition:
            if self._is_late(packet):
                self._drop_waiting()
            if self._needs_keyframe and not packet.is_key:
                return
            self._needs_keyframe = False
            self._packets.append(packet)
            self._waiting_bytes += len(packet.data)
            self._condition.notify()

    def get(self, timeout_s: float) -> Packet | None:
        """Return the oldest packet, or None if none came within `timeout_s`, or at the end."""
        with self._condition:
            self._condition.wait_for(lambda: self._packets or self.is_ended, timeout_s)
            if not self._packets:
                return None
            packet = self._packets.popleft()
            self._waiting_bytes -= len(packet.data)
            return packet

    def skip_to_keyframe(self) -> None:
        """Drop the packet that was taken last, those that wait, and all up to the next keyframe."""
        with self._condition:
            self.dropped += 1
            self._drop_waiting()

    def end(self) -> None:
        """End the subscription."""
        with self._condition:
            self.is_ended = True
            self._condition.notify()

    def _is_late(self, packet: Packet) -> bool:
        if not self._packets:
            return False
        return (
            self._waiting_bytes + len(packet.data) > MAX_WAITING_BYTES
            or packet.t_ns - self._packets[0].t_ns > MAX_WAITING_NS
        )

    def _drop_waiting(self) -> None:
        self.dropped += len(self._packets)
        self._packets.clear()
        self._waiting_bytes = 0
        self._needs_keyframe = True


class PacketTap:
    """The subscriptions to one camera's packets. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: tuple[PacketSubscription, ...] = ()
        self.info: StreamInfo | None = None
        """The stream's parameters, None before the camera was opened."""

    def open(self, info: StreamInfo) -> None:
        """Note an opening of the camera, before its first packet. Earlier subscriptions end."""
        with self._lock:
            ended, self._subscriptions, self.info = self._subscriptions, (), info
        for subscription in ended:
            subscription.end()

    def offer(self, packet: Packet) -> None:
        """Pass a packet on. Costs nothing while there is no subscription."""
        has_ended = False
        for subscription in self._subscriptions:
            subscription.put(packet)
            has_ended = has_ended or subscription.is_ended
        if has_ended:
            self._remove_ended()

    def subscribe(self, info: StreamInfo) -> PacketSubscription:
        """Return a subscription to the packets of these parameters; it has ended if they are others now."""
        subscription = PacketSubscription(info)
        with self._lock:
            if info is self.info:
                self._subscriptions = (*self._subscriptions, subscription)
            else:
                subscription.end()
        return subscription

    def _remove_ended(self) -> None:
        with self._lock:
            self._subscriptions = tuple(one for one in self._subscriptions if not one.is_ended)
