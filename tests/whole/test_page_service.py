"""agent.pole_page: the web process, over real TLS, with hostile phones, acts and consoles."""

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest

from agent.console import page_wire
from agent.console.page_wire import PageEnded, PageJoined, PageRefused
from agent.pole_page.act_calls import MAX_ACTS
from agent.pole_page.act_kinds import ACT_KINDS
from agent.pole_page.bounded_http import MAX_PER_SENDER
from agent.pole_page.request_guard import HEADERS
from tests.whole.pole_page_box import (
    TIMEOUT_S,
    HttpReply,
    PageUnit,
    Phone,
    listening_ports,
    make_root,
)
from tests.whole.served_page import ScriptedActs, ServedPage, reply_done, send, served_page


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServedPage, ScriptedActs]]:
    # A short path: unix(7) allows 107 bytes for that of a socket.
    with served_page(make_root(tmp_path_factory.mktemp("page"))) as made:
        yield made


@pytest.fixture
def page(both: tuple[ServedPage, ScriptedActs]) -> ServedPage:
    return both[0]


@pytest.fixture
def acts(both: tuple[ServedPage, ScriptedActs]) -> Iterator[ScriptedActs]:
    both[1].requests.clear()
    yield both[1]
    both[1].answer = reply_done


@pytest.fixture
def phone(page: ServedPage, acts: ScriptedActs) -> Phone:
    assert acts
    return page.logged_in()


def assert_protected(reply: HttpReply) -> None:
    for name, value in HEADERS.items():
        assert reply.headers[name.lower()] == value
    assert "server" not in reply.headers
    assert "strict-transport-security" not in reply.headers


def test_a_link_begins_a_session_and_is_used_once(page: ServedPage, acts: ScriptedActs) -> None:
    token = page.new_token()
    phone, second = page.phone(), page.phone()
    assert phone.request("GET", "/api/session").status == 401
    reply = phone.log_in(token)
    assert reply.status == 204
    assert page.wait_for(PageJoined).address == "127.0.0.1"
    cookie, *attributes = reply.headers["set-cookie"].split("; ")
    assert cookie.startswith("__Host-vigie=")
    assert {one.lower() for one in attributes} == {
        "path=/",
        "secure",
        "httponly",
        "samesite=strict",
    }
    body = msgspec.json.decode(phone.request("GET", "/api/session").body)
    assert 0 < body["ends_in_s"] <= 600
    assert acts.requests[-1]["act"] == "session"
    refused = second.log_in(token)
    assert (refused.status, refused.error) == (403, "link")
    assert second.request("GET", "/api/session").status == 401


def test_a_second_phone_has_its_own_link_and_its_own_logout(page: ServedPage) -> None:
    first, second = page.logged_in(), page.logged_in()
    assert first.request("DELETE", "/api/session").status == 204
    assert first.request("GET", "/api/session").status == 401
    assert second.request("GET", "/api/session").status == 200


def test_guesses_are_bounded_and_the_right_link_of_another_phone_is_not_delayed(
    page: ServedPage,
) -> None:
    token = page.new_token()
    guesser = page.phone("::1")
    replies = [guesser.log_in(f"guess{number}") for number in range(5)]
    assert [reply.status for reply in replies] == [403, 403, 429, 429, 429]
    assert int(replies[-1].headers["retry-after"]) > 0
    assert page.phone().log_in(token).status == 204


def test_an_act_gets_its_arguments_on_one_line_and_the_phones_language(
    phone: Phone, acts: ScriptedActs
) -> None:
    body = b'{\n "camera": "north",\r\n "max_bytes": 4000}'
    reply = phone.request("POST", "/api/acts/aim", body, {"Vigie-Language": "ar"})
    assert reply.status == 200
    sent = acts.requests[-1]
    assert sent["args"] == {"camera": "north", "max_bytes": 4000}
    assert (sent["act"], sent["language"]) == ("aim", "ar")
    phone.request("POST", "/api/acts/aim", b"{}", {"Vigie-Language": "xx"})
    assert acts.requests[-1]["language"] == "fr"


def test_the_technicians_name_cannot_come_from_the_browser(
    phone: Phone, acts: ScriptedActs
) -> None:
    phone.request("POST", "/api/acts/aim?technician=omar", b"{}", {"X-Technician": "omar"})
    assert set(acts.requests[-1]) == {"act", "args", "language", "upload_bytes"}


def test_a_picture_has_its_reading_in_a_header(phone: Phone, acts: ScriptedActs) -> None:
    def answer(_request: object, connection: socket.socket, _fd: int | None) -> None:
        send(connection, value={"text": "é\r\nX: y \u0639"}, jpeg=b"\xff\xd8picture")

    acts.answer = answer
    reply = phone.act("picture", {"camera": "north"})
    assert (reply.status, reply.headers["content-type"]) == (200, "image/jpeg")
    assert reply.body == b"\xff\xd8picture"
    assert reply.headers["vigie-reading"].isascii()
    assert msgspec.json.decode(reply.headers["vigie-reading"]) == {"text": "é\r\nX: y \u0639"}
    assert "x" not in reply.headers
    assert_protected(reply)


def test_lines_come_one_after_the_other_and_end_with_an_error(
    phone: Phone, acts: ScriptedActs
) -> None:
    def answer(_request: object, connection: socket.socket, _fd: int | None) -> None:
        send(connection, value={"number": 1})
        send(connection, value={"number": 2})
        send(connection, error={"code": "failed", "message": "the disk"})

    acts.answer = answer
    reply = phone.act("check")
    assert reply.headers["content-type"] == "application/x-ndjson"
    lines = list(map(msgspec.json.decode, reply.body.splitlines()))
    assert lines[:2] == [{"number": 1}, {"number": 2}]
    assert lines[2]["error"]["code"] == "failed"


def test_a_file_is_downloaded_under_a_harmless_name(phone: Phone, acts: ScriptedActs) -> None:
    data = os.urandom(300_000)

    def answer(_request: object, connection: socket.socket, _fd: int | None) -> None:
        fd = os.memfd_create("bundle")
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        line = msgspec.json.encode({"value": {"name": 'a/../b"\r\n.tar.gz'}, "has_file": True})
        socket.send_fds(connection, [line + b"\n"], [fd])
        os.close(fd)

    acts.answer = answer
    reply = phone.act("bundle")
    assert reply.body == data
    assert reply.headers["content-disposition"] == 'attachment; filename="a_.._b___.tar.gz"'


def test_an_upload_reaches_its_act_as_it_comes(phone: Phone, acts: ScriptedActs) -> None:
    data = os.urandom(3_000_000)
    received = bytearray()

    def answer(_request: object, connection: socket.socket, fd: int | None) -> None:
        assert fd is not None
        while chunk := os.read(fd, 65_536):
            received.extend(chunk)
        send(connection, value={"photo": 1})

    acts.answer = answer
    reply = phone.request(
        "POST",
        "/api/uploads/commission_photo?args=%7B%22title%22%3A%22mast%22%7D",
        data,
        {"Content-Type": "application/octet-stream"},
    )
    assert reply.status == 200
    assert bytes(received) == data
    assert msgspec.json.decode(reply.body) == {"photo": 1}
    sent = acts.requests[-1]
    assert (sent["args"], sent["upload_bytes"]) == ({"title": "mast"}, len(data))


def test_an_upload_that_its_act_refuses_early_ends(phone: Phone, acts: ScriptedActs) -> None:
    def answer(_request: object, connection: socket.socket, _fd: int | None) -> None:
        send(connection, error={"code": "refused", "message": "no photo"})

    acts.answer = answer
    with suppress(BrokenPipeError, ConnectionResetError):
        reply = phone.request(
            "POST",
            "/api/uploads/commission_photo",
            bytes(2_000_000),
            {"Content-Type": "application/octet-stream"},
        )
        assert (reply.status, reply.error) == (409, "refused")
    acts.answer = reply_done
    assert phone.act("status").status == 200


def test_an_upload_that_is_cut_off_is_the_end_of_file_for_its_act(
    phone: Phone, acts: ScriptedActs
) -> None:
    sizes: list[int] = []
    is_read = threading.Event()

    def answer(_request: object, connection: socket.socket, fd: int | None) -> None:
        assert fd is not None
        size = 0
        while chunk := os.read(fd, 65_536):
            size += len(chunk)
        sizes.append(size)
        is_read.set()
        send(connection, error={"code": "failed", "message": "cut off"})

    acts.answer = answer
    with phone.connect() as connection:
        head = (
            f"POST /api/uploads/commission_photo HTTP/1.1\r\nHost: {phone.authority}\r\n"
            f"Origin: https://{phone.authority}\r\nCookie: {phone.cookie}\r\n"
            "Content-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\n"
        )
        connection.sendall(head.encode() + bytes(40_000))
    assert is_read.wait(TIMEOUT_S)
    assert sizes[0] <= 40_000


@pytest.mark.parametrize(
    ("name", "length", "code"),
    [
        ("commission_photo", str(ACT_KINDS["commission_photo"].upload_max_bytes + 1), "too_large"),
        ("commission_photo", "0", "too_large"),
        ("status", "5", "too_large"),
        ("no_such_act", "5", "unknown"),
    ],
)
def test_an_upload_is_refused_before_it_is_read(
    phone: Phone, name: str, length: str, code: str
) -> None:
    reply = phone.request(
        "POST",
        f"/api/uploads/{name}",
        None,
        {"Content-Type": "application/octet-stream", "Content-Length": length},
    )
    assert reply.error == code


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


def test_connections_of_one_sender_are_bounded_and_another_gets_in(page: ServedPage) -> None:
    # A connection counts before it speaks TLS.
    held = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(MAX_PER_SENDER)]
    try:
        refused = socket.create_connection(("127.0.0.1", page.port), timeout=TIMEOUT_S)
        with refused, suppress(ConnectionResetError):
            assert refused.recv(1) == b""
        assert page.phone("::1").request("GET", "/").status == 200
    finally:
        for connection in held:
            connection.close()


def test_acts_at_once_are_bounded(page: ServedPage, acts: ScriptedActs) -> None:
    """One more is refused at once, and the others end as usual."""
    may_end, have_begun = threading.Event(), threading.Semaphore(0)

    def answer(_request: object, connection: socket.socket, _fd: int | None) -> None:
        have_begun.release()
        assert may_end.wait(TIMEOUT_S)
        send(connection, value={})

    phone = page.logged_in()
    acts.answer = answer
    replies: list[int] = []
    threads = [
        threading.Thread(target=lambda: replies.append(phone.act("status").status))
        for _ in range(MAX_ACTS)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert have_begun.acquire(timeout=TIMEOUT_S)
    refused = phone.act("status")
    assert (refused.status, refused.error) == (429, "too_many")
    may_end.set()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert replies == [200] * MAX_ACTS


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (b"", 503, "acts"),
        (b"no JSON\n", 503, "acts"),
        (b'{"value": ', 503, "acts"),
        (
            b'{"error":{"code":"agent_down","message":"the agent does not run"}}\n',
            409,
            "agent_down",
        ),
        (b'{"value":{},"has_file":true}\n', 503, "acts"),
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


def test_the_page_is_off_when_its_console_is_gone(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = make_root(tmp_path_factory.mktemp("page"))
    unit, acts = PageUnit(root), ScriptedActs(root)
    try:
        before = listening_ports()
        page = ServedPage(root)
        page.ready()
        assert page.port in listening_ports() - before
        with page.logged_in().connect() as open_connection:
            page.close()
            with suppress(ConnectionResetError):
                assert open_connection.recv(1) == b""
        assert unit.process is not None
        assert unit.process.wait(TIMEOUT_S) == 0
        assert page.port not in listening_ports()
        assert list((root / "tls").iterdir()) == []
        again = ServedPage(root, port=page.port)
        assert again.ready().fingerprint != page.fingerprint
        again.close()
    finally:
        unit.close()
        acts.close()


def test_the_page_ends_at_its_time_and_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = make_root(tmp_path_factory.mktemp("page"))
    unit = PageUnit(root)
    try:
        page = ServedPage(root, duration_s=0.01)
        page.ready()
        page.wait_for(PageEnded)
        assert page.next_report() is None
        assert unit.process is not None
        assert unit.process.wait(TIMEOUT_S) == 0
        assert page.port not in listening_ports()
        page.close()
    finally:
        unit.close()


def test_a_second_console_is_refused_while_the_page_is_on(
    page: ServedPage, acts: ScriptedActs
) -> None:
    second = ServedPage(acts.path.parents[2])
    assert second.wait_for(PageRefused).reason is not None
    assert second.next_report() is None
    second.close()
    assert page.phone().request("GET", "/").status == 200


@pytest.mark.parametrize(
    "line",
    [
        b'{"port":80,"box_id":"casa-0001","addresses":[],"language":"en"}\n',
        b'{"port":8443,"box_id":"casa-0001","addresses":["no address"],"language":"en"}\n',
    ],
)
def test_a_start_that_is_not_allowed_is_refused(
    tmp_path_factory: pytest.TempPathFactory, line: bytes
) -> None:
    root = make_root(tmp_path_factory.mktemp("page"))
    unit = PageUnit(root)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as console:
            console.settimeout(TIMEOUT_S)
            console.connect(str(root / page_wire.SOCKET))
            console.sendall(line)
            with console.makefile("rb") as reader:
                assert b'"kind":"refused"' in reader.readline()
    finally:
        unit.close()


def test_a_port_that_is_taken_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = make_root(tmp_path_factory.mktemp("page"))
    unit = PageUnit(root)
    try:
        with socket.create_server(("", 0)) as taken:
            page = ServedPage(root, port=taken.getsockname()[1])
            assert "in use" in str(page.wait_for(PageRefused).reason)
            page.close()
    finally:
        unit.close()
