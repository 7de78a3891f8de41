"""An agent whose camera module has a network in its sensor: it detects there, falls back, and returns."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app.agent import Agent
from agent.base.sha256 import sha256_hex
from agent.config.configuration import DetectConfig
from tests import virtual_camera
from tests.virtual_camera import imx500
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import make_agent

CONFIG = """
[box]
id = "casa-0001"
site = "a corner"
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "street"
driver = "csi"
record = false
options = {{ camera = "Virtual0", width_px = 640, height_px = 360, detect_width_px = 320, detect_height_px = 240 }}
[camera.detect]
fps = 10
[camera.detect.accelerator]
model = "imx500_ssd_mobilenetv2"
file = "street.rpk"
sha256 = "{sha256}"
"""
CAR = (0.4, 0.25, 0.6, 0.5, 0.9, 2)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    if (reason := virtual_camera.skip_reason()) is not None:
        pytest.skip(reason)
    for name, value in virtual_camera.picamera2_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VIRTUAL_CAMERA", str(tmp_path))
    imx500.fit_sensor(tmp_path)
    network = imx500.write_network(tmp_path / "street.rpk")
    imx500.write_metadata(tmp_path, imx500.detections(CAR))
    path = tmp_path / "vigie.toml"
    path.write_text(CONFIG.format(sha256=sha256_hex(network.read_bytes())))
    with virtual_camera.installed_pipeline():
        started = make_agent(path, tmp_path)
        started.start()
        yield started
        started.stop()


@pytest.mark.raises_fault("DET-02")
def test_the_sensor_detects_and_litert_takes_over_while_it_is_silent(
    agent: Agent, tmp_path: Path
) -> None:
    (pipeline,) = agent.pipelines
    detector, tracks = pipeline.detector, list[int]()
    assert detector is not None
    pipeline.frame_listeners.append(lambda _frame, result: tracks.append(len(result.tracks)))
    wait_until(lambda: detector.inference_count > 5)
    assert detector.card.name == "imx500_ssd_mobilenetv2"
    wait_until(lambda: 1 in tracks)
    imx500.write_metadata(tmp_path, {"ScalerCrop": list(imx500.SCALER_CROP)})
    wait_until(lambda: detector.card.name == DetectConfig().model)
    (fault,) = [fault for fault in agent.faults.active() if fault.code == "DET-02"]
    assert (fault.subject, "no result of the sensor for 5 s" in fault.detail) == ("street", True)
    imx500.write_metadata(tmp_path, imx500.detections(CAR))
    wait_until(lambda: all(fault.code != "DET-02" for fault in agent.faults.active()))
    assert detector.card.name == "imx500_ssd_mobilenetv2"
