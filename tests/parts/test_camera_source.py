"""agent.capture.camera_source: the kinds of events that hold footage, and options that do not go together."""

from pathlib import Path

import pytest

from agent.base.errors import UserError
from agent.capture import camera_source
from tests.conftest import ManualClock

CONFIG = """
[box]
id = "casa-0001"
site = "a corner"
[broker]
url = "mqtt://127.0.0.1:1883"
[hold]
kinds = {kinds}
[[camera]]
name = "north"
driver = "fake"
options = {}
"""


def written(folder: Path, kinds: str) -> Path:
    path = folder / "vigie.toml"
    path.write_text(CONFIG.replace("{kinds}", kinds), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["face", "door", "selftest"])
def test_footage_is_held_for_camera_events_only(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, f'["stopped", "{kind}"]')
    with pytest.raises(
        UserError, match=rf"hold\.kinds\[1\] = '{kind}': unknown; allowed: line, zone"
    ):
        camera_source.load_sources(path, ManualClock())


def test_footage_is_held_for_each_kind_that_a_rule_declares(tmp_path: Path) -> None:
    kinds = [event_type.kind for event_type in camera_source.CAMERA_EVENT_TYPES]
    config, _ = camera_source.load_sources(written(tmp_path, str(kinds)), ManualClock())
    assert config.hold.kinds == tuple(kinds)


@pytest.mark.parametrize(
    ("driver", "options", "size_px"),
    [
        ("fake", "{}", (1280, 720)),
        ("csi", "{}", (640, 360)),
        ("csi", "{ detect_width_px = 960, detect_height_px = 540 }", (960, 540)),
        ("v4l2", "{ width_px = 1920, height_px = 1080 }", (1920, 1080)),
        ("rtsp", '{ url = "rtsp://camera.example/1" }', None),
        (
            "rtsp",
            '{ url = "rtsp://camera.example/1" }\ndetect_options = { url = "rtsp://camera.example/2" }',
            None,
        ),
    ],
)
def test_the_size_of_the_frames_for_detection_is_that_of_the_options(
    tmp_path: Path, driver: str, options: str, size_px: tuple[int, int] | None
) -> None:
    text = CONFIG.replace("{kinds}", "[]").replace('"fake"', f'"{driver}"')
    path = tmp_path / "vigie.toml"
    path.write_text(text.replace("options = {}", f"options = {options}"), encoding="utf-8")
    _, (source,) = camera_source.load_sources(path, ManualClock())
    assert source.frame_size_px == size_px


@pytest.mark.parametrize("key", ["options", "detect_options"])
def test_a_lent_camera_has_no_hardware_decoder(tmp_path: Path, key: str) -> None:
    """The decoder's firmware is in no sandbox."""
    plain, decoded = (
        f'{{ url = "rtsp://camera.example/1"{more} }}'
        for more in ("", ', decoder_device = "/dev/video10"')
    )
    other = "" if key == "options" else f"options = {plain}\n"
    path = tmp_path / "vigie.toml"
    text = CONFIG.replace("{kinds}", "[]").replace('driver = "fake"', 'driver = "rtsp"')
    lent = '[camera.institution]\nowner = "Tram"\npurpose = "traffic"\n'
    text = text.replace("options = {}", f"{other}{key} = {decoded}")
    path.write_text(text, encoding="utf-8")
    camera_source.load_sources(path, ManualClock())
    path.write_text(text + lent, encoding="utf-8")
    with pytest.raises(
        UserError,
        match=rf"camera\[0\]\.{key}\.decoder_device = '/dev/video10': .*; allowed: for cameras without institution",
    ):
        camera_source.load_sources(path, ManualClock())
