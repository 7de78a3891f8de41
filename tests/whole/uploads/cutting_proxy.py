"""A TCP proxy that cuts each connection after a number of bytes, as a bad link does."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class CuttingProxy:
    """Forwards to a port of this machine. `cut_after_bytes` counts those of the client; None: never.

    `sent_bytes` are all bytes of all clients, `cuts` the connections that were cut.
    """

    def __init__(self, port: int, cut_after_bytes: int | None = None) -> None:
        self.cut_after_bytes = cut_after_bytes
        self.sent_bytes = self.cuts = self.connections = 0
        self.changed = threading.Condition()
        self._target_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._shut(*self._sockets)
        for thread in self._threads[1:]:
            thread.join()
        self._listener.close()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target_port))
            self._sockets += [client, server]
            with self.changed:
                self.connections += 1
            for source, sink, is_client in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._forward, args=(source, sink, is_client))
                self._threads.append(thread)
                thread.start()

    def _forward(self, source: socket.socket, sink: socket.socket, is_client: bool) -> None:
        left_bytes = self.cut_after_bytes if is_client else None
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if left_bytes is not None:
                    data, left_bytes = data[:left_bytes], left_bytes - len(data)
                sink.sendall(data)
                if is_client:
                    with self.changed:
                        self.sent_bytes += len(data)
                        self.changed.notify_all()
                if left_bytes is not None and left_bytes <= 0:
                    with self.changed:
                        self.cuts += 1
                    break
        self._shut(source, sink)

    @staticmethod
    def _shut(*sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
