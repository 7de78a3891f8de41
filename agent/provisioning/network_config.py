"""`[network]` of a settings file, and the files of systemd-networkd rendered from it. Pure.

Values that are left out come from DHCP. The root is read-only and /etc is in memory, so the files are
written to /run at each boot.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec

MAIN_FILE = "50-vigie.network"
OTHERS_FILE = "60-vigie-others.network"
_HOST_PATTERN = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_ETHERNET_MATCH = "Type=ether\nKind=!*"
"""Every physical Ethernet port, and modems that emulate one; no bridge, tunnel or container."""
_FALLBACK_METRIC = 2048
"""The route metric of a fallback adapter; DHCP's default is 1024."""

InterfaceName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$(?!\n)",
        extra={"allowed": "letters, digits, '.', '-' and '_', at most 15; first a letter"},
    ),
]
UpToFour = msgspec.Meta(max_length=4)


class NetworkConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[network]`. `address`, with its prefix length (10.4.0.17/24), replaces DHCP; `adapter` is the port
    that the table applies to, by default every port.
    """

    adapter: InterfaceName | None = None
    address: str | None = None
    gateway: str | None = None
    dns: Annotated[tuple[str, ...], UpToFour] = ()
    ntp: Annotated[tuple[str, ...], UpToFour] = ()


def find_problems(network: NetworkConfig, source: str) -> Iterator[str]:
    """Yield a line for each invalid address, and for each conflict between keys."""
    interface = None
    if network.address is not None:
        interface = _parse_interface(network.address)
        if interface is None:
            yield (
                f"{source}: network.address = {network.address!r}: not a host address with a "
                "prefix length; allowed: such as 10.4.0.17/24"
            )
    if network.gateway is not None:
        yield from _gateway_problems(
            network.gateway, interface, has_address=network.address is not None, source=source
        )
    for index, server in enumerate(network.dns):
        if _parse_address(server) is None:
            yield (
                f"{source}: network.dns[{index}] = {server!r}: not an address; allowed: such as 10.4.0.1"
            )
    for index, server in enumerate(network.ntp):
        if _parse_address(server) is None and not _HOST_PATTERN.fullmatch(server):
            yield (
                f"{source}: network.ntp[{index}] = {server!r}: not a server; allowed: a name such as "
                "pool.ntp.org, or an address"
            )


def _gateway_problems(
    gateway: str,
    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface | None,
    *,
    has_address: bool,
    source: str,
) -> Iterator[str]:
    location = f"{source}: network.gateway = {gateway!r}"
    address = _parse_address(gateway)
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


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
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
    """Return the files of /run/systemd/network by name."""
    match = _ETHERNET_MATCH if network.adapter is None else f"Name={network.adapter}"
    files = {MAIN_FILE: _render_file(match, network, None)}
    if network.adapter is not None:
        # Other adapters, such as a modem for a cut cable.
        files[OTHERS_FILE] = _render_file(
            _ETHERNET_MATCH, NetworkConfig(ntp=network.ntp), _FALLBACK_METRIC
        )
    return files


def _render_file(match: str, network: NetworkConfig, metric: int | None) -> str:
    is_static = network.address is not None
    lines = ["# By vigie provision, from [network] of vigie-settings.toml. See docs/settings.md."]
    lines += ["[Match]", match, "", "[Network]", f"DHCP={'no' if is_static else 'yes'}"]
    lines += [f"Address={network.address}"] if is_static else []
    lines += [f"Gateway={network.gateway}"] if network.gateway is not None else []
    lines += [f"DNS={server}" for server in network.dns]
    # systemd-timesyncd uses the link's servers.
    lines += [f"NTP={server}" for server in network.ntp]
    if not is_static:
        for section in ("DHCPv4", "DHCPv6", "IPv6AcceptRA"):
            options = ["UseDNS=no"] if network.dns else []
            # Router advertisements carry no NTP servers, and DHCPv6 no routes.
            options += ["UseNTP=no"] if network.ntp and section != "IPv6AcceptRA" else []
            options += (
                [f"RouteMetric={metric}"] if metric is not None and section != "DHCPv6" else []
            )
            lines += ["", f"[{section}]", *options] if options else []
    return "\n".join(lines) + "\n"
