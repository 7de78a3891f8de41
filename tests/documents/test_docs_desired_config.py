"""docs/desired-configuration.md: its examples are accepted, and its table has the keys of the list."""

import re
from pathlib import Path

import pytest

from agent.base import checked_convert
from agent.config import desired_keys, toml_decode
from agent.config.desired_config import DesiredContent, iter_refused_keys
from agent.config_change.desired_message import read_plain
from agent.detection.scene import Scene, load_scene

PAGE = (Path(__file__).parents[2] / "docs" / "desired-configuration.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```json (\w+)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
DOWN = [line for name, text in BLOCKS if name == "desiredConfig" for line in text.splitlines()]
BASE = {
    "camera": [{"name": "north"}, {"name": "dome"}],
    "head": [{"name": "mast"}],
}


@pytest.mark.parametrize("line", DOWN)
def test_an_example_of_a_version_is_accepted(line: str, tmp_path: Path) -> None:
    desired = read_plain(line.encode()).desired
    assert list(iter_refused_keys(BASE, desired)) == []
    for scene in desired.scenes.values():
        for text in (scene,) if isinstance(scene, str) else scene.values():
            file = tmp_path / "scene.toml"
            file.write_text(text)
            assert isinstance(load_scene(file), Scene)


def test_the_table_shows_each_key_and_what_two_people_sign() -> None:
    shown: dict[str, set[str]] = {}
    rows = PAGE.partition("## Keys that may be set")[2].partition("\n\nA restart")[0]
    for row in rows.replace("| scenes alone |", "| `scenes` |").splitlines():
        cells = row.split("|")
        prefix = ""
        for name in re.findall(r"`([^`]+)`", cells[1] if len(cells) > 3 else ""):
            key = f"{prefix}{name}" if name.startswith(".") else name
            prefix = key.rpartition(".")[0]
            shown[key.replace(".NAME", "[]")] = set(re.findall(r"\*\*([a-z ]+)\*\*", cells[3]))
    assert shown == {
        key: {change.harm for change in changes}
        for key, changes in {**desired_keys.CENTRE_KEYS, **desired_keys.CENTRE_PARTS}.items()
    }


def test_the_example_of_a_file_is_the_content_of_a_version() -> None:
    (text,) = re.findall(r"^```toml version.toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    content = checked_convert.convert(
        toml_decode.parse_toml(text, "version"), DesiredContent, "version.toml"
    )
    assert list(iter_refused_keys(BASE, content)) == []
    assert content.presets["mast"]["tram-stop"].pan_deg == -42.5
