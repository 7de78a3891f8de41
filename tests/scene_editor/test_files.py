"""The scene editor's page in a real browser: files that are opened and saved."""

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.scene_editor.browser import EditorPage
from tests.scene_editor.conftest import write_picture

pytestmark = pytest.mark.slow


def test_pictures_and_scenes_are_opened_and_others_refused(
    editor: EditorPage, tmp_path: Path
) -> None:
    picture = write_picture(tmp_path / "other.png", 640, 480)
    scene = tmp_path / "<b>mine.toml"
    scene.write_text("# mine\n[[mask]]\npolygon = [[0, 0], [1, 0], [1, 1]]\n")
    editor.open_files(picture, scene)
    assert editor.elements() == ["Mask 1"]
    assert editor.find(".file-name").text == "<b>mine.toml"
    assert editor.run("return document.querySelector('svg.picture image').getAttribute('width')") == "640"  # fmt: skip
    for name, content, words in (
        ("torn.jpg", b"no picture", "not a whole picture"),
        ("latin.toml", b"# caf\xe9\n", "not UTF-8"),
        ("run.exe", b"MZ", "allowed: a picture"),
        ("large.toml", b"#" * 1_048_577, "too large"),
    ):
        file = tmp_path / name
        file.write_bytes(content)
        editor.open_files(file)
        assert words in editor.status(), name
    assert editor.elements() == ["Mask 1"]


def test_saving_marks_the_scene_as_saved(editor: EditorPage) -> None:
    editor.click("draw-mask")
    editor.drag((0.2, 0.2), (0.5, 0.5))
    assert editor.find(".file-name").text.startswith("•")
    assert editor.save("street.toml") == editor.scene_text()
    assert editor.find(".file-name").text == "street.toml"
    editor.press_with(Keys.CONTROL, "s")


def test_a_chosen_file_is_written_again_without_a_question(editor: EditorPage) -> None:
    # Instead of the browser's dialogue, which no test can answer, and the file that a person chooses in it.
    editor.run("""
        window.asked = 0;
        const writable = async () => ({ write: async (blob) => { window.written = await blob.text(); }, close: async () => {} });
        window.showSaveFilePicker = async () => { window.asked += 1; return { createWritable: writable }; };
    """)
    for begin, end in (((0.2, 0.2), (0.5, 0.5)), ((0.6, 0.6), (0.8, 0.8))):
        editor.click("draw-mask")
        editor.drag(begin, end)
        editor.click("save")
        editor.wait_until(lambda: editor.find(".file-name").text == "street.toml")
        assert editor.run("return window.written") == editor.scene_text()
    assert editor.run("return window.asked") == 1


def test_a_new_scene_is_named_after_the_picture_that_is_opened(
    editor: EditorPage, tmp_path: Path
) -> None:
    assert editor.find(".file-name").text == "street.toml"
    editor.open_files(write_picture(tmp_path / "north.gate.png"))
    assert editor.find(".file-name").text == "north.gate.toml"
    editor.click("draw-mask")
    editor.drag((0.2, 0.2), (0.5, 0.5))
    editor.open_files(write_picture(tmp_path / "other.png"))
    assert editor.find(".file-name").text == "• north.gate.toml"
    assert editor.elements() == ["Mask 1"]
