"""drivers.child under the sandbox of the agent's unit, in a container."""

import re
from pathlib import Path

import pytest

from tests.systemd.container import Container, skip_reason

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]

AGENT_UNIT = Path(__file__).parents[2] / "systemd" / "vigie-agent.service"
READER = """
import time
from drivers.camera import rtsp
from drivers.child.fork_server import ForkServer
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.onvif.client import OnvifClient
from drivers.onvif.credentials import OnvifAccess


def say(work):
    try:
        work()
    except DriverError as error:
        print("error:", error.kind, error, flush=True)


wanted = StreamRequest(packets=True, frames_fps=5)
options = rtsp.Options(url="rtsp://127.0.0.1:9/x")
say(lambda: rtsp.open_camera("lent", options, wanted, lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)))
client = OnvifClient("camera 'lent'", OnvifAccess(url="http://127.0.0.1:9"))
say(lambda: client.has_service("media"))
client.close()

from tests.contracts.test_child_confinement import Attempt

server = ForkServer("tests.contracts.hostile_child")
attempt = Attempt(server.start_child, "mode", "/etc/hostname")
print("refused:", attempt.refused_call(), flush=True)
attempt.end()
server.close()
"""


def sandbox_lines() -> str:
    """The agent's user and sandbox: all of its unit from there on."""
    text = AGENT_UNIT.read_text()
    return text[text.index("\nUser=") : text.index("\n[Install]")]


def test_network_cameras_are_read_by_confined_children_under_the_agents_sandbox(
    container: Container,
) -> None:
    (container.root / "run" / "reader.py").write_text(READER)
    (container.root / "run" / "systemd" / "system" / "reader.service").write_text(
        "[Service]\nType=oneshot\nExecStart=/opt/vigie/bin/python -P /run/reader.py\n"
        + sandbox_lines()
    )
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "start", "reader.service")
    journal = container.journal("reader.service")
    assert "error: absent camera 'lent': rtsp://127.0.0.1:9/x: no server listens there" in journal
    assert "error: absent camera 'lent': http://127.0.0.1:9: cannot be reached" in journal
    assert re.search("refused: f?chmod", journal), (
        "a call that is not in the list is named here too"
    )
    assert "to confine it by" not in journal, "there are Landlock and libseccomp"
