"""The parent's side of a child: its process, its channels, and the thread that reads them.

The thread reads independently of the child's user: what is not taken in time is dropped and counted, so
that a query for masks never waits behind it.
"""

import contextlib
import io
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from drivers.child import messages
from drivers.child.process import ChildProcess, ChildStarter
from drivers.errors import DriverError, MaskError

M = TypeVar("M")

GRACEFUL_STOP_S = 2.0
"""For a child that is asked to stop: hundredths of a second if nothing hangs."""

KILL_TIMEOUT_S = 5.0
"""For a child that was sent SIGKILL. One that still runs then is held by the kernel."""

_JOIN_TIMEOUT_S = 1.0
_READ_BUFFER_BYTES = 262_144
"""A burst of packets is read at once."""


class ChildConnection(Generic[M]):
    """A child process from its start to its end.

    `on_message` is called on the connection's thread, and may raise DriverError; `on_end` too, once.
    Invariant: the thread that started the child lives as long as the child, because the kernel kills
    the child with that thread (PR_SET_PDEATHSIG of prctl(2)).
    """

    def __init__(
        self,
        display_name: str,
        settings: msgspec.Struct,
        start_process: ChildStarter,
        decoder: msgspec.msgpack.Decoder[M | messages.Failed],
        on_message: Callable[[M], None],
        *,
        on_end: Callable[[], None] = lambda: None,
        memory_fd: int | None = None,
    ) -> None:
        """Starts the child; a failure is in `error`. `memory_fd` is closed at the end."""
        self._display_name = display_name
        self._start_process = start_process
        self._decoder = decoder
        self._on_message = on_message
        self._on_end = on_end
        self._memory_fd = memory_fd
        self.error: DriverError | None = None
        self.ended_silently = False
        """The child ended without an error message."""
        self._changed = threading.Condition()
        self._end_lock = threading.Lock()
        self._has_ended: bool | None = None
        self._finished = threading.Event()
        self._is_ending = False
        self._child: ChildProcess | None = None
        self._stream, self._child_stream = socket.socketpair()
        self._control, self._child_control = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        # The child's first datagram, before any that a user of this connection sends.
        self.send(messages.Start(display_name=display_name, settings=messages.to_raw(settings)))
        self._thread = threading.Thread(target=self._run, name=f"read {display_name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The child's process, None before it is started."""
        child = self._child
        return None if child is None else child.pid

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a message has made the condition true. Return False after an error or the time."""
        with self._changed:
            self._changed.wait_for(lambda: condition() or self.error, timeout_s)
            return self.error is None and condition()

    def send(self, message: msgspec.Struct) -> None:
        """Send a datagram. The few that are in flight have room.

        An error is ignored: the child has ended, which the reading thread reports.
        """
        with contextlib.suppress(OSError):
            self._control.send(messages.pack_parent_message(message))

    def send_stream(self, data: memoryview, timeout_s: float) -> int:
        """Send bytes to a child that reads its stream; return how many it takes within `timeout_s`.

        0 after its end, which the reading thread reports. For the thread that calls `end`.
        """
        poll = select.poll()
        poll.register(self._stream, select.POLLOUT)
        poll.poll(timeout_s * 1000)
        try:
            return self._stream.send(data, socket.MSG_DONTWAIT)
        except OSError:
            return 0

    def end(self, *, graceful: bool, kill_timeout_s: float) -> bool:
        """End the child. Return False if it still runs; a second call returns the same.

        `graceful` gives it time to stop by itself first.
        """
        with self._end_lock:
            if self._has_ended is not None:
                return self._has_ended
            for channel in (self._stream, self._control):
                with contextlib.suppress(OSError):
                    channel.shutdown(socket.SHUT_RDWR)
            with self._changed:
                self._is_ending, child = True, self._child
            self._has_ended = child is None or (graceful and child.wait(GRACEFUL_STOP_S))
            if child is not None and not self._has_ended:
                child.kill()
                self._has_ended = child.wait(kill_timeout_s)
            self._finished.set()
            self._thread.join(_JOIN_TIMEOUT_S)
            return self._has_ended

    def describe_child(self) -> str:
        """Return how the child ended, for a message."""
        child = self._child
        if child is None:
            return "it was not started"
        if self._has_ended:
            return f"its process {child.pid} {child.describe_exit()}"
        return f"its process {child.pid} is still there after SIGKILL"

    def _run(self) -> None:
        """Start the child and read its messages, on the connection's thread."""
        with self._control, self._stream:
            try:
                self._start_child()
                self._read_messages()
            finally:
                self.ended_silently = self.error is None
                self._set_error(
                    DriverError("crashed", f"{self._display_name}: its process has ended")
                )
                self._on_end()
                self._finished.wait()
                if self._memory_fd is not None:
                    os.close(self._memory_fd)

    def _start_child(self) -> None:
        with self._child_stream as stream, self._child_control as control:
            descriptors: Sequence[int] = [stream.fileno(), control.fileno()]
            if self._memory_fd is not None:
                descriptors = [*descriptors, self._memory_fd]
            try:
                child = self._start_process(descriptors)
            except OSError as error:
                self._set_error(
                    DriverError("absent", f"{self._display_name}: no process for it: {error}")
                )
                return
        with self._changed:
            self._child = child
            is_too_late = self._is_ending
        if is_too_late:
            child.kill()
            child.wait(KILL_TIMEOUT_S)

    def _read_messages(self) -> None:
        """Read until the child ends, sends something else than messages, or is refused."""
        # A killed child may have left its end in any state.
        with (
            io.BufferedReader(socket.SocketIO(self._stream, "r"), _READ_BUFFER_BYTES) as file,
            contextlib.suppress(OSError),
        ):
            try:
                while (message := messages.read_child_message(file, self._decoder)) is not None:
                    if isinstance(message, messages.Failed):
                        raise _to_driver_error(message)
                    self._on_message(message)
                    with self._changed:
                        self._changed.notify_all()
            except DriverError as error:
                self._set_error(error)
            except (msgspec.MsgspecError, ValueError) as error:
                self._set_error(
                    DriverError(
                        "crashed", f"{self._display_name}: its process sends no message: {error}"
                    )
                )

    def _set_error(self, error: DriverError) -> None:
        """Keep the first failure."""
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()


def _to_driver_error(failed: messages.Failed) -> DriverError:
    if failed.is_mask_error:
        return MaskError(failed.message)
    return DriverError(failed.kind, failed.message)
