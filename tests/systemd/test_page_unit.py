"""vigie-page.service: started by its socket, without a file of the box, and on as long as its console."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.container import CHECKOUT, Container, skip_reason

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]

PYTHON = f"{CHECKOUT}/.venv/bin/python"
UNIT = "vigie-page.service"
PORT = 8443
AS_VIGIE = ("setpriv", "--reuid=vigie", "--regid=vigie", "--clear-groups")
AS_PAGE = ("setpriv", "--reuid=vigie-page", "--regid=vigie-page", "--clear-groups")
WITH_CODE = ("env", f"PYTHONPATH={CHECKOUT}", "PYTHONDONTWRITEBYTECODE=1")
CONSOLE = f"""
import sys
from pathlib import Path
from agent.base.clock import SystemClock
from agent.console.page_switch import PageSwitch
switch = PageSwitch(Path("/"), Path("/etc/vigie/vigie.toml"), SystemClock().boottime_ns, print)
print(switch.turn_on(
    {PORT}, box_id="casa-0001", addresses=("127.0.0.1",), technician="amina", language="en"
), flush=True)
sys.stdin.read()
"""
"""The console turns the page on, and its session waits."""
PHONE = f"""
import http.client, json, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
def ask(method, path, body=None, cookie=""):
    connection = http.client.HTTPSConnection("127.0.0.1", {PORT}, context=context, timeout=60)
    headers = {{"Origin": "https://127.0.0.1:{PORT}", "Content-Type": "application/json", "Cookie": cookie}}
    connection.request(method, path, body, headers)
    return connection.getresponse()
login = ask("POST", "/api/session", json.dumps({{"link": sys.argv[1]}}))
cookie = login.getheader("set-cookie", "").partition(";")[0]
print(login.status, ask("GET", "/api/session", cookie=cookie).read().decode())
"""


@pytest.fixture
def console(container: Container) -> Iterator[subprocess.Popen[str]]:
    container.run("systemctl", "start", "vigie-page.socket")
    with subprocess.Popen(
        [
            *("nsenter", "-t", str(container.leader), "-a", *AS_VIGIE, *WITH_CODE),
            *(PYTHON, "-c", CONSOLE),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def is_listening(container: Container) -> bool:
    rows = container.run("cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
    return any(row.split()[1].endswith(f":{PORT:04X}") for row in rows if " 0A " in row)


def test_the_port_is_open_while_the_console_has_the_page_on(
    container: Container, request: pytest.FixtureRequest
) -> None:
    assert not is_listening(container)
    console: subprocess.Popen[str] = request.getfixturevalue("console")
    assert console.stdout is not None
    token = console.stdout.readline().strip()
    assert is_listening(container)
    said = container.run(PYTHON, "-c", PHONE, token)
    assert said.startswith("204 ")
    assert '"technician":"amina"' in said
    # nsenter has forked into the container.
    (child,) = Path(f"/proc/{console.pid}/task/{console.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    container.wait_for(lambda: not is_listening(container), "end of the page")
    container.wait_for(lambda: container.pid(UNIT) is None, "end of its process")
    assert "act_server" not in container.run("ps", "-ef")


def test_the_page_sees_no_file_of_the_box(
    container: Container, console: subprocess.Popen[str]
) -> None:
    assert console.stdout is not None
    assert console.stdout.readline()
    pid = container.pid(UNIT)
    assert pid is not None
    status = Path(f"/proc/{pid}/status").read_text()
    (capabilities,) = (line for line in status.splitlines() if line.startswith("CapBnd:"))
    assert int(capabilities.split()[1], 16) == 0
    # Its own view, for root even.
    seen = subprocess.run(
        ["nsenter", "-t", str(pid), "-m", "find", "/etc/vigie", "/var/lib/vigie", "/run/vigie"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not [line for line in seen.stdout.splitlines() if line.count("/") > 3]
    assert "vigie.toml" not in seen.stdout
    # And its user, without the sandbox of the unit.
    for path in ("/etc/vigie/vigie.toml", "/var/lib/vigie/identity"):
        with pytest.raises(AssertionError, match="Permission denied"):
            container.run(*AS_PAGE, "cat", path)
    connect = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    for path in ("/run/vigie-page.socket", "/var/lib/vigie/control.sock"):
        with pytest.raises(AssertionError, match="PermissionError"):
            container.run(*AS_PAGE, PYTHON, "-c", connect, path)


def test_another_user_reaches_neither_the_switch_nor_the_acts(
    container: Container, console: subprocess.Popen[str]
) -> None:
    assert console.stdout is not None
    assert console.stdout.readline()
    as_nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    connect = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    for path in ("/run/vigie-page.socket", "/run/vigie-page/acts.sock"):
        with pytest.raises(AssertionError, match="PermissionError"):
            container.run(*as_nobody, PYTHON, "-c", connect, path)
