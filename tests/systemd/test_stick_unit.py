"""vigie-stick.service: started by its socket, and a mount that ends with the client and with the service."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.update.usb_stick import StickReply, StickRequest
from drivers.local_wire import pack_message
from tests.systemd.container import CHECKOUT, Container, skip_reason

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]

PYTHON = f"{CHECKOUT}/.venv/bin/python"
UNIT = "vigie-stick.service"
STICK_ROOT = "/etc/stick"
DROP_IN = f"""[Unit]
ConditionKernelCommandLine=
[Service]
ExecStart=
ExecStart=/opt/vigie/bin/python -P -m agent.update.stick_service --root {STICK_ROOT}
"""
SYSTEMD_MOUNT = """#!/bin/sh
exec /usr/bin/systemd-mount --quiet --collect --property=LazyUnmount=yes --tmpfs /run/media/sda1
"""
REQUEST = pack_message(StickRequest(link="stick-vfat-sda1")).hex()
CLIENT = f"""
import socket
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("/run/vigie-stick.socket")
    connection.sendall(bytes.fromhex("{REQUEST}"))
    print(connection.recv(1000).hex(), flush=True)
    connection.recv(1000)
"""


@pytest.fixture
def sticks(container: Container) -> Container:
    """A stick that is a file system in memory: a container has no USB."""
    root = container.root / STICK_ROOT.lstrip("/")
    if root.exists():
        return container
    for folder in ("dev/vigie", "usr/bin"):
        (root / folder).mkdir(parents=True)
    (root / "dev/vigie/stick-vfat-sda1").symlink_to("../sda1")
    (root / "usr/bin/systemctl").symlink_to("/usr/bin/systemctl")
    program = root / "usr/bin/systemd-mount"
    program.write_text(SYSTEMD_MOUNT)
    program.chmod(0o755)
    units = container.root / "etc/systemd/system"
    for unit, text in ((UNIT, DROP_IN), ("vigie-stick.socket", DROP_IN.partition("[Service]")[0])):
        (units / f"{unit}.d").mkdir()
        (units / f"{unit}.d/test.conf").write_text(text)
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "start", "vigie-stick.socket")
    return container


@pytest.fixture
def client(sticks: Container) -> Iterator[subprocess.Popen[bytes]]:
    as_vigie = ("setpriv", "--reuid=vigie", "--regid=vigie", "--clear-groups")
    enter = ("nsenter", "-t", str(sticks.leader), "-a")
    with subprocess.Popen(
        [*enter, *as_vigie, PYTHON, "-c", CLIENT], stdout=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def is_mounted(container: Container) -> bool:
    return "/run/media/sda1" in container.run("findmnt", "-rno", "TARGET")


@pytest.mark.parametrize("killed", ["console", "service"])
def test_a_stick_is_unmounted_when_either_end_is_killed(
    sticks: Container, client: subprocess.Popen[bytes], killed: str
) -> None:
    assert client.stdout is not None
    assert bytes.fromhex(client.stdout.readline().decode()) == pack_message(StickReply())
    assert is_mounted(sticks), "seen outside of the service's sandbox"
    if killed == "console":
        # nsenter has forked into the container.
        (child,) = Path(f"/proc/{client.pid}/task/{client.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
    else:
        pid = sticks.pid(UNIT)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    sticks.wait_for(lambda: not is_mounted(sticks), "unmount")
    sticks.run("systemctl", "reset-failed", UNIT, check=False)


def test_another_user_cannot_mount_a_stick(sticks: Container) -> None:
    as_nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    with pytest.raises(AssertionError, match="PermissionError"):
        sticks.run(*as_nobody, PYTHON, "-c", CLIENT)
    assert not is_mounted(sticks)
