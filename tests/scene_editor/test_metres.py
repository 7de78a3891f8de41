"""The scene editor's page in a real browser: elements that are given in metres."""

import re

import pytest

from tests.scene_editor.browser import EditorPage, close_to
from tests.scene_editor.test_check import check_in_python

pytestmark = pytest.mark.slow

GROUND = """\
[ground]
point = [
  { at = [0.3, 0.6], metres = [0.0, 0.0] },
  { at = [0.7, 0.6], metres = [7.0, 0.0] },
  { at = [0.6, 0.4], metres = [7.0, 15.0] },
  { at = [0.4, 0.4], metres = [0.0, 15.0] },
]
[[line]]
name = "stop line"
from_m = [0.0, 5.0]
to_m = [7.0, 5.0]
"""
ZONE_IN_METRES = (
    "from_m = [0.0, 5.0]\nto_m = [7.0, 5.0]\n",
    "polygon_m = [[0.0, 5.0], [7.0, 5.0], [7.0, 12.0], [-400.0, 12.0]]\n",
)


def test_an_element_in_metres_is_shown_and_its_corners_are_written_in_metres(
    editor: EditorPage,
) -> None:
    editor.set_scene_text(GROUND)
    assert editor.elements() == ["stop line"]
    assert editor.find(".element.line .shape").get_attribute("points")
    editor.find("[data-row=line-0]").click()
    editor.settle()
    assert "in metres" in editor.find(".properties").text
    place = editor.handle_place("line-0-corner-1")
    editor.drag(place, (0.5, 0.45))
    # Through the ground plane, to a centimetre; the other end stays as it was written.
    assert re.search(
        r"\nfrom_m = \[0\.0, 5\.0\]\nto_m = \[3\.5\d?, 8\.\d+\]\n", editor.scene_text()
    )
    assert close_to(editor.handle_place("line-0-corner-1"), (0.5, 0.45))
    assert check_in_python(editor.scene_text()) is None
    editor.click("undo")
    editor.click("swap_directions")
    assert "from_m = [7, 5.0]" in editor.scene_text()
    editor.set_scene_text(GROUND.replace("[[line]]", "[[zone]]").replace(*ZONE_IN_METRES))
    editor.find("[data-row=zone-0]").click()
    editor.settle()
    # The corners that the picture shows have handles.
    assert len(editor.find_all(".handle.corner")) == 3
    editor.drag(editor.handle_place("zone-0-middle-0"), (0.5, 0.55))
    assert len(editor.find_all(".handle.corner")) == 4
    assert editor.scene_text().count("], [") == 4
    assert check_in_python(editor.scene_text()) is None
    editor.set_scene_text(GROUND.replace("0.4]", "0.6]"))
    assert "lie on a line" in editor.findings()[0]
