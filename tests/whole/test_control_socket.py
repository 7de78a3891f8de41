"""agent.runtime.control_socket: requests to the running agent."""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.base.model import CommandRefused
from agent.runtime import control_socket
from agent.runtime.control_client import call, find_agent
from agent.runtime.control_socket import LIMITS, MAX_QUEUED, SOCKET_NAME, ControlSocket
from agent.runtime.local_server import LocalRequest
from agent.runtime.stage import StageThread
from drivers.local_wire import (
    HEADER,
    MessageDecoder,
    connect,
    listen,
    pack_message,
)
from tests.whole.rig import TIMEOUT_S

CLOCK = SystemClock()


class Quick(msgspec.Struct, frozen=True, tag_field="method", tag="quick"):
    """Answered at once."""

    number: int = 0


class Slow(msgspec.Struct, frozen=True, tag_field="method", tag="slow"):
    """Answered when a test allows it."""

    fails: bool = False


class Answer(msgspec.Struct, frozen=True, tag_field="state", tag="done"):
    number: int = 0


DECODER: MessageDecoder[Answer | CommandRefused] = MessageDecoder(Answer | CommandRefused)


class Server:
    """The control socket with two methods, in its threads."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        control = ControlSocket(state, CLOCK.boottime_ns)
        control.add_method(Quick, self._answer)
        self.worker = control.add_blocking_method("slow", Slow, self._block)
        self.threads = [
            StageThread(stage, CLOCK.boottime_ns, random.Random(1), vital=False)
            for stage in (control, self.worker)
        ]

    def _answer(self, quick: Quick, request: LocalRequest) -> None:
        request.reply(Answer(number=quick.number))

    def _block(self, slow: Slow, request: LocalRequest) -> None:
        self.begun.release()
        assert self.gate.wait(TIMEOUT_S)
        if slow.fails:
            raise ValueError("a bug")
        request.reply(Answer(number=len(request.fds)))

    def ask(self, request: msgspec.Struct, fd: int | None = None) -> Answer | CommandRefused:
        replies = call(self.state, request, DECODER, TIMEOUT_S, fd)
        assert replies is not None
        return next(replies)

    def stop(self) -> None:
        self.gate.set()
        for thread in self.threads:
            thread.stop()
        assert all(thread.join(TIMEOUT_S) for thread in self.threads)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path)
    for thread in one.threads:
        thread.start()
    while find_agent(tmp_path) is None:
        assert one.threads[0].health().last_error is None
    yield one
    one.stop()
    assert not (tmp_path / SOCKET_NAME).exists()


@contextmanager
def connections(server: Server, count: int, sent: bytes = b"") -> Iterator[None]:
    """Open `count` clients that send bytes and read nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(connect(server.state / SOCKET_NAME, TIMEOUT_S, 10_000))
            connection.socket.sendall(sent)
        yield


def answer_to(server: Server, sent: bytes) -> Answer | CommandRefused:
    """Send bytes, and return the answer."""
    path = server.state / SOCKET_NAME
    with connect(path, TIMEOUT_S, 10_000) as connection:
        connection.socket.sendall(sent)
        answer = connection.receive(DECODER, TIMEOUT_S)
    assert answer is not None
    return answer


def test_a_blocking_method_delays_no_other(server: Server) -> None:
    with connections(server, 1, pack_message(Slow())):
        assert server.begun.acquire(timeout=TIMEOUT_S)
        assert server.ask(Quick(number=7)) == Answer(number=7)


def test_beyond_its_queue_a_blocking_method_is_busy_and_another_is_not(server: Server) -> None:
    with connections(server, 1, pack_message(Slow())):
        assert server.begun.acquire(timeout=TIMEOUT_S)
        with connections(server, MAX_QUEUED, pack_message(Slow())):
            answer = server.ask(Slow())
            assert isinstance(answer, CommandRefused)
            assert (answer.code, answer.message) == ("busy", f"{MAX_QUEUED} requests wait already")
            assert server.ask(Quick(number=1)) == Answer(number=1)


def test_one_deadline_covers_the_whole_request_of_a_slow_client(server: Server) -> None:
    begin_s = time.monotonic()
    path = server.state / SOCKET_NAME
    slow, at = HEADER.pack(1000, 0) + b" " * 1000, 0
    with connect(path, TIMEOUT_S, 10_000) as connection:
        reply = None
        while reply is None:
            with suppress(BrokenPipeError):
                connection.socket.send(slow[at : at + 1])
            with suppress(TimeoutError):
                reply = connection.receive(DECODER, 0.1)
            at += 1
            assert time.monotonic() - begin_s < TIMEOUT_S
    assert time.monotonic() - begin_s >= LIMITS.request_timeout_s * 0.9
    assert isinstance(reply, CommandRefused)
    assert reply.message == "no whole request within 1 s"


@pytest.fixture
def long_request_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, too, no client is dropped before the last one has connected."""
    limits = msgspec.structs.replace(LIMITS, request_timeout_s=TIMEOUT_S)
    monkeypatch.setattr(control_socket, "LIMITS", limits)


@pytest.mark.usefixtures("long_request_timeout")
def test_clients_above_the_maximum_are_refused(server: Server) -> None:
    with connections(server, LIMITS.max_clients):
        answer = server.ask(Quick())
    assert isinstance(answer, CommandRefused)
    assert (answer.code, answer.message) == (
        "busy",
        f"{LIMITS.max_clients} requests are open already",
    )


def test_an_agent_that_accepts_nothing_is_named(tmp_path: Path) -> None:
    path = tmp_path / SOCKET_NAME
    with listen(path, 0o600, 0), connect(path, TIMEOUT_S, 10_000):
        with pytest.raises(UserError, match=r"accepted no request for 0\.1 s"):
            call(tmp_path, Quick(), DECODER, 0.1)
        assert find_agent(tmp_path) is None


@pytest.mark.parametrize(
    ("sent", "code", "message"),
    [
        (pack_message({"method": "fly"}), "unsupported", "method 'fly'; allowed: quick, slow"),
        (pack_message({"method": 1}), "malformed", "not a request: Expected `str`"),
        (
            pack_message({"method": "quick", "number": "x"}),
            "malformed",
            "not a request: Expected `int`",
        ),
        (pack_message(Quick()) * 2, "malformed", "allowed: one request"),
        (
            HEADER.pack(100_000, 0) + b"\x81\xa1x" + b"\x91" * 99_997,
            "malformed",
            "not a request: maximum recursion depth",
        ),
        (HEADER.pack(LIMITS.max_request_bytes + 1, 0), "malformed", "allowed: 131072"),
        (HEADER.pack(1, 2), "malformed", "a message with 2 open files; allowed: 1"),
    ],
)
def test_a_wrong_request_is_refused_with_its_reason(
    server: Server, sent: bytes, code: str, message: str
) -> None:
    answer = answer_to(server, sent)
    assert isinstance(answer, CommandRefused)
    assert answer.code == code
    assert message in answer.message


def test_a_method_that_raises_is_answered_and_passed_files_are_closed(server: Server) -> None:
    server.gate.set()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Path("/dev/null").open("rb") as file:
        assert server.ask(Slow(), file.fileno()) == Answer(number=1)
        assert server.ask(Quick(), file.fileno()) == Answer()
        answer = server.ask(Slow(fails=True), file.fileno())
    assert isinstance(answer, CommandRefused)
    assert answer.code == "failed"
    deadline_s = time.monotonic() + TIMEOUT_S
    while len(list(Path("/proc/self/fd").iterdir())) > before:
        assert time.monotonic() < deadline_s
        find_agent(server.state)


def test_without_an_agent_a_request_fails_at_once(tmp_path: Path) -> None:
    assert call(tmp_path, Quick(), DECODER, 1.0) is None
    assert find_agent(tmp_path) is None


def test_the_agents_process_id_comes_from_the_kernel(server: Server) -> None:
    agent = find_agent(server.state)
    assert agent is not None
    assert (agent.pid, agent.uid) == (os.getpid(), os.geteuid())
