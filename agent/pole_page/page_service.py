"""Serve the page at the pole: `python -P -m agent.pole_page.page_service`.

vigie-page.service runs it, with the socket of vigie-page.socket, when a console turns the page on. The process serves
one page, as long as the console's connection is open and no longer than its time, and ends. Its user can read no file
of the box: it has the network on one side, and on the other the acts, which a child of the console does.
"""

import argparse
import asyncio
import logging
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.base.clock import SystemClock
from agent.base.json_decode import JsonDecoder
from agent.base.message import Message, encode_message
from agent.console import page_wire
from agent.console.page_wire import (
    PageEnded,
    PageJoined,
    PageLink,
    PageOrder,
    PageReady,
    PageRefused,
    PageStart,
)
from agent.pole_page.act_calls import ActCalls
from agent.pole_page.bounded_http import BACKLOG, BoundedServer
from agent.pole_page.console_link import ConsoleLink
from agent.pole_page.page_certificate import make_certificate, make_tls_context
from agent.pole_page.page_sessions import PageSessions
from agent.pole_page.web_app import WebApp
from agent.runtime.log_limit import limit_log_rate

log = logging.getLogger(__name__)

LISTENER_FD = 3
"""The socket that systemd passes, sd_listen_fds(3)."""
IDLE_TIMEOUT_S = 60.0
"""Without a connection for this time the process ends; systemd starts it again with the next one."""
REQUEST_TIMEOUT_S = 5.0

_START_DECODER = JsonDecoder(PageStart)
_ORDER_DECODER = JsonDecoder(PageOrder)
_TAKEN = PageRefused(reason=encode_message(Message("another console has turned it on")))


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
        connection.setblocking(False)
        with connection, suppress(OSError):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await loop.sock_recv(connection, page_wire.MAX_LINE_BYTES)
                await loop.sock_sendall(connection, msgspec.json.encode(_TAKEN) + b"\n")


async def _serve_connection(
    connection: socket.socket, root: Path, runtime_dir: Path, refusal: asyncio.Task[None]
) -> None:
    reader, writer = await asyncio.open_unix_connection(
        sock=connection, limit=page_wire.MAX_LINE_BYTES
    )
    console = ConsoleLink(writer)
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            start = _START_DECODER.decode(await reader.readline())
        await _serve_page(start, reader, console, root, runtime_dir, refusal)
    except (OSError, ValueError) as error:
        log.warning("the page is refused: %s", error)
        console.report(PageRefused(reason=str(error)))
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _serve_page(
    start: PageStart,
    reader: asyncio.StreamReader,
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
                while line := await reader.readline():
                    _ORDER_DECODER.decode(line)
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
