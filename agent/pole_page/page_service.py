"""Serve the page at the pole: `python -P -m agent.pole_page.page_service`.

vigie-page.service runs it, with the socket of vigie-page.socket, when a console turns the page on. The process serves
one page, as long as the console's connection is open and no longer than its time, and ends. Its user can read no file
of the box: it has the network on one side, and on the other the acts, which a child of the console does.
"""

import argparse
import asyncio
import ipaddress
import logging
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.base.clock import SystemClock
from agent.base.message import Message, encode_message
from agent.console import page_wire
from agent.console.page_wire import (
    PageEnded,
    PageJoined,
    PageLink,
    PageOrder,
    PageReady,
    PageRefused,
    PageReport,
    PageStart,
    PageUsed,
)
from agent.pole_page.act_calls import ActCalls
from agent.pole_page.bounded_http import BACKLOG, BoundedServer
from agent.pole_page.page_sessions import PageSessions
from agent.pole_page.web_app import WebApp
from agent.runtime.log_limit import limit_log_rate
from drivers.local_wire import MessageBuffer, MessageDecoder, pack_message

log = logging.getLogger(__name__)

LISTENER_FD = 3
"""The socket that systemd passes, sd_listen_fds(3)."""
IDLE_TIMEOUT_S = 60.0
"""Without a connection for this time the process ends; systemd starts it again with the next one."""
REQUEST_TIMEOUT_S = 5.0
VALIDITY = timedelta(days=1)
"""Of the certificate, in each direction: a phone may be some hours ahead of a box, or behind it."""

_START_DECODER = MessageDecoder(PageStart)
_ORDER_DECODER = MessageDecoder(PageOrder)
_TAKEN = PageRefused(reason=encode_message(Message("another console has turned it on")))
T = TypeVar("T")


async def serve(listener: socket.socket, root: Path, runtime_dir: Path) -> None:
    """Serve the page of the first connection, and refuse others meanwhile."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    try:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            connection, _ = await loop.sock_accept(listener)
    except TimeoutError:
        return
    refusal = loop.create_task(_refuse_others(listener))
    try:
        await _serve_connection(connection, root, runtime_dir, refusal)
    finally:
        refusal.cancel()


async def _refuse_others(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        connection, _ = await loop.sock_accept(listener)
        console = ConsoleLink(connection)
        with connection, suppress(OSError):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await console.receive(_START_DECODER)
            console.report(_TAKEN)


class PageCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """The page's own certificate and its key in PEM: made when the page is turned on, and gone with the process.

    `fingerprint` is the SHA-256 of the certificate in hex. It is signed by itself, so a browser warns of it. The
    technician compares its fingerprint with the one at the console. A certificate of a public authority would need a
    public name and a connection to it.
    """

    certificate_pem: bytes
    key_pem: bytes
    fingerprint: str


def make_certificate(box_id: str, addresses: Sequence[str], now: datetime) -> PageCertificate:
    """Return a new certificate of a box for its addresses. Its key is ECDSA P-256: every phone accepts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, box_id)])
    names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALIDITY)
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), *names]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return PageCertificate(
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def make_tls_context(certificate: PageCertificate, runtime_dir: Path) -> ssl.SSLContext:
    """Return the server's TLS context: TLS 1.2 or later. Raises OSError.

    OpenSSL reads keys from files only, so the key is in a file of mode 0600 for a moment, in `runtime_dir`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A renegotiation costs the server more than the client.
    context.options |= ssl.OP_NO_RENEGOTIATION
    with tempfile.TemporaryDirectory(prefix="tls-", dir=runtime_dir) as folder:
        path = Path(folder) / "page.pem"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(certificate.key_pem + certificate.certificate_pem)
        context.load_cert_chain(path)
    return context


class ConsoleLink:
    """A console's connection: orders from it, and reports to it. A console that does not read loses them."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._buffer = MessageBuffer(page_wire.MAX_MESSAGE_BYTES)
        self._last_used_s = float("-inf")

    async def receive(self, decoder: MessageDecoder[T]) -> T | None:
        """Return the next message, or None at the console's end. Raises OSError."""
        loop = asyncio.get_running_loop()
        while (found := self._buffer.next()) is None:
            data = await loop.sock_recv(self._connection, page_wire.MAX_MESSAGE_BYTES)
            if not data:
                return None
            self._buffer.add(data)
        return decoder.decode(found[0])

    def report(self, report: PageReport) -> None:
        """Send a report. One that is as small as these is sent whole, or not at all: unix(7)."""
        with suppress(OSError):
            self._connection.send(pack_message(report))

    def report_use(self) -> None:
        """Report that a phone is active, once in a while."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._last_used_s >= page_wire.USED_INTERVAL_S:
            self._last_used_s = now_s
            self.report(PageUsed())


async def _serve_connection(
    connection: socket.socket, root: Path, runtime_dir: Path, refusal: asyncio.Task[None]
) -> None:
    console = ConsoleLink(connection)
    with connection:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                start = await console.receive(_START_DECODER)
            if start is not None:
                await _serve_page(start, console, root, runtime_dir, refusal)
        except (OSError, ValueError) as error:
            log.warning("the page is refused: %s", error)
            console.report(PageRefused(reason=str(error)))


async def _serve_page(
    start: PageStart,
    console: ConsoleLink,
    root: Path,
    runtime_dir: Path,
    refusal: asyncio.Task[None],
) -> None:
    """Serve a page until its console closes the connection, or its time is over.

    The `refusal` of other consoles ends with it: one that comes while phones are informed waits for the next process.
    Raises OSError if the port is not free, ValueError if an address is none.
    """
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    certificate = make_certificate(start.box_id, start.addresses, clock.utc(clock.boottime_ns()))
    sessions = PageSessions(clock, os.urandom)
    ends_s = loop.time() + start.duration_s
    app = WebApp(
        sessions,
        ActCalls(root / page_wire.ACTS_DIR, start.language),
        clock_ns=clock.boottime_ns,
        remaining_s=lambda: ends_s - loop.time(),
        on_login=lambda address: console.report(
            PageJoined(address=address, sessions=sessions.count)
        ),
        on_use=console.report_use,
    )
    tls = make_tls_context(certificate, runtime_dir)
    server = BoundedServer(app.asgi, tls, sessions.has_session)
    with _listen(start.port) as listener:
        log.info("the page of %s is on, port %d", start.box_id, start.port)
        serving = loop.create_task(server.serve(listener))
        console.report(PageReady(fingerprint=certificate.fingerprint, token=sessions.new_link()))
        try:
            async with asyncio.timeout_at(ends_s):
                while await console.receive(_ORDER_DECODER) is not None:
                    console.report(PageLink(token=sessions.new_link()))
        except TimeoutError:
            console.report(PageEnded())
        finally:
            refusal.cancel()
            await app.end()
            serving.cancel()
            log.info("the page is off")


def _listen(port: int) -> socket.socket:
    """Listen on a port, over IPv6 too if the kernel has it. Raises OSError."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    return socket.create_server(("", port), backlog=BACKLOG)


def main(arguments: list[str] | None = None) -> int:
    """Serve the socket that systemd has passed."""
    parser = argparse.ArgumentParser(prog="page_service", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help=argparse.SUPPRESS)
    parser.add_argument(
        "--runtime-dir",
        type=Path,
        default=Path(os.environ.get("RUNTIME_DIRECTORY", "/run/vigie-page-tls")),
        help=argparse.SUPPRESS,
    )
    args = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    limit_log_rate()
    with socket.socket(fileno=LISTENER_FD) as listener:
        asyncio.run(serve(listener, args.root, args.runtime_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
