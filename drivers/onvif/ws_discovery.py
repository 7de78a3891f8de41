"""WS-Discovery of ONVIF cameras. For the child: the library parses what any device of the subnet sends."""

from typing import Any

from wsdiscovery import QName  # type: ignore[import-untyped]
from wsdiscovery.discovery import ThreadedWSDiscovery  # type: ignore[import-untyped]

from drivers.onvif.discovery import best_url, find_hardware, find_name
from drivers.onvif.operations import FoundCamera

CAMERA_TYPE = QName("http://www.onvif.org/ver10/network/wsdl", "NetworkVideoTransmitter")
"""The type that a camera announces: ONVIF Core Specification, 7.3.2.1."""


def search(addresses: frozenset[str], timeout_s: float) -> tuple[FoundCamera, ...]:
    """Return the cameras that answer a search from some of the box's addresses."""
    discovery = _InterfaceDiscovery(addresses)
    discovery.start()
    try:
        services = discovery.searchServices(types=[CAMERA_TYPE], timeout=timeout_s)
    finally:
        discovery.stop()
    found = (_to_camera(service) for service in services)
    return tuple(sorted({one.id: one for one in found if one is not None}.values()))


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


def _to_camera(service: Any) -> FoundCamera | None:
    """Convert an answer to a FoundCamera, or None if no address in it is usable."""
    scopes = [str(scope.getValue()) for scope in service.getScopes() or ()]
    url = best_url(service.getXAddrs() or ())
    if url is None:
        return None
    return FoundCamera(
        url=url,
        name=find_name(scopes),
        hardware=find_hardware(scopes),
        id=str(service.getEPR()),
    )
