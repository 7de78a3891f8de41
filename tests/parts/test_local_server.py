"""agent.runtime.local_server: what a client cannot keep from others."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from agent.base.clock import SystemClock
from agent.base.model import RefusalCode
from agent.runtime.local_server import LocalRequest, LocalServer, ServerLimits
from drivers.local_wire import LocalConnection, MessageDecoder, connect, pack_message

WITHIN_S = 20.0
LIMITS = ServerLimits(max_clients=2, max_request_bytes=1000, request_timeout_s=WITHIN_S)


class Text(msgspec.Struct, frozen=True):
    text: str = ""


DECODER = MessageDecoder(Text)


class Served:
    """A server in a thread, and the requests that it has read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[LocalRequest] = []
        self.has_request = threading.Semaphore(0)
        self._ended = threading.Event()
        self._server = LocalServer(
            path, 0o600, LIMITS, SystemClock().boottime_ns, self._handle, refusal
        )
        self._server.open()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _handle(self, request: LocalRequest, _message: bytes) -> None:
        self.requests.append(request)
        self.has_request.release()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._server.run_once(WITHIN_S)
        self._server.close()

    def connect(self) -> LocalConnection:
        return connect(self.path, WITHIN_S, 1000)

    def next_request(self, client: LocalConnection) -> LocalRequest:
        client.send(Text("ask"), WITHIN_S)
        assert self.has_request.acquire(timeout=WITHIN_S)
        return self.requests[-1]

    def end(self, timeout_s: float) -> bool:
        self._ended.set()
        self._server.wake()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


def refusal(code: RefusalCode, _message: str) -> Text:
    return Text(code)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "wire.sock")
    yield made
    assert made.end(WITHIN_S)
    assert not made.path.exists()


def test_the_end_of_a_server_does_not_wait_for_a_client_that_does_not_read(served: Served) -> None:
    with served.connect() as client:
        request = served.next_request(client)
        request.send_timeout_s = 10 * WITHIN_S
        begun = threading.Event()

        def reply() -> None:
            begun.set()
            request.reply(Text("x" * 10_000_000))

        sender = threading.Thread(target=reply)
        sender.start()
        assert begun.wait(WITHIN_S)
        assert served.end(WITHIN_S)
        sender.join(WITHIN_S)
        assert not sender.is_alive()
        assert not request.is_open


def test_the_place_of_a_request_is_free_after_its_last_reply(served: Served) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(served.connect()) for _ in range(LIMITS.max_clients)]
        requests = [served.next_request(client) for client in clients]
        with served.connect() as refused:
            assert refused.receive(DECODER, WITHIN_S) == Text("busy")
        assert requests[0].reply(Text("one"), is_last=False)
        assert requests[0].reply(Text("last"))
        assert not requests[0].reply(Text("late"))
        replies = [clients[0].receive(DECODER, WITHIN_S) for _ in range(3)]
        assert replies == [Text("one"), Text("last"), None]
        with served.connect() as another:
            assert served.next_request(another).is_open


def test_a_reply_that_its_client_does_not_take_is_dropped_at_once(served: Served) -> None:
    with served.connect() as client:
        request = served.next_request(client)
        begin_s = monotonic()
        assert not request.reply(Text("x" * 10_000_000))
        assert monotonic() - begin_s < WITHIN_S
        assert not request.is_open


def test_the_file_of_a_request_that_is_none_is_closed(served: Served) -> None:
    with ExitStack() as stack, Path(os.devnull).open("rb") as file:
        before = len(list(Path("/proc/self/fd").iterdir()))
        client = stack.enter_context(served.connect())
        data = pack_message(Text(), 1) + b"more"
        socket.send_fds(client.socket, [data], [file.fileno()])
        assert client.receive(DECODER, WITHIN_S) == Text("malformed")
        assert client.receive(DECODER, WITHIN_S) is None
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 1
