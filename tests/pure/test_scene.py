"""agent.detection.scene."""

import re
from pathlib import Path

import pytest

from agent.base.errors import UserError
from agent.base.model import LABELS
from agent.detection import scene

ZONE = '[[zone]]\nname = "z"\npolygon = {}\n'
LINE = '[[line]]\nname = "l"\nfrom = {}\nto = {}\n'
SQUARE = "[[0, 0], [1, 0], [1, 1], [0, 1]]"


def loaded(tmp_path: Path, text: str) -> scene.Scene:
    file = tmp_path / "scene.toml"
    file.write_text(text, encoding="utf-8")
    return scene.load_scene(file)


def test_an_empty_scene_is_valid(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == scene.Scene()


def test_omitted_keys_have_defaults(tmp_path: Path) -> None:
    drawn = loaded(tmp_path, LINE.format("[0, 0]", "[1, 1]") + ZONE.format(SQUARE))
    line, zone = drawn.line[0], drawn.zone[0]
    assert (line.forward_name, line.backward_name, line.events, line.labels) == (
        "forward",
        "backward",
        False,
        LABELS,
    )
    assert (zone.kind, zone.labels, zone.events, zone.stopped_after_s) == (
        "any",
        LABELS,
        True,
        None,
    )


@pytest.mark.parametrize(
    ("text", "expected_message"),
    [
        ("[[line]", "not valid TOML"),
        ("[[lines]]", "lines: unknown key; allowed: line, zone, mask, ignore"),
        (
            LINE.format("[0, 0]", "[1, 1]") + "frm = 1",
            "line[0].frm: unknown key; allowed: name, from",
        ),
        ('[[line]]\nname = "l"\nto = [1, 1]', "line[0].from: missing; it has to be given"),
        (LINE.format("[0, 0]", "[1.2, 1]"), "line[0].to[0] = 1.2: allowed: at most 1"),
        (LINE.format("[0, -0.1]", "[1, 1]"), "line[0].from[1] = -0.1: allowed: 0 or more"),
        (LINE.format("[0, nan]", "[1, 1]"), "line[0].from[1] = nan"),
        (LINE.format("[0]", "[1, 1]"), "line[0].from"),
        (LINE.format("[0, 0, 0]", "[1, 1]"), "line[0].from"),
        (LINE.format('["a", 0]', "[1, 1]"), "line[0].from[0] = 'a': allowed: a number"),
        (
            LINE.format("[0.5, 0.5]", "[0.5, 0.5]"),
            "line[0].to = [0.5, 0.5]: the same point as `from`",
        ),
        (
            LINE.format("[0, 0]", "[1, 1]") + 'forward_name = "x"\nbackward_name = "x"',
            "line[0].backward_name = 'x'",
        ),
        (LINE.format("[0, 0]", "[1, 1]") + 'forward_name = ""', "line[0].forward_name = ''"),
        (LINE.format("[0, 0]", "[1, 1]") * 2, "line[1].name = 'l': used by line[0].name already"),
        (
            LINE.format("[0, 0]", "[1, 1]") + ZONE.replace('"z"', '"l"').format(SQUARE),
            "zone[0].name = 'l': used by line[0].name already",
        ),
        (ZONE.format("[[0, 0], [1, 1]]"), "zone[0].polygon: allowed: 3 or more items"),
        (ZONE.format("[[0, 0], [1, 1], [1, 0], [0, 1]]"), "its edges cross"),
        (ZONE.format("[[0, 0], [0.5, 0.5], [1, 1]]"), "zone[0].polygon"),
        (ZONE.format("[[0, 0], [1, 0], [1, 0]]"), "zone[0].polygon"),
        (ZONE.format(SQUARE) + 'kind = "road"', "zone[0].kind = 'road'"),
        (
            ZONE.format(SQUARE) + 'kind = "road"',
            "allowed: 'any', 'carriageway', 'pavement', 'queue'",
        ),
        (ZONE.format(SQUARE) + 'labels = ["tram"]', "zone[0].labels[0] = 'tram'"),
        (ZONE.format(SQUARE) + "labels = []", "zone[0].labels"),
        (ZONE.format(SQUARE) + "dwell_after_s = 0", "zone[0].dwell_after_s = 0"),
        (ZONE.format(SQUARE) + "queue_min_count = 5", "has no use with kind 'any'"),
        (
            ZONE.format(SQUARE) + 'kind = "carriageway"\ndirection_deg = 360',
            "zone[0].direction_deg = 360",
        ),
        (ZONE.format(SQUARE) + "queue_min_count = 3", "allowed: with kind 'queue'"),
        ("[[mask]]\npolygon = [[0, 0], [1, 1], [1, 0], [0, 1]]", "mask[0].polygon"),
        ("[[ignore]]\npolygon = [[0, 0], [1, 1], [1, 0], [0, 1]]", "ignore[0].polygon"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, text: str, expected_message: str) -> None:
    with pytest.raises(UserError) as caught:
        loaded(tmp_path, text)
    message = str(caught.value)
    assert expected_message in message
    assert "scene.toml" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["nowhere.toml", ""])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=re.escape(str(tmp_path / name))):
        scene.load_scene(tmp_path / name)


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "scene.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        scene.load_scene(file)
