"""A TLS server that answers each request with bytes that a test has written."""

import re
import socket
import ssl
from pathlib import Path

from tests.loopback_server import LoopbackServer, receive
from tests.server_certificate import ServerCertificate


class ScriptedServer(LoopbackServer):
    """Answers the nth request with the nth script, and each later one with the last; then closes.

    A script of None is never answered. `requests` are the first lines of the requests that have arrived whole.
    """

    def __init__(self, folder: Path, *scripts: bytes | None) -> None:
        certificate = ServerCertificate(folder)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate.certificate, certificate.key)
        super().__init__(self._answer, tls=tls)
        self.ca = certificate.ca
        self.requests: list[str] = []
        self._scripts = scripts

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/files?ticket=secret"

    def _answer(self, connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
        self._read_request(connection)
        if script is None:
            self.is_ending.wait()
        else:
            connection.sendall(script)
            connection.unwrap().close()

    def _read_request(self, connection: ssl.SSLSocket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += receive(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        left_bytes = int(length[1]) - len(body) if length else 0
        while left_bytes > 0:
            left_bytes -= len(receive(connection))
        self.requests.append(head.split(b"\r\n")[0].decode())
