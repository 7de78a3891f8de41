"""The control socket: requests of programs on the box to the running agent, over unix(7).

    control.sock    in the state folder, mode 0600: for the agent's own user and root, and for no child that parses
                    what foreign devices send

A request is one line of JSON with a `method`, and may pass one open file. The replies are one line
of JSON each; the connection is closed after the last one. One thread accepts and reads all
requests. A method that may block runs in a worker of its own, so that no stop of a head waits for
a preview or a clip.

It is in `runtime` because commands, capture and recording each bring a method and do not know
each other.
"""

import logging
import os
import pwd
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.base.json_decode import JsonDecoder, MalformedJson, decode_json
from agent.base.model import CommandRefused, RefusalCode
from agent.runtime.stage import IDLE_WAIT_S, Stage
from agent.runtime.worker import Worker
from drivers.child.process import is_child

log = logging.getLogger(__name__)

SOCKET_NAME = "control.sock"
POLL_TIMEOUT_S = 1.0
"""While a request is open: it has a deadline."""
REQUEST_TIMEOUT_S = 1.0
"""For the whole line, from the connection on: a slow client must not keep a place for long."""
SEND_TIMEOUT_S = 1.0
REPLY_TIMEOUT_S = 600.0
"""For the last reply of a method that does not block. No command takes longer."""
MAX_CLIENTS = 16
MAX_QUEUED = 4
"""Requests that wait for a method that blocks. Two such methods leave places for commands."""
MAX_LINE_BYTES = 1 << 17
_READ_BYTES = 65_536
_UCRED = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""
T = TypeVar("T")


class PeerCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Process and user at the other end of a connection, as the kernel knows them."""

    pid: int
    uid: int

    @property
    def is_allowed(self) -> bool:
        """True if it is the agent's own user, or root."""
        return self.uid in (os.geteuid(), 0)

    @property
    def is_child(self) -> bool:
        """True if it is a child that a driver has started, of any program, or if it has ended. Children have the user of
        their parent, or one that is refused.
        """
        return self.uid == os.geteuid() and is_child(self.pid)

    @property
    def user_name(self) -> str:
        """The user's name, or `uid-<number>` if it has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid-{self.uid}"


class _Head(msgspec.Struct):
    """The field of a request that all methods share."""

    method: str


_HEAD_DECODER = JsonDecoder(_Head)


class ControlRequest:
    """One request and its connection. Any thread may reply."""

    def __init__(self, connection: socket.socket, peer: PeerCredentials, deadline_ns: int) -> None:
        self.connection = connection
        self.peer = peer
        self.deadline_ns = deadline_ns
        self.method = ""
        self.received = bytearray()
        self.fds: list[int] = []
        """Open files that came along. They are closed when the method has returned."""
        self._lock = threading.Lock()
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """False if the last reply was sent, or the agent stops."""
        return self._is_open

    def reply(self, message: object, *, is_last: bool = True) -> None:
        """Send one reply, unless the last one was sent. A client that does not read loses it."""
        with self._lock:
            if not self._is_open:
                return
            with suppress(OSError):
                self.connection.sendall(msgspec.json.encode(message) + b"\n")
            if is_last:
                self._is_open = False
                # This wakes the stage, which closes the connection.
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

    def refuse(self, code: RefusalCode, message: str) -> None:
        """Send a refusal as the last reply."""
        self.reply(CommandRefused(command=None, verb=self.method, code=code, message=message))

    def close(self) -> None:
        """Close the connection. A reply after that is dropped."""
        with self._lock:
            self._is_open = False
            self.connection.close()

    def close_files(self) -> None:
        """Close the passed files."""
        while self.fds:
            os.close(self.fds.pop())


class ControlSocket:
    """The stage that accepts and reads requests.

    Methods are added before it runs. `clock_ns` is the boot time.
    """

    name = "control socket"

    def __init__(self, state_dir: Path, clock_ns: Callable[[], int]) -> None:
        self._state_dir = state_dir
        self._clock_ns = clock_ns
        self._methods: dict[str, Callable[[ControlRequest, bytes], None]] = {}
        self._listener: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._wake_lock = threading.Lock()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake_fd, selectors.EVENT_READ)
        self._requests: dict[socket.socket, ControlRequest] = {}

    def add_method(
        self, request_type: type[T], handle: Callable[[T, ControlRequest], None]
    ) -> None:
        """Add a method that does not block. Its name is the tag of `request_type`."""

        def run(request: ControlRequest, line: bytes) -> None:
            try:
                handle(decode_json(line, request_type), request)
            finally:
                request.close_files()

        self._methods[_tag_of(request_type)] = run

    def add_blocking_method(
        self, worker_name: str, request_type: type[T], handle: Callable[[T, ControlRequest], None]
    ) -> Stage:
        """Add a method that may block, and return the worker that runs it.

        `handle` must end within the time that a stage may take for a turn.
        """
        worker: Worker[tuple[T, ControlRequest]] = Worker(
            worker_name, partial(_run_blocking, handle), MAX_QUEUED
        )

        def queue(request: ControlRequest, line: bytes) -> None:
            item = (decode_json(line, request_type), request)
            # Only the worker touches the connection from here on, and it may wait for the client.
            self._selector.unregister(request.connection)
            request.connection.settimeout(SEND_TIMEOUT_S)
            if not worker.put(item):
                request.refuse("busy", f"{MAX_QUEUED} requests wait already")
                request.close_files()

        self._methods[_tag_of(request_type)] = queue
        return worker

    def run_once(self, stopping: threading.Event) -> None:
        """Accept and read what has come, or return after waiting for it."""
        if self._listener is None:
            self._listener = self._listen()
            self._selector.register(self._listener, selectors.EVENT_READ)
        for key, _ in self._selector.select(POLL_TIMEOUT_S if self._requests else IDLE_WAIT_S):
            if key.fd == self._wake_fd:
                continue
            if key.data is None:
                self._accept(self._listener)
            else:
                self._read(key.data)
        now_ns = self._clock_ns()
        for request in list(self._requests.values()):
            is_late = now_ns >= request.deadline_ns
            if is_late and not request.method:
                request.refuse("malformed", f"no whole line within {REQUEST_TIMEOUT_S:g} s")
            if is_late or not request.is_open:
                self._drop(request)

    def wake(self) -> None:
        """End the wait of `run_once`, for good: it is to stop. Thread-safe; never blocks."""
        with self._wake_lock:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Remove the socket and close every connection. Requests that wait are not begun."""
        for request in list(self._requests.values()):
            self._drop(request)
        self._selector.close()
        with self._wake_lock:
            if self._wake_fd >= 0:
                os.close(self._wake_fd)
                self._wake_fd = -1
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            (self._state_dir / SOCKET_NAME).unlink(missing_ok=True)

    def _listen(self) -> socket.socket:
        """Bind the socket. One that a killed agent has left is replaced. Raises OSError."""
        path = self._state_dir / SOCKET_NAME
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket_address(self._state_dir) as address:
                listener.bind(address)
            # Nobody can connect before its mode is set.
            path.chmod(0o600)
            listener.listen(MAX_CLIENTS)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        return listener

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        connection.setblocking(False)
        deadline_ns = self._clock_ns() + int(REQUEST_TIMEOUT_S * 1e9)
        request = ControlRequest(connection, peer_credentials(connection), deadline_ns)
        if not request.peer.is_allowed:
            log.warning("control socket: user %d is refused", request.peer.uid)
            request.refuse("forbidden", f"user {request.peer.uid} may not ask")
        elif request.peer.is_child:
            log.warning("control socket: process %d, a child, is refused", request.peer.pid)
            request.refuse("forbidden", "a child that parses foreign data may not ask")
        elif len(self._requests) >= MAX_CLIENTS:
            log.warning("control socket: a request is refused: %d are open", MAX_CLIENTS)
            request.refuse("busy", f"{MAX_CLIENTS} requests are open already")
        if not request.is_open:
            request.close()
            return
        self._requests[connection] = request
        self._selector.register(connection, selectors.EVENT_READ, request)

    def _read(self, request: ControlRequest) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(
                request.connection, _READ_BYTES, 1, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        request.fds += fds
        if request.method:
            # The client has no more to say, and may still wait for replies.
            self._selector.unregister(request.connection)
            request.close_files()
            return
        request.received += data
        line, newline, rest = request.received.partition(b"\n")
        if len(request.received) > MAX_LINE_BYTES:
            request.refuse("malformed", f"a line of more than {MAX_LINE_BYTES} bytes")
        elif rest or (not data and not newline):
            request.refuse("malformed", "allowed: one line of JSON")
        elif len(request.fds) > 1:
            request.refuse("malformed", "allowed: one open file")
        elif newline:
            self._run(request, bytes(line))

    def _run(self, request: ControlRequest, line: bytes) -> None:
        request.deadline_ns = self._clock_ns() + int(REPLY_TIMEOUT_S * 1e9)
        try:
            request.method = _HEAD_DECODER.decode(line).method
            run = self._methods.get(request.method)
            if run is None:
                allowed = ", ".join(sorted(self._methods))
                request.refuse("unsupported", f"method {request.method!r}; allowed: {allowed}")
                return
            run(request, line)
        except MalformedJson as error:
            request.refuse("malformed", f"not a request: {error}")

    def _drop(self, request: ControlRequest) -> None:
        del self._requests[request.connection]
        is_registered = True
        try:
            self._selector.unregister(request.connection)
        except KeyError:
            is_registered = False
        request.close()
        if is_registered:
            # Else the method has taken the files: a worker may be writing into one.
            request.close_files()


def _run_blocking(
    handle: Callable[[T, ControlRequest], None], item: tuple[T, ControlRequest]
) -> None:
    """Run a method in its worker, unless the agent stops. A method that raises is answered."""
    params, request = item
    try:
        if request.is_open:
            handle(params, request)
    finally:
        request.refuse("failed", "the agent failed at it")
        request.close_files()


@contextmanager
def socket_address(state_dir: Path) -> Iterator[str]:
    """Yield the socket's address by its folder's descriptor: unix(7) allows 107 bytes, and a path may be
    longer. Raises OSError.
    """
    dir_fd = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{dir_fd}/{SOCKET_NAME}"
    finally:
        os.close(dir_fd)


def peer_credentials(connection: socket.socket) -> PeerCredentials:
    """Return the process and the user at the other end of a connection."""
    ucred = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(ucred)
    return PeerCredentials(pid=pid, uid=uid)


def _tag_of(request_type: type) -> str:
    return str(request_type.__struct_config__.tag)  # type: ignore[attr-defined] # a tagged Struct
