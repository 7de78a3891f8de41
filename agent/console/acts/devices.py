"""The devices of the box's networks: which address answers, with what, and which configured camera or head it is."""

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from agent.base.message import Message, Text, join_phrases
from agent.base.url import split_url
from agent.commands.command import NoArguments
from agent.config.configuration import Config
from agent.console.acts.act import CHECK_S, ActCall, Lines, act
from agent.console.check_result import CheckResult
from agent.console.context import ConsoleContext
from agent.console.network_checks import resolve_host
from agent.health.vitals import parse
from agent.health.vitals.procfs import ProcFs
from drivers.errors import DriverError
from drivers.onvif.operations import FoundCamera
from drivers.rtsp_search import MIN_PREFIX_LENGTH, PORTS, FoundRtspServer

DISCOVERY_S = 3.0
HTTP_PORT = 80
SMALL_PREFIX_LENGTH = 24
"""Of a network that is too large to be searched only the part around the box's own address is."""
_SCHEME_PORTS = {"rtsp": 554, "http": 80, "https": 443}


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A configured camera or head, and one address of it."""

    label: Text
    host: str
    port: int


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One address. `answers` is empty if nothing answers there."""

    address: str
    mac: str | None
    peers: tuple[Text, ...]
    answers: tuple[Text, ...]


def list_subnets() -> tuple[ipaddress.IPv4Network, ...]:
    """Return the IPv4 networks of the box's own interfaces."""
    # Imported here: an idle console does not need it.
    import ifaddr  # noqa: PLC0415

    subnets = set()
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, str) and not ipaddress.ip_address(ip.ip).is_loopback:
                prefix = ip.network_prefix
                length = SMALL_PREFIX_LENGTH if prefix < MIN_PREFIX_LENGTH else prefix
                subnets.add(ipaddress.IPv4Network(f"{ip.ip}/{length}", strict=False))
    return tuple(sorted(subnets))


def search_devices(
    context: ConsoleContext, subnets: Sequence[ipaddress.IPv4Network]
) -> tuple[Device, ...]:
    """Search the networks, and the addresses of the configured cameras and heads wherever they are.

    Nothing is played and no password is sent.
    """
    # Imported here: the drivers' libraries are large, an idle console is not.
    from drivers import rtsp_search  # noqa: PLC0415
    from drivers.onvif import discovery  # noqa: PLC0415

    peers = () if context.config is None else tuple(_resolve_peers(find_peers(context.config)))
    ports = sorted({HTTP_PORT, *PORTS, *(peer.port for peer in peers)})
    elsewhere = {
        ipaddress.IPv4Network(peer.host)
        for peer in peers
        if _is_ipv4(peer.host)
        and not any(ipaddress.IPv4Address(peer.host) in one for one in subnets)
    }
    servers: list[FoundRtspServer] = []
    for subnet in (*subnets, *sorted(elsewhere)):
        try:
            servers += rtsp_search.search_subnet(subnet, ports)
        except DriverError:
            continue  # no way there: nothing of it answers
    try:
        cameras = discovery.discover(DISCOVERY_S)
    except DriverError:
        cameras = ()
    macs = parse.arp_table(ProcFs(context.root).read("proc/net/arp"))
    return join_devices(peers, servers, cameras, macs)


def find_peers(config: Config) -> Iterator[Peer]:
    """Yield the addresses in the options of the cameras and the heads."""
    for camera in config.camera:
        label = Message("camera {name}", name=camera.name)
        values = [*camera.options.values(), *(camera.detect_options or {}).values()]
        if camera.onvif is not None:
            values.append(camera.onvif.url)
        yield from _find_addresses(label, values)
    for head in config.head:
        yield from _find_addresses(Message("head {name}", name=head.name), head.options.values())


def join_devices(
    peers: Iterable[Peer],
    servers: Iterable[FoundRtspServer],
    cameras: Iterable[FoundCamera],
    macs: Mapping[str, str],
) -> tuple[Device, ...]:
    """Join all findings by address, in the order of the addresses. Pure."""
    answers: dict[str, list[Text]] = {}
    for camera in cameras:
        parts = split_url(camera.url, *_SCHEME_PORTS)
        if parts is not None:
            name = camera.name or camera.hardware or Message("without a name")
            answers.setdefault(str(parts.hostname), []).append(Message("ONVIF {name}", name=name))
    for server in servers:
        answers.setdefault(server.host, []).append(_describe(server))
    labels: dict[str, list[Text]] = {}
    for peer in peers:
        known = labels.setdefault(peer.host, [])
        if peer.label not in known:
            known.append(peer.label)
    return tuple(
        Device(
            address=address,
            mac=macs.get(address),
            peers=tuple(labels.get(address, ())),
            answers=tuple(answers.get(address, ())),
        )
        for address in sorted({*answers, *labels, *macs}, key=_sort_key)
    )


def _describe(server: FoundRtspServer) -> Text:
    if server.status is not None:
        words = Message("RTSP {port}", port=server.port)
        return (
            Message("{answer} ({server})", answer=words, server=server.server)
            if server.server
            else words
        )
    if server.port in (HTTP_PORT, _SCHEME_PORTS["https"]):
        return Message("HTTP {port}", port=server.port)
    return Message("TCP {port}", port=server.port)


def _find_addresses(label: Text, values: Iterable[object]) -> Iterator[Peer]:
    for value in values:
        parts = split_url(value, *_SCHEME_PORTS) if isinstance(value, str) else None
        if parts is not None and parts.hostname:
            port = parts.port or _SCHEME_PORTS[parts.scheme]
            yield Peer(label=label, host=parts.hostname, port=port)


def _resolve_peers(peers: Iterable[Peer]) -> Iterator[Peer]:
    """Yield each peer with its address instead of its name; a name that is not known stays."""
    for peer in peers:
        addresses = [peer.host] if _is_ipv4(peer.host) else resolve_host(peer.host, socket.AF_INET)
        host = addresses[0] if isinstance(addresses, list) and addresses else peer.host
        yield msgspec.structs.replace(peer, host=host)


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _sort_key(address: str) -> tuple[bool, int, str]:
    """Addresses by their numbers, before names."""
    return (
        (True, 0, address)
        if not _is_ipv4(address)
        else (False, int(ipaddress.IPv4Address(address)), "")
    )


@act(lane="work", typed="net devices", timeout_s=CHECK_S, receipt="net devices")
def devices(call: ActCall, _args: NoArguments) -> Lines[CheckResult]:
    """Search the box's networks: a configured camera or head that does not answer is a bad result."""
    return Lines(map(_to_result, search_devices(call.context, list_subnets())))


def _to_result(device: Device) -> CheckResult:
    return CheckResult(
        subject=join_phrases(device.address, device.mac, *device.peers),
        ok=bool(device.answers) if device.peers else None,
        message=join_phrases(*device.answers) or Message("no answer"),
    )
