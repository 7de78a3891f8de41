"""The ground panel in a real browser: marks, their errors, and the map of pixels per metre."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from agent.detection.ground_plane import GroundPlane
from agent.detection.pixel_density import least_px_per_m
from agent.detection.scene import load_scene
from drivers.media import Point
from simulation.street.fixed_view import FixedView
from tests.scene_editor.browser import PHONE_PX, EditorPage
from tests.scene_editor.conftest import PICTURE_PX, write_picture
from tests.vectors.ground_vectors import FOLDER

pytestmark = pytest.mark.slow

GROUND = """
# Paced out along the kerb.
[ground]
point = [
  { at = [0.3, 0.9], metres = [0.0, 0.0] },  # the hydrant
  { at = [0.7, 0.9], metres = [7.0, 0.0] },
  { at = [0.4, 0.5], metres = [0.0, 20.0] },
  { at = [0.6, 0.5], metres = [7.0, 20.0] },
  { at = [0.35, 0.7], metres = [0.0, 6.6667] },
]
"""
MARKS = [((0.3, 0.9), (0, 0)), ((0.7, 0.9), (7, 0)), ((0.4, 0.5), (0, 20)), ((0.6, 0.5), (7, 20))]
FAR_LINE = """
[[line]]
name = "far"
from = [0.4, 0.27]
to = [0.6, 0.27]
labels = ["car", "person"]
"""


def open_ground(page: EditorPage, text: str = GROUND) -> None:
    page.set_scene_text(text)
    page.find("#tab-ground").click()
    page.settle()


def as_scene_text(ground: dict[str, Any]) -> str:
    """The table of a scene with marks and straight lines."""
    marks = [f"{{ at = {mark['at']}, metres = {mark['metres']} }}" for mark in ground["point"]]
    lines = [f"point = [{', '.join(marks)}]", f"straight = {ground['straight']}"]
    return "\n".join(["[ground]", *lines, f"aspect = {ground.get('aspect', 16 / 9)}", ""])


def plane_of(page: EditorPage, folder: Path) -> GroundPlane:
    """The plane that Python makes of the page's text."""
    path = folder / "scene.toml"
    path.write_text(page.scene_text())
    plane = load_scene(path).ground_plane
    assert plane is not None
    return plane


def test_four_points_are_marked_by_clicks_and_typed_metres(
    editor: EditorPage, tmp_path: Path
) -> None:
    editor.find("#tab-ground").click()
    editor.click("ground-point")
    for count, (place, (x_m, y_m)) in enumerate(MARKS):
        editor.click_at(place)
        editor.press(str(x_m), Keys.TAB, str(y_m))
        if count < 3:
            assert f"still missing: {3 - count}" in editor.find(".ground-status").text
    assert "The error is not known" in editor.find(".ground-status").text
    plane = plane_of(editor, tmp_path)
    at = plane.to_ground(Point(0.3, 0.9))
    assert at is not None
    assert (at.x_m, at.y_m) == pytest.approx((0, 0), abs=0.05)
    editor.find("[data-action=select]").click()
    editor.settle()
    assert [
        handle.get_attribute("aria-label") for handle in editor.find_all("[data-handle^=ground]")
    ] == [f"mark {number} of the ground" for number in (1, 2, 3, 4)]


def test_the_errors_are_those_of_python(editor: EditorPage, tmp_path: Path) -> None:
    open_ground(editor)
    plane = plane_of(editor, tmp_path)
    assert plane.error_m is not None
    assert f"Error: {plane.error_m:.2f} m" in editor.find(".ground-status").text
    shown = [cell.text for cell in editor.find_all(".ground-marks [data-error]")]
    assert shown == [
        "\u2013" if error is None else f"{error:.2f} m" for error in plane.mark_errors_m
    ]


def test_a_mark_is_moved_typed_and_deleted_without_loss_of_comments(editor: EditorPage) -> None:
    open_ground(editor)
    first = editor.find("input[data-list=point][data-index='4'][data-part='1']")
    first.clear()
    first.send_keys("6.7")
    editor.run("document.querySelector('[data-handle=ground-point-1-at]').focus()")
    editor.press(Keys.ARROW_LEFT)
    text = editor.scene_text()
    assert "# Paced out along the kerb." in text
    assert "# the hydrant" in text
    assert "metres = [0.0, 6.7]" in text
    assert "at = [0.7, 0.9]" not in text
    editor.find("[aria-label='Delete mark 5']").click()
    editor.settle()
    assert len(editor.find_all(".ground-marks tr")) == 5
    editor.click("undo")
    assert len(editor.find_all(".ground-marks tr")) == 6


def test_wrong_marks_are_refused_with_the_reason_in_the_persons_language(
    editor: EditorPage,
) -> None:
    open_ground(editor, GROUND.replace("[7.0, 20.0]", "[0.0, 20.0]"))
    assert "Refused: marks 4 and 3 are 0.00 m apart" in editor.find(".ground-status").text
    editor.choose_language("fr")
    assert "Refusé" in editor.find(".ground-status").text
    assert editor.findings()[0].startswith("Refusé : les repères 4 et 3 sont à 0.00 m")


@pytest.mark.parametrize(("lens", "warns"), [("distortion", False), ("that_bends_too_much", True)])
def test_a_lens_that_bends_too_much_is_named_with_the_remedy(
    editor: EditorPage, lens: str, warns: bool
) -> None:
    vector = json.loads((FOLDER / f"lens_{lens}.json").read_text(encoding="utf-8"))
    open_ground(editor, as_scene_text(vector["ground"]))
    for language, remedy in (("en", "flat view"), ("fr", "vue plane"), ("ar", "مسطّح")):
        editor.choose_language(language)
        assert (remedy in editor.find(".ground-status").text) is warns


def test_lines_on_too_few_pixels_are_marked_in_the_words_of_the_check(
    editor: EditorPage, tmp_path: Path
) -> None:
    open_ground(editor, GROUND + FAR_LINE)
    path = tmp_path / "scene.toml"
    path.write_text(editor.scene_text())
    scene = load_scene(path)
    assert scene.ground_plane is not None
    (line,) = scene.line
    px_per_m = (
        math.floor(least_px_per_m(scene.ground_plane, (line.start, line.to), *PICTURE_PX) * 10) / 10
    )
    assert px_per_m < 10
    words = f"line 'far': {px_per_m} pixels per metre; needed: "
    assert editor.findings() in ([f"{words}10 for person"], [f"{words}7 for car; 10 for person"])
    assert "far: " in editor.find(".ground-low-density").text
    assert "⚠ far" in editor.find("svg.picture").text
    size = editor.find_all("#panel-ground input[type=number]")[-2]
    size.clear()
    size.send_keys("16000" + Keys.TAB)
    editor.settle()
    assert editor.find_all(".ground-low-density li") == []


def test_the_map_has_the_levels_of_the_standard(editor: EditorPage) -> None:
    open_ground(editor)
    labels = [item.text.split("\n") for item in editor.find_all(".density-legend li")]
    legend = [" ".join(label) for label in labels]
    assert legend[0] == "1500 px/m scrutinise"
    assert legend[-2:] == ["20 px/m overview", "less than 20 px/m"]
    for box in editor.find_all("#panel-ground input[type=checkbox]"):
        box.click()
    editor.settle()
    shown = editor.run("""
        return [...document.querySelectorAll("[data-layer=density] rect")].map((rect) => [
            Number(rect.getAttribute("y")), rect.getAttribute("class"),
        ]);
    """)
    top = {name for y, name in shown if y < PICTURE_PX[1] * 0.45}
    bottom = {name for y, name in shown if y > PICTURE_PX[1] * 0.95}
    assert top == {"density density-none"}
    assert bottom == {"density density-outline"}
    assert len(editor.find_all("[data-layer=ground] .ground-grid")) > 10


def test_known_lengths_and_a_height_in_place_of_points(editor: EditorPage) -> None:
    editor.find("#tab-ground").click()
    editor.click("ground-length")
    for begin, end in (((0.3, 0.9), (0.7, 0.9)), ((0.3, 0.9), (0.4, 0.5))):
        editor.click_at(begin, end)
        editor.press("7" if begin[1] == end[1] else "20")
    editor.click("ground-straight")
    editor.click_at((0.05, 0.2), (0.5, 0.15))
    editor.press(Keys.ENTER)
    assert "length = [" in editor.scene_text()
    assert "camera_height_m = 6" in editor.scene_text()
    assert "aspect = 1.7778" in editor.scene_text()
    assert len(editor.find_all("input[data-list=length]")) == 2


def test_a_mark_is_placed_by_keys_alone(editor: EditorPage) -> None:
    editor.run("document.querySelector('.stage').focus()")
    editor.press("g", Keys.ENTER, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
    editor.press("3.5", Keys.TAB, "12")
    assert "metres = [3.5, 12]" in editor.scene_text()
    assert editor.find("#panel-ground").is_displayed()


def test_marks_are_placed_by_a_finger_on_a_phone(editor: EditorPage) -> None:
    editor.set_screen(*PHONE_PX)
    editor.find("#tab-ground").click()
    editor.click("ground-length")
    editor.tap((0.3, 0.8))
    editor.tap((0.7, 0.8))
    assert "length = [" in editor.scene_text()
    editor.click("select")
    editor.swipe((0.3, 0.8), (0.3, 0.6))
    assert "from = [0.3" in editor.scene_text()
    assert "from = [0.3, 0.8" not in editor.scene_text()


def test_a_mark_that_does_not_fit_is_named_and_left_out(editor: EditorPage, tmp_path: Path) -> None:
    view, wrong = FixedView(1280, 720), 5
    lines = []
    for index, (x_m, z_m) in enumerate((x, z) for z in (14, 18, 26, 40) for x in (-5.6, 0.0, 5.6)):
        x_px, y_px = view.pixel(x_m, 0.0, z_m)
        metres = [x_m, z_m + 9 if index == wrong else z_m]
        lines.append(f"{{at = [{x_px / 1280:.4f}, {y_px / 720:.4f}], metres = {metres}}}")
    open_ground(editor, f"[ground]\npoint = [{', '.join(lines)}]\n")
    assert plane_of(editor, tmp_path).set_aside == (wrong,)
    assert f"left out: {wrong + 1}." in editor.find(".ground-status").text
    assert editor.find(f".ground-marks [data-error='{wrong}']").text == "does not fit"
    assert editor.find(".ground-mark.aside").text == f"{wrong + 1} ✕"


def test_another_picture_of_the_same_size_leaves_the_lists_and_their_focus(
    editor: EditorPage, tmp_path: Path
) -> None:
    open_ground(editor, GROUND + FAR_LINE)
    editor.run("document.querySelector('.findings button').focus()")
    focused = "return document.activeElement.closest('.findings') !== null"
    assert editor.run(focused)
    editor.open_files(write_picture(tmp_path / "next.jpg"))
    assert "next.jpg" not in editor.status()
    assert editor.run(focused)
    editor.open_files(write_picture(tmp_path / "larger.jpg", 2560, 1440))
    width = editor.find_all("#panel-ground input[type=number]")[-2]
    assert width.get_attribute("value") == "2560"
