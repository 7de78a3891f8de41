"""A phone that calls the application of the page in this process: no network, and a clock of the test."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import msgspec

from agent.base.clock import Clock
from agent.console.act_wire import ActKinds
from agent.console.acts.act_table import ACTS
from agent.pole_page.act_calls import ActCalls
from agent.pole_page.page_sessions import PageSessions
from agent.pole_page.web_app import COOKIE, WebApp

HOST, PORT = "192.168.4.1", 8443
AUTHORITY = f"{HOST}:{PORT}"
RawHeaders = Sequence[tuple[bytes, bytes]]


class AsgiReply(msgspec.Struct, frozen=True):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes


class EndedActs(ActCalls):
    """Calls of an act server that has ended after it had declared its acts."""

    async def _read_kinds(self) -> ActKinds:
        return {name: act.kind for name, act in ACTS.items()}


class AsgiPhone:
    """One page and one phone. Its act server has declared its acts; if none listens in `acts_dir`, acts are answered by 503."""

    def __init__(self, clock: Clock, acts_dir: Path = Path("/nonexistent")) -> None:
        self.clock = clock
        self.sessions = PageSessions(clock, random.Random(7).randbytes)
        self.logins: list[str] = []
        self.uses = 0
        self.app = WebApp(
            self.sessions,
            EndedActs(acts_dir, "en"),
            clock_ns=clock.boottime_ns,
            remaining_s=lambda: 60.0,
            on_login=self.logins.append,
            on_use=self._count_use,
        )

    def _count_use(self) -> None:
        self.uses += 1

    def log_in(self) -> str:
        """Return the cookie of a new session."""
        return f"{COOKIE}={self.sessions.log_in(self.sessions.new_link(), HOST)}"

    def own_headers(self, cookie: str = "") -> list[tuple[bytes, bytes]]:
        return [
            (b"host", AUTHORITY.encode()),
            (b"origin", f"https://{AUTHORITY}".encode()),
            (b"content-type", b"application/json"),
            (b"cookie", cookie.encode()),
        ]

    def request(
        self, method: str, target: str, headers: RawHeaders, body: bytes = b""
    ) -> AsgiReply:
        """Send a request, and return the whole response."""
        return asyncio.run(self.send(method, target, headers, body))

    async def send(
        self, method: str, target: str, headers: RawHeaders, body: bytes = b""
    ) -> AsgiReply:
        """Send a request on the running loop."""
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": list(headers),
            "server": (HOST, PORT),
            "client": ("192.168.4.20", 50_000),
        }
        return await self._run(scope, body)

    async def _run(self, scope: dict[str, object], body: bytes) -> AsgiReply:
        received = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[dict[str, object]] = []

        async def receive() -> dict[str, object]:
            return received.pop(0) if received else {"type": "http.disconnect"}

        async def send(message: object) -> None:
            assert isinstance(message, dict)
            sent.append(message)

        await self.app.asgi(scope, receive, send)
        start, *rest = sent
        raw = start["headers"]
        assert isinstance(raw, list)
        status = start["status"]
        assert isinstance(status, int)
        return AsgiReply(
            status,
            {name.decode("latin-1"): value.decode("latin-1") for name, value in raw},
            b"".join(part.get("body", b"") for part in rest),  # type: ignore[misc] # bytes
        )
