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

SERVED_MODULE = "tests.contracts.hostile_child"
SERVED = f"""
import os, time
from drivers.child.fork_server import ForkServer
from drivers.child.process import cpu_time_s
from tests.contracts.test_child_confinement import Attempt

server = ForkServer("{SERVED_MODULE}")
print("user: agent", os.getuid(), flush=True)
for deed, argument in (
    ("user", ""),
    ("signal", os.getpid()),
    ("limit", os.getpid()),
    ("priority", os.getpid()),
    ("trace", os.getpid()),
    ("open", "/var/lib/vigie/key"),
    ("mode", "/var/lib/vigie/key"),
    ("unix", "/var/lib/vigie/control.sock"),
):
    attempt = Attempt(server.start_child, deed, argument, is_confined=False)
    print("did", deed + ":", attempt.result(), flush=True)
    attempt.end()
attempt = Attempt(server.start_child, "spin", is_confined=False)
attempt.connection.wait_for(lambda: False, 0.5)
print("used:", (cpu_time_s(attempt.connection.pid) or 0.0) > 0, flush=True)
print("ended:", attempt.end(), flush=True)

from drivers.camera import rtsp
from drivers.contracts import StreamRequest

rtsp.FORK_SERVER = server
camera = rtsp.open_camera(
    "lent",
    rtsp.Options(url="rtsp://127.0.0.1:9/x"),
    StreamRequest(packets=True, frames_fps=5),
    lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
)
print("camera:", camera.info.width_px, type(camera.read(10.0)).__name__, flush=True)
camera.close()
"""

DECODER_DROP_IN = Path(__file__).parents[2] / (
    "systemd/vigie-child@drivers.hardware_stream_child.service.d/decoder.conf"
)
DECODER = f"""
from drivers.child.fork_server import ForkServer
from tests.contracts.test_child_confinement import Attempt

server = ForkServer("{SERVED_MODULE}")
for path in ("/dev/video10", "/dev/video11"):
    attempt = Attempt(server.start_child, "open", path, decoder_devices=["/dev/video10"])
    print("did", attempt.result(), flush=True)
    attempt.end()
"""


def sandbox_lines() -> str:
    """The agent's user and sandbox: all of its unit from there on."""
    text = AGENT_UNIT.read_text()
    return text[text.index("\nUser=") : text.index("\n[Install]")]


@pytest.mark.parametrize("is_served", [False, True], ids=["own", "services"])
def test_network_cameras_are_read_by_confined_children_under_the_agents_sandbox(
    container: Container,
    is_served: bool,
) -> None:
    modules = ("drivers.stream_child", "drivers.onvif.child", SERVED_MODULE) if is_served else ()
    (container.root / "run" / "reader.py").write_text(READER)
    (container.root / "run" / "systemd" / "system" / "reader.service").write_text(
        "[Service]\nType=oneshot\nExecStart=/opt/vigie/bin/python -P /run/reader.py\n"
        + ("Environment=VIGIE_CHILD_SOCKETS=/run/vigie-child\n" if is_served else "")
        + sandbox_lines()
    )
    container.run("systemctl", "daemon-reload")
    for module in modules:
        container.run("systemctl", "start", f"vigie-child@{module}.socket")
    container.run("systemctl", "start", "reader.service")
    units = ("reader.service", *(f"vigie-child@{module}.service" for module in modules))
    journal = "".join(map(container.journal, units))
    assert "error: absent camera 'lent': rtsp://127.0.0.1:9/x: no server listens there" in journal
    assert "error: absent camera 'lent': http://127.0.0.1:9: cannot be reached" in journal
    assert re.search("refused: f?chmod", journal), (
        "a call that is not in the list is named here too"
    )
    assert "has no user of its own" not in journal
    assert "to confine it by" not in journal, "there are Landlock and libseccomp"


def test_a_child_of_a_service_has_a_user_of_its_own_and_its_parent_still_measures_and_kills_it(
    container: Container,
) -> None:
    """Here nothing confines it: its user alone keeps it from the agent."""
    (container.root / "run" / "served.py").write_text(SERVED)
    (container.root / "run" / "systemd" / "system" / "served.service").write_text(
        "[Service]\nType=oneshot\nExecStart=/opt/vigie/bin/python -P /run/served.py\n"
        "Environment=VIGIE_CHILD_SOCKETS=/run/vigie-child\n" + sandbox_lines()
    )
    state = container.root / "var/lib/vigie"
    state.mkdir(exist_ok=True)
    (state / "key").write_text("a key of the box")
    container.run("chown", "-R", "vigie:", "/var/lib/vigie")
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "start", f"vigie-child@{SERVED_MODULE}.socket")
    container.run("systemctl", "start", "served.service")
    journal = container.journal("served.service")
    (agent,) = re.findall(r"user: agent (\d+)", journal)
    outcomes = dict(re.findall(r"did (\w+): (\w+)", journal))
    assert outcomes.pop("user") != agent
    assert outcomes == dict.fromkeys(
        ("signal", "limit", "priority", "trace", "open", "mode", "unix"), "PermissionError"
    )
    assert "used: True" in journal
    assert "was killed by SIGKILL" in journal
    assert "camera: 4 Packet" in journal, "also with the memory that both share"
    assert "has no user of its own" not in journal
    assert (state / "key").read_text() == "a key of the box"


@pytest.mark.parametrize("has_decoder", [False, True])
def test_the_children_of_hardware_decoders_alone_are_in_a_unit_with_video_devices(
    container: Container, has_decoder: bool
) -> None:
    """Nodes without hardware: the kernel has no such device for a process that may open them."""
    units = container.root / "run/systemd/system"
    (container.root / "run" / "decoder.py").write_text(DECODER)
    (units / "decoder.service").write_text(
        "[Service]\nType=oneshot\nExecStart=/opt/vigie/bin/python -P /run/decoder.py\n"
        "Environment=VIGIE_CHILD_SOCKETS=/run/vigie-child\n" + sandbox_lines()
    )
    for minor in ("10", "11"):
        node = f"/dev/video{minor}"
        container.run("rm", "-f", node)
        container.run("mknod", "-m", "660", node, "c", "81", minor)
        container.run("chgrp", "video", node)
    instance = f"vigie-child@{SERVED_MODULE}"
    container.run("systemctl", "stop", f"{instance}.socket", f"{instance}.service")
    drop_ins = units / f"{instance}.service.d"
    if has_decoder:
        drop_ins.mkdir(exist_ok=True)
        (drop_ins / DECODER_DROP_IN.name).write_text(DECODER_DROP_IN.read_text())
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "start", f"{instance}.socket")
    container.run("systemctl", "start", "decoder.service")
    journal = container.journal("decoder.service")
    outcomes = re.findall(r"did (\w+)", journal)[-2:]
    if has_decoder:
        (drop_ins / DECODER_DROP_IN.name).unlink()
        container.run("systemctl", "stop", f"{instance}.service")
        container.run("systemctl", "daemon-reload")
    assert outcomes == (
        ["OSError", "PermissionError"] if has_decoder else ["FileNotFoundError"] * 2
    ), "Landlock leaves a child its own decoder alone"
    assert "has no user of its own" not in journal
