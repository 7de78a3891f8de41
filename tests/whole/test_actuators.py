"""A whole box with a head and pins: `vigie ptz` on the box, commands of the centre, and its death."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.reporting.payloads import (
    DeclarationMessage,
    HealthMessage,
    OnlineStatus,
    SnapshotHeader,
    StatusMessage,
)
from centre.client import ReceivedMessage
from tests.child_processes import child_commands
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import AgentBox, RunningCentre

CONFIG = """
[box]
id = "casa-0001"
site = "Bd Mohammed V / Rue Chaouia"
state = "state"
[broker]
url = "{url}"
[health]
interval_s = 2
[[camera]]
name = "north"
driver = "fake"
options = {{ width_px = 320, height_px = 180, fps = 5 }}
[[head]]
name = "mast"
driver = "fake"
camera = "north"
settle_s = 0.2
lease_s = 5.0
[head.fov_deg]
wide = 90.0
tele = 60.0
[head.sweep]
speed = 1.0
tilt_deg = -10.0
[[head.forbidden]]
name = "windows"
pan_deg = [100.0, 140.0]
tilt_deg = [20.0, 80.0]
[[head.tour]]
name = "round"
[[head.tour.stop]]
preset = "gate"
dwell_s = 1.0
[gpio]
driver = "fake"
[[pin]]
name = "siren"
kind = "siren"
pin = 25
"""


@pytest.fixture
def box(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[AgentBox]:
    box = AgentBox(tmp_path / "box", mosquitto.url)
    (box.folder / "vigie.toml").write_text(CONFIG.format(url=mosquitto.url))
    yield box
    box.kill()


class Technician:
    """A technician at the box, typing."""

    def __init__(self, box: AgentBox, capsys: pytest.CaptureFixture[str]) -> None:
        self._config = str(box.folder / "vigie.toml")
        self._capsys = capsys

    def types(self, *words: str) -> int:
        return main(["ptz", "--config", self._config, *words])

    def run_ptz(self, *words: str) -> dict[str, object]:
        """Return the result in the last reply."""
        assert self.types("--json", *words) == 0, self._capsys.readouterr()
        last = json.loads(self._capsys.readouterr().out.splitlines()[-1])
        result: dict[str, object] = last["result"]
        return result

    def is_reported(self, *words: str) -> str:
        """Why it was refused."""
        assert self.types(*words) in (1, 2)
        return self._capsys.readouterr().err

    def sees(self, *words: str) -> str:
        assert self.types(*words) == 0
        return self._capsys.readouterr().out

    def head(self) -> dict[str, object]:
        heads = self.run_ptz("status")["heads"]
        assert isinstance(heads, list)
        head: dict[str, object] = heads[0]
        return head


def test_a_technician_moves_the_head_and_takes_a_panorama(
    box: AgentBox,
    centre: RunningCentre,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUDO_USER", "amina")
    box.start()
    here = Technician(box, capsys)
    wait_until(lambda: here.head()["settled"])
    assert "mast" in here.sees("list")
    assert "absolute" in here.sees("list")
    assert "forbidden" in here.is_reported("goto", "120", "50")
    assert "'windows'" in here.is_reported("goto", "120", "50")
    here.run_ptz("goto", "30", "5")
    wait_until(lambda: here.head()["position"] == place(30, 5) and here.head()["settled"])
    here.run_ptz("preset", "set", "gate")
    assert "gate" in here.sees("preset", "list")
    assert "allowed: a preset's name" in here.is_reported("goto", "1", "2", "3", "4")
    here.run_ptz("move", "left", "up", "--for", "0.5")
    here.run_ptz("stop")
    here.run_ptz("tour", "start", "round")
    wait_until(lambda: here.head()["tour"] == "round" and here.head()["preset"] == "gate")
    here.run_ptz("tour", "stop")
    panorama = here.run_ptz("sweep")["panorama"]
    assert isinstance(panorama, dict)
    received = centre.wait_for(
        lambda all_: any(sha(item) == panorama["sha256"] for item in all_), "the panorama"
    )
    (picture,) = [item for item in received if sha(item) == panorama["sha256"]]
    assert len(picture.payload) == panorama["size_bytes"]
    # On a busy machine a pose passes without a frame, and the result says so.
    assert panorama["frames"] + len(panorama["missing"]) == 7
    assert panorama["frames"] > len(panorama["missing"])
    receipts = "".join(
        path.read_text() for path in (box.folder / "state" / "custody").glob("*.chain")
    )
    assert '"by":"amina"' in receipts
    here.run_ptz("preset", "delete", "gate")
    assert "no presets yet" in here.sees("preset", "list")
    assert "cannot follow" not in here.is_reported("tour", "start", "square")
    assert box.stop(signal.SIGTERM) == 0
    assert "Traceback" not in box.log


def test_a_preset_with_masks_keeps_its_position(
    box: AgentBox, capsys: pytest.CaptureFixture[str]
) -> None:
    config = box.folder / "vigie.toml"
    scene = 'detect = { scenes = { gate = "gate.scene.toml" } }\n[[head]]'
    config.write_text(config.read_text().replace("[[head]]", scene, 1))
    window = "[[mask]]\npolygon = [[0.2, 0.2], [0.4, 0.2], [0.4, 0.4]]\n"
    (box.folder / "gate.scene.toml").write_text(window)
    box.start()
    here = Technician(box, capsys)
    wait_until(lambda: here.head()["settled"])
    here.run_ptz("preset", "set", "gate")
    wait_until(lambda: here.head()["preset"] == "gate")
    here.run_ptz("goto", "30", "5")
    wait_until(lambda: here.head()["position"] == place(30, 5) and here.head()["settled"])
    for word in ("set", "delete"):
        expected_message = here.is_reported("preset", word, "gate")
        assert "forbidden" in expected_message
        assert "gate.scene.toml' was drawn at preset 'gate'" in expected_message
        assert len(expected_message.splitlines()) == 1
    here.run_ptz("preset", "set", "yard")
    here.run_ptz("goto", "gate")
    wait_until(lambda: here.head()["preset"] == "gate")
    assert box.stop(signal.SIGTERM) == 0


def test_the_birth_health_and_declaration_list_the_heads_and_pins(
    box: AgentBox, centre: RunningCentre
) -> None:
    box.start()
    received = centre.wait_for(
        lambda all_: (
            {DeclarationMessage, HealthMessage} <= {type(item.message) for item in all_}
            and any(open_heads(item) for item in all_)
        ),
        "the declaration, and a head that is open",
    )
    births = [item.message.data for item in received if isinstance(item.message, StatusMessage)]
    birth = births[0]
    assert isinstance(birth, OnlineStatus)
    assert [(head.name, head.camera, head.tours) for head in birth.heads] == [
        ("mast", "north", ("round",))
    ]
    assert [(pin.name, pin.kind, pin.switchable) for pin in birth.pins] == [
        ("siren", "siren", False)
    ]
    reported = [item for item in received if isinstance(item.message, DeclarationMessage)]
    assert isinstance(reported[0].message, DeclarationMessage)
    assert reported[0].message.seq is None
    (camera,) = reported[0].message.data.cameras
    assert (camera.name, camera.on_ptz_head, camera.retention_h) == ("north", True, 72)


def test_the_guard_exits_with_an_orderly_agent_and_acts_for_a_dead_one(box: AgentBox) -> None:
    box.start()
    wait_until(lambda: guard_of(box))
    guard = guard_of(box)
    assert box.stop(signal.SIGTERM) == 0
    wait_until(lambda: has_gone(guard))
    assert "guard: the agent is gone" not in box.log
    box.start()
    wait_until(lambda: guard_of(box))
    guard = guard_of(box)
    box.stop(signal.SIGKILL)
    wait_until(lambda: has_gone(guard))
    assert "guard: the agent has died" in box.log
    assert "guard: head mast: stopped" in box.log
    assert "guard: pin siren: inactive" in box.log


def test_without_an_agent_there_is_one_clear_line(
    box: AgentBox, capsys: pytest.CaptureFixture[str]
) -> None:
    expected_message = Technician(box, capsys).is_reported("status")
    assert "no agent is running; allowed: after `vigie run" in expected_message
    assert len(expected_message.splitlines()) == 1


def place(pan_deg: float, tilt_deg: float) -> dict[str, float]:
    return {"pan_deg": pan_deg, "tilt_deg": tilt_deg, "zoom": 0.0, "error_deg": 0.0}


def sha(item: ReceivedMessage) -> str | None:
    return item.message.data.sha256 if isinstance(item.message, SnapshotHeader) else None


def open_heads(item: ReceivedMessage) -> list[str]:
    message = item.message
    return (
        [head.name for head in message.data.heads if head.open]
        if isinstance(message, HealthMessage)
        else []
    )


def guard_of(box: AgentBox) -> int | None:
    """The guard's process, once it runs."""
    commands = child_commands(box.pid).items()
    return next((pid for pid, command in commands if "failsafe/guard_process.py" in command), None)


def has_gone(pid: int | None) -> bool:
    return not Path(f"/proc/{pid}").exists()
