"""A server of files that does what servers do: ranges, tags, redirects, and connections that break."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.own_address import own_address
from tests.server_certificate import ServerCertificate


class FileServer:
    """Files by path. `cuts`: after how many bytes the next answers break off. `held_until`: each answer waits for it in
    its middle. `length`: sent in place of the body's. `sends_no_answer`: it sends that it continues, without end.
    """

    def __init__(
        self, certificate: ServerCertificate | None = None, address: str | None = None
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.break_after_bytes: list[int] = []
        self.next_statuses: list[int] = []
        self.ranges: list[str | None] = []
        self.supports_ranges = True
        self.sends_length = True
        self.length: str | None = None
        self.sends_no_answer = False
        self.held_until: threading.Event | None = None
        self.is_holding = threading.Event()
        self.sent_bytes = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.handle_get(self)

            def log_message(self, *_args: Any) -> None:
                pass

        self.certificate = certificate
        self.address = address or own_address()
        self._server = http.server.ThreadingHTTPServer((self.address, 0), Handler)
        self.scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, path: str) -> str:
        """Return the URL of a file."""
        return f"{self.scheme}://{self.address}:{self._server.server_port}{path}"

    def handle_get(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """One GET."""
        request.close_connection = True
        if request.path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[request.path])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        self.ranges.append(request.headers.get("Range"))
        if self.sends_no_answer:
            with suppress(OSError):  # the client has gone
                while True:
                    request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        data = self.files.get(request.path)
        if data is None or self.next_statuses:
            request.send_error(self.next_statuses.pop(0) if self.next_statuses else 404)
            return
        tag = self.tags.get(request.path, "")
        begin = self._range_begin(request, tag)
        if begin is not None and begin >= len(data):
            request.send_error(416)
            return
        body = data[begin or 0 :]
        request.send_response(200 if begin is None else 206)
        if self.sends_length:
            request.send_header("Content-Length", self.length or str(len(body)))
        if tag:
            request.send_header("ETag", tag)
        if begin is not None:
            span = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            request.send_header("Content-Range", span)
        request.end_headers()
        sent = body[: self.break_after_bytes.pop(0)] if self.break_after_bytes else body
        self.sent_bytes += len(sent)
        if self.held_until is not None:
            request.wfile.write(sent[: len(sent) // 2])
            self.is_holding.set()
            self.held_until.wait()
            sent = sent[len(sent) // 2 :]
        with suppress(OSError):  # the client has gone
            request.wfile.write(sent)

    def _range_begin(self, request: http.server.BaseHTTPRequestHandler, tag: str) -> int | None:
        range_header, if_range = request.headers.get("Range"), request.headers.get("If-Range")
        if range_header is None or not self.supports_ranges or if_range not in (None, tag):
            return None
        return int(range_header.removeprefix("bytes=").removesuffix("-"))

    def close(self) -> None:
        """The server ends."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def https_server(folder: Path) -> Iterator[FileServer]:
    """A server with a ServerCertificate in the folder."""
    server = FileServer(ServerCertificate(folder, own_address()))
    try:
        yield server
    finally:
        server.close()
