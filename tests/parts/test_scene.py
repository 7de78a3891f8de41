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
GROUND = """
[ground]
point = [
  { at = [0.28, 0.79], metres = [0, 0] },
  { at = [0.72, 0.79], metres = [7, 0] },
  { at = [0.37, 0.49], metres = [0, 7] },
  { at = [0.63, 0.49], metres = [7, 7] },
]
"""
LINE_M = '[[line]]\nname = "l"\nfrom_m = {}\nto_m = {}\n'
ZONE_M = '[[zone]]\nname = "z"\npolygon_m = {}\n'


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
        ("[[lines]]", "lines: unknown key; allowed: line, zone, flow, mask, ignore"),
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
        (ZONE.format("[[0, 0], [1], [1, 1]]"), "zone[0].polygon[1]: allowed: 2 items"),
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
        ("ground = 1", "ground"),
        ("[ground]\npoints = []", "ground.points: unknown key; allowed: point, length"),
        ("[ground]", "ground: has neither of `point` and `length`; allowed: one of them"),
        ("[ground]\npoint = []", "ground.point: allowed: 4 or more items"),
        (GROUND.replace("0.28", "1.28"), "ground.point[0].at[0] = 1.28: allowed: at most 1"),
        (GROUND.replace("[7, 0]", "[7]"), "ground.point[1].metres"),
        (GROUND.replace("[7, 0]", "[-7, 0]"), "scene.toml: ground.point: "),
        (GROUND + "camera_height_m = 6", "ground.camera_height_m = 6.0: has no use with `point`"),
        (LINE_M.format("[0, 5]", "[7, 5]"), "line[0].from_m: there is no [ground]"),
        (GROUND + LINE_M.format("[0, 5]", "[7]"), "line[0].to_m"),
        (GROUND + LINE_M.format("[0, 5]", "['a', 5]"), "line[0].to_m[0] = 'a': allowed: a number"),
        (
            GROUND + LINE_M.format("[0, 5]", "[7, 5]") + "from = [0, 0]",
            "line[0].from: given with `from_m`; allowed: one of them",
        ),
        (
            GROUND + LINE_M.format("[0, 5]", "[7, 5]").replace("to_m", "to"),
            "line[0].to: given with `from_m`",
        ),
        (GROUND + '[[line]]\nname = "l"\nto_m = [0, 5]', "line[0].from_m: missing"),
        (
            GROUND + LINE_M.format("[0, -50]", "[7, -50]"),
            "line[0].from_m: no part of the line is in the picture",
        ),
        (
            GROUND + ZONE_M.format("[[0, -50], [7, -50], [7, -60]]"),
            "zone[0].polygon_m: no part of it is in the picture",
        ),
        (GROUND + ZONE_M.format("[[0, 2], [7, 2]]"), "zone[0].polygon_m: allowed: 3 or more items"),
        (GROUND + ZONE_M.format("[[0, 2], [7, 7], [7, 2], [0, 7]]"), "its edges cross"),
        (
            GROUND + ZONE_M.format("[[0, 2], [7, 2], [7, 7]]") + "polygon = " + SQUARE,
            "zone[0].polygon: given with `polygon_m`",
        ),
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


def test_lines_and_zones_in_metres_are_placed_on_the_picture(tmp_path: Path) -> None:
    drawn = loaded(
        tmp_path,
        GROUND
        + LINE_M.format("[7, 7]", "[0, 7]")
        + ZONE_M.format("[[0, 0], [7, 0], [7, 7], [0, 7]]"),
    )
    line, zone = drawn.line[0], drawn.zone[0]
    assert (line.start.x, line.start.y, line.to.x, line.to.y) == pytest.approx(
        (0.63, 0.49, 0.37, 0.49)
    )
    assert [round(corner.x, 6) for corner in zone.polygon] == [0.28, 0.72, 0.63, 0.37]
    plane = drawn.ground_plane
    assert plane is not None
    assert plane.to_picture(7, 7) == line.start
    assert plane is drawn.ground_plane


def test_a_zone_in_metres_is_clipped_to_what_the_picture_shows(tmp_path: Path) -> None:
    lane = "[[3, -500], [7, -500], [7, 10], [3, 10]]"
    drawn = loaded(tmp_path, GROUND + ZONE_M.format(lane))
    assert max(corner.y for corner in drawn.zone[0].polygon) == 1
    assert 0.3 < min(corner.y for corner in drawn.zone[0].polygon) < 0.49
    line = LINE_M.format("[3.5, -500]", "[3.5, 7]")
    drawn = loaded(tmp_path, GROUND + line)
    start, to = drawn.line[0].start, drawn.line[0].to
    assert start.y == 1
    assert (to.x, to.y) == pytest.approx((0.5, 0.49))
    reversed_line = LINE_M.format("[3.5, 7]", "[3.5, -500]")
    drawn = loaded(tmp_path, GROUND + reversed_line)
    assert (drawn.line[0].start, drawn.line[0].to) == (to, start)


def test_an_area_of_which_the_picture_shows_two_parts_is_refused(tmp_path: Path) -> None:
    two_arms = "[[40, 5], [40, 12], [3, 12], [3, 10], [30, 10], [30, 7], [3, 7], [3, 5]]"
    with pytest.raises(UserError, match=r"zone\[0\].polygon_m: falls into parts in the picture"):
        loaded(tmp_path, GROUND + ZONE_M.format(two_arms))
