"""agent.pole_page: the web process, over real TLS, with requests, connections and acts that are hostile or too many."""

import http.client
import itertools
import socket
import threading
from contextlib import suppress

import msgspec
import pytest

from agent.console.act_wire import LIST_ACTS, ActError, ActReply
from agent.pole_page.act_calls import MAX_ACTS, MAX_URGENT_ACTS
from agent.pole_page.bounded_http import MAX_OF_SESSION, MAX_OF_STRANGER
from drivers.local_wire import pack_message
from tests.whole.pole_page_box import (
    TIMEOUT_S,
    Phone,
    make_root,
)
from tests.whole.served_page import (
    LISTING,
    ScriptedActs,
    ServedPage,
    assert_protected,
    reply_done,
    send,
    served_page,
)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/api/acts/status", b"", {}, 400, "malformed"),
        ("/api/acts/status", b"[]", {}, 400, "malformed"),
        ("/api/acts/status", b'{"a":', {}, 400, "malformed"),
        ("/api/acts/status", b'{"a":"\n"}', {}, 400, "malformed"),
        ("/api/acts/status", b"[" * 90_000, {}, 400, "malformed"),
        ("/api/acts/status", b" " * 100_000, {}, 413, "too_large"),
        ("/api/acts/no_such_act", b"{}", {}, 404, "unknown"),
        ("/api/acts/..%2f..%2fetc%2fpasswd", b"{}", {}, 404, "unknown"),
        ("/api/acts/status", b"{}", {"Content-Type": "text/plain"}, 415, "type"),
        ("/api/acts/status", b"{}", {"Content-Type": None}, 415, "type"),
        ("/api/acts/status", b"{}", {"Origin": "https://elsewhere.example"}, 403, "origin"),
        ("/api/acts/status", b"{}", {"Origin": None}, 403, "origin"),
        ("/api/acts/status", b"{}", {"Host": "rebound.example"}, 421, "host"),
        ("/api/acts/status", b"{}", {"Cookie": "__Host-vigie=guess"}, 401, "session"),
        ("/api/acts/status", b"{}", {"Cookie": None}, 401, "session"),
        ("/api/session", b'{"link": 5}', {}, 400, "malformed"),
        ("/api/session", b'{"link": "a", "more": 1}', {}, 400, "malformed"),
        ("/nothing", b"{}", {}, 404, "unknown"),
        ("/", b"{}", {}, 405, "method"),
    ],
)
def test_a_hostile_request_is_refused_in_one_line(
    phone: Phone,
    acts: ScriptedActs,
    path: str,
    body: bytes,
    headers: dict[str, str | None],
    status: int,
    code: str,
) -> None:
    reply = phone.request("POST", path, body, headers)
    assert (reply.status, reply.error) == (status, code)
    assert_protected(reply)
    assert acts.requests == []


@pytest.mark.parametrize(
    "path", ["/", "/page/index.html", "/page/../web_app.py", "/editor/../../x"]
)
def test_files_come_from_their_list_and_with_the_headers(page: ServedPage, path: str) -> None:
    reply = page.phone().request("GET", path)
    assert reply.status == (404 if ".." in path else 200)
    assert_protected(reply)


def test_a_chunked_body_without_end_is_refused(phone: Phone) -> None:
    with phone.connect() as connection:
        head = (
            f"POST /api/acts/status HTTP/1.1\r\nHost: {phone.authority}\r\n"
            f"Origin: https://{phone.authority}\r\nCookie: {phone.cookie}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
        with suppress(OSError):
            for _ in range(100):
                connection.sendall(chunk)
        # The server ends the connection with the rest unread, and its reset may overtake the answer (RFC 9112, 9.6).
        answer = b"HTTP/1.1 413"
        with suppress(ConnectionResetError):
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_after_its_answer_ends_the_connection(page: ServedPage) -> None:
    phone = page.phone()
    with phone.connect() as connection:
        head = f"GET / HTTP/1.1\r\nHost: {phone.authority}\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.read().startswith(b"<!DOCTYPE html>")
        with suppress(ConnectionError):
            connection.sendall(b"x")
            assert connection.recv(1) == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000,
        b"\x16\x03\x01garbage\r\n\r\n",
        b"GET  /  HTTP/1.1\r\nbroken header\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ],
)
def test_bytes_that_are_no_request_end_the_connection(page: ServedPage, sent: bytes) -> None:
    with page.phone().connect() as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            assert connection.recv(4096) == b""


def test_plain_http_gets_nothing(page: ServedPage) -> None:
    with socket.create_connection(("127.0.0.1", page.port), timeout=TIMEOUT_S) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with suppress(ConnectionResetError):
            assert not connection.recv(4096).startswith(b"HTTP")


@pytest.mark.parametrize(
    ("sender", "has_session", "allowed"),
    [("127.0.0.2", False, MAX_OF_STRANGER), ("127.0.0.1", True, MAX_OF_SESSION)],
)
def test_connections_of_one_sender_are_bounded_and_another_gets_in(
    page: ServedPage, sender: str, has_session: bool, allowed: int
) -> None:
    if has_session:
        page.logged_in()
    # A connection counts before it speaks TLS.
    held = [connect_from(sender, page.port) for _ in range(allowed)]
    try:
        assert is_closed(connect_from(sender, page.port))
        assert page.phone("::1").request("GET", "/").status == 200
    finally:
        for connection in held:
            connection.close()


def test_strangers_at_all_places_keep_neither_a_session_nor_a_new_phone_out(
    page: ServedPage, phone: Phone
) -> None:
    strangers = [f"127.0.1.{number}" for number in range(1, 7)]
    held = [
        connect_from(stranger, page.port) for _ in range(MAX_OF_STRANGER) for stranger in strangers
    ]
    try:
        assert phone.act("status").status == 200
        assert page.phone("::1").request("GET", "/").status == 200
    finally:
        for connection in held:
            connection.close()


def connect_from(sender: str, port: int) -> socket.socket:
    return socket.create_connection(
        ("127.0.0.1", port), timeout=TIMEOUT_S, source_address=(sender, 0)
    )


def is_closed(connection: socket.socket) -> bool:
    """Wait for a byte or the end of a connection."""
    with connection:
        try:
            return connection.recv(1) == b""
        except ConnectionResetError:
            return True


def test_acts_at_once_are_bounded_and_delay_no_stop(page: ServedPage, acts: ScriptedActs) -> None:
    """One more is refused at once, the others end as usual, and a stop of a head has places of its own."""
    may_end, have_begun = threading.Event(), threading.Semaphore(0)

    def answer(request: dict[str, object], connection: socket.socket, _fd: int | None) -> None:
        if request["act"] != "head_stop":
            have_begun.release()
            assert may_end.wait(TIMEOUT_S)
        send(connection, value={})

    phone, other = page.logged_in(), page.phone("::1")
    assert other.log_in(page.new_token()).status == 204
    acts.answer = answer
    replies: list[int] = []
    threads = [
        threading.Thread(target=lambda one=one: replies.append(one.act("status").status))
        for one in (phone, other)
        for _ in range(MAX_ACTS // 2)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert have_begun.acquire(timeout=TIMEOUT_S)
    refused = phone.act("status")
    assert (refused.status, refused.error) == (429, "too_many")
    assert phone.request("GET", "/api/session").status == 429
    for _ in range(2 * MAX_URGENT_ACTS):
        assert phone.act("head_stop", {"head": "mast"}).status == 200
    may_end.set()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert replies == [200] * MAX_ACTS


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (b"", 503, "acts"),
        (b"no message", 503, "acts"),
        (pack_message(ActReply())[:-1], 503, "acts"),
        (pack_message({"value": 1}), 503, "acts"),
        (
            pack_message(ActReply(error=ActError(code="agent_down", message="it does not run"))),
            409,
            "agent_down",
        ),
        (pack_message(ActReply(), 1), 503, "acts"),
    ],
)
def test_an_act_server_that_ends_or_lies_is_reported(
    phone: Phone, acts: ScriptedActs, answer: bytes, status: int, code: str
) -> None:
    acts.answer = lambda _request, connection, _fd: connection.sendall(answer)
    reply = phone.act("status")
    assert (reply.status, reply.error) == (status, code)
    acts.answer = reply_done
    assert phone.act("status").status == 200


TOO_MANY = ["".join(letters) for letters in itertools.product("abcdefg", repeat=3)]


def test_acts_that_are_declared_out_of_bounds_are_no_acts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with served_page(make_root(tmp_path_factory.mktemp("r"))) as (page, acts):
        phone = page.logged_in()
        for listing in (
            b"",
            b"null",
            b'{"status":',
            b'{"status":{"timeout_s":1e9}}',
            b'{"update_install":{"upload_max_bytes":2000000001}}',
            b'{"../etc":{}}',
            msgspec.json.encode({key: {} for key in TOO_MANY}),
        ):
            acts.listing = pack_message(ActReply(value=listing))
            refused = phone.act("status")
            assert (refused.status, refused.error) == (503, "acts"), listing[:60]
        acts.listing = LISTING
        assert phone.act("status").status == 200
        for name in ("fly", LIST_ACTS):
            unknown = phone.act(name)
            assert (unknown.status, unknown.error) == (404, "unknown")
        assert [request["act"] for request in acts.requests] == ["status"]
