"""agent.runtime.control_socket: requests to the running agent."""

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from agent.base.clock import SystemClock
from agent.base.errors import UserError
from agent.base.model import CommandRefused
from agent.runtime.control_client import call, find_agent
from agent.runtime.control_socket import (
    MAX_CLIENTS,
    MAX_QUEUED,
    REQUEST_TIMEOUT_S,
    SOCKET_NAME,
    ControlRequest,
    ControlSocket,
)
from agent.runtime.stage import StageThread
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


DECODER: msgspec.json.Decoder[Answer | CommandRefused] = msgspec.json.Decoder(
    Answer | CommandRefused
)


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

    def _answer(self, quick: Quick, request: ControlRequest) -> None:
        request.reply(Answer(number=quick.number))

    def _block(self, slow: Slow, request: ControlRequest) -> None:
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
def connections(server: Server, count: int, line: bytes = b"") -> Iterator[None]:
    """Open `count` clients that send a line and read nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(server.state / SOCKET_NAME))
            connection.sendall(line)
        yield


def test_a_blocking_method_delays_no_other(server: Server) -> None:
    with connections(server, 1, b'{"method":"slow"}\n'):
        assert server.begun.acquire(timeout=TIMEOUT_S)
        assert server.ask(Quick(number=7)) == Answer(number=7)


def test_beyond_its_queue_a_blocking_method_is_busy_and_another_is_not(server: Server) -> None:
    with connections(server, 1, b'{"method":"slow"}\n'):
        assert server.begun.acquire(timeout=TIMEOUT_S)
        with connections(server, MAX_QUEUED, b'{"method":"slow"}\n'):
            answer = server.ask(Slow())
            assert isinstance(answer, CommandRefused)
            assert (answer.code, answer.message) == ("busy", f"{MAX_QUEUED} requests wait already")
            assert server.ask(Quick(number=1)) == Answer(number=1)


def test_one_deadline_covers_the_whole_line_of_a_slow_client(server: Server) -> None:
    begin_s = time.monotonic()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.state / SOCKET_NAME))
        connection.settimeout(0.1)
        reply = b""
        while not reply:
            try:
                connection.send(b" ")
                reply = connection.recv(1000)
            except TimeoutError:
                assert time.monotonic() - begin_s < TIMEOUT_S
            except BrokenPipeError:
                reply = connection.recv(1000)
    assert time.monotonic() - begin_s >= REQUEST_TIMEOUT_S * 0.9
    assert b"no whole line within 1 s" in reply


def test_clients_above_the_maximum_are_refused(server: Server) -> None:
    with connections(server, MAX_CLIENTS):
        answer = server.ask(Quick())
    assert isinstance(answer, CommandRefused)
    assert (answer.code, answer.message) == ("busy", f"{MAX_CLIENTS} requests are open already")


def test_an_agent_that_accepts_nothing_is_named(tmp_path: Path) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen(0)
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(listener.getsockname())
        with pytest.raises(UserError, match=r"accepted no request for 0\.1 s"):
            call(tmp_path, Quick(), DECODER, 0.1)
        assert find_agent(tmp_path) is None


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (b'{"method":"fly"}\n', "unsupported", "method 'fly'; allowed: quick, slow"),
        (b'{"method":1}\n', "malformed", "not a request: Expected `str`"),
        (b'{"method":"quick","number":"x"}\n', "malformed", "not a request: Expected `int`"),
        (b'{"method":"quick"}\n{}\n', "malformed", "allowed: one line of JSON"),
        (b"[" * 100_000 + b"\n", "malformed", "not a request"),
    ],
)
def test_a_wrong_request_is_refused_with_its_reason(
    server: Server, line: bytes, code: str, message: str
) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.state / SOCKET_NAME))
        connection.settimeout(TIMEOUT_S)
        connection.sendall(line)
        with connection.makefile("rb") as reader:
            answer = DECODER.decode(reader.readline())
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
