"""The parent's side of an ONVIF child: requests, their replies, and restarts."""

import threading
from concurrent.futures import Future
from time import monotonic
from typing import TypeVar

import msgspec

from drivers.child import messages
from drivers.child.connection import KILL_TIMEOUT_S, ChildConnection
from drivers.child.cpu_meter import CpuMeter
from drivers.child.fork_server import START_TIMEOUT_S, ForkServer
from drivers.errors import DriverError
from drivers.onvif.operations import (
    OnvifMessage,
    OnvifSettings,
    Operation,
    Refused,
    Reply,
    Request,
)

T = TypeVar("T")

ANSWER_MARGIN_S = 6.0
"""The child times out by itself, and its parser too: one that does not within this time hangs."""
MAX_CORES = 0.5
"""Of a child that parses one answer after the other."""
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.5, 30.0

FORK_SERVER = ForkServer("drivers.onvif.child")
"""Of all ONVIF cameras."""

_decoder: msgspec.msgpack.Decoder[OnvifMessage] = msgspec.msgpack.Decoder(OnvifMessage)


class OnvifChild:
    """A child that is started with the first request, and again after it failed. Thread-safe.

    After a failure requests are refused for a time that doubles, up to MAX_BACKOFF_S.
    """

    def __init__(self, display_name: str, settings: OnvifSettings) -> None:
        self._display_name = display_name
        self._settings = settings
        self._lock = threading.Lock()
        self._link: _Link | None = None
        self._closed = False
        self._failure: DriverError | None = None
        self._backoff_s = FIRST_BACKOFF_S
        self._retry_at_s = 0.0

    @property
    def pid(self) -> int | None:
        """The child's process, None while there is none."""
        link = self._link
        return None if link is None else link.connection.pid

    def request(self, operation: Operation, result_type: type[T], timeout_s: float) -> T:
        """Have an operation executed, and return its result; the child times out after `timeout_s`.

        Raises: DriverError of the operation; `crashed` if the child fails, `closed` after `close`.
        """
        link = self._current_link()
        try:
            result = link.request(operation, result_type, timeout_s)
        except _LinkFailed as failed:
            raise self._end_link(link, failed.error) from failed
        self._backoff_s = FIRST_BACKOFF_S
        return result

    def close(self) -> None:
        """End the child; waiting requests raise `closed`. A second call does nothing."""
        with self._lock:
            self._closed = True
            link, self._link = self._link, None
        if link is not None:
            link.connection.end(graceful=True, kill_timeout_s=KILL_TIMEOUT_S)

    def _current_link(self) -> "_Link":
        with self._lock:
            if self._closed:
                raise self._closed_error()
            if self._link is None:
                if self._failure is not None and monotonic() < self._retry_at_s:
                    raise self._failure
                self._link = _Link(self._display_name, self._settings)
            return self._link

    def _end_link(self, link: "_Link", error: DriverError) -> DriverError:
        """End a child that failed, and return the error of the request."""
        has_ended = link.connection.end(graceful=False, kill_timeout_s=KILL_TIMEOUT_S)
        child = link.connection.describe_child()
        if not has_ended:
            error = DriverError("stuck", f"{self._display_name}: {child}")
        elif link.connection.ended_silently:
            error = DriverError(error.kind, f"{error}: {child}")
        with self._lock:
            if self._closed:
                return self._closed_error()
            if self._link is link:
                self._link = None
                self._failure = error
                self._retry_at_s = monotonic() + self._backoff_s
                self._backoff_s = min(2 * self._backoff_s, MAX_BACKOFF_S)
        return error

    def _closed_error(self) -> DriverError:
        return DriverError("closed", f"{self._display_name}: closed")


class _LinkFailed(Exception):
    """The child failed, and not the request alone."""

    def __init__(self, error: DriverError) -> None:
        super().__init__(str(error))
        self.error = error


class _Link:
    """One run of a child, and the requests that wait for it."""

    def __init__(self, display_name: str, settings: OnvifSettings) -> None:
        self._display_name = display_name
        self._lock = threading.Lock()
        self._number = 0
        self._waiting: dict[int, Future[Reply | Refused | None]] = {}
        self._cpu_meter = CpuMeter(MAX_CORES)
        self.connection: ChildConnection[OnvifMessage] = ChildConnection(
            display_name,
            settings,
            FORK_SERVER.start_child,
            _decoder,
            self._handle,
            on_end=self._on_end,
        )

    def request(self, operation: Operation, result_type: type[T], timeout_s: float) -> T:
        """Raises: DriverError of the operation; _LinkFailed."""
        limit_s = timeout_s + ANSWER_MARGIN_S
        pid = self.connection.pid
        if pid is None:
            limit_s += START_TIMEOUT_S
        else:
            self._check_cpu(pid)
        future: Future[Reply | Refused | None] = Future()
        with self._lock:
            self._number += 1
            number = self._number
            self._waiting[number] = future
        self.connection.send(Request(number=number, operation=operation))
        if self.connection.error is not None:
            self._on_end()  # it may have ended before this request began to wait
        try:
            answer = future.result(limit_s)
        except TimeoutError as error:
            raise self._failed(f"its process hangs: no answer for {limit_s:g} s") from error
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        if answer is None:
            raise _LinkFailed(self.connection.error or DriverError("crashed", self._display_name))
        if isinstance(answer, Refused):
            raise DriverError(answer.kind, answer.message)
        try:
            return messages.from_raw(answer.result, result_type)
        except (msgspec.MsgspecError, ValueError) as error:
            raise self._failed(f"its process sends a wrong result: {error}") from error

    def _check_cpu(self, pid: int) -> None:
        with self._lock:
            excess = self._cpu_meter.excess(pid)
        if excess is not None:
            raise self._failed(f"its process {excess}")

    def _failed(self, reason: str) -> _LinkFailed:
        return _LinkFailed(DriverError("crashed", f"{self._display_name}: {reason}"))

    def _handle(self, message: OnvifMessage) -> None:
        """Handle a message, on the connection's thread. Raises: DriverError."""
        if not isinstance(message, Reply | Refused):
            raise DriverError(message.kind, message.message)
        with self._lock:
            future = self._waiting.pop(message.number, None)
        if future is not None:
            future.set_result(message)

    def _on_end(self) -> None:
        """Wake all that wait."""
        with self._lock:
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for future in waiting:
            future.set_result(None)
