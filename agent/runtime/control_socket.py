"""The control socket: requests of programs on the box to the running agent, over the local wire.

    control.sock    in the state folder, mode 0600: for the agent's own user and root, and for no child that parses
                    what foreign devices send

A request is a message with a `method`, and may pass one open file. The connection is closed after the last reply. One
thread accepts and reads all requests. A method that may block runs in a worker of its own, so that no stop of a head
waits for a preview or a clip.

It is in `runtime` because commands, capture and recording each bring a method and do not know
each other.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.base.model import CommandRefused, RefusalCode
from agent.runtime.local_server import LocalRequest, LocalServer, ServerLimits
from agent.runtime.stage import IDLE_WAIT_S, Stage
from agent.runtime.worker import Worker
from drivers.child.process import is_child
from drivers.local_wire import MessageDecoder, PeerCredentials

SOCKET_NAME = "control.sock"
SEND_TIMEOUT_S = 1.0
MAX_QUEUED = 4
"""Requests that wait for a method that blocks. Two such methods leave places for commands."""
LIMITS = ServerLimits(
    max_clients=16,
    max_request_bytes=1 << 17,
    request_timeout_s=1.0,  # a slow client must not keep a place for long
    reply_timeout_s=600.0,  # no command takes longer
)
T = TypeVar("T")


class _Head(msgspec.Struct):
    """The field of a request that all methods share."""

    method: str


_HEAD_DECODER = MessageDecoder(_Head)


class ControlSocket:
    """The stage that accepts and reads requests.

    Methods are added before it runs. `clock_ns` is the boot time.
    """

    name = "control socket"

    def __init__(self, state_dir: Path, clock_ns: Callable[[], int]) -> None:
        self._methods: dict[str, Callable[[LocalRequest, bytes], None]] = {}
        self._server = LocalServer(
            state_dir / SOCKET_NAME,
            0o600,
            LIMITS,
            clock_ns,
            self._handle,
            _refusal,
            _find_objection,
        )

    def add_method(self, request_type: type[T], handle: Callable[[T, LocalRequest], None]) -> None:
        """Add a method that does not block. Its name is the tag of `request_type`."""
        decoder = MessageDecoder(request_type)

        def run(request: LocalRequest, message: bytes) -> None:
            try:
                handle(decoder.decode(message), request)
            finally:
                request.close_files()

        self._methods[_tag_of(request_type)] = run

    def add_blocking_method(
        self, worker_name: str, request_type: type[T], handle: Callable[[T, LocalRequest], None]
    ) -> Stage:
        """Add a method that may block, and return the worker that runs it.

        `handle` must end within the time that a stage may take for a turn.
        """
        decoder = MessageDecoder(request_type)
        worker: Worker[tuple[T, LocalRequest]] = Worker(
            worker_name, partial(_run_blocking, handle), MAX_QUEUED
        )

        def queue(request: LocalRequest, message: bytes) -> None:
            item = (decoder.decode(message), request)
            request.send_timeout_s = SEND_TIMEOUT_S
            if not worker.put(item):
                request.refuse("busy", f"{MAX_QUEUED} requests wait already")
                request.close_files()

        self._methods[_tag_of(request_type)] = queue
        return worker

    def open(self) -> None:
        """Listen before the stage runs. An OSError is left to the stage, which tries again and reports it."""
        with suppress(OSError):
            self._server.open()

    def run_once(self, stopping: threading.Event) -> None:
        """Accept and read what has come, or return after waiting for it."""
        self._server.run_once(IDLE_WAIT_S)

    def wake(self) -> None:
        """End the wait of `run_once`, for good: it is to stop. Thread-safe; never blocks."""
        self._server.wake()

    def close(self) -> None:
        """Remove the socket and close every connection. Requests that wait are not begun."""
        self._server.close()

    def _handle(self, request: LocalRequest, message: bytes) -> None:
        method = _HEAD_DECODER.decode(message).method
        run = self._methods.get(method)
        if run is None:
            allowed = ", ".join(sorted(self._methods))
            request.refuse("unsupported", f"method {method!r}; allowed: {allowed}")
            request.close_files()
            return
        run(request, message)


def _run_blocking(handle: Callable[[T, LocalRequest], None], item: tuple[T, LocalRequest]) -> None:
    """Run a method in its worker, unless the agent stops. A method that raises is answered."""
    params, request = item
    try:
        if request.is_open:
            handle(params, request)
    finally:
        request.refuse("failed", "the agent failed at it")
        request.close_files()


def _refusal(code: RefusalCode, message: str) -> CommandRefused:
    return CommandRefused(command=None, verb="", code=code, message=message)


def _find_objection(peer: PeerCredentials) -> str | None:
    """Return why a peer may not ask: another user, or a child that a driver has started, also by another program.

    Children have the user of their parent, or one that is refused.
    """
    if not peer.is_allowed:
        return f"user {peer.uid} may not ask"
    if peer.uid == os.geteuid() and is_child(peer.pid):
        return "a child that parses foreign data may not ask"
    return None


def _tag_of(request_type: type) -> str:
    return str(request_type.__struct_config__.tag)  # type: ignore[attr-defined] # a tagged Struct
