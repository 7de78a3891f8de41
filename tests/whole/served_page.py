"""The web process of the page at the pole, with a console and an act server that a test plays."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.console import page_wire
from agent.console.act_wire import LIST_ACTS, ActReply
from agent.console.acts.act_table import ACTS
from agent.console.page_wire import (
    PAGE_REPORT_DECODER,
    PageLink,
    PageOrder,
    PageReady,
    PageReport,
    PageStart,
)
from agent.pole_page.request_guard import HEADERS
from drivers.local_wire import LocalConnection, MessageDecoder, connect, pack_message
from tests.free_port import free_port
from tests.loopback_server import LoopbackServer
from tests.whole.pole_page_box import TIMEOUT_S, HttpReply, PageUnit, Phone

ReportT = TypeVar("ReportT", bound=PageReport)
REQUEST_DECODER: MessageDecoder[dict[str, Any]] = MessageDecoder(dict[str, Any])


LISTING = pack_message(
    ActReply(value=msgspec.json.encode({name: act.kind for name, act in ACTS.items()}))
)
"""The answer of an act server with the kinds of its acts."""


class ScriptedActs(LoopbackServer):
    """An act server whose next answers a test sets: `answer` gets a request, its connection and its file."""

    def __init__(self, root: Path) -> None:
        self.path = root / page_wire.ACTS_DIR / page_wire.ACTS_SOCKET_NAME
        super().__init__(
            self._answer_request,
            listener=socket.create_server(str(self.path), family=socket.AF_UNIX, backlog=64),
        )
        self.requests: list[dict[str, object]] = []
        self.listing = LISTING
        self.answer: Callable[[dict[str, object], socket.socket, int | None], None] = reply_done

    def _answer_request(self, connection: socket.socket) -> None:
        with LocalConnection(connection, 1 << 18, 1) as web_process:
            request = web_process.receive_request(REQUEST_DECODER, TIMEOUT_S)
            if request["act"] == LIST_ACTS:
                web_process.socket.sendall(self.listing)
                return
            request["args"] = msgspec.json.decode(request["args"])
            self.requests.append(request)
            files = web_process.take_files()
            try:
                connection.settimeout(TIMEOUT_S)
                self.answer(request, connection, files[0] if files else None)
            finally:
                for fd in files:
                    os.close(fd)


def send(connection: socket.socket, value: object = None, **reply: object) -> None:
    """Send a reply with a value, and with other fields of `ActReply`."""
    connection.sendall(pack_message({"value": msgspec.json.encode(value), **reply}))


def reply_done(request: dict[str, object], connection: socket.socket, _fd: int | None) -> None:
    """Answer with the request itself."""
    send(connection, value=request)


class ServedPage:
    """A page that is on: the console's connection, and phones."""

    def __init__(self, root: Path, *, port: int | None = None, duration_s: float = 600.0) -> None:
        self.port = free_port() if port is None else port
        self.connection = connect(root / page_wire.SOCKET, TIMEOUT_S, page_wire.MAX_MESSAGE_BYTES)
        start = PageStart(
            port=self.port,
            box_id="casa-0001",
            addresses=("127.0.0.1",),
            language="fr",
            duration_s=duration_s,
        )
        self.connection.send(start, TIMEOUT_S)

    def next_report(self) -> PageReport | None:
        return self.connection.receive(PAGE_REPORT_DECODER, TIMEOUT_S)

    def wait_for(self, kind: type[ReportT]) -> ReportT:
        while True:
            report = self.next_report()
            assert report is not None
            if isinstance(report, kind):
                return report

    def ready(self) -> PageReady:
        report = self.wait_for(PageReady)
        self.fingerprint = report.fingerprint
        return report

    def new_token(self) -> str:
        self.connection.send(PageOrder(order="link"), TIMEOUT_S)
        return self.wait_for(PageLink).token

    def phone(self, host: str = "127.0.0.1") -> Phone:
        return Phone(self.port, self.fingerprint, host)

    def logged_in(self) -> Phone:
        phone = self.phone()
        assert phone.log_in(self.new_token()).status == 204
        return phone

    def close(self) -> None:
        self.connection.close()


@contextlib.contextmanager
def served_page(root: Path) -> Iterator[tuple[ServedPage, ScriptedActs]]:
    """A page that is on for the time of a `with`."""
    with ScriptedActs(root) as acts:
        unit = PageUnit(root)
        page = ServedPage(root)
        try:
            page.ready()
            yield page, acts
        finally:
            page.close()
            unit.close()


def assert_protected(reply: HttpReply) -> None:
    for name, value in HEADERS.items():
        assert reply.headers[name.lower()] == value
    assert "server" not in reply.headers
    assert "strict-transport-security" not in reply.headers
