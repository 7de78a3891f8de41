"""The lens and the views of a fisheye camera: what the scene editor saves, `vigie configure --merge` brings to a box."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import configuration
from agent.config.fisheye import LensConfig
from centre.fisheye_views import FisheyeViews
from tests.scene_editor.test_fisheye_version import edited, view_of
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import TIMEOUT_S, AgentBox
from tests.whole.test_desired_config import BOX, DRAWN

AROUND = """[[camera]]
name = "around"
driver = "fake"
options = { width_px = 160, height_px = 160, fps = 5 }
projection = "fisheye"
lens = { focal_length = 0.3 }
detect = { enabled = false }
"""
NEW = FisheyeViews(
    camera="around", name="around.views.toml", lens=LensConfig(field_of_view_deg=185)
)
TURNED = {"pan_deg": 40, "tilt_deg": -35}


@pytest.fixture
def pole(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[AgentBox]:
    """A box with a fisheye camera that has no view."""
    box = AgentBox(tmp_path / "box", mosquitto.url, DRAWN, detect_fps=1)
    file = box.folder / "vigie.toml"
    file.write_text(file.read_text().replace('scene = "scene.toml"', "enabled = false") + AROUND)
    box.start()
    yield box
    box.kill()


def test_the_saved_views_are_tried_and_kept(
    pole: AgentBox, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    file = tmp_path / NEW.name
    file.write_text(edited(NEW, ["addView", TURNED], ["renameView", 0, "square"]))
    words = ["configure", BOX, "--merge", str(file), "--by", "amina", "--broker", mosquitto.url]
    configure = subprocess.Popen(
        [sys.executable, "-m", "agent", *words], stderr=subprocess.PIPE, text=True
    )
    assert pole.wait_for_exit() == 0
    pole.start()
    _, shown = configure.communicate(timeout=TIMEOUT_S)
    assert configure.returncode == 0, shown
    config = configuration.load(pole.folder / "vigie.toml")
    assert [camera.name for camera in config.camera] == ["north", "around", "square"]
    assert config.camera[1].lens == NEW.lens
    square = view_of(config, "square")
    assert (square.pan_deg, square.tilt_deg) == (40, -35)
