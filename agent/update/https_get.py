"""One GET over HTTP or HTTPS, with the body as a stream."""

import contextlib
import http.client
import ssl
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from agent.base.errors import UserError
from agent.base.url import split_url
from agent.update.errors import UpdateError

TIMEOUT_S = 30.0
"""Without any byte: a slow link is no error, a dead one is."""
_MAX_REDIRECTS = 3
_REDIRECT_CODES = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 1 << 16
_DEFAULT_PORTS = {"http": 80, "https": 443}
_INVALID_URL = "not a URL; allowed: https://HOST/PATH or http://HOST/PATH"


class HttpError(UpdateError):
    """The request failed; a retry may help."""


class HttpResponse:
    """Status, headers and body of a response."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.reason = response.reason
        self.headers: Message = response.headers
        self._response = response

    def iter_body(self) -> Iterator[bytes]:
        """Yield the body. Raises: HttpError if it ends too early."""
        while True:
            try:
                chunk = self._response.read(_CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise HttpError(f"the connection broke: {_error_text(error)}") from error
            if not chunk:
                break
            yield chunk
        if self._response.length:
            raise HttpError(f"the connection broke: {self._response.length} bytes are missing")


def check_url(url: str) -> None:
    """Raise UserError if `url` is not one of http or https without a user."""
    parts = split_url(url, *_DEFAULT_PORTS)
    if parts is None or parts.username or " " in url or not url.isprintable():
        raise UserError(f"{url!r}: {_INVALID_URL}")


def create_tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Trust the authorities in a file, or the system's if None. Raises: UserError."""
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"{ca_file}: no PEM certificates: {_error_text(error)}") from error


@contextlib.contextmanager
def get(
    url: str, headers: Mapping[str, str], tls_context: ssl.SSLContext
) -> Iterator[HttpResponse]:
    """Send a GET and follow redirects, except from https to http. Raises: HttpError."""
    try:
        check_url(url)
    except UserError as error:
        raise HttpError(str(error)) from error
    for _ in range(_MAX_REDIRECTS + 1):
        connection = _open_connection(url, tls_context)
        try:
            response = _send_get(connection, url, headers)
            if response.status not in _REDIRECT_CODES:
                yield response
                return
            url = _redirect_target(url, response)
        finally:
            connection.close()
    raise HttpError(f"{url}: more than {_MAX_REDIRECTS} redirects")


def _open_connection(url: str, tls_context: ssl.SSLContext) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    # Without a port http.client looks for one in the host, and misreads the end of an IPv6 address as one.
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=tls_context)
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _send_get(
    connection: http.client.HTTPConnection, url: str, headers: Mapping[str, str]
) -> HttpResponse:
    parts = urlsplit(url)
    target = parts.path or "/"
    try:
        connection.request(
            "GET", f"{target}?{parts.query}" if parts.query else target, headers=dict(headers)
        )
        return HttpResponse(connection.getresponse())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HttpError(f"{parts.scheme}://{parts.netloc}: {_error_text(error)}") from error


def _redirect_target(url: str, response: HttpResponse) -> str:
    location = response.headers.get("Location") or ""
    try:
        target = urljoin(url, location)
        check_url(target)
    except ValueError as error:
        raise HttpError(f"{url}: redirects to {location!r}: {_INVALID_URL}") from error
    except UserError as error:
        raise HttpError(f"{url}: redirects to {error}") from error
    if urlsplit(url).scheme == "https" != urlsplit(target).scheme:
        raise HttpError(f"{url}: redirects to {target}, which is not https")
    return target


def _error_text(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
