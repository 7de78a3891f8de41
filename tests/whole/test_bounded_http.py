"""agent.pole_page.bounded_http: deadlines of peers that are slow, or do nothing. Each is waited for, whenever it comes."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.base.clock import SystemClock
from agent.console import page_wire
from agent.pole_page import act_calls, bounded_http, request_body, web_app
from agent.pole_page.bounded_http import BoundedServer
from agent.pole_page.page_service import make_certificate, make_tls_context
from tests.parts.asgi_phone import AsgiPhone
from tests.whole.pole_page_box import TIMEOUT_S, Phone
from tests.whole.served_page import ScriptedActs, send

SOON_S = 0.05


class Server:
    """The page's server in this process, so that a test shortens its deadlines."""

    def __init__(self, folder: Path) -> None:
        clock = SystemClock()
        certificate = make_certificate("casa-0001", (), clock.utc(clock.boottime_ns()))
        self.app = AsgiPhone(clock, folder / page_wire.ACTS_DIR)
        self._server = BoundedServer(
            self.app.app.asgi,
            make_tls_context(certificate, folder),
            self.app.sessions.has_session,
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.phone = Phone(self._listener.getsockname()[1], certificate.fingerprint)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._task = self._loop.create_task(self._server.serve(self._listener))
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()
        self._listener.close()

    def wait_until_alone(self) -> None:
        """Wait until the server has closed every connection."""

        async def wait() -> None:
            await asyncio.gather(*self._server._connections)

        asyncio.run_coroutine_threadsafe(wait(), self._loop).result(TIMEOUT_S)

    def head(self, path: str, *lines: str) -> bytes:
        phone = self.phone
        own = (f"Host: {phone.authority}", f"Origin: https://{phone.authority}")
        return "\r\n".join((f"POST {path} HTTP/1.1", *own, *lines, "", "")).encode()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    servers: list[Server] = []

    def start_one() -> Server:
        servers.append(Server(tmp_path))
        return servers[-1]

    yield start_one
    for server in servers:
        server.close()


def closed_without_a_word(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


def test_a_peer_that_does_not_begin_tls_is_dropped(
    start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_http, "TLS_HANDSHAKE_TIMEOUT_S", SOON_S)
    port = start().phone.port
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        assert closed_without_a_word(connection)


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_end_is_dropped(
    start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(bounded_http, "HEAD_TIMEOUT_S", SOON_S)
    with start().phone.connect() as connection:
        connection.sendall(sent)
        assert closed_without_a_word(connection)


def test_a_second_head_that_does_not_end_is_dropped(
    start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = start().phone
    whole = f"GET /nothing HTTP/1.1\r\nHost: {phone.authority}\r\n\r\n".encode()
    with phone.connect() as connection:
        connection.sendall(whole.replace(b"/nothing", b"/page/none"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 404")
    monkeypatch.setattr(bounded_http, "HEAD_TIMEOUT_S", SOON_S)
    with phone.connect() as connection:
        connection.sendall(whole + whole[:20])
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(4096):
                answer += data
        assert answer.count(b"HTTP/1.1") <= 1


def test_a_body_that_is_too_slow_is_refused(
    start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "BODY_TIMEOUT_S", SOON_S)
    server = start()
    with server.phone.connect() as connection:
        length = ("Content-Type: application/json", "Content-Length: 20")
        connection.sendall(server.head("/api/session", *length) + b"{")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")


def test_a_peer_that_does_not_read_is_dropped(
    start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_http, "READ_STALL_S", SOON_S)
    monkeypatch.setattr(bounded_http, "KEEP_ALIVE_S", 600.0)
    server = start()
    big = web_app.PageFile(bytes(12_000_000), "text/plain")
    server.app.app._page_files["big.txt"] = big
    with server.phone.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = f"GET /page/big.txt HTTP/1.1\r\nHost: {server.phone.authority}\r\n\r\n"
        connection.sendall(request.encode())
        server.wait_until_alone()


def test_an_upload_that_is_too_slow_is_refused(
    start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act_calls, "UPLOAD_SLACK_S", SOON_S)
    server = start()
    cookie = server.app.log_in()
    with server.phone.connect() as connection:
        lines = (
            f"Cookie: {cookie}",
            "Content-Type: application/octet-stream",
            "Content-Length: 100",
        )
        connection.sendall(server.head("/api/uploads/commission_photo", *lines) + b"x")
        # There is no act server here: what counts is that the answer does not wait for the body.
        assert connection.recv(4096).startswith(b"HTTP/1.1 503")


def test_an_upload_whose_phone_has_left_the_network_ends_for_its_act(
    start: Callable[[], Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act_calls, "UPLOAD_STALL_S", SOON_S)
    is_ended = threading.Event()

    def answer(_request: object, connection: socket.socket, fd: int | None) -> None:
        assert fd is not None
        while os.read(fd, 65_536):
            pass
        is_ended.set()
        send(connection, error={"code": "refused", "message": "the file has ended early"})

    (tmp_path / page_wire.ACTS_DIR).mkdir(parents=True)
    server = start()
    lines = (
        f"Cookie: {server.app.log_in()}",
        "Content-Type: application/octet-stream",
        "Content-Length: 1000000",
    )
    with ScriptedActs(tmp_path) as acts, server.phone.connect() as connection:
        acts.answer = answer
        # What has come fast earns no silence: at 1600 bytes a second these would be a minute.
        connection.sendall(server.head("/api/uploads/update_install", *lines) + bytes(100_000))
        assert is_ended.wait(TIMEOUT_S)
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")
