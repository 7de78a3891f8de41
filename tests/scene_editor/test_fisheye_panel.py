"""The fisheye panel in a real browser: views on the fisheye picture, the lens by straight lines, the file that is saved."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

from agent.__main__ import main
from agent.config.fisheye import ViewOptions
from agent.detection.fisheye_calibration import resolve_lens
from agent.detection.fisheye_lens import Array, FisheyeLens, view_rays
from bench.fisheye_film import to_street
from centre.fisheye_views import read_views
from tests.axe import axe_violations
from tests.pure.test_fisheye_lens import BENT, marked
from tests.scene_editor.browser import PHONE_PX, EditorPage, Place, close_to
from tests.scene_editor.test_fisheye_version import on_the_box, view_of
from tests.scene_editor.test_views_accessibility import OVERFLOW_PX

pytestmark = pytest.mark.slow

SIDE_PX = 600
NORTH, EAST = (
    ViewOptions(camera="around", pan_deg=0, tilt_deg=-45, field_of_view_deg=60),
    ViewOptions(camera="around", pan_deg=90, tilt_deg=-40, field_of_view_deg=70),
)
VIEWS = """[settings.camera.around.lens]
{lens}
[settings.camera.north]
driver = "view"
options = {{ camera = "around", pan_deg = 0, tilt_deg = -45, field_of_view_deg = 60 }}
[settings.camera.east]
driver = "view"
options = {{ camera = "around", pan_deg = 90, tilt_deg = -40, field_of_view_deg = 70 }}
"""
LENS = FisheyeLens(focal_length=1 / np.pi)
RED, GREEN = (200, 40, 40), (40, 180, 40)
"""The colours of the picture's upper half and of its lower one, RGB."""


def write_fisheye_page(folder: Path, lens: str) -> Path:
    """The page that `vigie scene edit` writes for a fisheye camera."""
    picture = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    picture[: SIDE_PX // 2], picture[SIDE_PX // 2 :] = RED[::-1], GREEN[::-1]
    cv2.imwrite(str(folder / "around.png"), picture)
    (folder / "views.toml").write_text(VIEWS.format(lens=lens))
    views = f"around={folder / 'views.toml'}"
    assert main(["scene", "edit", str(folder / "around.png"), "--views", views]) == 0
    return folder / "around.scene.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fisheye_page(tmp_path_factory.mktemp("fisheye"), "field_of_view_deg = 180")


@pytest.fixture
def fisheye(editor: EditorPage, page: Path) -> EditorPage:
    editor.open(page)
    return editor


def seen(view: ViewOptions, *places: Place) -> list[Place]:
    """The places at which the lens sees places of a view."""
    x, y = np.array(places).T
    found = LENS.project(LENS.to_camera(view_rays(view, x, y)), 1.0)
    return [(float(x), float(y)) for x, y in found]


def direction_deg(place: Place) -> tuple[float, float]:
    """The pan and the tilt of a place of the fisheye picture."""
    ray: Array = to_street(LENS, LENS.unproject(np.array([place]), 1.0))[0]
    return float(np.degrees(np.arctan2(ray[0], ray[2]))), float(np.degrees(np.arcsin(ray[1])))


def field(page: EditorPage, name: str) -> float:
    return float(page.run("return document.querySelector(arguments[0]).value", f"[name={name}]"))


def outlines(page: EditorPage) -> list[list[Place]]:
    texts = page.run(
        "return [...document.querySelectorAll('.fisheye-view')].map((each) => each.getAttribute('points'))"
    )
    return [
        [tuple(float(part) / SIDE_PX for part in point.split(",")) for point in text.split(" ")]
        for text in texts
    ]


def test_the_outline_of_a_view_is_its_border_through_the_lens(fisheye: EditorPage) -> None:
    for view, outline in zip((NORTH, EAST), outlines(fisheye), strict=True):
        steps = len(outline) // 4
        corners = [outline[edge * steps] for edge in range(4)]
        for corner, expected in zip(
            corners, seen(view, (0, 0), (1, 0), (1, 1), (0, 1)), strict=True
        ):
            assert corner == pytest.approx(expected, abs=1e-6)
        middle = seen(view, (0.5, 0))[0]
        assert outline[steps // 2] == pytest.approx(middle, abs=1e-6)


def test_a_view_is_selected_moved_and_widened_by_pointer_keys_and_numbers(
    fisheye: EditorPage,
) -> None:
    fisheye.click_at(seen(EAST, (0.3, 0.3))[0])
    assert fisheye.find("[name=view_name]").get_attribute("value") == "east"
    assert fisheye.find("[aria-pressed=true][data-view]").text.startswith("east")
    fisheye.drag(fisheye.handle_place("fisheye-view-1-middle"), (0.7, 0.65))
    turned = direction_deg((0.7, 0.65))
    assert (field(fisheye, "view_pan_deg"), field(fisheye, "view_tilt_deg")) == pytest.approx(
        turned, abs=0.7
    )
    before = field(fisheye, "view_field_of_view_deg")
    x, y = fisheye.handle_place("fisheye-view-1-edge")
    fisheye.drag((x, y), (x + (x - 0.7) * 0.3, y + (y - 0.65) * 0.3))
    assert field(fisheye, "view_field_of_view_deg") > before + 5
    pan_deg = field(fisheye, "view_pan_deg")
    fisheye.run("document.querySelector('[data-handle=fisheye-view-1-middle]').focus()")
    fisheye.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert field(fisheye, "view_pan_deg") > pan_deg
    for name, value in (("view_pan_deg", "-60"), ("view_tilt_deg", "-50")):
        fisheye.type_into(name, value)
    place = seen(msgspec.structs.replace(EAST, pan_deg=-60, tilt_deg=-50), (0.5, 0.5))[0]
    assert close_to(fisheye.handle_place("fisheye-view-1-middle"), place)
    fisheye.type_into("view_tilt_deg", "-500")
    assert fisheye.find("[name=view_tilt_deg]").get_attribute("aria-invalid") == "true"
    while fisheye.find("[data-action=undo]").is_enabled():
        fisheye.click("undo")
    assert outlines(fisheye)[1][0] == pytest.approx(seen(EAST, (0, 0))[0], abs=1e-6)


def test_a_view_is_added_by_keys_deleted_and_saved_for_the_box(fisheye: EditorPage) -> None:
    fisheye.run("document.querySelector('.stage').focus()")
    fisheye.press("n", Keys.ENTER, *[Keys.ARROW_UP] * 6, Keys.ENTER)
    pan_deg, tilt_deg = field(fisheye, "view_pan_deg"), field(fisheye, "view_tilt_deg")
    fisheye.press(Keys.TAB)
    fisheye.find("[data-view='0']").click()
    fisheye.settle()
    fisheye.click("fisheye_delete")
    text = fisheye.save("around.views.toml")
    config = on_the_box(text)
    assert [camera.name for camera in config.camera] == ["around", "east", "around-1"]
    added = view_of(config, "around-1")
    assert (added.pan_deg, added.tilt_deg) == (pan_deg, tilt_deg)
    assert -90 < added.tilt_deg < -45
    assert view_of(config, "east") == EAST
    assert not fisheye.find(".file-name").text.startswith("•")


def test_the_selected_view_is_shown_dewarped(fisheye: EditorPage) -> None:
    pixel = """
        const canvas = document.querySelector("canvas.fisheye-preview");
        const [x, y] = [canvas.width / 2, canvas.height * arguments[0]].map(Math.floor);
        return canvas.hidden ? null : [...canvas.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3);
    """
    fisheye.wait_until(lambda: fisheye.run(pixel, 0.5) not in (None, [0, 0, 0]))
    assert fisheye.run(pixel, 0.5) == pytest.approx(RED, abs=12)
    fisheye.type_into("view_pan_deg", "180")
    assert fisheye.run(pixel, 0.5) == pytest.approx(GREEN, abs=12)
    fisheye.type_into("view_tilt_deg", "-89")
    assert fisheye.run(pixel, 0.2) == pytest.approx(GREEN, abs=12)
    assert fisheye.run(pixel, 0.9) == pytest.approx(RED, abs=12)


def test_a_mask_belongs_to_the_scene_and_a_line_to_a_view(fisheye: EditorPage) -> None:
    fisheye.click("draw-mask")
    fisheye.drag((0.1, 0.1), (0.3, 0.3))
    assert fisheye.find(".file-name").text == "• around.toml"
    assert "[[mask]]" in fisheye.scene_text()
    fisheye.find("#tab-fisheye").click()
    assert fisheye.find(".file-name").text == "around.views.toml"
    assert not fisheye.find("[data-action=undo]").is_enabled()
    fisheye.click("draw-line")
    fisheye.drag((0.4, 0.6), (0.6, 0.6))
    assert fisheye.findings() == [
        "around.toml: lines and zones of a fisheye camera are drawn on its views; allowed: masks alone"
    ]
    fisheye.choose_language("fr")
    assert "se dessinent sur ses vues" in fisheye.findings()[0]


def test_lines_show_the_lens_that_python_finds(editor: EditorPage, tmp_path: Path) -> None:
    lines = [
        [[round(x, 4), round(y, 4)] for x, y in msgspec.to_builtins(line)]
        for line in marked(BENT, 1.0, 8, 1, 0.0).straight
    ]
    editor.open(write_fisheye_page(tmp_path, f"aspect = 1\nstraight = {lines}"))
    lens = read_views("around", tmp_path / "views.toml").lens
    assert (
        f"Focal length: {resolve_lens(lens).focal_length:.4f}"
        in editor.find(".panel-fisheye .ground-status").text
    )
    assert len(editor.find_all("[data-handle^=fisheye-line]")) == 8 * 12
    editor.choose_language("fr")
    editor.run("document.querySelector('[data-handle=fisheye-line-3-5]').focus()")
    editor.press(*[Keys.ARROW_RIGHT] * 6, *[Keys.ARROW_DOWN] * 6)
    assert "la ligne droite 4" in editor.find(".panel-fisheye .ground-status").text
    assert editor.find_all(".fisheye-view") == []
    editor.press(Keys.DELETE)
    assert "Objectif trouvé" in editor.find(".panel-fisheye .ground-status").text
    assert len(editor.find_all(".panel-fisheye .ground-marks tr")) == 8
    editor.click("fisheye-line")
    editor.click_at((0.1, 0.2), (0.12, 0.25), (0.14, 0.3))
    editor.click("draw_finish")
    assert len(editor.find_all(".panel-fisheye .ground-marks tr")) == 9


@pytest.mark.parametrize(("language", "dark"), [("en", True), ("fr", False), ("ar", False)])
def test_the_panel_has_no_violation(fisheye: EditorPage, language: str, dark: bool) -> None:
    fisheye.set_dark(dark=dark)
    fisheye.choose_language(language)
    fisheye.find(".panel-fisheye summary").click()
    fisheye.settle()
    assert axe_violations(fisheye.driver) == []
    fisheye.set_screen(*PHONE_PX, dark=dark)
    assert axe_violations(fisheye.driver) == []
    assert fisheye.run(OVERFLOW_PX) <= 0
