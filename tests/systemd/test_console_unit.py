"""The console's unit on a serial line, within its sandbox, with a dead agent."""

import os
import re
import select
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.systemd.container import CHECKOUT, TIMEOUT_S, Container, skip_reason

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]

PROGRAM = "/opt/vigie/bin/vigie"
KEPT_AT = "/etc/vigie/console.secret"
PROMPT = r"casa-0001[^\n]*> $"
REBOOT_DROP_IN = "[Service]\nExecStart=\nExecStart=/usr/bin/touch /run/was-rebooted\n"


class Technician:
    """A technician with a cable: types and reads."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._process = subprocess.Popen(
            [
                *("nsenter", "-t", str(container.leader), "-a"),
                *(f"{CHECKOUT}/.venv/bin/python", f"{CHECKOUT}/tests/systemd/serial_line.py"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().decode().strip()
        self.unit = f"vigie-console@{port.removeprefix('/dev/').replace('/', '-')}.service"

    def type(self, text: str, until: str = PROMPT) -> str:
        """Type a line, and read until something is there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(text.encode() + b"\r")
        seen, end_s = "", time.monotonic() + TIMEOUT_S
        while not re.search(until, seen):
            left_s = end_s - time.monotonic()
            assert select.select([self._process.stdout], [], [], max(0, left_s))[0], seen
            seen += os.read(self._process.stdout.fileno(), 4096).decode()
        return seen.replace("\r", "")

    def press_enter(self) -> str:
        """Press it again and again until the console answers: it drops input from before it had the port."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        end_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end_s:
            self._process.stdin.write(b"\r")
            if select.select([self._process.stdout], [], [], 1)[0]:
                return self.type("")
        raise AssertionError(f"no answer from the console: {self._container.journal(self.unit)}")

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.terminate()
        self._process.wait()


@pytest.fixture
def technician(container: Container) -> Iterator[Technician]:
    container.run("systemctl", "stop", "vigie-agent.service")
    container.run("rm", "-f", KEPT_AT)
    container.run(PROGRAM, "console-code", "--new", KEPT_AT)
    container.run("chown", "vigie:", KEPT_AT)
    technician = Technician(container)
    try:
        container.run("systemctl", "start", technician.unit)
        yield technician
        container.run("systemctl", "stop", technician.unit)
    finally:
        technician.close()
        container.run("systemctl", "start", "vigie-agent.service")


def test_a_technician_logs_in_with_a_dead_agent_and_reads_the_reason(
    technician: Technician, container: Container
) -> None:
    assert "not logged in" in technician.press_enter()
    log_in(technician, container)
    technician.type("pages off")
    assert "Stopped vigie-agent.service" in technician.type("log")
    assert re.search(r"pass disk of /var/lib/vigie", technician.type("check"))


def test_a_change_on_trial_restarts_the_agent_and_is_confirmed(
    technician: Technician, container: Container
) -> None:
    agent = "vigie-agent.service"
    container.run("systemctl", "start", agent)
    pid = container.pid(agent)
    technician.press_enter()
    log_in(technician, container)
    message = technician.type("config set health.interval_s 31", r"power cut\.\s+casa-0001> $")
    assert "The agent restarts with it now." in message
    container.wait_for(lambda: container.pid(agent) not in (None, pid), "agent anew")
    assert "Kept: health.interval_s." in technician.type("config confirm")
    assert "interval_s = 31" in (container.root / "etc/vigie/vigie.toml").read_text()
    technician.type("config set health.interval_s 30", r"power cut\.\s+casa-0001> $")
    assert "Undone: health.interval_s;" in technician.type("config undo")
    assert "interval_s = 31" in (container.root / "etc/vigie/vigie.toml").read_text()
    technician.type("logout", "not logged in")


def test_within_its_sandbox_the_agent_rolls_back_an_unconfirmed_change(
    container: Container,
) -> None:
    agent, file = "vigie-agent.service", container.root / "etc/vigie/vigie.toml"
    before, pid = file.read_text(), container.pid(agent)
    as_vigie = ("setpriv", "--reuid=vigie", "--regid=vigie", "--clear-groups")
    python = (f"{CHECKOUT}/.venv/bin/python", "-c", TRIED)
    container.run("env", f"PYTHONPATH={CHECKOUT}", *as_vigie, *python)
    container.wait_for(lambda: container.pid(agent) not in (None, pid), "agent anew")
    assert file.read_text() == before
    assert "not confirmed in time" in container.journal(agent)


TRIED = """
from pathlib import Path
from agent.base.clock import boot_id
from agent.config.commit_confirm import CommitConfirm
file = Path("/etc/vigie/vigie.toml")
text = file.read_text().replace("casa-0001", "casa-0002")
CommitConfirm(file).begin(text, "box.site", "amina", boot_id(), 0)
"""


def log_in(technician: Technician, container: Container) -> None:
    challenge = re.search(r"casa-0001 amina \S+", technician.type("login amina", "Answer: $"))
    assert challenge
    code = container.run(PROGRAM, "console-code", "--secret", KEPT_AT, *challenge[0].split())
    assert "Welcome, amina" in technician.type(code.strip())


def test_a_console_killed_on_the_line_is_restarted(
    technician: Technician, container: Container
) -> None:
    technician.press_enter()
    pid = container.pid(technician.unit)
    assert pid is not None
    os.kill(pid, 9)
    container.wait_for(lambda: container.pid(technician.unit) not in (None, pid), "console")
    assert "not logged in" in technician.press_enter()


def test_the_agents_user_may_request_a_reboot_and_nothing_else(container: Container) -> None:
    folder = container.root / "etc/systemd/system/vigie-reboot.service.d"
    folder.mkdir()
    (folder / "test.conf").write_text(REBOOT_DROP_IN)
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "start", "vigie-reboot.path")
    as_vigie = ("setpriv", "--reuid=vigie", "--regid=vigie", "--clear-groups")
    refused = container.run(
        *as_vigie, "sh", "-c", "systemctl --no-ask-password reboot || echo refused", check=False
    )
    assert refused.strip() == "refused"
    container.run(*as_vigie, "touch", "/run/vigie/reboot")
    container.wait_for((container.root / "run/was-rebooted").exists, "reboot")
    container.run("rm", "/run/vigie/reboot")


def test_the_agents_user_may_request_an_update_and_gets_its_outcome(container: Container) -> None:
    """There are no slots here: root's answer shows that the request arrived, and arrived once."""
    python = f"{CHECKOUT}/.venv/bin/python -P"
    environment = f"PYTHONPATH={CHECKOUT}"
    start = f"ExecStart=\nExecStart={python} -m agent.update.request_service\n"
    stop = f"ExecStopPost=\nExecStopPost={python} -m agent.update.request_service stopped\n"
    for kind, more in (
        ("path", ""),
        ("service", f"[Service]\nEnvironment={environment}\n{start}{stop}"),
    ):
        folder = container.root / f"etc/systemd/system/vigie-update-request.{kind}.d"
        folder.mkdir()
        (folder / "test.conf").write_text(f"[Unit]\nConditionKernelCommandLine=\n{more}")
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "start", "vigie-update-request.path")
    as_vigie = ("setpriv", "--reuid=vigie", "--regid=vigie", "--clear-groups")
    ask = (
        "import os; from pathlib import Path; from agent.update import request_file; "
        "os.umask(0o077); request_file.submit_request(Path('/run/vigie-update'), 'status', 'amina')"
    )
    container.run(*as_vigie, "env", environment, *python.split(), "-c", ask)
    reported = container.root / "run/vigie-update/status.json"
    container.wait_for(lambda: reported.exists() and "failed" in reported.read_text(), "an answer")
    assert "rauc.slot=A or B is not on the kernel's command line" in reported.read_text()
    assert '"requester":"amina"' in reported.read_text()
    assert not (reported.parent / "request.json").exists()
    container.run(*as_vigie, "sh", "-c", "! rm -f /run/vigie-update/status.json")
    assert reported.stat().st_uid == 0
