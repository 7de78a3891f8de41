"""One GET over HTTP or HTTPS, with the body as a stream."""

import contextlib
import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urljoin, urlsplit

from agent.base.errors import UserError
from agent.base.message import Message
from agent.base.url import split_url, without_query
from agent.update.errors import UpdateError

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

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HEAD_TIMEOUT_S = 60.0
"""From the request to the end of the headers."""
PACE_S, MIN_PACE_BYTES = 60.0, 6000
"""A body of which fewer bytes arrive in this time of reading is ended: no usable link is so slow."""

METADATA_ADDRESSES = frozenset(
    map(
        ip_address,
        ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)
"""Metadata services of clouds; that of the others is 169.254.169.254, which is link-local."""
_PRIVATE_IPV4 = tuple(
    map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"))
)
"""The second is of a provider's own network, such as a mobile one."""
_PUBLIC_IPV6, _PRIVATE_IPV6 = IPv6Network("2000::/3"), IPv6Network("fc00::/7")
_SPECIAL_IPV6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
"""Of the public ones: protocols such as Teredo, examples, 6to4, examples."""
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 behind the NAT64 of a network without IPv4, such as a mobile one: RFC 6052."""
ALLOWED_ADDRESSES = "a public or private address, not loopback, link-local or of a metadata service"
MAX_ADDRESSES = 4
"""Of a name that are tried, each until the time-out."""


class AddressRefused(OSError):
    """A server has an address that downloads may not reach."""


def is_address_allowed(address: str) -> bool:
    """Return whether a download may connect to an address, without its zone. Pure.

    A private one is usual for a city's centre. Loopback, link-local and metadata addresses are not: an address of a
    feed, a card or a redirect would make the box request something of itself or of its host.
    """
    found = _without_prefix(ip_address(address))
    if found in METADATA_ADDRESSES:
        return False
    if isinstance(found, IPv4Address):
        is_public = found.is_global and not found.is_multicast
        return is_public or any(found in network for network in _PRIVATE_IPV4)
    is_public = found in _PUBLIC_IPV6 and not any(found in network for network in _SPECIAL_IPV6)
    return is_public or found in _PRIVATE_IPV6


def _without_prefix(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address leads to, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def connect(host: str, port: int, timeout_s: float) -> socket.socket:
    """Connect to a host. Raises: OSError, AddressRefused if any of its addresses is not allowed."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(answer[4][0]).partition("%")[0] for answer in answers)
    for address in addresses:
        if not is_address_allowed(address):
            raise AddressRefused(f"resolves to {address}; allowed: {ALLOWED_ADDRESSES}")
    last_error = OSError("no address")
    for address in list(addresses)[:MAX_ADDRESSES]:
        try:
            # By its address: a name may resolve to another one the next time.
            return socket.create_connection((address, port), timeout_s)
        except OSError as error:
            last_error = error
    raise last_error


class BoundedSocket:
    """A connected socket, with the calls that http.client makes, whose answer is bounded in time.

    `is_head` is True until the headers are read.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected
        self.sendall = connected.sendall
        self.close = connected.close
        self.is_head = True

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the answer."""
        return io.BufferedReader(_BoundedReader(self._connected.makefile("rb", 0), self))


class _BoundedReader(io.RawIOBase):
    """Raises TimeoutError at the next read after the bound; one read takes no longer than the socket's time-out."""

    def __init__(self, raw: io.RawIOBase | socket.SocketIO, answer: BoundedSocket) -> None:
        self._raw = raw
        self._answer = answer
        self._begin_s = time.monotonic()
        self._read_s = 0.0
        self._read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        begin_s = time.monotonic()
        if self._answer.is_head:
            if begin_s - self._begin_s > HEAD_TIMEOUT_S:
                raise TimeoutError(f"no whole head of an answer in {HEAD_TIMEOUT_S:.0f} s")
        elif self._read_s > PACE_S:
            if self._read_bytes < MIN_PACE_BYTES:
                raise TimeoutError(f"too slow: {self._read_bytes} bytes in {self._read_s:.0f} s")
            self._read_s, self._read_bytes = 0.0, 0
        size_bytes = self._raw.readinto(buffer)
        if not self._answer.is_head:
            self._read_s += time.monotonic() - begin_s
            self._read_bytes += size_bytes or 0
        return size_bytes

    def close(self) -> None:
        self._raw.close()
        super().close()


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
        raise UserError(
            Message("{label}: {problem}", label=f"{without_query(url)!r}", problem=_INVALID_URL)
        )


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
            Message(
                "{label}: no PEM certificates: {error}",
                label=str(ca_file or "authorities"),
                error=_error_text(error),
            )
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
