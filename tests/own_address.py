"""An address of this machine at which tests reach their servers, where loopback is refused."""

import fcntl
import socket
import struct
from ipaddress import IPv4Address

import pytest

SIOCGIFADDR = 0x8915
"""netdevice(7)."""


def own_address() -> str:
    """Return the first address that is neither loopback nor link-local. Skip the test if there is none."""
    for _, name in socket.if_nameindex():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()))
            except OSError:
                continue
        address = IPv4Address(answer[20:24])
        if not (address.is_loopback or address.is_link_local):
            return str(address)
    pytest.skip("needs an address besides loopback: ip address add 198.18.0.1/32 dev lo")
