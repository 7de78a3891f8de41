"""agent.runtime.sd_notify over a real datagram socket."""

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from agent.runtime.sd_notify import Notifier


def test_lines_arrive_as_datagrams(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(60)
        notifier = Notifier({"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "20000000"})
        assert notifier.watchdog_s == 20
        for say, line in (
            (notifier.ready, b"READY=1"),
            (notifier.pet_watchdog, b"WATCHDOG=1"),
            (lambda: notifier.status("2 cameras"), b"STATUS=2 cameras"),
            (notifier.stopping, b"STOPPING=1"),
        ):
            say()
            assert systemd.recv(100) == line


def test_an_abstract_socket_is_supported() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("")  # the kernel chooses an abstract name that is free: unix(7)
        systemd.settimeout(60)
        name = systemd.getsockname().decode().replace("\0", "@")
        Notifier({"NOTIFY_SOCKET": name}).ready()
        assert systemd.recv(100) == b"READY=1"


def test_an_absent_service_manager_does_not_stop_the_agent(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).pet_watchdog()


def test_without_systemd_nothing_happens() -> None:
    notifier = Notifier({})
    notifier.ready()
    assert notifier.watchdog_s is None


def test_a_service_manager_that_reads_nothing_does_not_block_the_agent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(address))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    filler.sendto(b"x", str(address))
        Notifier({"NOTIFY_SOCKET": str(address)}).pet_watchdog()
    assert "WATCHDOG=1: not sent" in caplog.text
