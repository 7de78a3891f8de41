"""One GET over HTTP or HTTPS, with the body as a stream."""

import contextlib
import http.client
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

from agent.base.errors import UserError
from agent.base.url import split_url, without_query
from agent.update.bounded_socket import BoundedSocket
from agent.update.errors import UpdateError
from agent.update.server_address import AddressRefused, connect

TIMEOUT_S = 30.0
"""Without any byte: a slow link is no error, a dead one is."""
_MAX_REDIRECTS = 3
_REDIRECT_CODES = (301, 302, 303, 307, 308)
MAX_CHUNK_BYTES = 1 << 16
CHUNK_S = 1.0
"""Of a slow server a chunk is what arrives in this time, so that its reader can end the download. A chunk of each
packet would wake it a hundred thousand times in a bundle."""
RESPONSE_HEADERS = ("Content-Length", "Content-Range", "ETag", "Last-Modified", "Location")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_INVALID_URL = "not a URL; allowed: https://HOST/PATH or http://HOST/PATH"


class HttpError(UpdateError):
    """The request failed; a retry may help."""


class HttpResponse:
    """Status, headers and body of a response. `headers` has those of RESPONSE_HEADERS that it has."""

    def __init__(
        self, status: int, reason: str, headers: Mapping[str, str], body: Iterator[bytes]
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self._body = body

    def iter_body(self) -> Iterator[bytes]:
        """Yield the body, in chunks of MAX_CHUNK_BYTES at most. Raises: HttpError if it ends too early."""
        return self._body


HttpGet: TypeAlias = Callable[[str, Mapping[str, str]], AbstractContextManager[HttpResponse]]
"""Sends a GET for a URL with headers, and yields the response.

Raises: HttpError, UpdateError if the server has an address that is not allowed.
"""


def check_url(url: str) -> None:
    """Raise UserError if `url` is not one of http or https without a user."""
    parts = split_url(url, *_DEFAULT_PORTS)
    if parts is None or parts.username or " " in url or not url.isprintable():
        raise UserError(f"{without_query(url)!r}: {_INVALID_URL}")


def direct_get(ca_file: Path | None, ca_pem: str | None = None) -> HttpGet:
    """Return a GET of this process. It trusts the authorities in a file or a text, else the system's.

    Raises: UserError.
    """
    try:
        tls_context = ssl.create_default_context(
            cafile=None if ca_file is None else str(ca_file), cadata=ca_pem
        )
    except (OSError, ssl.SSLError, ValueError) as error:
        raise UserError(
            f"{ca_file or 'authorities'}: no PEM certificates: {_error_text(error)}"
        ) from error
    return partial(_get, tls_context)


@contextlib.contextmanager
def _get(
    tls_context: ssl.SSLContext, url: str, headers: Mapping[str, str]
) -> Iterator[HttpResponse]:
    """Send a GET and follow redirects to other allowed addresses, except from https to http.

    Raises: HttpError, UpdateError.
    """
    try:
        check_url(url)
    except UserError as error:
        raise HttpError(str(error)) from error
    for _ in range(_MAX_REDIRECTS + 1):
        connection, bounded = _open_connection(url, tls_context)
        try:
            response = _send_get(connection, bounded, url, headers)
            if response.status not in _REDIRECT_CODES:
                yield response
                return
            url = _redirect_target(url, response)
        finally:
            connection.close()
    raise HttpError(f"{without_query(url)}: more than {_MAX_REDIRECTS} redirects")


def _open_connection(
    url: str, tls_context: ssl.SSLContext
) -> tuple[http.client.HTTPConnection, BoundedSocket]:
    """Connect. Raises: HttpError, UpdateError if the server may not be reached."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    # Without a port http.client looks for one in the host, and misreads the end of an IPv6 address as one.
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    connection: http.client.HTTPConnection
    try:
        connected = connect(host, port, TIMEOUT_S)
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, context=tls_context)
            connected = tls_context.wrap_socket(connected, server_hostname=host)
        else:
            connection = http.client.HTTPConnection(host, port)
    except AddressRefused as error:
        raise UpdateError(f"{parts.scheme}://{parts.netloc}: {error}") from error
    except (OSError, ValueError) as error:
        raise HttpError(f"{parts.scheme}://{parts.netloc}: {_error_text(error)}") from error
    connection.sock = bounded = BoundedSocket(connected)
    return connection, bounded


def _send_get(
    connection: http.client.HTTPConnection,
    bounded: BoundedSocket,
    url: str,
    headers: Mapping[str, str],
) -> HttpResponse:
    parts = urlsplit(url)
    target = parts.path or "/"
    try:
        connection.request(
            "GET", f"{target}?{parts.query}" if parts.query else target, headers=dict(headers)
        )
        response = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HttpError(f"{parts.scheme}://{parts.netloc}: {_error_text(error)}") from error
    bounded.is_head = False
    found = {name: response.headers.get(name) for name in RESPONSE_HEADERS}
    headers = {name: value for name, value in found.items() if value is not None}
    return HttpResponse(response.status, response.reason, headers, _iter_body(response))


def _iter_body(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body in chunks of up to MAX_CHUNK_BYTES, of a slow server what arrives in a second."""
    has_ended = False
    while not has_ended:
        chunk = bytearray()
        end_s = time.monotonic() + CHUNK_S
        try:
            while len(chunk) < MAX_CHUNK_BYTES and time.monotonic() < end_s and not has_ended:
                piece = response.read1(MAX_CHUNK_BYTES - len(chunk))
                has_ended = not piece
                chunk += piece
        except (OSError, http.client.HTTPException) as error:
            if chunk:
                yield bytes(chunk)
            raise HttpError(f"the connection broke: {_error_text(error)}") from error
        if chunk:
            yield bytes(chunk)
    if response.length:
        raise HttpError(f"the connection broke: {response.length} bytes are missing")


def _redirect_target(url: str, response: HttpResponse) -> str:
    location = response.headers.get("Location") or ""
    try:
        target = urljoin(url, location)
        check_url(target)
    except ValueError as error:
        raise HttpError(
            f"{without_query(url)}: redirects to {without_query(location)!r}: {_INVALID_URL}"
        ) from error
    except UserError as error:
        raise HttpError(f"{without_query(url)}: redirects to {error}") from error
    if urlsplit(url).scheme == "https" != urlsplit(target).scheme:
        raise HttpError(
            f"{without_query(url)}: redirects to {without_query(target)}, which is not https"
        )
    return target


def _error_text(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
