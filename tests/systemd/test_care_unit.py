"""The box's own care by command, in the agent's sandbox: a restart, a reboot, its log."""

import os
from collections.abc import Iterator

import msgspec
import pytest

from tests.systemd.container import CHECKOUT, Container, skip_reason

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]

AGENT = "vigie-agent.service"
REBOOT_DROP_IN = "[Service]\nExecStart=\nExecStart=/usr/bin/touch /run/was-rebooted-by-command\n"
SEND = """
import sys
from pathlib import Path
import msgspec
from agent.commands.local_command import send_command
replies = send_command(Path("/var/lib/vigie"), sys.argv[1], msgspec.json.decode(sys.argv[2]), 60, "amina")
for reply in replies or ():
    print(msgspec.json.encode(reply).decode(), flush=True)
"""


def send(container: Container, verb: str, args: str = "{}") -> list[dict[str, object]]:
    """The replies to a command of the control socket, up to the last, or to the end of the agent."""
    python = f"{CHECKOUT}/.venv/bin/python"
    program = ("env", f"PYTHONPATH={CHECKOUT}", python, "-c", SEND, verb, args)
    lines = container.run(*program, check=False).splitlines()
    return [msgspec.json.decode(line) for line in lines]


@pytest.fixture
def agent(container: Container) -> Iterator[Container]:
    container.run("systemctl", "start", AGENT)
    container.wait_for((container.root / "var/lib/vigie/control.sock").exists, "agent")
    yield container
    container.run("systemctl", "start", AGENT)


def test_a_restart_by_command_is_a_stop_in_order_and_systemd_starts_the_agent_again(
    agent: Container,
) -> None:
    before = agent.wait_for(lambda: agent.pid(AGENT), "agent")
    replies = send(agent, "restart")
    assert [reply["state"] for reply in replies][:1] == ["accepted"]
    agent.wait_for(lambda: agent.pid(AGENT) not in (None, before), "next agent")
    assert agent.unit_property(AGENT, "Result") == "success"
    agent.wait_for(
        lambda: "over an earlier run: done" in agent.journal(AGENT), "reply of the next run"
    )
    after = agent.pid(AGENT)
    assert after is not None
    os.kill(after, 0)


def test_a_reboot_by_command_is_executed_by_root(agent: Container) -> None:
    folder = agent.root / "etc/systemd/system/vigie-reboot.service.d"
    folder.mkdir(exist_ok=True)
    (folder / "test.conf").write_text(REBOOT_DROP_IN)
    agent.run("systemctl", "daemon-reload")
    agent.run("systemctl", "start", "vigie-reboot.path")
    try:
        python = f"{CHECKOUT}/.venv/bin/python"
        agent.run(
            *("systemd-run", "--unit=reboot-by-command", f"--setenv=PYTHONPATH={CHECKOUT}"),
            *(python, "-c", SEND, "reboot", "{}"),
        )
        agent.wait_for((agent.root / "run/was-rebooted-by-command").exists, "request of a reboot")
        # In place of the boot: the next run of this one withdraws the request.
        agent.run("systemctl", "restart", AGENT)
        agent.wait_for(
            lambda: "the agent ended before the board was rebooted" in agent.journal(AGENT),
            "answer of the next run",
        )
        assert not (agent.root / "run/vigie/reboot").exists()
    finally:
        agent.run(
            "systemctl", "stop", "vigie-reboot.path", "reboot-by-command.service", check=False
        )
        agent.run(
            "systemctl", "reset-failed", "vigie-reboot.path", "vigie-reboot.service", check=False
        )
        agent.run("rm", "-rf", "/etc/systemd/system/vigie-reboot.service.d", "/run/vigie/reboot")
        agent.run("systemctl", "daemon-reload")


def test_the_agent_reads_its_own_log_and_no_level_below_the_requested_one(
    agent: Container,
) -> None:
    (reply,) = [one for one in send(agent, "log") if one["state"] != "accepted"]
    assert reply["state"] == "done", reply
    result = reply["result"]
    assert isinstance(result, dict)
    assert "INFO" in result["text"]
    errors = send(agent, "log", '{"level":"error"}')[-1]["result"]
    assert isinstance(errors, dict)
    assert "INFO" not in errors["text"]
