"""The views of the scene editor by the rules of axe-core, mirrored, and on a phone."""

from pathlib import Path

import pytest

from tests.axe import axe_violations
from tests.scene_editor.browser import PHONE_PX, EditorPage
from tests.scene_editor.replay_files import ReplayFiles
from tests.scene_editor.test_ground_panel import FAR_LINE, GROUND

pytestmark = pytest.mark.slow

OVERFLOW_PX = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize(("language", "dark"), [("en", True), ("fr", False), ("ar", False)])
def test_the_views_have_no_violation(
    editor: EditorPage, head_page: Path, replay_files: ReplayFiles, language: str, dark: bool
) -> None:
    editor.open(head_page)
    editor.set_dark(dark=dark)
    editor.choose_language(language)
    editor.open_files(replay_files.film, replay_files.events, replay_files.tracks)
    assert axe_violations(editor.driver) == []
    editor.set_scene_text(GROUND + FAR_LINE)
    editor.find("#tab-ground").click()
    for box in editor.find_all("#panel-ground input[type=checkbox]"):
        box.click()
    editor.settle()
    assert axe_violations(editor.driver) == []
    editor.set_screen(*PHONE_PX, dark=dark)
    assert axe_violations(editor.driver) == []
    assert editor.run(OVERFLOW_PX) <= 0
    editor.find("#tab-replay").click()
    editor.settle()
    assert editor.run(OVERFLOW_PX) <= 0


def test_arabic_is_mirrored(editor: EditorPage, head_page: Path, replay_files: ReplayFiles) -> None:
    editor.open(head_page)
    editor.open_files(replay_files.events)
    for language, begins_right in (("fr", False), ("ar", True)):
        editor.choose_language(language)
        first, second = editor.find_all(".preset-tabs [role=tab]")[:2]
        assert (first.rect["x"] > second.rect["x"]) is begins_right
        line, total = (editor.find(f".replay-counts th:nth-child({column})") for column in (1, 4))
        assert (line.rect["x"] > total.rect["x"]) is begins_right
