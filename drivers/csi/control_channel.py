"""The child's end of what comes down: freed slots, and the masks of now. For the camera's thread."""

import socket
from collections import deque
from collections.abc import Callable
from time import monotonic

from drivers.csi import messages
from drivers.masking import WHOLE
from drivers.media import Polygon

MASKS_WITHIN_S = 1.0
"""A parent that is held up for longer tells no masks; then all of a picture is hidden."""

_DATAGRAM_BYTES = 1 << 18


class Desk:
    """Reads the datagrams from the parent when something of them is needed."""

    def __init__(self, channel: socket.socket, slots: int) -> None:
        self._channel = channel
        self._free = deque(range(slots))
        self._number = 0
        self._masks: tuple[Polygon, ...] = ()
        self._answered = 0

    def free_slot(self) -> int | None:
        """A slot to write a frame to, None where the parent has all of them."""
        while self._take(0.0):
            pass
        return self._free.popleft() if self._free else None

    def masks_now(self, ask: Callable[[int], None]) -> tuple[Polygon, ...]:
        """The masks that hold now: `ask` sends a question of this number up, and the answer is
        waited for. All is hidden where none comes.
        """
        self._number += 1
        ask(self._number)
        until_s = monotonic() + MASKS_WITHIN_S
        while self._answered < self._number:
            left_s = until_s - monotonic()
            if left_s <= 0 or not self._take(left_s):
                return WHOLE
        return self._masks

    def _take(self, timeout_s: float) -> bool:
        """Read one datagram; False where none came, or the parent has gone."""
        self._channel.settimeout(timeout_s)
        try:
            data = self._channel.recv(_DATAGRAM_BYTES)
        except (BlockingIOError, TimeoutError):
            return False
        if not data:
            return False
        message = messages.unpack_down(data)
        if isinstance(message, messages.SlotFree):
            self._free.append(message.slot)
        elif isinstance(message, messages.MasksAre):
            # Equal masks stay the same object: then nothing is drawn anew.
            if message.masks != self._masks:
                self._masks = message.masks
            self._answered = message.number
        return True


def first_word(channel: socket.socket) -> messages.Down:
    """What the parent says at first. Blocks."""
    channel.settimeout(None)
    return messages.unpack_down(channel.recv(_DATAGRAM_BYTES))
