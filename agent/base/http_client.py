"""HTTP client for servers that are not trusted: one request over one connection, whose answer is bounded in time.

h11 frames and parses; it does no I/O, so that each read is here, with its bounds. No redirect is followed, and no proxy of
the environment is used.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

import h11
import msgspec

TIMEOUT_S = 30.0
"""Without any byte: a slow link is no error, a dead one is."""
HEAD_TIMEOUT_S = 60.0
"""From the end of the request to the end of the headers."""
MAX_HEAD_BYTES, MAX_HEADERS = 16_384, 100
"""Of a head that is not whole yet: h11 compares it after each read of MAX_CHUNK_BYTES."""
MIN_PACE_BYTES = 6000
"""A body of which fewer bytes arrive in the client's `pace_s` of reading is ended: no usable link is so slow."""
MAX_CHUNK_BYTES = 1 << 16
CHUNK_S = 1.0
"""Of a slow server a chunk is what arrives in this time, so that its reader can end the download. A chunk of each
packet would wake it a hundred thousand times in a bundle."""
_MAX_DIGITS = 10
DEFAULT_PORTS = {"http": 80, "https": 443}

Connect: TypeAlias = Callable[[tuple[str, int], float], socket.socket]
"""Connects to a host and a port within a time-out in seconds, as socket.create_connection does. Raises: OSError."""


class HttpFailed(Exception):
    """There is no whole answer; another try may help. `str(error)` is one line without the URL.

    `__cause__` is the error of the socket, of TLS or of h11.
    """


class NotHttp(HttpFailed):
    """The head of the answer is not HTTP."""


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response. The names of `headers` are in lower case; of a header that is repeated the first is there.

    `body` yields chunks of MAX_CHUNK_BYTES at most, and raises HttpFailed if the body ends too early.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: Iterator[bytes]


def read_body(response: HttpResponse, max_bytes: int) -> bytes:
    """Return the body, or its first `max_bytes` + 1 bytes if it is longer."""
    body = bytearray()
    for chunk in response.body:
        body += chunk
        if len(body) > max_bytes:
            break
    return bytes(body[: max_bytes + 1])


def parse_retry_after(text: str | None, max_s: float) -> float | None:
    """Return the seconds of a Retry-After header, `max_s` at most. A date, which needs a clock, counts as none."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        return None
    return min(max_s, float(text))


class HttpClient:
    """Sends requests. Of a body at least MIN_PACE_BYTES arrive in each `pace_s` of reading. Thread-safe."""

    def __init__(
        self,
        tls_context: ssl.SSLContext,
        pace_s: float,
        connect: Connect = socket.create_connection,
    ) -> None:
        self._tls_context = tls_context
        self._pace_s = pace_s
        self._connect = connect

    @contextlib.contextmanager
    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: Iterable[bytes] = ()
    ) -> Iterator[HttpResponse]:
        """Send a request and yield the response. A `body` has its Content-Length in `headers`.

        Raises: HttpFailed, and the errors of `body`.
        """
        parts = urlsplit(url)
        with _failures():
            head = h11.Request(
                method=method,
                target=f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}",
                headers=[("Host", _host_header(parts)), *headers.items()],
            )
            connected = self._open_connection(parts)
        with connected:
            exchange = _Exchange(connected, self._pace_s)
            with _failures():
                exchange.send(head)
            send_error = exchange.send_body(body)
            with _failures():
                response = exchange.receive_response()
            if send_error is not None and 200 <= response.status < 300:  # noqa: PLR2004 - RFC 9110: successful
                # A server may refuse a body before it has all of it, but cannot have accepted it.
                raise HttpFailed(_one_line(send_error)) from send_error
            yield response

    def _open_connection(self, parts: SplitResult) -> socket.socket:
        host = parts.hostname or ""
        connected = self._connect((host, parts.port or DEFAULT_PORTS[parts.scheme]), TIMEOUT_S)
        if parts.scheme == "https":
            return self._tls_context.wrap_socket(connected, server_hostname=host)
        return connected


def _host_header(parts: SplitResult) -> str:
    """Return the value of the header Host, RFC 9110 7.2. Raises: UnicodeError."""
    host = parts.hostname or ""
    name = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
    is_default = parts.port in (None, DEFAULT_PORTS[parts.scheme])
    return name if is_default else f"{name}:{parts.port}"


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Raise HttpFailed for the errors of sockets, of TLS and of addresses that cannot be in a request."""
    try:
        yield
    except (OSError, ValueError, h11.ProtocolError) as error:
        raise HttpFailed(_one_line(error)) from error


class _Exchange:
    """A request and its answer on a connection."""

    def __init__(self, connected: socket.socket, pace_s: float) -> None:
        self._connected = connected
        self._pace_s = pace_s
        self._http = h11.Connection(h11.CLIENT, MAX_HEAD_BYTES)
        self._missing_bytes = 0
        """Of a body whose length is known."""
        self._read_s, self._read_bytes = 0.0, 0

    def send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        self._connected.sendall(self._http.send(event) or b"")

    def send_body(self, body: Iterable[bytes]) -> OSError | None:
        """Send the body. Return the error if the server closes: it may have answered before."""
        for data in body:
            try:
                self.send(h11.Data(data=data))
            except OSError as error:
                return error
        self._http.send(h11.EndOfMessage())
        return None

    def receive_response(self) -> HttpResponse:
        end_s = time.monotonic() + HEAD_TIMEOUT_S
        try:
            while not isinstance(event := self._http.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    self._receive_head(end_s)
        except h11.RemoteProtocolError as error:
            raise NotHttp(_one_line(error)) from error
        if len(event.headers) > MAX_HEADERS:
            raise NotHttp(f"{len(event.headers)} headers; allowed: {MAX_HEADERS}")
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in reversed(event.headers)
        }
        self._missing_bytes = int(headers.get("content-length", 0))
        return HttpResponse(
            status=event.status_code,
            reason=event.reason.decode("latin-1"),
            headers=headers,
            body=self._iter_body(),
        )

    def _receive_head(self, end_s: float) -> None:
        if time.monotonic() > end_s:
            raise TimeoutError(f"no whole head of an answer in {HEAD_TIMEOUT_S:.0f} s")
        data = self._connected.recv(MAX_CHUNK_BYTES)
        if not data:
            raise ConnectionError("closed without an answer")
        self._http.receive_data(data)

    def _iter_body(self) -> Iterator[bytes]:
        """Yield the body in chunks of up to MAX_CHUNK_BYTES, of a slow server what arrives in a second."""
        has_ended = False
        while not has_ended:
            chunk = bytearray()
            end_s = time.monotonic() + CHUNK_S
            try:
                while len(chunk) < MAX_CHUNK_BYTES and time.monotonic() < end_s and not has_ended:
                    event = self._http.next_event()
                    if event is h11.NEED_DATA:
                        self._receive(MAX_CHUNK_BYTES - len(chunk))
                    elif isinstance(event, h11.Data):
                        chunk += event.data
                        self._missing_bytes -= len(event.data)
                    else:
                        has_ended = True
            except (OSError, h11.RemoteProtocolError) as error:
                if chunk:
                    yield bytes(chunk)
                raise HttpFailed(_one_line(error)) from error
            if chunk:
                yield bytes(chunk)

    def _receive(self, max_bytes: int) -> None:
        """Receive bytes of the body, in no longer than TIMEOUT_S."""
        if self._read_s > self._pace_s:
            if self._read_bytes < MIN_PACE_BYTES:
                raise TimeoutError(f"too slow: {self._read_bytes} bytes in {self._read_s:.0f} s")
            self._read_s, self._read_bytes = 0.0, 0
        begin_s = time.monotonic()
        data = self._connected.recv(max_bytes)
        self._read_s += time.monotonic() - begin_s
        self._read_bytes += len(data)
        if not data and self._missing_bytes > 0:
            raise ConnectionError(f"{self._missing_bytes} bytes are missing")
        self._http.receive_data(data)


def _one_line(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
