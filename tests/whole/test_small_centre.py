"""docs/examples/small_centre.py against a whole agent, over a real broker and HTTPS: an integrator's first day.

The keys come from `vigie key`, and the clip is verified by `vigie footage verify`, as the docs say.
"""

import base64
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.base.device_identity import DeviceIdentity
from tests.free_port import free_port
from tests.server_certificate import ServerCertificate
from tests.whole.report.broker import DOCS, Mosquitto
from tests.whole.rig import AgentBox, fake_camera_toml
from tests.whole.test_footage_while_recording import wait_for_segments

PROGRAM = DOCS / "examples" / "small_centre.py"
BOX = "casa-0001"
TIMEOUT_S = 240
SEGMENTS_OF_A_CLIP = 28
"""The clip of the example ends 15 s before it is asked for, and has 10 s."""


class CommandedAgent(AgentBox):
    """A box with a control authority, a head and a link, whose clock is trusted."""

    command = (str(Path(__file__).parent / "trusted_run.py"), "--config", "vigie.toml")


def certify(folder: Path, name: str, role: str) -> tuple[str, str]:
    key, certificate = str(folder / f"{name}.key"), str(folder / f"{name}.pem")
    assert main(["key", "request", name, "--key", key]) == 0
    request = str(folder / f"{name}.csr")
    issue = ["key", "issue", str(folder / "control"), request, "--role", role]
    assert main([*issue, "--name", name, "--out", certificate]) == 0
    return certificate, key


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    assert main(["key", "authority", str(tmp_path / "control"), "Casablanca"]) == 0
    return tmp_path


@pytest.fixture
def box(keys: Path, mosquitto: Mosquitto) -> Iterator[CommandedAgent]:
    media = ServerCertificate(keys)
    box = CommandedAgent(keys / "box", mosquitto.url, fake_camera_toml("fps = 5"), detect_fps=1)
    config = box.folder / "vigie.toml"
    config.write_text(
        f"""{config.read_text()}
[record]
segment_s = 1.0
[control]
ca = "{keys / "control" / "control-ca.pem"}"
[link]
upload_hosts = ["localhost"]
ca = "{media.ca}"
[[head]]
name = "mast"
driver = "fake"
"""
    )
    box.start()
    yield box
    box.kill()


def run_example(
    keys: Path, mosquitto: Mosquitto, person: tuple[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, PROGRAM, BOX, "--camera", "north", "--head", "mast"),
            *("--broker", "127.0.0.1", "--port", str(mosquitto.port)),
            *("--centre", *certify(keys, "city", "centre"), "--person", *person),
            *("--media", str(keys / "server.crt"), str(keys / "server.key")),
            *("--media-host", "localhost", "--media-port", str(free_port())),
            *("--out", str(keys / "out")),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_the_example_lists_moves_draws_declares_fetches_and_looks(
    keys: Path, box: CommandedAgent, mosquitto: Mosquitto, capsys: pytest.CaptureFixture[str]
) -> None:
    state = box.folder / "state"
    wait_for_segments(state, SEGMENTS_OF_A_CLIP)
    ran = run_example(keys, mosquitto, certify(keys, "amina", "supervisor"))
    assert (ran.returncode, ran.stderr) == (0, ""), box.log
    lines = ran.stdout.splitlines()
    assert [line.split(":")[0].split(" ")[0] for line in lines] == [
        "box", "head", "scene", "incident", "incident", "clip", "live",
    ]  # fmt: skip
    assert (keys / "out" / "live.jpg").read_bytes().startswith(b"\xff\xd8")
    with zipfile.ZipFile(keys / "out" / "export.zip") as archive:
        archive.extractall(keys / "out")
    key = DeviceIdentity.load_or_create(state / "identity").public_key_raw
    capsys.readouterr()
    verify = ["footage", "verify", str(keys / "out" / "export"), "--public-key"]
    assert main([*verify, base64.b64encode(key).decode()]) == 0


@pytest.mark.usefixtures("box")
def test_a_viewer_is_refused_in_one_line(keys: Path, mosquitto: Mosquitto) -> None:
    ran = run_example(keys, mosquitto, certify(keys, "salma", "viewer"))
    assert ran.returncode == 1
    assert ran.stderr.startswith("ptz: forbidden: ")
    assert ran.stderr.count("\n") == 1
