"""agent.capture.camera_source: the kinds of events that hold footage."""

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
