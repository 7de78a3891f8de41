"""`vigie probe`: lists the devices that are connected to this box."""

import argparse
import sys
from ipaddress import IPv4Network
from pathlib import Path

import msgspec
from rich.console import Console

from agent.base.errors import UserError
from agent.cli import probe_tables
from agent.cli.arguments import add_json
from agent.cli.output import print_json
from agent.diagnostics.probe.config_snippet import render_snippet
from agent.diagnostics.probe.scan import NetworkProbeRequest, ProbeRequest, probe
from drivers import head_search, rtsp_search
from drivers.errors import DriverError
from drivers.onvif.credentials import ALLOWED_URL, OnvifAccess, read_password
from drivers.serial_port import ALLOWED_PORT, MAX_TCP_PORT, SerialSettings

_DESCRIPTION = """\
Always listed: camera modules, video devices, serial ports, pins, accelerators. Devices are only opened for a
moment; nothing moves and nothing is sent. Options that send queries:

--heads     queries the serial lines in Pelco-D and VISCA. It never moves a head. VISCA's broadcast
            renumbers the cameras of a chain, in the order of the chain. Pelco-P has no query that
            its makers agree on, so its heads cannot be found.
--network   discovers ONVIF cameras (multicast) and queries each of them
--subnet    queries every address of a subnet for RTSP
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = _DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    format_group = parser.add_mutually_exclusive_group()
    add_json(format_group)
    format_group.add_argument(
        "--toml", action="store_true", help="print tables for the configuration"
    )
    _add_heads(parser.add_argument_group("heads on serial lines"))
    _add_network(parser.add_argument_group("cameras of the network"))
    parser.set_defaults(run=run)


def _add_heads(group: argparse._ArgumentGroup) -> None:
    baud = ",".join(map(str, head_search.DEFAULT_BAUD_RATES))
    group.add_argument("--heads", action="store_true", help="query the serial lines for heads")
    group.add_argument(
        "--port",
        action="append",
        default=[],
        metavar="PORT",
        help="only this line, a path or socket://HOST:PORT; repeatable (default: all)",
    )
    group.add_argument(
        "--baud", metavar="N,N", help=f"the baud rates to query at (default: {baud})"
    )
    group.add_argument("--addresses", metavar="N-N", help="the addresses to query (default: 1-8)")


def _add_network(group: argparse._ArgumentGroup) -> None:
    ports = ",".join(map(str, rtsp_search.PORTS))
    group.add_argument("--network", action="store_true", help="discover ONVIF cameras")
    group.add_argument(
        "--interface",
        action="append",
        default=[],
        metavar="NAME",
        help="only on this interface; repeatable (default: all)",
    )
    group.add_argument(
        "--onvif",
        action="append",
        default=[],
        metavar="URL",
        help="query this ONVIF camera, http://HOST[:PORT]; repeatable",
    )
    group.add_argument(
        "--username", metavar="NAME", help="the user name at every queried ONVIF camera"
    )
    group.add_argument(
        "--password-file", metavar="FILE", type=Path, help="the file with the password"
    )
    group.add_argument(
        "--subnet", metavar="A.B.C.D/N", help="query these addresses for RTSP, at most a /22"
    )
    group.add_argument(
        "--rtsp-port", metavar="N,N", help=f"the RTSP ports to query (default: {ports})"
    )


def run(args: argparse.Namespace) -> int:
    """Probe, and print what was found. Finding nothing is no failure. Raises: UserError."""
    request = ProbeRequest(
        heads=_parse_head_search(args),
        ports=tuple(args.port),
        network=_parse_network(args),
        subnet=_parse_subnet(args),
        rtsp_ports=_parse_rtsp_ports(args),
    )
    console = Console(stderr=True)
    with console.status("probing") as status:
        result = probe(request, status.update)
    if args.json:
        print_json(result)
    elif args.toml:
        network = request.network or NetworkProbeRequest()
        sys.stdout.write(render_snippet(result, network.username, network.password_file))
    else:
        probe_tables.print_results(result, Console())
    return 0


def _parse_head_search(args: argparse.Namespace) -> head_search.SearchOptions | None:
    if not args.heads:
        for option, value in (
            ("--port", args.port),
            ("--baud", args.baud),
            ("--addresses", args.addresses),
        ):
            if value:
                raise UserError(f"{option}: allowed: together with --heads")
        return None
    for port in args.port:
        _check_port(port)
    search = head_search.SearchOptions()
    if args.baud is not None:
        search = msgspec.structs.replace(
            search, baud=_parse_numbers("--baud", args.baud, 300, 1_000_000)
        )
    if args.addresses is not None:
        search = msgspec.structs.replace(
            search, addresses=_parse_numbers("--addresses", args.addresses, 1, 255)
        )
    return search


def _check_port(port: str) -> None:
    try:
        msgspec.convert({"port": port}, SerialSettings)
    except msgspec.ValidationError as error:
        raise UserError(f"--port {port!r}: allowed: {ALLOWED_PORT}") from error


def _parse_network(args: argparse.Namespace) -> NetworkProbeRequest | None:
    needs_onvif = args.network or args.onvif
    if args.interface and not args.network:
        raise UserError("--interface: allowed: together with --network")
    if (args.username is None) != (args.password_file is None):
        raise UserError("--username, --password-file: allowed: both or neither")
    if args.username is not None and not needs_onvif:
        raise UserError("--username: allowed: together with --network or --onvif URL")
    if not needs_onvif:
        return None
    for url in args.onvif:
        try:
            msgspec.convert({"url": url}, OnvifAccess)
        except msgspec.ValidationError as error:
            raise UserError(f"--onvif {url!r}: allowed: {ALLOWED_URL}") from error
    password_file = None
    if args.password_file is not None:
        password_file = str(args.password_file.absolute())
        try:
            read_password(password_file, "--password-file")
        except DriverError as error:
            raise UserError(str(error)) from error
    return NetworkProbeRequest(
        discover=args.network,
        interfaces=tuple(args.interface),
        urls=tuple(args.onvif),
        username=args.username,
        password_file=password_file,
    )


def _parse_subnet(args: argparse.Namespace) -> IPv4Network | None:
    if args.subnet is None:
        return None
    min_prefix = rtsp_search.MIN_PREFIX_LENGTH
    allowed = f"allowed: IPv4, such as 192.168.1.0/24, at most a /{min_prefix}"
    try:
        subnet = IPv4Network(args.subnet, strict=False)
    except ValueError as error:
        raise UserError(f"--subnet {args.subnet!r}: not a subnet; {allowed}") from error
    if subnet.prefixlen < min_prefix:
        raise UserError(
            f"--subnet {args.subnet!r}: {subnet.num_addresses} addresses are too many; {allowed}"
        )
    return subnet


def _parse_rtsp_ports(args: argparse.Namespace) -> tuple[int, ...]:
    if args.rtsp_port is None:
        return rtsp_search.PORTS
    if args.subnet is None:
        raise UserError("--rtsp-port: allowed: together with --subnet")
    ports = _parse_numbers("--rtsp-port", args.rtsp_port, 1, MAX_TCP_PORT)
    if len(ports) > MAX_RTSP_PORTS:
        raise UserError(f"--rtsp-port {args.rtsp_port!r}: allowed: at most {MAX_RTSP_PORTS} ports")
    return ports


MAX_RTSP_PORTS = 8


def _parse_numbers(option: str, text: str, minimum: int, maximum: int) -> tuple[int, ...]:
    """Parse numbers such as `1-8,12`; each is returned once, in order. Raises: UserError."""
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        is_valid = all(
            digits.isascii() and digits.isdigit() and len(digits) < 8  # noqa: PLR2004 - no number here has more digits
            for digits in (first, last)
        )
        if not is_valid or not minimum <= int(first) <= int(last) <= maximum:
            raise UserError(
                f"{option} {text!r}: {part.strip()!r} is not a number; allowed: numbers from {minimum} to "
                f"{maximum}, such as {_EXAMPLES[option]}"
            )
        if dash and option not in _RANGE_OPTIONS:
            raise UserError(f"{option} {text!r}: allowed: numbers with commas, no range")
        found.update(dict.fromkeys(range(int(first), int(last) + 1)))
    return tuple(found)


_RANGE_OPTIONS = ("--addresses",)
_EXAMPLES = {"--baud": "9600,2400", "--addresses": "1-8,12", "--rtsp-port": "554,8554"}
