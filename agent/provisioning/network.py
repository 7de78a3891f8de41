"""`[network]` of a settings file, and what systemd-networkd reads of it. Pure.

What is not written is asked of DHCP. The root is read-only and /etc does not last, so the files are made
anew at each boot, in /run.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec

MINE = "50-vigie.network"
OTHERS = "60-vigie-others.network"
_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_PORTS = "Type=ether\nKind=!*"
"""Every real Ethernet port, a modem that shows itself as one too; no bridge, tunnel or container."""
_LATER = 2048
"""The metric of a way out that is taken where there is no other; DHCP's own is 1024."""

Adapter = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$(?!\n)")]
Few = msgspec.Meta(max_length=4)


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[network]`. `address` with the length of its network, such as 10.4.0.17/24, instead of DHCP;
    `adapter` is the port that this is about, every one where it is left out.
    """

    adapter: Adapter | None = None
    address: str | None = None
    gateway: str | None = None
    dns: Annotated[tuple[str, ...], Few] = ()
    ntp: Annotated[tuple[str, ...], Few] = ()


def problems(network: Network, where: str) -> Iterator[str]:
    """A line for each thing that no single key can tell, or that is no address."""
    mine = None
    if network.address is not None:
        mine = _parsed(network.address)
        if mine is None:
            yield (
                f"{where}: network.address = {network.address!r}: no address of a host with the length "
                "of its network; allowed: such as 10.4.0.17/24"
            )
    if network.gateway is not None:
        yield from _gateway(network.gateway, mine, given=network.address is not None, where=where)
    for index, server in enumerate(network.dns):
        if _address(server) is None:
            yield (
                f"{where}: network.dns[{index}] = {server!r}: no address; allowed: such as 10.4.0.1"
            )
    for index, server in enumerate(network.ntp):
        if _address(server) is None and not _HOST.fullmatch(server):
            yield (
                f"{where}: network.ntp[{index}] = {server!r}: no server; allowed: a name such as "
                "pool.ntp.org, or an address"
            )


def _gateway(
    gateway: str,
    mine: ipaddress.IPv4Interface | ipaddress.IPv6Interface | None,
    *,
    given: bool,
    where: str,
) -> Iterator[str]:
    at = f"{where}: network.gateway = {gateway!r}"
    found = _address(gateway)
    if found is None:
        yield f"{at}: no address; allowed: such as 10.4.0.1"
    elif not given:
        yield f"{at}: DHCP tells the gateway; allowed: with network.address"
    elif (
        mine is not None
        and not found.is_link_local
        and (found not in mine.network or found == mine.ip)
    ):
        yield f"{at}: is not the next hop of {mine}; allowed: another address in {mine.network}"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A zone is a name of an adapter, which may be anything.
    return None if "%" in text else found


def _parsed(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    if "/" not in text or "%" in text:
        return None
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        return None
    network = found.network
    inner = network.prefixlen < network.max_prefixlen - 1
    edge = inner and found.ip in (network.network_address, network.broadcast_address)
    unfit = found.ip.is_multicast or found.ip.is_unspecified or found.ip.is_loopback
    return None if edge or unfit or not network.prefixlen else found


def rendered(network: Network) -> Mapping[str, str]:
    """The files of /run/systemd/network by their names."""
    match = _PORTS if network.adapter is None else f"Name={network.adapter}"
    files = {MINE: _file(match, network, None)}
    if network.adapter is not None:
        # What else is plugged in, such as a modem for when the cable is cut.
        files[OTHERS] = _file(_PORTS, Network(ntp=network.ntp), _LATER)
    return files


def _file(match: str, network: Network, metric: int | None) -> str:
    fixed = network.address is not None
    lines = ["# By vigie provision, from [network] of vigie-settings.toml. See docs/settings.md."]
    lines += ["[Match]", match, "", "[Network]", f"DHCP={'no' if fixed else 'yes'}"]
    lines += [f"Address={network.address}"] if fixed else []
    lines += [f"Gateway={network.gateway}"] if network.gateway is not None else []
    lines += [f"DNS={server}" for server in network.dns]
    # systemd-timesyncd asks for the servers of the link.
    lines += [f"NTP={server}" for server in network.ntp]
    if not fixed:
        for part in ("DHCPv4", "DHCPv6", "IPv6AcceptRA"):
            told = ["UseDNS=no"] if network.dns else []
            # Routers tell no NTP servers, and DHCPv6 no way out.
            told += ["UseNTP=no"] if network.ntp and part != "IPv6AcceptRA" else []
            told += [f"RouteMetric={metric}"] if metric is not None and part != "DHCPv6" else []
            lines += ["", f"[{part}]", *told] if told else []
    return "\n".join(lines) + "\n"
