"""One GET over HTTP or HTTPS: what is asked, and what comes, piece by piece."""

import contextlib
import http.client
import ssl
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from agent.base.errors import UserError
from agent.update.errors import UpdateError

TIMEOUT_S = 30.0
"""So long nothing may come; a slow link is no error, a dead one is."""
_REDIRECTS_MOST = 3
_MOVED = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 1 << 16
_PORTS = {"http": 80, "https": 443}
_NOT_ADDRESS = "not an address; allowed: https://HOST/PATH or http://HOST/PATH"


class WebError(UpdateError):
    """It did not come; why, in one line. Another try may help."""


class HttpResponse:
    """What the server says, before the body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.reason = response.reason
        self.headers: Message = response.headers
        self._response = response

    def pieces(self) -> Iterator[bytes]:
        """The body. Raises WebError where it ends too early."""
        while True:
            try:
                piece = self._response.read(_CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise WebError(f"the connection broke: {_said(error)}") from error
            if not piece:
                break
            yield piece
        if self._response.length:
            raise WebError(f"the connection broke: {self._response.length} bytes are missing")


def check_url(url: str) -> None:
    """Raise BadInput where it is no address of this kind."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in _PORTS and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        good = False
    if not good or " " in url or not url.isprintable():
        raise UserError(f"{url!r}: {_NOT_ADDRESS}")


def context(ca: Path | None) -> ssl.SSLContext:
    """Who is believed: the authorities in a file, else the system's. Raises BadInput."""
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"{ca}: not certificates in PEM: {_said(error)}") from error


@contextlib.contextmanager
def get(url: str, headers: Mapping[str, str], trust: ssl.SSLContext) -> Iterator[HttpResponse]:
    """Ask. A redirect is followed, but none from https to http. Raises WebError."""
    try:
        check_url(url)
    except UserError as error:
        raise WebError(str(error)) from error
    for _ in range(_REDIRECTS_MOST + 1):
        connection = _connection(url, trust)
        try:
            answer = _ask(connection, url, headers)
            if answer.status not in _MOVED:
                yield answer
                return
            url = _moved(url, answer)
        finally:
            connection.close()
    raise WebError(f"{url}: sent on more than {_REDIRECTS_MOST} times")


def _connection(url: str, trust: ssl.SSLContext) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    # Without a port, http.client looks for one in the host, and takes the end of an IPv6 address for it.
    port = parts.port or _PORTS[parts.scheme]
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=trust)
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _ask(
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
        raise WebError(f"{parts.scheme}://{parts.netloc}: {_said(error)}") from error


def _moved(url: str, answer: HttpResponse) -> str:
    location = answer.headers.get("Location") or ""
    try:
        to = urljoin(url, location)
        check_url(to)
    except ValueError as error:
        raise WebError(f"{url}: sent on to {location!r}: {_NOT_ADDRESS}") from error
    except UserError as error:
        raise WebError(f"{url}: sent on to {error}") from error
    if urlsplit(url).scheme == "https" != urlsplit(to).scheme:
        raise WebError(f"{url}: sent on to {to}, which is not https")
    return to


def _said(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())
