"""An agent with two cameras that share the box's Hailo."""

from pathlib import Path

import pytest

from agent.config.configuration import DetectConfig
from agent.detection import accelerator_card
from tests import hailo_runtime, virtual_camera
from tests.child_processes import child_commands
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import make_agent

CONFIG = """
[box]
id = "casa-0001"
site = "a corner"
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
"""
CAMERA = """
[[camera]]
name = "{name}"
driver = "fake"
record = false
options = {{ width_px = 640, height_px = 360, fps = 5 }}
[camera.detect.accelerator]
model = "street"
file = "{file}"
sha256 = "{sha256}"
"""


def hailo_processes() -> list[int]:
    """The children of this process that run a model on the device."""
    return [
        pid for pid, command in child_commands("self").items() if "drivers.hailo.child" in command
    ]


@pytest.mark.raises_fault("DET-02")
def test_cameras_share_the_device_and_both_fall_back_when_it_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (reason := virtual_camera.skip_reason()) is not None:
        pytest.skip(reason)
    for name, value in hailo_runtime.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "fitted").touch()
    (tmp_path / "loading").touch()
    digest = hailo_runtime.card().sha256
    hailo_runtime.write_card(tmp_path / "cards" / "street.toml")
    monkeypatch.setattr(accelerator_card, "CARDS_FOLDER", tmp_path / "cards")
    tables = (
        CAMERA.format(name=name, file=hailo_runtime.MODEL_FILE, sha256=digest)
        for name in ("north", "south")
    )
    (tmp_path / "vigie.toml").write_text(CONFIG + "".join(tables))
    agent = make_agent(tmp_path / "vigie.toml", tmp_path)
    agent.start()
    detectors = [pipeline.detector for pipeline in agent.pipelines]
    assert None not in detectors

    def names() -> set[str]:
        return {detector.card.name for detector in detectors if detector is not None}

    def failed() -> set[tuple[str, str]]:
        return {(fault.code, fault.subject) for fault in agent.faults.active()}

    try:
        # LiteRT detects until the model is loaded.
        wait_until(lambda: names() == {DetectConfig().model})
        (tmp_path / "loading").unlink()
        wait_until(lambda: names() == {"street"})
        assert len(hailo_processes()) == 1
        (tmp_path / "silent").touch()
        wait_until(lambda: names() == {DetectConfig().model})
        wait_until(lambda: {("DET-02", "north"), ("DET-02", "south")} <= failed())
    finally:
        assert agent.stop()
    assert hailo_processes() == []
