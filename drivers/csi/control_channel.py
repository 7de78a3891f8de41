"""The child's end of the parent's messages: freed slots and masks. For the camera's thread."""

import socket
from collections import deque
from collections.abc import Callable
from time import monotonic

from drivers.csi import messages
from drivers.masking import WHOLE_PICTURE
from drivers.media import Polygon

MASKS_TIMEOUT_S = 1.0
"""If the parent does not send the masks within this, the whole picture is masked."""

_DATAGRAM_BYTES = 1 << 18


class ControlChannel:
    """Reads the parent's datagrams on demand."""

    def __init__(self, channel: socket.socket, slots: int) -> None:
        self._channel = channel
        self._free_slots = deque(range(slots))
        self._query_number = 0
        self._masks: tuple[Polygon, ...] = ()
        self._answered_number = 0

    def acquire_slot(self) -> int | None:
        """Return a free slot, or None if the parent has all of them."""
        while self._receive(0.0):
            pass
        return self._free_slots.popleft() if self._free_slots else None

    def query_masks(self, send_query: Callable[[int], None]) -> tuple[Polygon, ...]:
        """Query the masks in force and wait for the answer. Without one, the whole picture is masked."""
        self._query_number += 1
        send_query(self._query_number)
        deadline_s = monotonic() + MASKS_TIMEOUT_S
        while self._answered_number < self._query_number:
            left_s = deadline_s - monotonic()
            if left_s <= 0 or not self._receive(left_s):
                return WHOLE_PICTURE
        return self._masks

    def _receive(self, timeout_s: float) -> bool:
        """Read one datagram. Return False if none came, or the parent has ended."""
        self._channel.settimeout(timeout_s)
        try:
            data = self._channel.recv(_DATAGRAM_BYTES)
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
        return True


def receive_setup(channel: socket.socket) -> messages.ParentMessage:
    """Return the parent's first message. Blocks."""
    channel.settimeout(None)
    return messages.unpack_parent_message(channel.recv(_DATAGRAM_BYTES))
