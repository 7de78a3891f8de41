"""ONVIF cameras of the subnet, found by WS-Discovery."""

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import ifaddr
import msgspec
from wsdiscovery import QName  # type: ignore[import-untyped]
from wsdiscovery.discovery import ThreadedWSDiscovery  # type: ignore[import-untyped]

from drivers.errors import DriverError

CAMERA_TYPE = QName("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter")
"""The type that a camera announces: ONVIF Core Specification, 7.3.2.1."""

NAME_SCOPE = "onvif://www.onvif.org/name/"
HARDWARE_SCOPE = "onvif://www.onvif.org/hardware/"


class FoundCamera(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One camera that answered. `url` is as `[camera.onvif]` takes it."""

    url: str
    name: str | None
    hardware: str | None
    id: str
    """Its endpoint, which stays the same: `urn:uuid:...`."""


def discover(timeout_s: float, interface: str | None = None) -> tuple[FoundCamera, ...]:
    """Return the cameras that answer within `timeout_s` seconds, each once, ordered by URL.

    `interface` is the name of the network interface to search on, such as `eth0`, or one of its
    addresses; None searches all that are up. Raises DriverError: `absent` if there is no such
    interface, or none with an address.
    """
    addresses = _local_addresses(interface)
    search = _InterfaceDiscovery(addresses)
    search.start()
    try:
        services = search.searchServices(types=[CAMERA_TYPE], timeout=timeout_s)
    finally:
        search.stop()
    found = (_to_camera(service) for service in services)
    return tuple(sorted({one.id: one for one in found if one is not None}.values()))


def find_name(scopes: Iterable[str]) -> str | None:
    """Return the name in a camera's scopes. Pure."""
    return _find_scope(NAME_SCOPE, scopes)


class _InterfaceDiscovery(ThreadedWSDiscovery):  # type: ignore[misc]  # it has no types
    """The library's search, limited to some of the box's addresses."""

    def __init__(self, addresses: frozenset[str]) -> None:
        super().__init__()
        self._addresses = addresses

    def _networkAddressAdded(self, addr: Any) -> None:  # noqa: N802 - the library's name
        if str(addr) in self._addresses:
            super()._networkAddressAdded(addr)

    def _networkAddressRemoved(self, addr: Any) -> None:  # noqa: N802 - the library's name
        if str(addr) in self._addresses:
            super()._networkAddressRemoved(addr)


def _local_addresses(interface: str | None) -> frozenset[str]:
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
    return frozenset(selected)


def _to_camera(service: Any) -> FoundCamera | None:
    """Convert an answer to a FoundCamera, or None if no address in it is usable."""
    scopes = [str(scope.getValue()) for scope in service.getScopes() or ()]
    url = best_url(service.getXAddrs() or ())
    if url is None:
        return None
    return FoundCamera(
        url=url,
        name=find_name(scopes),
        hardware=_find_scope(HARDWARE_SCOPE, scopes),
        id=str(service.getEPR()),
    )


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
