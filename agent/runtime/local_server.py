"""Server of the local wire: reads one request of each connection, and lets any thread reply to it.

One thread accepts and reads all requests, so a client that is slow, or sends anything else than a request, delays no
other. `handle` is called on that thread; it must not block, and may pass the request to a thread that may.
"""

import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.base.model import RefusalCode
from drivers.local_wire import (
    LocalConnection,
    MalformedMessage,
    PeerCredentials,
    listen,
    peer_credentials,
)

log = logging.getLogger(__name__)

POLL_TIMEOUT_S = 1.0
"""While a request is open: it has a deadline."""


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a server. `request_timeout_s` is for the whole request, from the connection on.

    `reply_timeout_s` is for the last reply; None without one.
    """

    max_clients: int
    max_request_bytes: int
    request_timeout_s: float
    reply_timeout_s: float | None = None


class LocalRequest:
    """One request, with at most one open file, and its connection. Any thread may reply."""

    def __init__(
        self,
        connection: LocalConnection,
        deadline_ns: int,
        make_refusal: Callable[[RefusalCode, str], msgspec.Struct],
    ) -> None:
        self.connection = connection
        self.peer = peer_credentials(connection.socket)
        self.deadline_ns: int | None = deadline_ns
        self.is_whole = False
        self.fds: list[int] = []
        """Open files that came along. `close_files` closes them, after the request is done."""
        self.send_timeout_s = 0.0
        """For each reply: 0 until a thread has the request that may wait for its client."""
        self._make_refusal = make_refusal
        self._lock = threading.Lock()
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """False if the last reply was sent, the client takes none, or the server stops."""
        return self._is_open

    def reply(
        self, message: msgspec.Struct | bytes, *, is_last: bool = True, fd: int | None = None
    ) -> bool:
        """Send one reply, unless the last one was sent. Return False if the client does not take it."""
        with self._lock:
            if not self._is_open:
                return False
            try:
                self.connection.send(message, self.send_timeout_s, () if fd is None else (fd,))
            except OSError:
                self._end()
                return False
            if is_last:
                self._end()
            return True

    def refuse(self, code: RefusalCode, message: str) -> None:
        """Send a refusal as the last reply."""
        self.reply(self._make_refusal(code, message))

    def close(self) -> None:
        """Close the connection. A reply after that is dropped, and one that waits for its client ends."""
        with suppress(OSError):
            self.connection.socket.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._end()

    def close_files(self) -> None:
        """Close the passed files."""
        while self.fds:
            os.close(self.fds.pop())

    def _end(self) -> None:
        self._is_open = False
        if self.is_whole:
            self.connection.close()


class LocalServer:
    """Accepts connections at `path` and reads one request of each.

    `handle` gets each whole request and its bytes, and raises MalformedMessage if they are none. `find_objection`
    returns the reason why a peer may not ask, by default none: then the folder of `path` is the gate. `clock_ns` is the
    boot time.
    """

    def __init__(
        self,
        path: Path,
        mode: int,
        limits: ServerLimits,
        clock_ns: Callable[[], int],
        handle: Callable[[LocalRequest, bytes], None],
        make_refusal: Callable[[RefusalCode, str], msgspec.Struct],
        find_objection: Callable[[PeerCredentials], str | None] | None = None,
    ) -> None:
        self._path = path
        self._mode = mode
        self._limits = limits
        self._clock_ns = clock_ns
        self._handle = handle
        self._make_refusal = make_refusal
        self._find_objection = find_objection
        self._requests: set[LocalRequest] = set()
        self._listener: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._wake_lock = threading.Lock()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake_fd, selectors.EVENT_READ)

    def open(self) -> None:
        """Listen, unless it does. Raises OSError."""
        if self._listener is None:
            self._listener = listen(self._path, self._mode, self._limits.max_clients)
            self._listener.setblocking(False)
            self._selector.register(self._listener, selectors.EVENT_READ)

    def run_once(self, timeout_s: float) -> None:
        """Accept and read what has come, or wait for it up to `timeout_s`. Raises OSError if it cannot listen."""
        self.open()
        events = self._selector.select(POLL_TIMEOUT_S if self._requests else timeout_s)
        self._drop_ended()
        for key, _ in events:
            if isinstance(key.data, LocalRequest):
                self._read(key.data)
            elif isinstance(key.fileobj, socket.socket):
                self._accept(key.fileobj)
        self._drop_ended()

    def wake(self) -> None:
        """End the wait of `run_once`, for good: it is to stop. Thread-safe; never blocks."""
        with self._wake_lock:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Remove the socket and close every connection. Call it on the thread of `run_once`."""
        for request in self._requests:
            request.close()
            if not request.is_whole:
                request.connection.close()
        self._requests.clear()
        self._selector.close()
        with self._wake_lock:
            if self._wake_fd >= 0:
                os.close(self._wake_fd)
                self._wake_fd = -1
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        connection = LocalConnection(accepted, self._limits.max_request_bytes, 1)
        request = LocalRequest(
            connection,
            self._clock_ns() + int(self._limits.request_timeout_s * 1e9),
            self._make_refusal,
        )
        objection = None if self._find_objection is None else self._find_objection(request.peer)
        if objection is not None:
            request.refuse("forbidden", objection)
        elif len(self._requests) >= self._limits.max_clients:
            request.refuse("busy", f"{len(self._requests)} requests are open already")
        if request.is_open:
            self._requests.add(request)
            self._selector.register(connection, selectors.EVENT_READ, request)
        else:
            log.warning(
                "%s: process %d is refused: %s",
                self._path.name,
                request.peer.pid,
                objection or "too many requests are open",
            )
            connection.close()

    def _read(self, request: LocalRequest) -> None:
        try:
            message = request.connection.receive_bytes(0.0)
        except TimeoutError:
            return
        except OSError as error:
            request.refuse("malformed", str(error))
            return
        if message is None or request.connection.has_more:
            request.refuse("malformed", "allowed: one request")
            return
        self._selector.unregister(request.connection)
        timeout_s = self._limits.reply_timeout_s
        request.deadline_ns = None if timeout_s is None else self._clock_ns() + int(timeout_s * 1e9)
        request.fds = request.connection.take_files()
        request.is_whole = True
        try:
            self._handle(request, message)
        except MalformedMessage as error:
            request.refuse("malformed", f"not a request: {error}")
            request.close_files()

    def _drop_ended(self) -> None:
        now_ns = self._clock_ns()
        for request in list(self._requests):
            if request.deadline_ns is not None and now_ns >= request.deadline_ns:
                if not request.is_whole:
                    request.refuse(
                        "malformed",
                        f"no whole request within {self._limits.request_timeout_s:g} s",
                    )
                request.close()
            if not request.is_open:
                self._requests.discard(request)
                if not request.is_whole:
                    self._selector.unregister(request.connection)
                    request.connection.close()
