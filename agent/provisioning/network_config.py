"""`[network]` of a settings file, and the files of systemd-networkd rendered from it. Pure.

DHCP and router advertisements count on the port that the table names, by default on built-in ports; all ports that
are not named stay down. Time servers are never taken from them, see `time_config`. The root is read-only
and /etc is in memory, so the files are written to /run at each boot.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec

MAIN_FILE = "50-vigie.network"
OTHERS_FILE = "60-vigie-others.network"
FILE_PATTERN = re.compile(r"\d\d-vigie[a-z0-9-]*\.network")
"""The names of all files that are rendered here."""
_ETHERNET_MATCH = "Type=ether\nKind=!*"
"""Every physical Ethernet port, and modems that emulate one; no bridge, tunnel or container."""
_BUILT_IN_MATCH = f"{_ETHERNET_MATCH}\nPath=!*-usb-*"
"""The same without adapters that are plugged in. Path= is udev's ID_PATH."""
_SECOND_METRIC = 2048
"""The route metric of a named second port; DHCP's default is 1024."""

InterfaceName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$(?!\n)",
        extra={"allowed": "letters, digits, '.', '-' and '_', at most 15; first a letter"},
    ),
]
UpToFour = msgspec.Meta(max_length=4)


class NetworkPort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second port: of cameras, with an `address` of its own; or a second way to the centre, with DHCP."""

    adapter: InterfaceName
    address: str | None = None


class NetworkConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[network]`. `address`, with its prefix length (10.4.0.17/24), replaces DHCP; `adapter` is the port
    that the table applies to, by default every built-in one.
    """

    adapter: InterfaceName | None = None
    address: str | None = None
    gateway: str | None = None
    dns: Annotated[tuple[str, ...], UpToFour] = ()
    port: Annotated[tuple[NetworkPort, ...], UpToFour] = ()


def iter_network_problems(network: NetworkConfig, source: str) -> Iterator[str]:
    """Yield a line for each invalid address, and for each conflict between keys."""
    interface = _parse_interface(network.address or "")
    yield from _address_problems(network.address, f"{source}: network.address")
    if network.gateway is not None:
        yield from _gateway_problems(
            network.gateway, interface, has_address=network.address is not None, source=source
        )
    for index, server in enumerate(network.dns):
        if parse_address(server) is None:
            yield (
                f"{source}: network.dns[{index}] = {server!r}: not an address; allowed: such as 10.4.0.1"
            )
    names = Counter((network.adapter, *(port.adapter for port in network.port)))
    for index, port in enumerate(network.port):
        location = f"{source}: network.port[{index}]"
        yield from _address_problems(port.address, f"{location}.address")
        if names[port.adapter] > 1:
            yield (
                f"{location}.adapter = {port.adapter!r}: named twice; allowed: each port once in [network]"
            )


def _address_problems(address: str | None, location: str) -> Iterator[str]:
    if address is not None and _parse_interface(address) is None:
        yield (
            f"{location} = {address!r}: not a host address with a prefix length; allowed: such as 10.4.0.17/24"
        )


def _gateway_problems(
    gateway: str,
    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface | None,
    *,
    has_address: bool,
    source: str,
) -> Iterator[str]:
    location = f"{source}: network.gateway = {gateway!r}"
    address = parse_address(gateway)
    if address is None:
        yield f"{location}: not an address; allowed: such as 10.4.0.1"
    elif not has_address:
        yield f"{location}: DHCP provides the gateway; allowed: with network.address"
    elif (
        interface is not None
        and not address.is_link_local
        and (address not in interface.network or address == interface.ip)
    ):
        yield f"{location}: is not the next hop of {interface}; allowed: another address in {interface.network}"


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address in a text, or None."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A zone is an adapter's name, which may be any text.
    return None if "%" in text else found


def _parse_interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    if "/" not in text or "%" in text:
        return None
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        return None
    network = found.network
    has_reserved_addresses = network.prefixlen < network.max_prefixlen - 1
    is_reserved = has_reserved_addresses and found.ip in (
        network.network_address,
        network.broadcast_address,
    )
    is_special = found.ip.is_multicast or found.ip.is_unspecified or found.ip.is_loopback
    return None if is_reserved or is_special or not network.prefixlen else found


def render_files(network: NetworkConfig) -> Mapping[str, str]:
    """Return the files of /run/systemd/network by name. networkd applies the first that matches a port."""
    # Named ports before the main file, whose match may include them.
    files = {
        f"40-vigie-port-{index}.network": _render_port(port, network)
        for index, port in enumerate(network.port)
    }
    match = _BUILT_IN_MATCH if network.adapter is None else f"Name={network.adapter}"
    lines = [*_render_match(match), *_render_address(network.address)]
    lines += [f"Gateway={network.gateway}"] if network.gateway is not None else []
    lines += [f"DNS={server}" for server in network.dns]
    if network.address is None:
        lines += _render_dhcp(network, None)
    files[MAIN_FILE] = _join(lines)
    down = ["[Link]", "ActivationPolicy=always-down", "", *_NO_DHCP, "LinkLocalAddressing=no"]
    files[OTHERS_FILE] = _join([*_render_match(_ETHERNET_MATCH), *down])
    return files


_NO_DHCP = ("[Network]", "DHCP=no", "IPv6AcceptRA=no")
"""A router advertisement would add name servers and routes to a fixed address."""


def _render_port(port: NetworkPort, network: NetworkConfig) -> str:
    lines = [*_render_match(f"Name={port.adapter}"), *_render_address(port.address)]
    if port.address is None:
        lines += _render_dhcp(network, _SECOND_METRIC)
    return _join(lines)


def _render_match(match: str) -> list[str]:
    head = "# By vigie provision, from [network] of vigie-settings.toml. See docs/settings.md."
    return [head, "[Match]", match, ""]


def _render_address(address: str | None) -> list[str]:
    return ["[Network]", "DHCP=yes"] if address is None else [*_NO_DHCP, f"Address={address}"]


def _render_dhcp(network: NetworkConfig, metric: int | None) -> list[str]:
    lines = []
    for section in ("DHCPv4", "DHCPv6", "IPv6AcceptRA"):
        # systemd-networkd handles redirects itself, past the kernel's accept_redirects.
        options = ["UseRedirect=no"] if section == "IPv6AcceptRA" else []
        options += ["UseDNS=no"] if network.dns else []
        # Router advertisements carry no NTP servers, and DHCPv6 no routes.
        options += ["UseNTP=no"] if section != "IPv6AcceptRA" else []
        options += [f"RouteMetric={metric}"] if metric is not None and section != "DHCPv6" else []
        lines += ["", f"[{section}]", *options] if options else []
    return lines


def _join(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
