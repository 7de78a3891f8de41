"""The scene editor's page by the rules of axe-core: contrast, names, roles, in each language and colour scheme."""

from pathlib import Path

import pytest

from tests.axe import axe_violations
from tests.scene_editor.browser import PHONE_PX, EditorPage

pytestmark = pytest.mark.slow

WRONG = '\n[[zone]]\nname = "left lane"\npolygon = [[0, 0], [1, 1], [1, 0], [0, 1]]\ndwell_after_s = 0\n'


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_has_no_violation(editor: EditorPage, street_page: Path, dark: bool) -> None:
    editor.open(street_page)
    editor.set_dark(dark=dark)
    editor.set_scene_text(editor.scene_text() + WRONG)
    editor.find("[data-row=zone-3]").click()
    editor.find(".help summary").click()
    editor.settle()
    assert axe_violations(editor.driver) == []
    editor.find("#tab-text").click()
    editor.click("draw-zone")
    assert axe_violations(editor.driver) == []


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_a_phone_in_another_language_has_no_violation(
    editor: EditorPage, street_page: Path, language: str
) -> None:
    editor.open(street_page)
    editor.set_screen(*PHONE_PX)
    editor.choose_language(language)
    editor.find("[data-row=zone-0]").click()
    editor.settle()
    assert axe_violations(editor.driver) == []


def test_a_violation_that_was_put_in_is_found(editor: EditorPage) -> None:
    editor.run("document.querySelector('.side').append(document.createElement('img'))")
    (found,) = axe_violations(editor.driver)
    assert found.startswith("image-alt")
