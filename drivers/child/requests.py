"""Requests to a child and their replies: both ends, and the restart of a child that failed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from time import monotonic
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from drivers.child.connection import KILL_TIMEOUT_S, ChildConnection
from drivers.child.control_channel import DATAGRAM_BYTES
from drivers.child.fork_server import START_TIMEOUT_S
from drivers.child.main import ChildEnd
from drivers.child.messages import MAX_MESSAGE_CHARS, Failed, from_raw, to_raw
from drivers.child.process import ChildStarter, CpuMeter
from drivers.errors import DriverError, DriverErrorKind

T = TypeVar("T")

ANSWER_MARGIN_S = 6.0
"""The child times out by itself, and its parser too: one that does not within this time hangs."""
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.5, 30.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A datagram of the parent. The operation is of the child's own kind."""

    number: int
    operation: msgspec.Raw


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag="reply"):
    """The result of the request of this number."""

    number: int
    result: msgspec.Raw


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The failure of the request of this number."""

    number: int
    kind: DriverErrorKind
    message: Annotated[str, msgspec.Meta(max_length=MAX_MESSAGE_CHARS)]


_Message: TypeAlias = Reply | Refused
_decoder: msgspec.msgpack.Decoder[_Message | Failed] = msgspec.msgpack.Decoder(_Message | Failed)
PendingReply: TypeAlias = "Future[_Message | None]"
_request_decoder = msgspec.msgpack.Decoder(Request)


def read_requests(end: ChildEnd, decoder: msgspec.msgpack.Decoder[T]) -> Iterator[tuple[int, T]]:
    """Yield the number and the operation of each request, in the child, until the parent's end is closed."""
    while data := end.control.recv(DATAGRAM_BYTES):
        request = _request_decoder.decode(data)
        yield request.number, decoder.decode(request.operation)


def answer(end: ChildEnd, number: int, execute: Callable[[], object]) -> None:
    """Execute an operation, in the child, and send its result. An error that is no DriverError ends the process."""
    try:
        result = execute()
    except DriverError as error:
        if error.kind == "crashed":
            end.fail(error)
        text = str(error)[:MAX_MESSAGE_CHARS]
        end.send(Refused(number=number, kind=error.kind, message=text))
        return
    end.send(Reply(number=number, result=msgspec.Raw(msgspec.msgpack.encode(result))))


class ChildError(DriverError):
    """The child failed, and not the request alone.

    `silent_end` is how its process ended, None if it said why.
    """

    def __init__(self, kind: DriverErrorKind, message: str, silent_end: str | None = None) -> None:
        super().__init__(kind, message)
        self.silent_end = silent_end


class RequestChild:
    """One run of a child, and the requests that wait for it. Thread-safe; requests run at the same time.

    A failure ends it, and each later request raises the same. With more than `max_cores` it has failed. `memory_fd` is
    closed at the end.
    """

    def __init__(
        self,
        display_name: str,
        settings: msgspec.Struct,
        start_process: ChildStarter,
        *,
        max_cores: float | None = None,
        memory_fd: int | None = None,
    ) -> None:
        self._display_name = display_name
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: dict[int, PendingReply] = {}
        self._cpu_meter = None if max_cores is None else CpuMeter(max_cores)
        self._failure: ChildError | None = None
        self._connection: ChildConnection[_Message] = ChildConnection(
            display_name,
            settings,
            start_process,
            _decoder,
            self._handle,
            on_end=self._on_end,
            memory_fd=memory_fd,
        )

    @property
    def pid(self) -> int | None:
        """The child's process, None before it is started."""
        return self._connection.pid

    def request(self, operation: msgspec.Struct, result_type: type[T], timeout_s: float) -> T:
        """Have an operation executed, and return its result; a child that is not started yet has START_TIMEOUT_S more.

        Raises: DriverError of the operation; ChildError.
        """
        limit_s = timeout_s if self.pid is not None else timeout_s + START_TIMEOUT_S
        return self.finish(self.begin(operation), result_type, limit_s)

    def begin(self, operation: msgspec.Struct) -> PendingReply:
        """Have an operation executed. Raises: ChildError."""
        if self._failure is not None:
            raise self._failure
        self._check_cpu()
        pending: PendingReply = Future()
        with self._lock:
            self._number += 1
            number = self._number
            self._waiting[number] = pending
        self._connection.send(Request(number=number, operation=to_raw(operation)))
        if self._connection.error is not None:
            self._on_end()  # it may have ended before this request began to wait
        return pending

    def finish(self, pending: PendingReply, result_type: type[T], timeout_s: float) -> T:
        """Wait for the result of an operation. Raises: DriverError of the operation; ChildError."""
        try:
            reply = pending.result(timeout_s)
        except TimeoutError as error:
            raise self._fail(f"its process hangs: no answer for {timeout_s:g} s") from error
        if reply is None:
            raise self._end_with(self._connection.error)
        if isinstance(reply, Refused):
            raise DriverError(reply.kind, reply.message)
        try:
            return from_raw(reply.result, result_type)
        except (msgspec.MsgspecError, ValueError) as error:
            raise self._fail(f"its process sends a wrong result: {error}") from error

    def end(self, *, graceful: bool) -> bool:
        """End the child; requests that wait raise. Return False if it still runs."""
        return self._connection.end(graceful=graceful, kill_timeout_s=KILL_TIMEOUT_S)

    def _check_cpu(self) -> None:
        if self._cpu_meter is None or self.pid is None:
            return
        with self._lock:
            excess = self._cpu_meter.excess(self.pid)
        if excess is not None:
            raise self._fail(f"its process {excess}")

    def _fail(self, reason: str) -> ChildError:
        return self._end_with(DriverError("crashed", f"{self._display_name}: {reason}"))

    def _end_with(self, error: DriverError | None) -> ChildError:
        """End a child that failed, and return the error of the request."""
        error = error or DriverError("crashed", f"{self._display_name}: its process has ended")
        has_ended = self.end(graceful=False)
        child = self._connection.describe_child()
        if not has_ended:
            failure = ChildError("stuck", f"{self._display_name}: {child}")
        elif self._connection.ended_silently:
            failure = ChildError(error.kind, f"{error}: {child}", child)
        else:
            failure = ChildError(error.kind, str(error))
        self._failure = failure
        return failure

    def _handle(self, message: _Message) -> None:
        """Handle a message, on the connection's thread."""
        with self._lock:
            pending = self._waiting.pop(message.number, None)
        if pending is not None:
            pending.set_result(message)

    def _on_end(self) -> None:
        """Wake all that wait."""
        with self._lock:
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for pending in waiting:
            pending.set_result(None)


class RestartedChild:
    """A RequestChild that is started with the first request, and again after it failed. Thread-safe.

    After a failure requests are refused for a time that doubles, up to MAX_BACKOFF_S.
    """

    def __init__(self, display_name: str, start: Callable[[], RequestChild]) -> None:
        self._display_name = display_name
        self._start = start
        self._lock = threading.Lock()
        self._child: RequestChild | None = None
        self._closed = False
        self._failure: ChildError | None = None
        self._backoff_s = FIRST_BACKOFF_S
        self._retry_at_s = 0.0

    @property
    def pid(self) -> int | None:
        """The child's process, None while there is none."""
        child = self._child
        return None if child is None else child.pid

    def request(self, operation: msgspec.Struct, result_type: type[T], timeout_s: float) -> T:
        """Request as RequestChild does; the child times out after `timeout_s`. Raises: DriverError, which is `closed` after `close`."""
        child = self._current_child()
        try:
            result = child.request(operation, result_type, timeout_s + ANSWER_MARGIN_S)
        except ChildError as failure:
            with self._lock:
                if self._closed:
                    raise self._closed_error() from failure
                if self._child is child:
                    self._child, self._failure = None, failure
                    self._retry_at_s = monotonic() + self._backoff_s
                    self._backoff_s = min(2 * self._backoff_s, MAX_BACKOFF_S)
            raise
        self._backoff_s = FIRST_BACKOFF_S
        return result

    def close(self) -> None:
        """End the child; waiting requests raise `closed`. A second call does nothing."""
        with self._lock:
            self._closed = True
            child, self._child = self._child, None
        if child is not None:
            child.end(graceful=True)

    def _current_child(self) -> RequestChild:
        with self._lock:
            if self._closed:
                raise self._closed_error()
            if self._child is None:
                if self._failure is not None and monotonic() < self._retry_at_s:
                    raise self._failure
                self._child = self._start()
            return self._child

    def _closed_error(self) -> DriverError:
        return DriverError("closed", f"{self._display_name}: closed")
