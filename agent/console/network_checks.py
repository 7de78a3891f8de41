"""Checks of the link that need no agent: interfaces, names, clock, certificates, TCP and TLS."""

import fcntl
import ipaddress
import queue
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import get_args

from agent.base import pem
from agent.base.clock import TIME_SOURCE_FILE, Clock
from agent.base.errors import UserError
from agent.base.message import Message, Text, join_phrases, message_of
from agent.config.broker import BrokerConfig
from agent.console.check_result import (
    CheckResult,
    failed,
    not_applicable,
    passed,
    passed_if,
    unknown,
)
from agent.faults.registry import FaultCode
from agent.reporting.mqtt import connect_error, tls
from agent.reporting.mqtt.certificate_expiry import (
    WARN_BEFORE,
    CertificateKey,
    Validity,
    read_validity,
    validity_from_certificate,
)
from agent.reporting.mqtt.connection import FAULT_CODES

CONNECT_TIMEOUT_S = 5.0
_NAMES_ADVICE = Message(
    "Check the name servers that the router's DHCP or the settings name, then the broker's name."
)
RESOLVE_TIMEOUT_S = 8.0
INVALID_FILE_FAULTS: Mapping[CertificateKey, FaultCode] = {"certificate": "NET-04", "ca": "NET-02"}
"""Fault of a file that is not valid today: the broker refuses the box, or the box the broker."""
_SIOCGIFADDR = 0x8915
_RTF_UP = 0x0001
_DEFAULT_ROUTE_PATTERN = re.compile(
    r"(?P<name>\S+)\s+0{8}\s+(?P<gateway>[0-9A-F]{8})\s+(?P<flags>[0-9A-F]{1,4})\s"
)
"""A default route of proc(5), net/route."""
_INET6_PATTERN = re.compile(r"(?P<address>[0-9a-f]{32}) \S+ \S+ (?P<scope>00) \S+\s+(?P<name>\S+)")
"""A global address of proc(5), net/if_inet6."""


def check_interfaces(root: Path, *, needs_route: bool) -> Iterator[CheckResult]:
    """Check each network interface, and the default route, without which `needs_route` fails."""
    interfaces = [path for path in list_interfaces(root) if path.name != "lo"]
    if not interfaces:
        yield failed(Message("interfaces"), Message("none but the loopback"), "NET-01")
    has_address = False
    for interface in interfaces:
        name = interface.name
        addresses = _interface_addresses(name, root)
        message = join_phrases(
            _read_text(interface / "operstate") or Message("unknown"),
            ", ".join(addresses) or Message("no address"),
            _wifi_signal(name, root) if (interface / "wireless").exists() else None,
        )
        has_address = has_address or bool(addresses)
        has_carrier = _read_text(interface / "carrier") == "1"
        yield (passed if addresses and has_carrier else not_applicable)(name, message)
    if interfaces and not has_address:
        message = Message("no interface has one: check the cable, the modem, DHCP")
        yield failed(Message("address"), message, "NET-01")
    yield _check_default_route(root, needs_route=needs_route)


def list_interfaces(root: Path) -> list[Path]:
    """Return the folders of the network interfaces in /sys, sorted by name."""
    try:
        return sorted((root / "sys/class/net").iterdir())
    except OSError:
        return []


def _check_default_route(root: Path, *, needs_route: bool) -> CheckResult:
    for line in (_read_text(root / "proc/net/route") or "").splitlines()[1:]:
        route = _DEFAULT_ROUTE_PATTERN.match(line)
        if route and int(route["flags"], 16) & _RTF_UP:
            gateway = socket.inet_ntoa(struct.pack("<I", int(route["gateway"], 16)))
            message = Message(
                "by {gateway} over {interface}", gateway=gateway, interface=route["name"]
            )
            return passed(Message("default route"), message)
    for line in (_read_text(root / "proc/net/ipv6_route") or "").splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":  # noqa: PLR2004
            message = Message("IPv6 over {interface}", interface=fields[9])
            return passed(Message("default route"), message)
    message = Message("none: the box reaches its own network only")
    if not needs_route:
        return unknown(Message("default route"), message)
    advice = Message(
        "No gateway is set: check the router's DHCP, or have the centre set it in the settings."
    )
    return failed(Message("default route"), message, advice=advice)


def own_addresses(root: Path) -> tuple[str, ...]:
    """Return the box's addresses, IPv4 first; those of the loopback if it has no other."""
    names = [path.name for path in list_interfaces(root)]
    found = [one for name in names if name != "lo" for one in _interface_addresses(name, root)]
    if not found and "lo" in names:
        found = _interface_addresses("lo", root)
    return tuple(sorted(found, key=lambda one: ipaddress.ip_address(one).version))


def _interface_addresses(name: str, root: Path) -> list[str]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            response = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            found.append(socket.inet_ntoa(response[20:24]))
        except OSError:
            pass
    for line in (_read_text(root / "proc/net/if_inet6") or "").splitlines():
        inet6 = _INET6_PATTERN.match(line)
        if inet6 and inet6["name"] == name:
            found.append(str(ipaddress.IPv6Address(bytes.fromhex(inet6["address"]))))
    return found


def _wifi_signal(name: str, root: Path) -> Message | None:
    for line in (_read_text(root / "proc/net/wireless") or "").splitlines():
        fields = line.split()
        if fields and fields[0] == f"{name}:" and len(fields) > 3:  # noqa: PLR2004 - see proc(5)
            return Message("signal {dbm} dBm", dbm=fields[3].rstrip("."))
    return None


def check_dns(broker: BrokerConfig, root: Path = Path("/")) -> CheckResult:
    """Check that the broker's name resolves."""
    host = tls.parse_broker_url(broker.url).host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return passed(
            Message("names"), Message("{host} is an address, no name to resolve", host=host)
        )
    servers = [
        line.split()[1]
        for line in (_read_text(root / "etc/resolv.conf") or "").splitlines()
        if line.startswith("nameserver") and len(line.split()) > 1
    ]
    server_names = ", ".join(servers) or Message("none is configured")
    addresses = resolve_host(host)
    if not isinstance(addresses, list):
        message = Message(
            "{host}: {reason} (name servers: {servers})",
            host=host,
            reason=addresses,
            servers=server_names,
        )
        return failed(Message("names"), message, "NET-01", advice=_NAMES_ADVICE)
    message = Message(
        "{host} is {addresses} (name servers: {servers})",
        host=host,
        addresses=", ".join(addresses),
        servers=server_names,
    )
    return passed(Message("names"), message)


def resolve_host(host: str, family: int = socket.AF_UNSPEC) -> list[str] | Text:
    """Return the addresses of a family, or the reason why there are none.

    In a thread of its own, since the resolver's time-out may be long: the thread is abandoned then.
    """
    result_queue: queue.Queue[list[str] | str] = queue.Queue()

    def resolve() -> None:
        try:
            answers = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            result_queue.put(getattr(error, "strerror", None) or str(error))
        else:
            result_queue.put(sorted({str(answer[4][0]) for answer in answers}))

    threading.Thread(target=resolve, daemon=True, name="resolver").start()
    try:
        return result_queue.get(timeout=RESOLVE_TIMEOUT_S)
    except queue.Empty:
        return Message("no answer in {timeout_s:.0f} s", timeout_s=RESOLVE_TIMEOUT_S)


def check_clock(clock: Clock, root: Path = Path("/")) -> CheckResult:
    """Check that a time source disciplines the clock."""
    trust = clock.trust()
    now = f"{clock.utc(clock.boottime_ns()):%Y-%m-%d %H:%M:%S}Z"
    if trust.synced:
        source = Message("{now} by {source}", now=now, source=trust.source)
        accuracy = (
            None
            if trust.error_s is None
            else Message("within {error_ms:.0f} ms", error_ms=trust.error_s * 1000)
        )
        return passed_if(Message("clock"), join_phrases(source, accuracy), ok=True, code="SYS-01")
    # Provisioning makes the folder at each boot of an image, and the file if there are time servers.
    source_file = root / TIME_SOURCE_FILE.relative_to("/")
    has_no_servers = source_file.parent.is_dir() and not source_file.exists()
    reason = Message("the settings name no time server") if has_no_servers else None
    message = join_phrases(now, Message("not synchronised"), reason)
    return passed_if(Message("clock"), message, ok=False, code="SYS-01")


def check_certificates(broker: BrokerConfig, box_id: str, now: datetime) -> Iterator[CheckResult]:
    """Check the files of the box's certificate and of the broker's authority."""
    if not tls.parse_broker_url(broker.url).is_tls:
        yield not_applicable(Message("certificates"), Message("mqtt:// has none"))
        return
    try:
        tls.load_ssl_context(broker)
    except UserError as error:
        yield failed(Message("certificates"), str(error), "NET-04")
        return
    for kind in get_args(CertificateKey):
        try:
            validity = read_validity(broker, kind)
        except UserError as error:
            yield failed(f"broker.{kind}", str(error), INVALID_FILE_FAULTS[kind])
            continue
        if validity is None:
            yield not_applicable(f"broker.{kind}", Message("none is configured"))
            continue
        subject = Message("{file} of {name}", file=f"broker.{kind}", name=_subject_name(validity))
        if kind == "certificate" and validity.name != box_id:
            message = Message("its name is not the box's id, {box}", box=box_id)
            yield failed(subject, message, INVALID_FILE_FAULTS[kind])
        else:
            yield check_validity(
                subject, validity, now, INVALID_FILE_FAULTS[kind], f"broker.{kind}"
            )


def check_validity(
    subject: Message,
    validity: Validity,
    now: datetime,
    invalid_fault: FaultCode,
    fault_subject: str,
) -> CheckResult:
    """Check a certificate's dates; `invalid_fault` is the fault if it is not valid today.

    `fault_subject` is that of NET-05.
    """
    begin, end = validity.not_before, validity.not_after
    if now < begin:
        early = Message("not valid before {date}; is the clock right?", date=f"{begin:%Y-%m-%d}")
        return failed(subject, early, invalid_fault)
    end_date = f"{end:%Y-%m-%d}"
    if now > end:
        return failed(subject, Message("expired on {date}", date=end_date), invalid_fault)
    message = Message("valid until {date}, {days} days", date=end_date, days=(end - now).days)
    return passed_if(
        subject,
        message,
        ok=end - now > WARN_BEFORE,
        code="NET-05",
        fault_subject=fault_subject,
    )


def check_broker(broker: BrokerConfig, clock: Clock) -> Iterator[CheckResult]:
    """Check TCP and TLS to the broker, and the dates of its certificate."""
    address = tls.parse_broker_url(broker.url)
    endpoint = f"{address.host}:{address.port}"
    started_ns = clock.boottime_ns()
    try:
        stream = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S)
    except (OSError, UnicodeError) as error:
        yield failed(
            "TCP",
            message_of(connect_error.error_from_exception(endpoint, address, error)),
            "NET-01",
        )
        return
    with stream:
        elapsed_ms = (clock.boottime_ns() - started_ns) / 1e6
        yield passed(
            Message("TCP to {endpoint}", endpoint=endpoint),
            Message("{elapsed_ms:.0f} ms", elapsed_ms=elapsed_ms),
        )
        try:
            context = tls.load_ssl_context(broker)
        except UserError as error:
            yield failed("TLS", str(error), "NET-04")
            return
        if context is None:
            yield not_applicable("TLS", Message("mqtt:// has none"))
            return
        yield from _check_tls(stream, context, address, clock)


def _check_tls(
    stream: socket.socket, context: ssl.SSLContext, address: tls.BrokerAddress, clock: Clock
) -> Iterator[CheckResult]:
    started_ns = clock.boottime_ns()
    try:
        with context.wrap_socket(stream, server_hostname=address.host) as tls_stream:
            elapsed_ms = (clock.boottime_ns() - started_ns) / 1e6
            duration = Message("{elapsed_ms:.0f} ms", elapsed_ms=elapsed_ms)
            yield passed("TLS", join_phrases(tls_stream.version(), duration))
            der = tls_stream.getpeercert(binary_form=True)
    except OSError as error:
        failure = connect_error.error_from_exception(
            f"{address.host}:{address.port}", address, error
        )
        yield failed("TLS", str(failure), FAULT_CODES[failure.kind])
    else:
        if der is not None:
            yield _check_broker_certificate(der, clock.utc(clock.boottime_ns()))


def _check_broker_certificate(der: bytes, now: datetime) -> CheckResult:
    """Check the dates of the broker's certificate, which OpenSSL has accepted."""
    try:
        validity = validity_from_certificate(pem.decode_der_certificate(der))
    except pem.MalformedCertificate as error:
        message = Message("accepted, but cannot be read: {error}", error=str(error))
        return unknown(Message("certificate"), message)
    subject = Message("certificate of {name}", name=_subject_name(validity))
    return check_validity(subject, validity, now, INVALID_FILE_FAULTS["ca"], "certificate")


def _subject_name(validity: Validity) -> Text:
    return validity.name or Message("an unreadable name")


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
