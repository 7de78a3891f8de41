"""A page that a command serves on loopback, at an address that one browser can open.

Requests are checked and bounded as those to the page at the pole are. The address has a secret, and the first browser that opens
it gets a key as a cookie of this path alone, which no other server of the machine receives; any other browser is refused. Another user of
the machine may read the address in the list of processes and be the first: then the person's own browser is refused, which is seen.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.base.errors import UserError
from agent.pole_page.bounded_http import BACKLOG, BoundedServer
from agent.pole_page.request_body import ERROR_HANDLERS
from agent.pole_page.request_guard import ApiError, RequestGuard

HOST = "127.0.0.1"
COOKIE = "vigie"
_SECRET_BYTES = 16
_USED = """\
This address was opened by another browser, and is for one alone. End the command, and start it again.
Cette adresse a été ouverte par un autre navigateur, et ne vaut que pour un seul. Arrêtez la commande, puis relancez-la.
فُتح هذا العنوان في متصفّح آخر، وهو لمتصفّح واحد فقط. أوقف الأمر ثم شغّله من جديد.
"""


def serve_page(page: str, routes: Sequence[Route], on_ready: Callable[[str], None]) -> None:
    """Serve a page, and routes below it, until the process is interrupted. `on_ready` gets the address.

    The page has its policy in itself. Raises: KeyboardInterrupt at the end, UserError if no port is free.
    """
    asyncio.run(_serve(_OneBrowser(page, routes), on_ready))


async def _serve(app: "_OneBrowser", on_ready: Callable[[str], None]) -> None:
    try:
        listener = socket.create_server((HOST, 0), backlog=BACKLOG)
    except OSError as error:
        raise UserError(f"{HOST}: {error.strerror or error}") from error
    with listener:
        server = BoundedServer(RequestGuard(app), None, lambda _: True)
        on_ready(f"http://{HOST}:{listener.getsockname()[1]}{app.path}")
        try:
            await server.serve(listener)
        finally:
            await app.end()


class _OneBrowser:
    """The page and its routes, for the browser that has opened the address first."""

    def __init__(self, page: str, routes: Sequence[Route]) -> None:
        self.path = f"/{secrets.token_urlsafe(_SECRET_BYTES)}/"
        self._page = page
        self._key: str | None = None
        self._requests: set[asyncio.Task[object]] = set()
        self._app: ASGIApp = Starlette(
            routes=[Mount(self.path, routes=[Route("/", self._get_page), *routes])],
            exception_handlers=ERROR_HANDLERS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request of the one browser, and refuse any other."""
        request = Request(scope)
        response: Response | None = None
        if not secrets.compare_digest(scope["path"][: len(self.path)].encode(), self.path.encode()):
            response = ApiError(404, "unknown", "no such page").response()
        elif self._key is None and scope["path"] != self.path:
            response = ApiError(403, "session", "open the address first").response()
        elif self._key is not None and not self._has_key(request):
            response = PlainTextResponse(_USED, 403)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server's, for one request
        self._requests.add(task)
        try:
            await (response or self._app)(scope, receive, send)
        finally:
            self._requests.discard(task)

    async def end(self) -> None:
        """Wait for the requests, whose connections are closed."""
        while self._requests:
            await asyncio.wait(self._requests)

    async def _get_page(self, request: Request) -> Response:
        response = HTMLResponse(
            self._page, headers={"Content-Security-Policy": "frame-ancestors 'none'"}
        )
        if self._key is None and request.method == "GET":
            self._key = secrets.token_urlsafe(_SECRET_BYTES)
            response.set_cookie(COOKIE, self._key, path=self.path, httponly=True, samesite="strict")
        return response

    def _has_key(self, request: Request) -> bool:
        key = request.cookies.get(COOKIE, "")
        return self._key is not None and secrets.compare_digest(key.encode(), self._key.encode())
