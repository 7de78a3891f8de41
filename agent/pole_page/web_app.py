"""The HTTP interface of the page at the pole. docs/pole-page-api.md has its table of routes."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from agent.base.json_decode import decode_any_json, decode_json
from agent.faults.texts import LANGUAGES, Language
from agent.pole_page.act_calls import ActCalls
from agent.pole_page.page_sessions import LinkRefused, PageSessions, sender_of
from agent.pole_page.request_body import (
    ERROR_HANDLERS,
    content_length,
    read_body,
    require_media_type,
)
from agent.pole_page.request_guard import ApiError, RequestGuard

COOKIE = "__Host-vigie"
"""The prefix binds it to this origin: browsers refuse it from anywhere else (RFC 6265bis, 4.1.3.2)."""
LANGUAGE_HEADER = "vigie-language"
MAX_JSON_BYTES = 96 * 1024
MAX_ARGS_CHARS = 4096
END_WAIT_S = 25.0
"""A phone waits for the end of the page in requests of this time: a connection without one is closed after 30 s."""
END_SEND_TIMEOUT_S = 5.0
"""A phone in use asks again within 3 s of a failure, as `box_status.js` does."""

PACKAGE_DIR = Path(__file__).parent
PAGE_DIR = PACKAGE_DIR / "page"
EDITOR_DIR = PACKAGE_DIR.parent / "scene_editor"
INDEX_NAME = "index.html"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}


class PageFile(msgspec.Struct, frozen=True):
    """A file, and its media type."""

    content: bytes
    media_type: str


def load_files(folder: Path) -> dict[str, PageFile]:
    """Return the files of a folder by their paths below it, read once: no request opens a file. Those of other suffixes
    are left out.
    """
    return {
        path.relative_to(folder).as_posix(): PageFile(path.read_bytes(), MEDIA_TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES and path.is_file()
    }


class LinkToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a login."""

    link: str


class WebApp:
    """The routes. `asgi` is the application.

    `remaining_s` returns the time until the page ends; `on_login` takes the address of a phone that has
    logged in, `on_use` is called for each request of a session, and for each part of an upload.
    """

    def __init__(
        self,
        sessions: PageSessions,
        acts: ActCalls,
        *,
        clock_ns: Callable[[], int],
        remaining_s: Callable[[], float],
        on_login: Callable[[str], None],
        on_use: Callable[[], None],
    ) -> None:
        self._sessions = sessions
        self._acts = acts
        self._clock_ns = clock_ns
        self._remaining_s = remaining_s
        self._on_login = on_login
        self._on_use = on_use
        self._end = asyncio.Event()
        self._informed: set[str] = set()
        self._has_informed = asyncio.Event()
        self._page_files = load_files(PAGE_DIR)
        self._editor_files = load_files(EDITOR_DIR)
        routes = (
            Route("/", self._get_index),
            Route("/page/{path:path}", self._get_page_file),
            Route("/editor/{path:path}", self._get_editor_file),
            Route("/api/session", self._get_session),
            Route("/api/session", self._log_in, methods=["POST"]),
            Route("/api/session", self._log_out, methods=["DELETE"]),
            Route("/api/session/end", self._wait_for_end),
            Route("/api/acts/{name}", self._run_act, methods=["POST"]),
            Route("/api/uploads/{name}", self._upload, methods=["POST"]),
        )
        routed = Starlette(routes=routes, exception_handlers=ERROR_HANDLERS)
        # A path with a slash too many is unknown: no response sends a phone elsewhere.
        routed.router.redirect_slashes = False
        self.asgi: ASGIApp = RequestGuard(routed)

    async def end(self) -> None:
        """Answer each phone that waits for the end of the page, or asks for it within END_SEND_TIMEOUT_S."""
        self._end.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SEND_TIMEOUT_S):
                while len(self._informed) < self._sessions.count:
                    self._has_informed.clear()
                    await self._has_informed.wait()

    async def _get_index(self, _request: Request) -> Response:
        return _file(self._page_files, INDEX_NAME)

    async def _get_page_file(self, request: Request) -> Response:
        return _file(self._page_files, request.path_params["path"])

    async def _get_editor_file(self, request: Request) -> Response:
        return _file(self._editor_files, request.path_params["path"])

    async def _log_in(self, request: Request) -> Response:
        token = decode_json(
            await read_body(request, "application/json", MAX_JSON_BYTES), LinkToken
        ).link
        address = request.client.host if request.client else ""
        try:
            key = self._sessions.log_in(token, sender_of(address))
        except LinkRefused as error:
            if error.wait_s > 0:
                raise ApiError(429, "too_many", str(error), error.wait_s) from error
            raise ApiError(403, "link", str(error)) from error
        self._on_login(sender_of(address))
        response = Response(status_code=204)
        response.set_cookie(COOKIE, key, secure=True, httponly=True, samesite="strict")
        return response

    async def _get_session(self, request: Request) -> Response:
        self._require_session(request)
        value = await self._acts.value("session", _language(request))
        body = {"ends_in_s": int(self._remaining_s())}
        return Response(
            msgspec.json.encode({**value, **body} if isinstance(value, dict) else body),
            media_type="application/json",
        )

    async def _wait_for_end(self, request: Request) -> Response:
        """Answer at the end of the page, or after END_WAIT_S: else a phone cannot tell the end from a lost link."""
        self._count_request(request)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._end.wait(), END_WAIT_S)
        is_off = self._end.is_set()
        return Response(
            msgspec.json.encode({"is_off": is_off}),
            media_type="application/json",
            background=BackgroundTask(self._note_informed, request) if is_off else None,
        )

    async def _note_informed(self, request: Request) -> None:
        """Note that a phone has the answer that the page is off."""
        self._informed.add(request.cookies[COOKIE])
        self._has_informed.set()

    async def _log_out(self, request: Request) -> Response:
        self._require_session(request)
        self._sessions.log_out(request.cookies[COOKIE])
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
        return response

    async def _run_act(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        self._require_session(request, is_urgent=self._acts.is_urgent(name))
        await self._acts.kind(name)  # an act that there is not is refused before its body is read
        args = _check_args(await read_body(request, "application/json", MAX_JSON_BYTES))
        return await self._acts.respond(request, name, args, _language(request))

    async def _upload(self, request: Request) -> Response:
        self._require_session(request)
        name = str(request.path_params["name"])
        limit_bytes = (await self._acts.kind(name)).upload_max_bytes
        require_media_type(request, "application/octet-stream")
        size_bytes = content_length(request)
        if size_bytes is None or not 0 < size_bytes <= limit_bytes:
            raise ApiError(
                413, "too_large", f"allowed: 1 to {limit_bytes} bytes, with their length"
            )
        typed = request.query_params.get("args", "{}")
        if len(typed) > MAX_ARGS_CHARS:
            raise ApiError(413, "too_large", f"args: allowed: {MAX_ARGS_CHARS} characters")
        args = _check_args(typed.encode("utf-8", "surrogatepass"))
        # An upload may take longer than the console's idle time, with the phone in a pocket.
        return await self._acts.respond(
            request, name, args, _language(request), size_bytes, self._on_use
        )

    def _require_session(self, request: Request, *, is_urgent: bool = False) -> None:
        """Count a request of a session, as one of a phone in use. Raises ApiError as `_count_request`."""
        self._count_request(request, is_urgent=is_urgent)
        self._on_use()

    def _count_request(self, request: Request, *, is_urgent: bool = False) -> None:
        """Count a request of a session. Raises ApiError if it has none, or sends too many that are not urgent."""
        rate = self._sessions.find(request.cookies.get(COOKIE, ""))
        if rate is None:
            raise ApiError(401, "session", "log in with a link: type page link at the console")
        wait_s = rate.take(self._clock_ns())
        if wait_s > 0 and not is_urgent:
            raise ApiError(429, "too_many", "too many requests", wait_s)


def _file(files: Mapping[str, PageFile], path: str) -> Response:
    file = files.get(path)
    if file is None:
        raise ApiError(404, "unknown", "no such file")
    return Response(file.content, headers={"Content-Type": file.media_type})


def _language(request: Request) -> Language | None:
    asked = request.headers.get(LANGUAGE_HEADER)
    return next((language for language in LANGUAGES if language == asked), None)


def _check_args(text: bytes) -> bytes:
    """Return an act's arguments. Raises ApiError or MalformedJson."""
    if not isinstance(decode_any_json(text), dict):
        raise ApiError(400, "malformed", "allowed: a JSON object")
    return text
