"""The servers that a download may reach: public and private addresses.

A private one is usual for a city's centre. Loopback, link-local and metadata addresses are not: an address of a feed, a
card or a redirect would make the box request something of itself or of its host.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

METADATA_ADDRESSES = frozenset(
    map(
        ip_address,
        ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)
"""Metadata services of clouds; that of the others is 169.254.169.254, which is link-local."""
ALLOWED = "a public or private address, not loopback, link-local or of a metadata service"
MAX_ADDRESSES = 4
"""Of a name that are tried, each until the time-out."""


class AddressRefused(OSError):
    """A server has an address that downloads may not reach."""


def is_allowed(address: str) -> bool:
    """Return whether a download may connect to an address, without its zone. Pure."""
    found: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    is_special = found.is_loopback or found.is_link_local
    return not (
        is_special or found.is_unspecified or found.is_multicast or found in METADATA_ADDRESSES
    )


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
