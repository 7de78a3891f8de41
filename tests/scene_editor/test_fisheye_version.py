"""The file of a fisheye camera's lens and views: what the page writes is what `vigie configure --merge` takes."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.__main__ import main
from agent.base.errors import UserError
from agent.config.configuration import Config
from agent.config.desired_config import DesiredContent, iter_refused_keys, merge
from agent.config.fisheye import LensConfig, ViewOptions
from agent.detection.fisheye_calibration import resolve_lens
from centre.config_text import read_tables
from centre.fisheye_views import FisheyeViews, NamedView, read_views
from centre.scene_page import write_scene_page
from tests.pure.test_fisheye_lens import BENT, marked
from tests.scene_editor.conftest import write_picture
from tests.scene_editor.node_views import run_views

LINES = [
    [list(point) for point in msgspec.to_builtins(line)]
    for line in marked(BENT, 1.5, 5, 1, 0.0).straight
]
CHESSBOARD = LensConfig(focal_length=0.3, k=(0.01, 0.0, 0.0, 0.0), axis_tilt_deg=-80)
NORTH = NamedView(name="north", options=ViewOptions(camera="around", pan_deg=10))
GIVEN = FisheyeViews(
    camera="around", name="x.toml", lens=CHESSBOARD, views=(NORTH,), known=("north", "gone")
)
BASE: dict[str, Any] = {
    "box": {"id": "pole-17", "site": "x"},
    "broker": {"url": "mqtt://127.0.0.1:1"},
    "camera": [
        {
            "name": "around",
            "driver": "fake",
            "projection": "fisheye",
            "lens": {"focal_length": 0.2, "circle": 0.9},
            "detect": {"enabled": False},
        },
        {
            "name": "north",
            "driver": "view",
            "record": False,
            "options": {"camera": "around", "width_px": 640},
        },
    ],
}


WRONG_VIEW = """[settings.camera]
around = { lens = { focal_length = 0.3 } }
e = { driver = "view", options = { camera = "around", pan_deg = 999 } }
"""


def edited(given: FisheyeViews, *edits: list[Any]) -> str:
    """The text after edits of the page."""
    job = {"do": "fisheyeEdits", "given": msgspec.to_builtins(given), "edits": list(edits)}
    (answer,) = run_views(job)
    assert answer["undone"] == answer["texts"][0]
    return str(answer["texts"][-1])


def on_the_box(text: str) -> Config:
    """The configuration of the box with the file merged."""
    tables = read_tables(tomllib.loads(text), "around.views.toml")
    content = msgspec.convert(tables, DesiredContent)
    assert list(iter_refused_keys(BASE, content)) == []
    return msgspec.convert(merge(BASE, content, {}, {}), Config)


def view_of(config: Config, name: str) -> ViewOptions:
    (options,) = (camera.options for camera in config.camera if camera.name == name)
    return msgspec.convert(options, ViewOptions)


def test_the_file_states_all_of_the_lens_and_of_the_views() -> None:
    config = on_the_box(edited(GIVEN))
    assert config.camera[0].lens == CHESSBOARD
    assert view_of(config, "north") == NORTH.options
    assert [camera.name for camera in config.camera] == ["around", "north"]


def test_views_are_added_changed_renamed_and_deleted() -> None:
    config = on_the_box(
        edited(
            GIVEN,
            ["addView", {"pan_deg": 91.234, "tilt_deg": -41.5}],
            ["addView", {"pan_deg": -170, "tilt_deg": -20}],
            ["setView", 1, {"field_of_view_deg": 500, "width_px": 1280}],
            ["renameView", 1, "east"],
            ["renameView", 2, "all"],
            ["setView", 2, {"projection": "panorama", "tilt_deg": -89}],
            ["deleteView", 0],
        )
    )
    assert [camera.name for camera in config.camera] == ["around", "east", "all"]
    assert view_of(config, "east") == ViewOptions(
        camera="around", pan_deg=91.23, tilt_deg=-41.5, field_of_view_deg=150, width_px=1280
    )
    assert view_of(config, "all").tilt_deg == -75
    assert all(not camera.record for camera in config.camera[1:])


@pytest.mark.parametrize("name", ["around", "north", "North", "", "a b", "../x"])
def test_a_name_that_is_used_or_none_is_not_taken(name: str) -> None:
    text = edited(GIVEN, ["addView", {"pan_deg": 0, "tilt_deg": -30}])
    assert (
        edited(GIVEN, ["addView", {"pan_deg": 0, "tilt_deg": -30}], ["renameView", 1, name]) == text
    )


def test_lines_take_the_place_of_a_calibration() -> None:
    text = edited(GIVEN, *(["addLine", line, 1.5] for line in LINES))
    lens = on_the_box(text).camera[0].lens
    assert lens is not None
    assert (lens.focal_length, lens.k, lens.aspect) == (None, (0.0,) * 4, 1.5)
    assert resolve_lens(lens).focal_length == pytest.approx(BENT.focal_length, rel=0.2)
    without = edited(
        GIVEN,
        ["addLine", LINES[0], 1.5],
        ["moveLinePoint", 0, 1, [0.25, 0.5]],
        ["deleteLine", 0],
        ["setLens", "field_of_view_deg", None, 170],
        ["setLens", "centre", 1, 0.45],
    )
    lens = on_the_box(without).camera[0].lens
    assert lens == LensConfig(
        axis_tilt_deg=-80,
        field_of_view_deg=170,
        centre=msgspec.convert([0.5, 0.45], type(lens.centre)),
    )


def test_the_file_is_opened_again_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "version.toml"
    text = edited(GIVEN, *(["addLine", line, 1.5] for line in LINES), ["deleteView", 0])
    path.write_text(text)
    again = read_views("around", path)
    assert again.known == ("north", "gone")
    assert edited(again) == text


def test_the_boxs_own_file_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "vigie.toml"
    path.write_text(
        '[box]\nid = "x"\n[[camera]]\nname = "around"\nlens = { field_of_view_deg = 190 }\n'
        '[[camera]]\nname = "east"\ndriver = "view"\noptions = { camera = "around" }\n'
        '[[camera]]\nname = "other"\ndriver = "view"\noptions = { camera = "else" }\n'
    )
    views = read_views("around", path)
    assert views.lens == LensConfig(field_of_view_deg=190)
    assert [view.name for view in views.views] == list(views.known) == ["east"]
    assert views.name == "around.views.toml"


def test_a_missing_file_is_a_new_one(tmp_path: Path) -> None:
    new = read_views("around", tmp_path / "none.toml")
    assert (new.views, new.lens) == ((), LensConfig(field_of_view_deg=180))


@pytest.mark.parametrize(
    ("camera", "text", "message"),
    [
        ("Around", "", "--views 'Around': no name of a camera; allowed: lower case letters"),
        ("around", "x", "not valid TOML"),
        ("around", "", "no lens of the camera 'around'; allowed: a version"),
        ("around", "settings = 7", "no lens of the camera 'around'"),
        ("around", "[settings.camera]\naround = 7", "no lens of the camera 'around'"),
        ("around", "[settings.camera.around.lens]\ncircle = 9", "circle = 9"),
        (
            "around",
            WRONG_VIEW,
            "pan_deg = 999",
        ),
    ],
)
def test_another_file_is_refused_in_one_line(
    tmp_path: Path, camera: str, text: str, message: str
) -> None:
    path = tmp_path / "version.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_views(camera, path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("picture", "views", "message"),
    [
        (".", "around=x.toml", "--views: allowed: with a picture"),
        ("around.jpg", "around", "--views 'around': allowed: CAMERA=FILE"),
    ],
)
def test_views_are_of_a_camera_with_a_picture(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    picture: str,
    views: str,
    message: str,
) -> None:
    assert main(["scene", "edit", str(tmp_path / picture), "--views", views]) != 0
    assert message in capsys.readouterr().err


def test_nothing_but_the_lens_and_the_views_is_in_the_page(tmp_path: Path) -> None:
    path = tmp_path / "vigie.toml"
    path.write_text(
        'secret = "s3same"\n[[camera]]\nname = "around"\nlens = { field_of_view_deg = 190 }\n'
        'options = { url = "rtsp://admin:s3same@10.0.0.1/" }\n'
    )
    page = write_scene_page(
        write_picture(tmp_path / "around.jpg"), None, read_views("around", path)
    )
    assert '"field_of_view_deg":190.0' in page.read_text()
    assert "s3same" not in page.read_text()
