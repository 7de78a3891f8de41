"""Requests to the page at the pole, as bytes of a phone: parsed as the page's server does, and answered by its routes."""

from functools import cache

import h11
import msgspec

from agent.console.acts.act_table import ACTS
from agent.pole_page.bounded_http import MAX_HEAD_BYTES
from agent.pole_page.request_guard import HEADERS
from tests.conftest import ManualClock
from tests.fuzz.target import FuzzTarget
from tests.parts.asgi_phone import AUTHORITY, AsgiPhone

STATUSES = {200, 204, 400, 401, 403, 404, 405, 413, 415, 421, 429, 503}
"""503: there is no act server. Never 500."""
SESSION_MARK = b"SESSION"
"""Stands for the cookie of a session that is logged in."""


@cache
def _phone() -> AsgiPhone:
    return AsgiPhone(ManualClock())


def run_request(data: bytes) -> None:
    """Parse a request and answer it. The clock advances, so that no session waits."""
    phone = _phone()
    phone.clock.advance_s(10)
    connection = h11.Connection(h11.SERVER, MAX_HEAD_BYTES)
    try:
        connection.receive_data(data.replace(SESSION_MARK, phone.log_in().encode()))
        request, body = connection.next_event(), b""
        if not isinstance(request, h11.Request):
            return
        while isinstance(part := connection.next_event(), h11.Data):
            body += part.data
    except h11.RemoteProtocolError:
        return
    reply = phone.request(
        request.method.decode("ascii"),
        request.target.decode("ascii"),
        [(bytes(name), bytes(value)) for name, value in request.headers],
        body,
    )
    assert reply.status in STATUSES, reply
    assert all(reply.headers[name.lower()] == value for name, value in HEADERS.items())
    assert request.method == b"GET" or phone.sessions.count <= 4
    if reply.status >= 400 and reply.body:
        assert "\n" not in msgspec.json.decode(reply.body)["error"]["message"]


def seeds() -> list[bytes]:
    """One request of each route, and one of each act."""
    post = f"Host: {AUTHORITY}\r\nOrigin: https://{AUTHORITY}\r\nCookie: SESSION\r\n"
    made = [
        f"GET {path} HTTP/1.1\r\nHost: {AUTHORITY}\r\nCookie: SESSION\r\nVigie-Language: ar\r\n\r\n"
        for path in ("/", "/page/index.html", "/editor/main.js", "/api/session")
    ]
    bodies = {f"POST /api/acts/{name}": '{"camera":"north"}' for name in ACTS}
    bodies["POST /api/session"] = '{"link":"abcdefghijklmnopqrstuvwxyz"}'
    bodies["DELETE /api/session"] = ""
    for line, body in bodies.items():
        head = f"{line} HTTP/1.1\r\n{post}Content-Type: application/json\r\n"
        made.append(f"{head}Content-Length: {len(body)}\r\n\r\n{body}")
        made.append(f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n")
    made.append(
        f"POST /api/uploads/commission_photo?args=%7B%7D HTTP/1.1\r\n{post}"
        "Content-Type: application/octet-stream\r\nContent-Length: 4\r\n\r\n\xff\xd8\xff\xe0"
    )
    return [one.encode("latin-1") for one in made]


TARGETS = {"web_request": FuzzTarget(run_request, seeds, mutations=300)}
