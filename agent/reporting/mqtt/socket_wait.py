"""Wait for a socket, which another thread can end."""

import selectors
import socket


class SocketWait:
    """Waits for one socket, or for `wake`. Used by one thread, but for `wake`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)
        self._registered_events: int | None = None

    def wait(self, stream: socket.socket, timeout_s: float, *, want_write: bool) -> None:
        """Wait until the socket can be read, or with `want_write` written, or `wake` is called."""
        self._register(stream, want_write=want_write)
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._wake_in:
                self._drain_wake()

    def wake(self) -> None:
        """End the wait. Thread-safe."""
        try:
            self._wake_out.send(b"!")
        except (BlockingIOError, OSError):
            # Awake already, or closed.
            return

    def unregister(self, stream: socket.socket | None) -> None:
        """Forget the socket, before it is closed."""
        if self._registered_events is not None and stream is not None:
            self._selector.unregister(stream)
        self._registered_events = None

    def close(self) -> None:
        """Close what the wait itself has open."""
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _register(self, stream: socket.socket, *, want_write: bool) -> None:
        events = selectors.EVENT_READ
        if want_write:
            events |= selectors.EVENT_WRITE
        if self._registered_events is None:
            self._selector.register(stream, events)
        elif self._registered_events != events:
            self._selector.modify(stream, events)
        self._registered_events = events

    def _drain_wake(self) -> None:
        try:
            while self._wake_in.recv(4096):
                pass
        except BlockingIOError:
            return
