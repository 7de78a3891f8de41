"""Servers that a test writes, and the proxy of a bad link: a thread for each connection, all of them cut at the end."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self

from tests.free_port import free_port

HANDSHAKE_TIMEOUT_S = 20
PIECE_BYTES = 65_536


class LoopbackServer:
    """Calls `serve` with each connection. A connection ends with its `serve`, at the latest with the server.

    An OSError ends a connection too: the client has closed it, or does not trust the server's certificate.
    """

    def __init__(
        self,
        serve: Callable[[socket.socket], None],
        *,
        tls: ssl.SSLContext | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.connections = 0
        self.is_ending = threading.Event()
        self._serve = serve
        self._tls = tls
        self._listener = listener or socket.create_server(("127.0.0.1", free_port()))
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut_connections(self) -> None:
        """End the connections that there are."""
        with self._lock:
            for each in self._sockets:
                shut(each)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.is_ending.set()
        self.cut_connections()
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def track(self, connection: socket.socket) -> None:
        """End this connection with the server."""
        with self._lock:
            self._sockets.append(connection)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.track(connection)
            self.connections += 1
            thread = threading.Thread(target=self._run, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection.settimeout(HANDSHAKE_TIMEOUT_S)
                connection = self._tls.wrap_socket(connection, server_side=True)
                connection.settimeout(None)
                self.track(connection)
            self._serve(connection)
        shut(connection)


class TcpProxy(LoopbackServer):
    """Forwards to a port of this machine, as a bad link does: a test freezes it, or cuts its connections.

    Each connection is cut after `cut_after_bytes` of its client; None: never. `sent_bytes` are all bytes of all
    clients, `cuts` the connections that were cut.
    """

    def __init__(
        self, port: int, cut_after_bytes: int | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(self.forward, tls=tls)
        self.cut_after_bytes = cut_after_bytes
        self.sent_bytes = self.cuts = 0
        self.changed = threading.Condition()
        self._target_port = port
        self._is_flowing = threading.Event()
        self._is_flowing.set()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def freeze(self) -> None:
        """Forward nothing more, without an end of a connection."""
        self._is_flowing.clear()

    def thaw(self) -> None:
        """New connections are served again; those that were frozen are cut."""
        self.cut_connections()
        self._is_flowing.set()

    def cut_connections(self) -> None:
        """End the connections that there are."""
        super().cut_connections()
        if self.is_ending.is_set():
            self._is_flowing.set()

    def forward(self, client: socket.socket) -> None:
        """Forward both directions until either side ends."""
        server = socket.create_connection(("127.0.0.1", self._target_port))
        self.track(server)
        try:
            self._forward(client, server)
        finally:
            shut(server)

    def observe(self, data: bytes, client: socket.socket, *, is_from_client: bool) -> None:
        """See the bytes that are forwarded next."""

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        left_bytes = self.cut_after_bytes
        while True:
            is_pending = isinstance(client, ssl.SSLSocket) and client.pending()
            ready = [client] if is_pending else select.select([client, server], [], [])[0]
            for source in ready:
                is_from_client = source is client
                data = source.recv(PIECE_BYTES)
                self._is_flowing.wait()
                if not data:
                    return
                self.observe(data, client, is_from_client=is_from_client)
                if not is_from_client:
                    client.sendall(data)
                    continue
                if left_bytes is not None:
                    data, left_bytes = data[:left_bytes], left_bytes - len(data)
                server.sendall(data)
                with self.changed:
                    self.sent_bytes += len(data)
                    self.cuts += left_bytes is not None and left_bytes <= 0
                    self.changed.notify_all()
                if left_bytes is not None and left_bytes <= 0:
                    # Closed, not only shut: a client that waits for room in a full connection hears of it at once.
                    client.close()
                    return


def shut(connection: socket.socket) -> None:
    """End both directions; a thread that waits for this connection returns."""
    with contextlib.suppress(OSError):
        # That of an SSLSocket drops its state of TLS, which the thread of the connection may be using.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def receive(connection: socket.socket) -> bytes:
    """Receive bytes. Raises: ConnectionResetError at the end of the connection."""
    data = connection.recv(PIECE_BYTES)
    if not data:
        raise ConnectionResetError("the client has closed the connection")
    return data
