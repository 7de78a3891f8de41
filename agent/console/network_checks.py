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

from cryptography import x509

from agent.base.clock import Clock
from agent.base.errors import UserError
from agent.config.configuration import BrokerConfig
from agent.console.check_result import CheckResult, failed, passed, passed_if, unknown
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


def check_interfaces(root: Path = Path("/")) -> Iterator[CheckResult]:
    """Check each network interface, and the default route."""
    interfaces = [path for path in list_interfaces(root) if path.name != "lo"]
    if not interfaces:
        yield failed("interfaces", "none but the loopback", "NET-01")
    has_address = False
    for interface in interfaces:
        name = interface.name
        addresses = _interface_addresses(name, root)
        state = _read_text(interface / "operstate") or "unknown"
        message = f"{state}, {', '.join(addresses) or 'no address'}"
        if (interface / "wireless").exists():
            message += _wifi_signal(name, root)
        has_address = has_address or bool(addresses)
        has_carrier = _read_text(interface / "carrier") == "1"
        yield (passed if addresses and has_carrier else unknown)(name, message)
    if interfaces and not has_address:
        yield failed("address", "no interface has one: check the cable, the modem, DHCP", "NET-01")
    yield _check_default_route(root)


def list_interfaces(root: Path) -> list[Path]:
    """Return the folders of the network interfaces in /sys, sorted by name."""
    try:
        return sorted((root / "sys/class/net").iterdir())
    except OSError:
        return []


def _check_default_route(root: Path) -> CheckResult:
    for line in (_read_text(root / "proc/net/route") or "").splitlines()[1:]:
        route = _DEFAULT_ROUTE_PATTERN.match(line)
        if route and int(route["flags"], 16) & _RTF_UP:
            gateway = socket.inet_ntoa(struct.pack("<I", int(route["gateway"], 16)))
            return passed("default route", f"by {gateway} over {route['name']}")
    for line in (_read_text(root / "proc/net/ipv6_route") or "").splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":  # noqa: PLR2004
            return passed("default route", f"IPv6 over {fields[9]}")
    return unknown("default route", "none: the box reaches its own network only")


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


def _wifi_signal(name: str, root: Path) -> str:
    for line in (_read_text(root / "proc/net/wireless") or "").splitlines():
        fields = line.split()
        if fields and fields[0] == f"{name}:" and len(fields) > 3:  # noqa: PLR2004 - see proc(5)
            return f", signal {fields[3].rstrip('.')} dBm"
    return ""


def check_dns(broker: BrokerConfig, root: Path = Path("/")) -> CheckResult:
    """Check that the broker's name resolves."""
    host = tls.parse_broker_url(broker.url).host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return passed("names", f"{host} is an address, no name to resolve")
    servers = [
        line.split()[1]
        for line in (_read_text(root / "etc/resolv.conf") or "").splitlines()
        if line.startswith("nameserver") and len(line.split()) > 1
    ]
    resolver_note = f"name servers: {', '.join(servers) or 'none is configured'}"
    addresses = _resolve(host)
    if isinstance(addresses, str):
        return failed("names", f"{host}: {addresses} ({resolver_note})", "NET-01")
    return passed("names", f"{host} is {', '.join(addresses)} ({resolver_note})")


def _resolve(host: str) -> list[str] | str:
    """Return the addresses, or the reason why there are none.

    In a thread of its own, since the resolver's time-out may be long: the thread is abandoned then.
    """
    result_queue: queue.Queue[list[str] | str] = queue.Queue()

    def resolve() -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            result_queue.put(getattr(error, "strerror", None) or str(error))
        else:
            result_queue.put(sorted({str(answer[4][0]) for answer in answers}))

    threading.Thread(target=resolve, daemon=True, name="resolver").start()
    try:
        return result_queue.get(timeout=RESOLVE_TIMEOUT_S)
    except queue.Empty:
        return f"no answer in {RESOLVE_TIMEOUT_S:.0f} s"


def check_clock(clock: Clock, root: Path = Path("/")) -> CheckResult:
    """Check that a time source disciplines the clock."""
    trust = clock.trust()
    now = f"{clock.utc(clock.boottime_ns()):%Y-%m-%d %H:%M:%S}Z"
    if trust.synced:
        accuracy = "" if trust.error_s is None else f", within {trust.error_s * 1000:.0f} ms"
        return passed("clock", f"{now} by {trust.source}{accuracy}")
    has_synced_once = (root / "run/systemd/timesync/synchronized").exists()
    history = ", a time server has answered before" if has_synced_once else ""
    return failed("clock", f"{now}, not synchronised{history}", "SYS-01")


def check_certificates(broker: BrokerConfig, box_id: str, now: datetime) -> Iterator[CheckResult]:
    """Check the files of the box's certificate and of the broker's authority."""
    if not tls.parse_broker_url(broker.url).is_tls:
        yield unknown("certificates", "mqtt:// has none")
        return
    try:
        tls.load_ssl_context(broker)
    except UserError as error:
        yield failed("certificates", str(error), "NET-04")
        return
    for kind in get_args(CertificateKey):
        try:
            validity = read_validity(broker, kind)
        except UserError as error:
            yield failed(f"broker.{kind}", str(error), INVALID_FILE_FAULTS[kind])
            continue
        if validity is None:
            yield unknown(f"broker.{kind}", "none is configured")
            continue
        subject = f"broker.{kind} of {_subject_name(validity)}"
        if kind == "certificate" and validity.name != box_id:
            message = f"its name is not the box's id, {box_id}"
            yield failed(subject, message, INVALID_FILE_FAULTS[kind])
        else:
            yield check_validity(subject, validity, now, INVALID_FILE_FAULTS[kind])


def check_validity(
    subject: str, validity: Validity, now: datetime, invalid_fault: FaultCode
) -> CheckResult:
    """Check a certificate's dates; `invalid_fault` is the fault if it is not valid today."""
    begin, end = validity.not_before, validity.not_after
    if now < begin:
        return failed(
            subject, f"not valid before {begin:%Y-%m-%d}; is the clock right?", invalid_fault
        )
    if now > end:
        return failed(subject, f"expired on {end:%Y-%m-%d}", invalid_fault)
    message = f"valid until {end:%Y-%m-%d}, {(end - now).days} days"
    return passed_if(subject, message, ok=end - now > WARN_BEFORE, code="NET-05")


def check_broker(broker: BrokerConfig, clock: Clock) -> Iterator[CheckResult]:
    """Check TCP and TLS to the broker, and the dates of its certificate."""
    address = tls.parse_broker_url(broker.url)
    endpoint = f"{address.host}:{address.port}"
    started_ns = clock.boottime_ns()
    try:
        stream = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S)
    except (OSError, UnicodeError) as error:
        yield failed(
            "TCP", str(connect_error.error_from_exception(endpoint, address, error)), "NET-01"
        )
        return
    with stream:
        elapsed_ms = (clock.boottime_ns() - started_ns) / 1e6
        yield passed(f"TCP to {endpoint}", f"{elapsed_ms:.0f} ms")
        try:
            context = tls.load_ssl_context(broker)
        except UserError as error:
            yield failed("TLS", str(error), "NET-04")
            return
        if context is None:
            yield unknown("TLS", "mqtt:// has none")
            return
        yield from _check_tls(stream, context, address, clock)


def _check_tls(
    stream: socket.socket, context: ssl.SSLContext, address: tls.BrokerAddress, clock: Clock
) -> Iterator[CheckResult]:
    started_ns = clock.boottime_ns()
    try:
        with context.wrap_socket(stream, server_hostname=address.host) as tls_stream:
            elapsed_ms = (clock.boottime_ns() - started_ns) / 1e6
            yield passed("TLS", f"{tls_stream.version()}, {elapsed_ms:.0f} ms")
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
        validity = validity_from_certificate(x509.load_der_x509_certificate(der))
    except ValueError as error:
        return unknown("certificate", f"accepted, but cannot be read: {error}")
    return check_validity(
        f"certificate of {_subject_name(validity)}", validity, now, INVALID_FILE_FAULTS["ca"]
    )


def _subject_name(validity: Validity) -> str:
    return validity.name or "an unreadable name"


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
