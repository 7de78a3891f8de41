"""A server of files that does what servers do: ranges, tags, redirects, and connections that break."""

import http.server
import ssl
import threading
from pathlib import Path
from typing import Any


class FileServer:
    """Files by path. `cuts`: after how many bytes the next answers break off."""

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        self.cuts: list[int] = []
        self.status: list[int] = []
        self.ranges: list[str | None] = []
        self.knows_ranges = True
        self.says_length = True
        self.sent_bytes = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, path: str) -> str:
        """Where a file is."""
        return f"{self.scheme}://127.0.0.1:{self._server.server_port}{path}"

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """One GET."""
        request.close_connection = True
        if request.path in self.moved:
            request.send_response(302)
            request.send_header("Location", self.moved[request.path])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        self.ranges.append(request.headers.get("Range"))
        data = self.files.get(request.path)
        if data is None or self.status:
            request.send_error(self.status.pop(0) if self.status else 404)
            return
        tag = self.tags.get(request.path, "")
        begin = self._begin(request, tag)
        if begin is not None and begin >= len(data):
            request.send_error(416)
            return
        body = data[begin or 0 :]
        request.send_response(200 if begin is None else 206)
        if self.says_length:
            request.send_header("Content-Length", str(len(body)))
        if tag:
            request.send_header("ETag", tag)
        if begin is not None:
            span = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            request.send_header("Content-Range", span)
        request.end_headers()
        sent = body[: self.cuts.pop(0)] if self.cuts else body
        self.sent_bytes += len(sent)
        request.wfile.write(sent)

    def _begin(self, request: http.server.BaseHTTPRequestHandler, tag: str) -> int | None:
        asked, if_range = request.headers.get("Range"), request.headers.get("If-Range")
        if asked is None or not self.knows_ranges or if_range not in (None, tag):
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def close(self) -> None:
        """The server ends."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
