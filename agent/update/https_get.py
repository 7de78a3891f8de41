"""One GET over HTTP or HTTPS, with the body as a stream: which servers and which redirects a download may follow."""

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

import msgspec

from agent.base.errors import UserError
from agent.base.http_client import DEFAULT_PORTS, HttpClient, HttpFailed, HttpResponse, NotHttp
from agent.base.message import Message, Text
from agent.base.tls_authorities import trust_authorities
from agent.base.url import split_url, without_query
from agent.update.errors import DownloadRejected, UpdateError

_MAX_REDIRECTS = 3
_REDIRECT_CODES = (301, 302, 303, 307, 308)
_INVALID_URL = "not a URL; allowed: https://HOST/PATH or http://HOST/PATH"
PACE_S = 60.0
_HEADERS = {"User-Agent": "vigie", "Accept-Encoding": "identity"}

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


class AddressRefused(UpdateError):
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


def connect(server: tuple[str, int], timeout_s: float) -> socket.socket:
    """Connect to a host and a port. Raises: OSError, AddressRefused if any of its addresses is not allowed."""
    host, port = server
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


class HttpError(UpdateError):
    """The request failed; a retry may help."""


HttpGet: TypeAlias = Callable[[str, Mapping[str, str]], AbstractContextManager[HttpResponse]]
"""Sends a GET for a URL with headers, and yields the response.

Raises: HttpError, UpdateError if the server has an address that is not allowed.
"""


def check_url(url: str) -> None:
    """Raise UserError if `url` is not one of http or https without a user."""
    parts = split_url(url, *DEFAULT_PORTS)
    if parts is None or parts.username or " " in url or not url.isprintable():
        raise UserError(
            Message("{label}: {problem}", label=f"{without_query(url)!r}", problem=_INVALID_URL)
        )


def direct_get(ca_pem: str | None, label: Text = "authorities") -> HttpGet:
    """Return a GET of this process. It trusts the authorities of a text, else the system's.

    Raises: UserError, which begins with `label`.
    """
    return partial(_get, HttpClient(trust_authorities(ca_pem, label), PACE_S, connect))


@contextlib.contextmanager
def _get(client: HttpClient, url: str, headers: Mapping[str, str]) -> Iterator[HttpResponse]:
    """Send a GET and follow redirects to other allowed addresses, except from https to http.

    Raises: HttpError, DownloadRejected, UpdateError.
    """
    try:
        check_url(url)
    except UserError as error:
        raise HttpError(str(error)) from error
    for _ in range(_MAX_REDIRECTS + 1):
        scheme, origin, *_ = urlsplit(url)
        try:
            with client.request("GET", url, {**_HEADERS, **headers}) as response:
                if response.status not in _REDIRECT_CODES:
                    yield msgspec.structs.replace(response, body=_iter_body(response))
                    return
                url = _redirect_target(url, response)
        except AddressRefused as error:
            raise UpdateError(f"{scheme}://{origin}: {error}") from error
        except NotHttp as error:
            raise DownloadRejected(f"{scheme}://{origin}: {error}") from error
        except HttpFailed as error:
            raise HttpError(f"{scheme}://{origin}: {error}") from error
    raise HttpError(f"{without_query(url)}: more than {_MAX_REDIRECTS} redirects")


def _iter_body(response: HttpResponse) -> Iterator[bytes]:
    try:
        yield from response.body
    except HttpFailed as error:
        raise HttpError(f"the connection broke: {error}") from error


def _redirect_target(url: str, response: HttpResponse) -> str:
    location = response.headers.get("location") or ""
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
