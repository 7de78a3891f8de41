"""HTTP for peers that are not trusted: uvicorn's protocol, with a bound on each resource that a peer can take.

uvicorn parses HTTP and calls the application, and leaves to a proxy in front of it what a box has no proxy for: the
number of connections, also before TLS, peers that send a head byte by byte, and peers that do not read.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

import h11
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from agent.pole_page.page_sessions import sender_of

log = logging.getLogger(__name__)

BACKLOG = 16
MAX_HEAD_BYTES = 8192
TLS_HANDSHAKE_TIMEOUT_S = 5.0
HEAD_TIMEOUT_S = 10.0
"""For a whole head, from the connection or from its first byte on."""
KEEP_ALIVE_S = 30.0
WRITE_BUFFER_BYTES = 65_536
READ_STALL_S = 20.0
"""A peer that has read nothing for this time, while bytes wait for it, is dropped."""
ACCEPT_RETRY_S = 1.0

MAX_CONNECTIONS = 32
MAX_OF_SESSION, MAX_OF_STRANGER = MAX_CONNECTIONS // 4, 6
"""Of one sender with a session, and of one without. A browser opens six."""
ConnectionT = TypeVar("ConnectionT")


class ConnectionLimit(Generic[ConnectionT]):
    """The open connections of each sender, bounded so that a flood does not keep other phones out. Used by one thread.

    If all places are taken, the oldest connection of the stranger with the most of them is closed with `close`, for a
    sender with a session, or for a stranger that has fewer even with one more.
    """

    def __init__(
        self, has_session: Callable[[str], bool], close: Callable[[ConnectionT], None]
    ) -> None:
        self._has_session = has_session
        self._close = close
        self._by_sender: dict[str, list[ConnectionT]] = {}

    def enter(self, sender: str, connection: ConnectionT) -> bool:
        """Count a connection; False if it is one too many."""
        own = len(self._by_sender.get(sender, ()))
        has_session = self._has_session(sender)
        if own >= (MAX_OF_SESSION if has_session else MAX_OF_STRANGER):
            return False
        if sum(map(len, self._by_sender.values())) >= MAX_CONNECTIONS:
            most = self._find_most_of_a_stranger()
            if not most or not (has_session or len(most) > own + 1):
                return False
            self._close(most.pop(0))
        self._by_sender.setdefault(sender, []).append(connection)
        return True

    def leave(self, sender: str, connection: ConnectionT) -> None:
        """Count the end of a connection, if it was not closed for another one."""
        open_connections = self._by_sender.get(sender, [])
        if connection in open_connections:
            open_connections.remove(connection)
        if not open_connections:
            self._by_sender.pop(sender, None)

    def _find_most_of_a_stranger(self) -> list[ConnectionT]:
        strangers = (
            open_connections
            for sender, open_connections in self._by_sender.items()
            if not self._has_session(sender)
        )
        return max(strangers, key=len, default=[])


class BoundedProtocol(H11Protocol):
    """One connection. `ended` is set when it is closed."""

    def __init__(self, config: Config, state: ServerState) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.ended = asyncio.Event()
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a head."""
        # By default TLS holds half a megabyte before it counts as a peer that does not read.
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        super().connection_lost(exc)
        self._stop_head_timer()
        self.resume_writing()
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        """Parse what has come, and bound the time of an incomplete head and of a body that is not used."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_head_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            # The request is answered: uvicorn would read the rest of its body for any time.
            self.transport.abort()

    def pause_writing(self) -> None:
        """Bound the time in which the peer reads nothing."""
        super().pause_writing()
        self._stall_timer = self.loop.call_later(READ_STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The peer has read."""
        super().resume_writing()
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def send_400_response(self, msg: str) -> None:
        """Close without an answer: a peer that sends no HTTP is no browser."""
        self.transport.abort()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class BoundedServer:
    """Serves an application at a listening socket, in the running event loop.

    Without `tls`, for loopback alone, it is plain HTTP. `has_session` returns True for a sender that is logged in.
    """

    def __init__(
        self, app: ASGIApp, tls: ssl.SSLContext | None, has_session: Callable[[str], bool]
    ) -> None:
        self._tls = tls
        self._config = Config(
            app,
            lifespan="off",
            ws="none",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=int(KEEP_ALIVE_S),
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self._config.load()
        self._state = ServerState()
        self._limit = ConnectionLimit(has_session, _shut_down)
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Accept connections until cancelled. Open ones are closed then."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        try:
            while True:
                try:
                    connection, address = await loop.sock_accept(listener)
                except OSError as error:
                    # The process has no descriptor left, until a connection ends.
                    log.warning("accept: %s", error)
                    await asyncio.sleep(ACCEPT_RETRY_S)
                    continue
                sender = sender_of(address[0])
                if not self._limit.enter(sender, connection):
                    log.warning("a connection of %s is refused: too many are open", sender)
                    connection.close()
                    continue
                task = loop.create_task(self._serve_connection(connection, sender))
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)
        finally:
            for task in tuple(self._connections):
                task.cancel()

    async def _serve_connection(self, connection: socket.socket, sender: str) -> None:
        protocol = BoundedProtocol(self._config, self._state)
        try:
            # A peer that speaks no TLS, or not in time, is no browser.
            with suppress(OSError):
                timeout_s = None if self._tls is None else TLS_HANDSHAKE_TIMEOUT_S
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: protocol,
                    connection,
                    ssl=self._tls,
                    ssl_handshake_timeout=timeout_s,
                    ssl_shutdown_timeout=timeout_s,
                )
                await protocol.ended.wait()
        finally:
            if protocol.transport is not None:
                protocol.transport.abort()
            connection.close()
            self._limit.leave(sender, connection)


def _shut_down(connection: socket.socket) -> None:
    """End a connection, whatever reads it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
