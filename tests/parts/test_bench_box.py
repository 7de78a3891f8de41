"""bench.box: the configuration and scene of a measured box are valid."""

from pathlib import Path

import pytest

from agent.capture import camera_source
from bench.box import CameraSetup, write_config
from tests.conftest import ManualClock


@pytest.mark.parametrize("sub", [None, Path("sub.mp4")])
def test_the_configuration_of_a_measured_box_is_accepted(sub: Path | None, tmp_path: Path) -> None:
    setup = CameraSetup(video=Path("main.mp4"), sub=sub)
    file = write_config(tmp_path / "box", setup, "mqtt://127.0.0.1:1883")
    config, sources = camera_source.load_sources(file, ManualClock())
    assert config.broker.ack == "broker"
    assert len(sources) == 1
