"""The servers that a download may reach: public and private addresses.

A private one is usual for a city's centre. Loopback, link-local and metadata addresses are not: an address of a feed, a
card or a redirect would make the box request something of itself or of its host.
"""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

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
ALLOWED = "a public or private address, not loopback, link-local or of a metadata service"
MAX_ADDRESSES = 4
"""Of a name that are tried, each until the time-out."""


class AddressRefused(OSError):
    """A server has an address that downloads may not reach."""


def is_allowed(address: str) -> bool:
    """Return whether a download may connect to an address, without its zone. Pure."""
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
        if not is_allowed(address):
            raise AddressRefused(f"resolves to {address}; allowed: {ALLOWED}")
    last_error = OSError("no address")
    for address in list(addresses)[:MAX_ADDRESSES]:
        try:
            # By its address: a name may resolve to another one the next time.
            return socket.create_connection((address, port), timeout_s)
        except OSError as error:
            last_error = error
    raise last_error
