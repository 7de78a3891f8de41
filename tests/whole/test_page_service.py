"""agent.pole_page: the web process, over real TLS, with hostile phones, acts and consoles."""

import os
import socket
from contextlib import suppress

import msgspec
import pytest

from agent.console import page_wire
from agent.console.act_wire import ActReply
from agent.console.page_wire import PAGE_REPORT_DECODER, PageEnded, PageJoined, PageRefused
from drivers.local_wire import connect, pack_message
from tests.whole.pole_page_box import (
    TIMEOUT_S,
    PageUnit,
    Phone,
    listening_ports,
    make_root,
)
from tests.whole.served_page import ScriptedActs, ServedPage, assert_protected, send


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
        value = msgspec.json.encode({"name": 'a/../b"\r\n.tar.gz'})
        socket.send_fds(connection, [pack_message(ActReply(value=value), 1)], [fd])
        os.close(fd)

    acts.answer = answer
    reply = phone.act("bundle")
    assert reply.body == data
    assert reply.headers["content-disposition"] == 'attachment; filename="a_.._b___.tar.gz"'


def test_the_page_is_off_when_its_console_is_gone(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = make_root(tmp_path_factory.mktemp("page"))
    with ScriptedActs(root):
        unit = PageUnit(root)
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


def test_a_phone_that_waits_for_the_end_of_the_page_gets_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = make_root(tmp_path_factory.mktemp("page"))
    unit = PageUnit(root)
    try:
        page = ServedPage(root)
        page.ready()
        assert page.phone().request("GET", "/api/session/end").error == "session"
        phone = page.logged_in()
        with phone.connect() as connection:
            connection.sendall(
                f"GET /api/session/end HTTP/1.1\r\nHost: {phone.authority}\r\n"
                f"Cookie: {phone.cookie}\r\n\r\n".encode()
            )
            # The answer to a request on a connection that was opened later: the first one was read before.
            assert page.phone().request("GET", "/").status == 200
            page.close()
            assert connection.makefile("rb").read().endswith(b'{"is_off":true}')
    finally:
        unit.close()


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
    "change", [{"port": 80}, {"addresses": ["no address"]}, {"technician": "amina"}]
)
def test_a_start_that_is_not_allowed_is_refused(
    tmp_path_factory: pytest.TempPathFactory, change: dict[str, object]
) -> None:
    root = make_root(tmp_path_factory.mktemp("page"))
    unit = PageUnit(root)
    try:
        start = {"port": 8443, "box_id": "casa-0001", "addresses": [], "language": "en"}
        with connect(root / page_wire.SOCKET, TIMEOUT_S, page_wire.MAX_MESSAGE_BYTES) as console:
            console.send(start | change, TIMEOUT_S)
            assert isinstance(console.receive(PAGE_REPORT_DECODER, TIMEOUT_S), PageRefused)
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
