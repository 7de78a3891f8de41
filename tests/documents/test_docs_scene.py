"""docs/scene.md: its examples load, each key and event is explained."""

import re
from pathlib import Path

import msgspec
import pytest

from agent.capture.camera_source import CAMERA_EVENT_TYPES
from agent.detection import scene
from agent.detection.ground_marks import GroundMarks, KnownLength, MarkedPoint
from agent.detection.scene import IgnoreZone, PrivacyMask, Scene, SceneLine, Zone

PAGE = (Path(__file__).parents[2] / "docs" / "scene.md").read_text(encoding="utf-8")
KINDS = [event_type.kind for event_type in CAMERA_EVENT_TYPES]
KEY_TABLES = (SceneLine, Zone, PrivacyMask, IgnoreZone, GroundMarks)
INLINE_TABLES = (MarkedPoint, KnownLength)
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_a_valid_scene(block: str, tmp_path: Path) -> None:
    file = tmp_path / "scene.toml"
    file.write_text(block, encoding="utf-8")
    assert scene.load_scene(file) != Scene()


@pytest.mark.parametrize("kind", KEY_TABLES)
def test_every_key_is_shown_and_explained(kind: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(kind):
        assert re.search(rf"^{field.encode_name} = ", "".join(BLOCKS), re.MULTILINE)
        assert f"`{field.encode_name}`" in PAGE


@pytest.mark.parametrize("kind", INLINE_TABLES)
def test_every_key_of_a_mark_is_explained(kind: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(kind):
        assert f"`{field.encode_name}`" in PAGE


def test_the_page_names_no_unknown_key() -> None:
    keys = {
        field.encode_name
        for kind in (*KEY_TABLES, *INLINE_TABLES)
        for field in msgspec.structs.fields(kind)
    }
    for row in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| .* \|", PAGE, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", row):
            assert name in keys or name in KINDS, name


def test_every_kind_of_event_of_a_camera_is_in_the_table() -> None:
    for kind in KINDS:
        assert re.search(rf"^\| .*`{kind}`", PAGE, re.MULTILINE), kind
