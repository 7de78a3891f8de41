"""The link of a box, tried from here: interfaces, names, time, TLS and MQTT."""

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
from agent.console.results import CheckResult
from agent.faults.registry import FaultCode
from agent.reporting.mqtt import connect_error, tls
from agent.reporting.mqtt.certificate_expiry import SOON, Validity, Which, told_by, validity_of
from agent.reporting.mqtt.connection import FAULT_OF

CONNECT_S = 5.0
RESOLVE_S = 8.0
REFUSED: Mapping[Which, FaultCode] = {"certificate": "NET-04", "ca": "NET-02"}
"""The fault of one that is not good today: the broker refuses the box, or the box refuses the broker."""
_SIOCGIFADDR = 0x8915
_RTF_UP = 0x0001
_ROUTE = re.compile(r"(?P<name>\S+)\s+0{8}\s+(?P<gateway>[0-9A-F]{8})\s+(?P<flags>[0-9A-F]{1,4})\s")
"""A default route of proc(5), net/route."""
_INET6 = re.compile(r"(?P<address>[0-9a-f]{32}) \S+ \S+ (?P<scope>00) \S+\s+(?P<name>\S+)")
"""A global address of proc(5), net/if_inet6."""
ROOT = Path("/")


def links(root: Path = ROOT) -> Iterator[CheckResult]:
    """Each interface, and the way out."""
    net = root / "sys/class/net"
    try:
        names = sorted(path.name for path in net.iterdir() if path.name != "lo")
    except OSError:
        names = []
    if not names:
        yield _bad("interfaces", "none but the box itself", "NET-01")
    addressed = False
    for name in names:
        state = _read(net / name / "operstate") or "unknown"
        mine = _addresses(name, root)
        plugged = _read(net / name / "carrier") == "1"
        said = f"{state}, {', '.join(mine) or 'no address'}"
        if (net / name / "wireless").exists():
            said += _signal(name, root)
        addressed = addressed or bool(mine)
        yield CheckResult(what=name, good=True if mine and plugged else None, said=said)
    if names and not addressed:
        yield _bad("address", "no interface has one: look at the cable, the modem, DHCP", "NET-01")
    yield _way_out(root)


def _way_out(root: Path) -> CheckResult:
    for line in (_read(root / "proc/net/route") or "").splitlines()[1:]:
        found = _ROUTE.match(line)
        if found and int(found["flags"], 16) & _RTF_UP:
            gateway = socket.inet_ntoa(struct.pack("<I", int(found["gateway"], 16)))
            return CheckResult(what="way out", good=True, said=f"by {gateway} over {found['name']}")
    for line in (_read(root / "proc/net/ipv6_route") or "").splitlines():
        words = line.split()
        if len(words) > 9 and words[0] == "0" * 32 and words[1] == "00" and words[9] != "lo":  # noqa: PLR2004
            return CheckResult(what="way out", good=True, said=f"IPv6 over {words[9]}")
    return CheckResult(
        what="way out", good=None, said="none: only what is on the same network is reached"
    )


def _addresses(name: str, root: Path) -> list[str]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            told = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            found.append(socket.inet_ntoa(told[20:24]))
        except OSError:
            pass
    for line in (_read(root / "proc/net/if_inet6") or "").splitlines():
        six = _INET6.match(line)
        if six and six["name"] == name:
            found.append(str(ipaddress.IPv6Address(bytes.fromhex(six["address"]))))
    return found


def _signal(name: str, root: Path) -> str:
    for line in (_read(root / "proc/net/wireless") or "").splitlines():
        words = line.split()
        if words and words[0] == f"{name}:" and len(words) > 3:  # noqa: PLR2004 - see proc(5)
            return f", signal {words[3].rstrip('.')} dBm"
    return ""


def names(broker: BrokerConfig, root: Path = ROOT) -> CheckResult:
    """Whether the broker's name becomes an address, and who was asked."""
    host = tls.address_of(broker.url).host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return CheckResult(what="names", good=True, said=f"{host} is an address, nobody is asked")
    servers = [
        line.split()[1]
        for line in (_read(root / "etc/resolv.conf") or "").splitlines()
        if line.startswith("nameserver") and len(line.split()) > 1
    ]
    asked = f"asked {', '.join(servers) or 'nobody: no name server is set'}"
    found = _resolved(host)
    if isinstance(found, str):
        return _bad("names", f"{host}: {found} ({asked})", "NET-01")
    return CheckResult(what="names", good=True, said=f"{host} is {', '.join(found)} ({asked})")


def _resolved(host: str) -> list[str] | str:
    """Its addresses, or why there are none. The library's own patience may be long: it is left."""
    told: queue.Queue[list[str] | str] = queue.Queue()

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            told.put(getattr(error, "strerror", None) or str(error))
        else:
            told.put(sorted({str(answer[4][0]) for answer in answers}))

    threading.Thread(target=ask, daemon=True, name="resolver").start()
    try:
        return told.get(timeout=RESOLVE_S)
    except queue.Empty:
        return f"no answer in {RESOLVE_S:.0f} s"


def clock_sources(clock: Clock, root: Path = ROOT) -> CheckResult:
    """Who sets the clock, and how well."""
    trust = clock.trust()
    now = f"{clock.utc(clock.boottime_ns()):%Y-%m-%d %H:%M:%S}Z"
    if trust.synced:
        within = "" if trust.error_s is None else f", within {trust.error_s * 1000:.0f} ms"
        return CheckResult(what="clock", good=True, said=f"{now} by {trust.source}{within}")
    heard = (root / "run/systemd/timesync/synchronized").exists()
    said = f"{now}, nobody sets it{', a time server answered once' if heard else ''}"
    return _bad("clock", said, "SYS-01")


def certificates(broker: BrokerConfig, box: str, now: datetime) -> Iterator[CheckResult]:
    """The box's own, and who signs the broker's."""
    if not tls.address_of(broker.url).tls:
        yield CheckResult(what="certificates", good=None, said="mqtt:// has none")
        return
    try:
        tls.context_of(broker)
    except UserError as error:
        yield _bad("certificates", str(error), "NET-04")
        return
    for which in get_args(Which):
        try:
            validity = validity_of(broker, which)
        except UserError as error:
            yield _bad(f"broker.{which}", str(error), REFUSED[which])
            continue
        if validity is None:
            yield CheckResult(what=f"broker.{which}", good=None, said="none is configured")
            continue
        what = f"broker.{which} of {_named(validity)}"
        if which == "certificate" and validity.name != box:
            yield _bad(what, f"its name is not the box's, {box}", REFUSED[which])
        else:
            yield dates(what, validity, now, REFUSED[which])


def dates(what: str, validity: Validity, now: datetime, refused: FaultCode) -> CheckResult:
    """Whether a certificate is good today, and for how long. `refused`: the fault where it is not."""
    begin, end = validity.begin, validity.end
    if now < begin:
        return _bad(what, f"not good before {begin:%Y-%m-%d}; is the clock right?", refused)
    if now > end:
        return _bad(what, f"expired on {end:%Y-%m-%d}", refused)
    left = f"good until {end:%Y-%m-%d}, {(end - now).days} days"
    if end - now <= SOON:
        return _bad(what, left, "NET-05")
    return CheckResult(what=what, good=True, said=left)


def reach_broker(broker: BrokerConfig, clock: Clock) -> Iterator[CheckResult]:
    """TCP, then TLS, then what its certificate says."""
    address = tls.address_of(broker.url)
    where = f"{address.host}:{address.port}"
    began_ns = clock.boottime_ns()
    try:
        stream = socket.create_connection((address.host, address.port), CONNECT_S)
    except (OSError, UnicodeError) as error:
        yield _bad("TCP", str(connect_error.of_opening(where, address, error)), "NET-01")
        return
    with stream:
        took_ms = (clock.boottime_ns() - began_ns) / 1e6
        yield CheckResult(what=f"TCP to {where}", good=True, said=f"{took_ms:.0f} ms")
        try:
            context = tls.context_of(broker)
        except UserError as error:
            yield _bad("TLS", str(error), "NET-04")
            return
        if context is None:
            yield CheckResult(what="TLS", good=None, said="mqtt:// has none")
            return
        yield from _greeted(stream, context, address, clock)


def _greeted(
    stream: socket.socket, context: ssl.SSLContext, address: tls.Address, clock: Clock
) -> Iterator[CheckResult]:
    began_ns = clock.boottime_ns()
    try:
        with context.wrap_socket(stream, server_hostname=address.host) as greeted:
            took_ms = (clock.boottime_ns() - began_ns) / 1e6
            yield CheckResult(what="TLS", good=True, said=f"{greeted.version()}, {took_ms:.0f} ms")
            der = greeted.getpeercert(binary_form=True)
    except OSError as error:
        why = connect_error.of_opening(f"{address.host}:{address.port}", address, error)
        yield _bad("TLS", str(why), FAULT_OF[why.kind])
    else:
        if der is not None:
            yield _of_broker(der, clock.utc(clock.boottime_ns()))


def _of_broker(der: bytes, now: datetime) -> CheckResult:
    """The certificate that the broker has shown, and that OpenSSL has accepted."""
    try:
        validity = told_by(x509.load_der_x509_certificate(der))
    except ValueError as error:
        return CheckResult(
            what="certificate", good=None, said=f"accepted, and cannot be read: {error}"
        )
    return dates(f"certificate of {_named(validity)}", validity, now, REFUSED["ca"])


def _named(validity: Validity) -> str:
    return validity.name or "nobody"


def _bad(what: str, said: str, code: str) -> CheckResult:
    return CheckResult(what=what, good=False, said=said, code=code)


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
