"""A connection for http.client whose answer is bounded in time, however slowly the server sends it."""

import io
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HEAD_TIMEOUT_S = 60.0
"""From the request to the end of the headers."""
PACE_S, MIN_PACE_BYTES = 60.0, 6000
"""A body of which fewer bytes arrive in this time of reading is ended: no usable link is so slow."""


class BoundedSocket:
    """A connected socket, with the calls that http.client makes. `is_head` is True until the headers are read."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected
        self.sendall = connected.sendall
        self.close = connected.close
        self.is_head = True

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the answer."""
        return io.BufferedReader(_BoundedReader(self._connected.makefile("rb", 0), self))


class _BoundedReader(io.RawIOBase):
    """Raises TimeoutError at the next read after the bound; one read takes no longer than the socket's time-out."""

    def __init__(self, raw: io.RawIOBase | socket.SocketIO, answer: BoundedSocket) -> None:
        self._raw = raw
        self._answer = answer
        self._begin_s = time.monotonic()
        self._read_s = 0.0
        self._read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        begin_s = time.monotonic()
        if self._answer.is_head:
            if begin_s - self._begin_s > HEAD_TIMEOUT_S:
                raise TimeoutError(f"no whole head of an answer in {HEAD_TIMEOUT_S:.0f} s")
        elif self._read_s > PACE_S:
            if self._read_bytes < MIN_PACE_BYTES:
                raise TimeoutError(f"too slow: {self._read_bytes} bytes in {self._read_s:.0f} s")
            self._read_s, self._read_bytes = 0.0, 0
        size_bytes = self._raw.readinto(buffer)
        if not self._answer.is_head:
            self._read_s += time.monotonic() - begin_s
            self._read_bytes += size_bytes or 0
        return size_bytes

    def close(self) -> None:
        self._raw.close()
        super().close()
