"""drivers.child.fork_server: a fork server that systemd has started, by the socket that it listens on."""

import logging
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.child import fork_server
from drivers.child.fork_server import SERVER_MODULE, SOCKETS_VARIABLE, ForkServer
from tests.contracts.test_child_confinement import WITHIN_S, Attempt

MODULE = "tests.contracts.hostile_child"
NO_USER = f"{MODULE}: has no user of its own"


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of a service, as systemd binds it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    # unix(7) allows 107 bytes, and the path of a test's own folder is nearly that long.
    with (
        tempfile.TemporaryDirectory(prefix="vigie-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bound,
    ):
        monkeypatch.setenv(SOCKETS_VARIABLE, folder)
        bound.bind(f"{folder}/{MODULE}.sock")
        bound.listen()
        yield bound


@pytest.fixture
def service(listener: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """The service, with the socket that systemd gives it."""
    words = [sys.executable, "-P", "-m", SERVER_MODULE, MODULE, str(listener.fileno())]
    with subprocess.Popen(words, pass_fds=(listener.fileno(),)) as process:
        yield process
        process.kill()


@pytest.fixture
def server(listener: socket.socket) -> Iterator[ForkServer]:  # noqa: ARG001 - it names the folder
    one = ForkServer(MODULE)
    yield one
    one.close()


def test_children_are_forked_by_the_service_which_ends_with_the_connection(
    service: subprocess.Popen[bytes], server: ForkServer
) -> None:
    attempt = Attempt(server.start_child, "parent")
    assert attempt.result() == str(service.pid)
    assert "was killed by SIGKILL" in attempt.end()
    server.close()
    assert service.wait(WITHIN_S) == 0


@pytest.mark.usefixtures("service")
def test_a_child_that_may_not_be_signalled_is_killed_by_its_fork_server(
    server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel refuses it for a process of another user."""

    def refuse(_pidfd: int, _number: int) -> None:
        raise PermissionError

    attempt, other = (Attempt(server.start_child, "wait") for _ in range(2))
    assert (attempt.result(), other.result()) == ("done", "done")
    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    assert "was killed by SIGKILL" in attempt.end()
    assert other.connection.error is None, "the other one lives"
    assert "was killed by SIGKILL" in other.end()


def test_a_child_has_a_server_of_its_parent_if_there_is_no_service(
    listener: socket.socket, server: ForkServer, caplog: pytest.LogCaptureFixture
) -> None:
    listener.close()
    with caplog.at_level(logging.WARNING):
        attempt = Attempt(server.start_child, "wait")
        assert attempt.result() == "done"
        attempt.end()
    assert NO_USER in caplog.text


@pytest.mark.parametrize("fails", [False, True], ids=["it hangs", "it ends at once"])
def test_a_service_that_starts_no_child_is_left_for_a_server_of_the_parent(
    listener: socket.socket, server: ForkServer, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    monkeypatch.setattr(fork_server, "START_TIMEOUT_S", WITHIN_S if fails else 0.2)
    first = Attempt(server.start_child, "wait")
    if fails:
        listener.accept()[0].close()
    assert first.result() is None
    assert "no process for it" in str(first.connection.error)
    monkeypatch.setattr(fork_server, "START_TIMEOUT_S", WITHIN_S)
    second = Attempt(server.start_child, "wait")
    assert second.result() == "done"
    second.end()
