"""The child's end of the parent's messages about media: freed slots and masks. For the camera's thread."""

import socket
from collections import deque
from collections.abc import Callable
from time import monotonic

from drivers.child import messages
from drivers.media import WHOLE_AREA, Polygon

ANSWER_TIMEOUT_S = 1.0
"""Time within which the parent answers a query."""

DATAGRAM_BYTES = 1 << 18


class ControlChannel:
    """Reads the parent's datagrams on demand."""

    def __init__(self, channel: socket.socket, slots: int) -> None:
        self._channel = channel
        self._free_slots = deque(range(slots))
        self._query_number = 0
        self._masks: tuple[Polygon, ...] = ()
        self._answered_number = self._taken_number = 0
        self._keyframe_number = 0
        self._keyframe_reply = messages.KeyframeReply(number=0, is_wanted=True)
        self.min_fps: float | None = None
        self.night: bool | None = None
        """The frame rate that the parent has requested last, None if it has not."""
        self.search_area = WHOLE_AREA
        """The part of the picture that the sensor's network is to search."""

    def read_pending(self) -> None:
        """Read the messages that have come."""
        while self._receive(0.0):
            pass

    def acquire_slot(self, timeout_s: float = 0.0) -> int | None:
        """Return a free slot, or None if the parent frees none within `timeout_s`."""
        self.read_pending()
        if not self._free_slots and timeout_s > 0:
            self._receive(timeout_s)
        return self._free_slots.popleft() if self._free_slots else None

    def query_masks(self, send_query: Callable[[int], None]) -> tuple[Polygon, ...] | None:
        """Query the masks in force and wait for the answer. Return None without one."""
        self._query_number += 1
        send_query(self._query_number)
        is_answered = self._wait(lambda: self._answered_number >= self._query_number)
        return self._masks if is_answered else None

    def query_keyframe(self, send_query: Callable[[int], None]) -> bool:
        """Query whether the pictures around a keyframe are wanted; they are without an answer."""
        self._keyframe_number += 1
        send_query(self._keyframe_number)
        self._wait(lambda: self._keyframe_reply.number >= self._keyframe_number)
        reply = self._keyframe_reply
        return reply.is_wanted or reply.number < self._keyframe_number

    def _wait(self, is_answered: Callable[[], bool]) -> bool:
        """Read messages until an answer has come. Return False if none comes in time."""
        deadline_s = monotonic() + ANSWER_TIMEOUT_S
        while not is_answered():
            left_s = deadline_s - monotonic()
            if left_s <= 0 or not self._receive(left_s):
                return False
        return True

    def take_masks(self, on_taken: Callable[[int], None]) -> tuple[Polygon, ...] | None:
        """Return the masks that the parent has sent without a query, or None if it has sent none since the last call."""
        self.read_pending()
        if self._answered_number == self._taken_number:
            return None
        self._taken_number = self._answered_number
        on_taken(self._taken_number)
        return self._masks

    def _receive(self, timeout_s: float) -> bool:
        """Read one datagram. Return False if none came, or the parent has ended."""
        self._channel.settimeout(timeout_s)
        try:
            data = self._channel.recv(DATAGRAM_BYTES)
        except (BlockingIOError, TimeoutError):
            return False
        if not data:
            return False
        message = messages.unpack_parent_message(data)
        if isinstance(message, messages.SlotFree):
            self._free_slots.append(message.slot)
        elif isinstance(message, messages.MasksReply):
            # Equal masks stay the same object: then they are not rasterized again.
            if message.masks != self._masks:
                self._masks = message.masks
            self._answered_number = message.number
        elif isinstance(message, messages.KeyframeReply):
            self._keyframe_reply = message
        elif isinstance(message, messages.SetMinFps):
            self.min_fps = message.fps
        elif isinstance(message, messages.SetNight):
            self.night = message.night
        elif isinstance(message, messages.SetSearchArea):
            self.search_area = message.area
        return True
