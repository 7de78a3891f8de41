"""A camera on a head: a tab for each preset, and the panorama as a map, in a real browser."""

import shutil
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from agent.__main__ import main
from centre.demo.ptz_script import PRESETS
from tests.scene_editor.browser import EditorPage

pytestmark = pytest.mark.slow

NAMES = list(PRESETS)


def tabs(page: EditorPage) -> list[str]:
    return [tab.text for tab in page.find_all(".preset-tabs [role=tab]")]


def selected(page: EditorPage) -> str:
    return str(page.find(".preset-tabs [aria-selected=true] bdi").text)


def test_each_preset_has_its_own_scene_picture_and_undo(
    editor: EditorPage, head_page: Path, head_folder: Path
) -> None:
    editor.open(head_page)
    assert tabs(editor) == NAMES
    assert selected(editor) == "avenue"
    assert editor.elements() == ["avenue", "near the crossing"]
    editor.click("draw-mask")
    editor.drag((0.1, 0.1), (0.3, 0.3))
    editor.find_all(".preset-tabs [role=tab]")[1].click()
    editor.settle()
    assert tabs(editor)[0] == "avenue\nnot saved"
    assert editor.elements() == ["square"]
    assert editor.scene_text() == (head_folder / "square.toml").read_text()
    assert editor.find("[data-action=undo]").get_attribute("disabled")
    editor.find_all(".preset-tabs [role=tab]")[0].click()
    editor.settle()
    assert "[[mask]]" in editor.save("avenue.toml")
    assert tabs(editor)[0] == "avenue"


def test_the_map_shows_where_each_preset_looks(editor: EditorPage, head_page: Path) -> None:
    editor.open(head_page)
    found = editor.run("""
        const map = document.querySelector(".preset-map svg");
        const { width } = map.viewBox.baseVal;
        return [...map.querySelectorAll("[data-preset]")].map((view) => {
            const boxes = [...view.querySelectorAll(".preset-edge")].map((edge) => edge.getBBox());
            const spans = boxes.map(({ x, width: wide }) => [(x / width - 0.5) * 360, ((x + wide) / width - 0.5) * 360]);
            return { name: view.dataset.preset, spans, elements: view.querySelectorAll(".map-line, .map-zone").length };
        });
    """)
    assert [view["name"] for view in found] == NAMES
    for view in found:
        pan_deg = PRESETS[view["name"]][0]
        assert any(low < pan_deg < high for low, high in view["spans"])
        assert all(58 < high - low < 75 for low, high in view["spans"]), (
            "60 degrees, and the corners"
        )
        assert view["elements"] >= 1
    editor.find("[data-preset=square] .preset-edge").click()
    editor.settle()
    assert selected(editor) == "square"


def test_tabs_are_changed_by_keys(editor: EditorPage, head_page: Path) -> None:
    editor.open(head_page)
    editor.run("document.querySelector('.preset-tabs [aria-selected=true]').focus()")
    editor.press(Keys.ARROW_RIGHT)
    assert selected(editor) == "square"
    editor.press(Keys.END)
    assert selected(editor) == "behind"
    editor.choose_language("ar")
    editor.run("document.querySelector('.preset-tabs [aria-selected=true]').focus()")
    editor.press(Keys.ARROW_RIGHT)
    assert selected(editor) == "square", "mirrored"


def test_files_dropped_into_the_page_do_the_same(
    editor: EditorPage, head_folder: Path, tmp_path: Path
) -> None:
    editor.open_files(
        head_folder / "presets.json",
        head_folder / "panorama.jpg",
        head_folder / "square.jpg",
        head_folder / "square.toml",
    )
    assert selected(editor) == "square"
    assert tabs(editor)[0] == "avenue\nno picture"
    assert editor.elements() == ["square"]
    assert len(editor.find_all("[data-preset]")) == len(NAMES)
    plain = tmp_path / "panorama-plain.jpg"
    shutil.copyfile(head_folder / "square.jpg", plain)
    editor.open_files(plain)
    assert "panorama: has no geometry" in editor.status()
    wrong = tmp_path / "presets.json"
    wrong.write_text('{"presets": [{"name": "<b>"}]}')
    editor.open_files(wrong)
    assert "presets.json: no presets" in editor.status()
    assert selected(editor) == "square"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("presets.json", b"{", "presets.json: "),
        ("presets.json", b"", "presets.json: "),
        ("presets.json", b'{"presets": []}', "0 presets; allowed: 1 to 256"),
        ("presets.json", b'{"presets": [{"name": "../x"}]}', "presets.json: "),
        ("presets.json", None, "presets.json: No such file"),
        ("square.toml", b"\xff", "not UTF-8 text"),
        ("square.jpg", b"no picture", "square.jpg"),
    ],
)
def test_a_folder_with_a_wrong_file_is_refused(
    head_folder: Path,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = tmp_path / "mast"
    shutil.copytree(head_folder, copy)
    (copy / "presets.scene.html").unlink(missing_ok=True)
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    assert main(["scene", "edit", str(copy)]) == 2
    assert message in capsys.readouterr().err
    assert not (copy / "presets.scene.html").exists()


def test_a_folder_takes_no_scene(head_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scene", "edit", str(head_folder), str(head_folder / "square.toml")]) == 2
    assert "allowed: no scene with a folder" in capsys.readouterr().err
