"""Checks of each request before any route, and the headers of each response. Pure ASGI.

Of the page at the pole, over HTTPS, and of the pages that a command serves on loopback. Neither has a name: a request whose Host is not the address at which its connection arrived was sent by a page of
another origin, whose name points here (DNS rebinding). What changes anything needs the page's own Origin, which a
page of another origin cannot send.
"""

import ipaddress
from collections.abc import Iterator

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""No Strict-Transport-Security: it would forbid the browser to accept a certificate that signs itself."""
SAFE_METHODS = ("GET", "HEAD")
FIRST_ERROR_STATUS = 400
MAX_PIECE_BYTES = 65_536
"""Of a body: asyncio's TLS holds the whole of a single write, whether its peer reads or not."""


class ApiError(Exception):
    """A request is refused: a status, and a body of one line with a code for the page."""

    def __init__(self, status: int, code: str, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.wait_s = wait_s

    def response(self) -> Response:
        """Return the response. With `wait_s` it says when to ask again."""
        body = {"error": {"code": self.code, "message": str(self)}}
        headers = {} if self.wait_s is None else {"Retry-After": str(int(self.wait_s) + 1)}
        return Response(msgspec.json.encode(body), self.status, headers, "application/json")


class RequestGuard:
    """The outermost application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is not allowed, and pass on any other."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if message["status"] >= FIRST_ERROR_STATUS:
                    # The rest of a refused body is not read.
                    headers["Connection"] = "close"
            for piece in _split(message):
                await send(piece)

        try:
            check_request(scope["method"], Headers(scope=scope), scope["scheme"], *scope["server"])
        except ApiError as error:
            await error.response()(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def _split(message: Message) -> Iterator[Message]:
    """Yield the pieces of a body, or another message itself: the server waits for its peer between two."""
    body = message.get("body", b"")
    last = max(0, (len(body) - 1) // MAX_PIECE_BYTES) * MAX_PIECE_BYTES
    for begin in range(0, last, MAX_PIECE_BYTES):
        piece = body[begin : begin + MAX_PIECE_BYTES]
        yield {"type": message["type"], "body": piece, "more_body": True}
    yield {**message, "body": body[last:]} if last else message


def check_request(method: str, headers: Headers, scheme: str, address: str, port: int) -> None:
    """Check a request that has arrived at this address of the machine, by `http` or `https`. Raises ApiError. Pure."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or hosts[0].lower() not in _own_hosts(address, port):
        raise ApiError(421, "host", "allowed: the address of the link")
    if method in SAFE_METHODS:
        return
    if headers.getlist("origin") != [f"{scheme}://{hosts[0].lower()}"]:
        raise ApiError(403, "origin", "allowed: requests of the page itself")


def _own_hosts(address: str, port: int) -> Iterator[str]:
    """Yield the values of Host by which a connection can have arrived at an address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    yield f"{ip}:{port}" if isinstance(ip, ipaddress.IPv4Address) else f"[{ip}]:{port}"
    if ip.is_loopback:
        yield f"localhost:{port}"
