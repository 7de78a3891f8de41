"""ONVIF cameras of the subnet, found by WS-Discovery in a child process."""

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import unquote, urlsplit

import ifaddr

from drivers.errors import DriverError
from drivers.onvif.client import onvif_child
from drivers.onvif.operations import Discover, FoundCamera, OnvifSettings

NAME_SCOPE = "onvif://www.onvif.org/name/"
HARDWARE_SCOPE = "onvif://www.onvif.org/hardware/"


def discover(timeout_s: float, interface: str | None = None) -> tuple[FoundCamera, ...]:
    """Return the cameras that answer within `timeout_s` seconds, each once, ordered by URL.

    `interface` is the name of the network interface to search on, such as `eth0`, or one of its
    addresses; None searches all that are up. Raises DriverError: `absent` if there is no such
    interface, or none with an address; `crashed` if an answer breaks the child.
    """
    search = Discover(addresses=_local_addresses(interface), timeout_s=timeout_s)
    child = onvif_child("search for cameras", OnvifSettings())
    try:
        return child.request(search, tuple[FoundCamera, ...], timeout_s)
    finally:
        child.close()


def find_name(scopes: Iterable[str]) -> str | None:
    """Return the name in a camera's scopes. Pure."""
    return _find_scope(NAME_SCOPE, scopes)


def find_hardware(scopes: Iterable[str]) -> str | None:
    """Return the hardware in a camera's scopes. Pure."""
    return _find_scope(HARDWARE_SCOPE, scopes)


def _local_addresses(interface: str | None) -> tuple[str, ...]:
    """Return the IPv4 addresses to search from."""
    available = {
        str(ip.ip): adapter.name
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if isinstance(ip.ip, str) and not ipaddress.ip_address(ip.ip).is_loopback
    }
    selected = {
        address for address, name in available.items() if interface in (None, address, name)
    }
    if not selected:
        names = ", ".join(sorted(set(available.values()))) or "none has an address"
        raise DriverError("absent", f"interface {interface!r}: not there; allowed: {names}")
    return tuple(sorted(selected))


def best_url(addresses: Iterable[str]) -> str | None:
    """Return the first usable URL of a camera's addresses, or None if there is none. Pure.

    A link-local one is returned only if there is no other.
    """
    usable = []
    for address in addresses:
        with suppress(ValueError):  # an answer may hold anything
            parts = urlsplit(address)
            if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc:
                usable.append(parts)
    usable.sort(key=lambda parts: _is_link_local(parts.hostname or ""))
    return f"{usable[0].scheme}://{usable[0].netloc}" if usable else None


def _is_link_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def _find_scope(prefix: str, scopes: Iterable[str]) -> str | None:
    for scope in scopes:
        if scope.startswith(prefix) and len(scope) > len(prefix):
            return unquote(scope[len(prefix) :]).strip() or None
    return None
