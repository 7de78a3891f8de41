"""A TLS server that answers each request with bytes that a test has written."""

import contextlib
import re
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.server_certificate import ServerCertificate


class ScriptedServer:
    """Answers the nth request with the nth script, and each later one with the last; then closes.

    A script of None is never answered. `requests` are the first lines of the requests that have arrived whole.
    """

    def __init__(self, folder: Path, *scripts: bytes | None) -> None:
        certificate = ServerCertificate(folder)
        self.ca = certificate.ca
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.requests: list[str] = []
        self._open: list[socket.socket] = []
        """Those that were not closed by their unwrap."""
        self._thread = threading.Thread(target=self._serve)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/files?ticket=secret"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (self._listener, *self._open):
            each.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(20)
            try:
                connection = self._context.wrap_socket(plain, server_side=True)
            except OSError:  # a client that does not trust this server
                plain.close()
                continue
            self._open.append(connection)
            # A client that has had enough closes.
            with contextlib.suppress(OSError):
                self._answer(connection)

    def _answer(self, connection: ssl.SSLSocket) -> None:
        script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
        self._read_request(connection)
        if script is not None:
            connection.sendall(script)
            connection.unwrap().close()

    def _read_request(self, connection: ssl.SSLSocket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65_536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        left_bytes = int(length[1]) - len(body) if length else 0
        while left_bytes > 0:
            left_bytes -= len(connection.recv(65_536))
        self.requests.append(head.split(b"\r\n")[0].decode())
