"""`[multi_camera_tracking]`: cameras and scenes that can be joined, and one line for each that cannot."""

from pathlib import Path

import pytest

from agent.base.errors import UserError
from agent.capture import camera_source
from agent.config_change import config_check
from bench.multi_camera_tracking import make_scene, make_view
from tests.conftest import ManualClock

CONFIG = """
[box]
id = "casa-0001"
site = "a corner"
[broker]
url = "mqtt://127.0.0.1:1883"
[[camera]]
name = "south"
driver = "fake"
detect = { scene = "south.toml" }
[[camera]]
name = "north"
driver = "fake"
detect = { scene = "north.toml" }
[[camera]]
name = "dome"
driver = "fake"
[[camera]]
name = "bare"
driver = "fake"
[[camera]]
name = "silent"
driver = "fake"
detect = { enabled = false }
[[camera]]
name = "tram"
driver = "fake"
[camera.institution]
owner = "Casa Tramway"
purpose = "safety"
[[head]]
name = "mast"
driver = "fake"
camera = "dome"
[multi_camera_tracking]
cameras = ["south", "north"]
[[multi_camera_tracking.flow]]
name = "northwards"
from = { camera = "south", name = "gate" }
to = { camera = "north", name = "gate" }
labels = ["car", "bus"]
"""
SUITABLE = "south, north, bare"
FLOW = "vigie.toml: multi_camera_tracking.flow[0]"
AGAIN = """[[multi_camera_tracking.flow]]
name = "northwards"
from = { camera = "south", name = "gate" }
to = { camera = "north", name = "gate" }
"""


def scene_text(side: int) -> str:
    scene = make_scene(make_view(50, side), side)
    assert scene.ground is not None
    (line,) = scene.line
    marks = "".join(
        f"[[ground.point]]\nat = {[one.at.x, one.at.y]}\nposition = {[one.position.latitude, one.position.longitude]}\n"
        for one in scene.ground.point
        if one.position is not None
    )
    return (
        f'[[line]]\nname = "gate"\nfrom = {[line.start.x, line.start.y]}\nto = {[line.to.x, line.to.y]}\n'
        f"[ground]\naspect = {scene.ground.aspect}\n{marks}"
    )


SOUTH, NORTH = scene_text(-1), scene_text(1)


def load(folder: Path, text: str = CONFIG, south: str = SOUTH, north: str = NORTH) -> list[str]:
    """The problems of a configuration, by both checks."""
    (folder / "south.toml").write_text(south)
    (folder / "north.toml").write_text(north)
    path = folder / "vigie.toml"
    path.write_text(text)
    clock = ManualClock()
    problems = [str(problem) for problem in config_check.find_problems(path, clock)]
    if problems:
        with pytest.raises(UserError) as caught:
            camera_source.load_sources(path, clock)
        assert str(caught.value) in problems
    else:
        camera_source.load_sources(path, clock)
    assert all("\n" not in problem for problem in problems)
    return [problem.replace(f"{folder}/", "") for problem in problems]


def test_calibrated_cameras_of_one_pole_are_joined(tmp_path: Path) -> None:
    assert load(tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('["south", "north"]', '["south"]', "vigie.toml: multi_camera_tracking.cameras: allowed: 2 or more items"),
        ('["south", "north"]', '["south", "north", "nort"]', f"vigie.toml: multi_camera_tracking.cameras[2] = 'nort': no such camera; allowed: {SUITABLE}"),
        ('name = "gate" }\nto', 'name = "gat" }\nto', f"{FLOW}.from.name = 'gat': not in the scene; allowed: the name of a line or zone"),
        ('to = { camera = "north"', 'to = { camera = "south"', f"{FLOW}.to.camera = 'south': the camera of `from` too; allowed: another one, or [[flow]] in its scene"),
        ('to = { camera = "north"', 'to = { camera = "bare"', f"{FLOW}.to.camera = 'bare': not in multi_camera_tracking.cameras; allowed: south, north"),
        ('name = "northwards"', 'name = "gate"', f"{FLOW}.name = 'gate': used by camera 'north' already; allowed: a name of its own for each line, zone and flow"),
        ('labels = ["car", "bus"]\n', f'labels = ["car", "bus"]\n{AGAIN}', "vigie.toml: multi_camera_tracking.flow[1].name = 'northwards': used by flow[0].name already; allowed: a name of its own for each line, zone and flow"),
        ('labels = ["car", "bus"]\n', 'labels = ["car", "bus"]\n' + AGAIN.replace("northwards", "again"), "vigie.toml: multi_camera_tracking.flow[1].to: flow[0] has the same `from` and `to`; allowed: one flow from a line or zone to another"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in CONFIG
    assert load(tmp_path, CONFIG.replace(old, new))[0] == problem


@pytest.mark.parametrize("name", ["dome", "silent", "tram", "south"])
def test_a_camera_that_turns_or_does_not_detect_or_is_lent_or_named_twice_is_refused(
    tmp_path: Path, name: str
) -> None:
    text = CONFIG.replace('["south", "north"]', f'["south", "north", "{name}"]')
    assert load(tmp_path, text)[0] == (
        f"vigie.toml: multi_camera_tracking.cameras[2] = '{name}': allowed: fixed cameras of no institution"
        f" that detect, each once: {SUITABLE}"
    )


POSITIONS = "has no positions; allowed: marks with latitude and longitude, by which multi_camera_tracking joins cameras"


def test_a_camera_without_a_scene_is_refused(tmp_path: Path) -> None:
    text = CONFIG.replace('["south", "north"]', '["south", "north", "bare"]')
    assert load(tmp_path, text) == [f"vigie.toml: camera 'bare': detect.scene: ground: {POSITIONS}"]


def test_a_ground_without_positions_is_refused(tmp_path: Path) -> None:
    line = NORTH.partition("[ground]")[0]
    assert load(tmp_path, north=line) == [f"north.toml: ground: {POSITIONS}"]


def test_cameras_of_two_poles_are_refused(tmp_path: Path) -> None:
    far = NORTH.replace("position = [33.5", "position = [33.7")
    (problem,) = load(tmp_path, north=far)
    assert problem.startswith("north.toml: ground: 22")
    assert problem.endswith(" m from that of camera 'south'; allowed: up to 300 m, around one pole")


def test_a_line_that_counts_none_of_the_flows_labels_is_refused(tmp_path: Path) -> None:
    people = NORTH.replace('name = "gate"\n', 'name = "gate"\nlabels = ["person"]\n')
    assert load(tmp_path, north=people) == [
        f"{FLOW}.labels: counts nothing; allowed: a label in common with its `from` and its `to`"
    ]


def test_a_box_on_a_pole_runs_with_scenes_that_do_not_fit(tmp_path: Path) -> None:
    load(tmp_path, north=NORTH.replace('"gate"', '"renamed"'))
    _, sources = camera_source.load_sources(tmp_path / "vigie.toml", ManualClock(), "close")
    assert [source.scene_error for source in sources] == [None] * 6
