"""The scene editor's page in a real browser."""

import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from agent.detection.scene import load_scene
from tests.scene_editor.browser import PHONE_PX, EditorPage, close_to
from tests.scene_editor.conftest import STREET_SCENE
from tests.scene_editor.test_check import CASES, check_in_python

pytestmark = pytest.mark.slow

JUNCTION_MAX_CLICKS, JUNCTION_MAX_KEYS = 14, 24
"""At a click in three seconds and a key a second: about a minute."""
TRIANGLE = ((0.2, 0.3), (0.6, 0.3), (0.4, 0.7))
CROSSING = '[[zone]]\nname = "z"\npolygon = [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]\n'
HOSTILE = (
    "<script>window.hostile = 1</script>",
    "<img src=x onerror='window.hostile = 1'>",
    "\"'&amp;</text><script>",
    "\u202eevil\u202c \u200f\u2067abc",
    "${window.hostile = 1} {name}",
)


def test_a_junction_is_drawn_with_few_clicks_and_keys(editor: EditorPage, tmp_path: Path) -> None:
    # The name of a new line or zone is selected: typing replaces it.
    for name, begin, end in (
        ("north arm", (0.2, 0.45), (0.8, 0.45)),
        ("east arm", (0.7, 0.3), (0.7, 0.8)),
    ):
        editor.click("draw-line")
        editor.drag(begin, end)
        editor.press(name)
    editor.click("draw-zone")
    editor.click_at((0.3, 0.5), (0.65, 0.5), (0.8, 0.9), (0.15, 0.9), (0.3, 0.5))
    editor.press("middle")
    editor.click("draw-mask")
    editor.drag((0.02, 0.05), (0.2, 0.35))
    saved = tmp_path / "scene.toml"
    saved.write_text(editor.save("street.toml"), encoding="utf-8")
    assert editor.clicks <= JUNCTION_MAX_CLICKS, editor.clicks
    assert editor.keys <= JUNCTION_MAX_KEYS, editor.keys
    scene = load_scene(saved)
    assert [line.name for line in scene.line] == ["north arm", "east arm"]
    assert (scene.zone[0].name, len(scene.zone[0].polygon)) == ("middle", 4)
    (mask,) = scene.mask
    assert close_to((mask.polygon[0].x, mask.polygon[0].y), (0.02, 0.05))
    assert close_to((mask.polygon[2].x, mask.polygon[2].y), (0.2, 0.35))
    assert editor.find(".check").get_attribute("data-level") == "good"


ARMS = (
    '[[line]]\nname = "north"\nfrom = [0.3, 0.2]\nto = [0.7, 0.2]\n'
    '[[zone]]\nname = "east"\npolygon = [[0.75, 0.3], [0.95, 0.3], [0.95, 0.8], [0.75, 0.8]]\n'
    '[[zone]]\nname = "south"\npolygon = [[0.2, 0.75], [0.7, 0.75], [0.7, 0.95], [0.2, 0.95]]\n'
)
"""One line and two zones, of which none is at the middle of the picture."""
MIDDLE_OF = {"north": (0.45, 0.2), "east": (0.85, 0.5), "south": (0.4, 0.85)}


def flows_of(text: str, folder: Path) -> list[tuple[str, str, str]]:
    saved = folder / "scene.toml"
    saved.write_text(text, encoding="utf-8")
    return [(flow.name, flow.origin, flow.destination) for flow in load_scene(saved).flow]


def test_flows_are_drawn_from_one_line_or_zone_to_another(
    editor: EditorPage, tmp_path: Path
) -> None:
    editor.set_scene_text(ARMS)
    editor.click("draw-flow")
    editor.click_at(MIDDLE_OF["north"], MIDDLE_OF["east"])
    editor.click("draw-flow")
    editor.drag(MIDDLE_OF["south"], MIDDLE_OF["north"])
    assert flows_of(editor.scene_text(), tmp_path) == [
        ("north to east", "north", "east"),
        ("south to north", "south", "north"),
    ]
    assert len(editor.find_all(".element.flow .arrow")) == 2
    assert editor.elements()[3:] == ["north to east", "south to north"]
    editor.find("[name=to] option[value=east]").click()
    assert flows_of(editor.scene_text(), tmp_path)[1] == ("south to north", "south", "east")
    editor.find("#label-person").click()
    assert "person" not in editor.scene_text()


def test_a_flow_that_begins_or_ends_nowhere_is_not_drawn(editor: EditorPage) -> None:
    editor.set_scene_text(ARMS)
    editor.click("draw-flow")
    for begin, end in (((0.05, 0.5), MIDDLE_OF["east"]), (MIDDLE_OF["east"], (0.05, 0.5))):
        editor.drag(begin, end)
        assert editor.status() == "No line and no zone is here."
    editor.drag((0.8, 0.4), (0.9, 0.7))
    assert editor.status() == "A flow goes to another line or zone."
    assert "[[flow]]" not in editor.scene_text()


def test_a_flow_follows_the_new_name_of_its_line_in_one_step(
    editor: EditorPage, tmp_path: Path
) -> None:
    text = ARMS + '[[flow]]\nname = "a"\nfrom = "north"\nto = "east"\n'
    editor.set_scene_text(text)
    editor.find("[data-row=line-0]").click()
    editor.find("[name=name]").send_keys("gate")
    assert flows_of(editor.scene_text(), tmp_path) == [("a", "northgate", "east")]
    editor.find(".stage").click()
    editor.press_with(Keys.CONTROL, "z")
    assert flows_of(editor.scene_text(), tmp_path) == [("a", "north", "east")]


def test_a_flow_without_its_line_is_named_by_the_check(editor: EditorPage) -> None:
    editor.set_scene_text(ARMS + '[[flow]]\nname = "a"\nfrom = "gone"\nto = "east"\n')
    (finding,) = editor.findings()
    assert "flow[0].from = 'gone': not in the scene" in finding
    assert not editor.find_all(".element.flow")
    editor.find("[data-row=flow-0]").click()
    editor.find("[name=from] option[value=south]").click()
    assert editor.findings() == []
    assert editor.find_all(".element.flow")


def test_each_key_of_a_zone_is_set_and_removed_in_the_form(editor: EditorPage) -> None:
    editor.click("draw-zone")
    editor.drag((0.2, 0.3), (0.7, 0.8))
    editor.find("[name=kind] option[value=queue]").click()
    for name, value in (
        ("queue_min_count", "4"), ("stopped_after_s", "20"), ("parked_after_s", "300"), ("object_after_s", "120"), ("dwell_after_s", "600.5"), ("crowd_min_count", "10"), ("direction_deg", "238"),
        ("hours", "mon-fri 07:30-09:00\n22:00-06:00"),
    ):  # fmt: skip
        editor.type_into(name, value)
    editor.find("#field-events").click()
    for label in ("person", "bicycle"):
        editor.find(f"#label-{label}").click()
    text = editor.scene_text()
    for row in (
        'kind = "queue"', "queue_min_count = 4", "stopped_after_s = 20", "dwell_after_s = 600.5", "crowd_min_count = 10",
        "direction_deg = 238", "parked_after_s = 300", "object_after_s = 120", 'hours = ["mon-fri 07:30-09:00", "22:00-06:00"]', "events = false", 'labels = ["motorcycle", "car", "bus", "truck"]',
    ):  # fmt: skip
        assert row in text
    assert check_in_python(text) is None
    editor.find("[name=kind] option[value=pavement]").click()
    editor.find("#field-events").click()
    for label in ("person", "bicycle"):
        editor.find(f"#label-{label}").click()
    for key in ("queue_min_count", "events", "labels"):
        assert key not in editor.scene_text()
    for key in ("stopped_after_s", "hours"):
        editor.find(f"[name={key}]").clear()
        assert key not in editor.scene_text()


def test_a_zone_with_hours_shows_the_first_of_them_and_has_a_dashed_edge(
    editor: EditorPage,
) -> None:
    editor.click("draw-zone")
    editor.drag((0.2, 0.3), (0.7, 0.8))

    def shown() -> tuple[str, str]:
        return (
            editor.run("return document.querySelector('text.name').textContent"),
            editor.run(
                "return getComputedStyle(document.querySelector('.zone > .shape')).strokeDasharray"
            ),
        )

    name, dashes = shown()
    assert dashes == "none"
    editor.type_into("hours", "mon-fri 07:30-09:00\n22:00-06:00")
    assert shown() == (f"{name} \u2066mon-fri 07:30-09:00 +1\u2069", "12px, 4px")


def test_the_arrow_of_a_direction_is_dragged(editor: EditorPage) -> None:
    editor.click("draw-zone")
    editor.drag((0.2, 0.3), (0.7, 0.8))
    editor.click("arrow")
    assert "direction_deg = 90" in editor.scene_text()
    x, y = editor.handle_place("direction")
    editor.drag((x, y), (0.8, 0.55))
    assert "direction_deg = 0" in editor.scene_text()
    editor.click("arrow")
    assert "direction_deg" not in editor.scene_text()


def test_a_line_shows_both_directions_and_swaps_them(editor: EditorPage) -> None:
    editor.click("draw-line")
    editor.drag((0.2, 0.5), (0.8, 0.5))
    editor.type_into("forward_name", "down")
    script = """
        const [forward, backward] = ["forward", "backward"].map((name) => document.querySelector(`.arrow.${name}`).getBoundingClientRect());
        return [forward.top, backward.top];
    """
    forward, backward = editor.run(script)
    assert forward > backward, "forward is to the right hand: down the picture"
    editor.click("swap_directions")
    forward, backward = editor.run(script)
    assert forward < backward
    assert editor.run("return [...document.querySelectorAll('.direction-name')].map((e) => e.textContent)") == ["down", "backward"]  # fmt: skip


def test_labels_do_not_overlap_and_the_selected_element_has_its_own(editor: EditorPage) -> None:
    zone = (
        '[[zone]]\nname = "zone {}"\npolygon = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]\n'
    )
    line = '[[line]]\nname = "arm {}"\nfrom = [0.4, 0.4]\nto = [0.4, 0.6]\n'
    editor.set_scene_text("".join(text.format(n) for n in range(6) for text in (zone, line)))
    for row, name in (("zone-5", "zone 5"), ("line-4", "arm 4"), ("line-5", "arm 5")):
        editor.find(f"[data-row={row}]").click()
        editor.settle()
        labels = editor.run("""
            return [...document.querySelectorAll(".picture text")].map((label) => {
                const { left, right, top, bottom } = label.getBoundingClientRect();
                return [label.textContent, left, right, (top + bottom) / 2];
            });
        """)
        assert name in [text for text, *_ in labels]
        assert len(labels) > 4
        for one, other in combinations(labels, 2):
            _, left, right, y = one
            assert right < other[1] or other[2] < left or abs(y - other[3]) >= 12, (one, other)


def test_handles_move_add_and_remove_corners(editor: EditorPage) -> None:
    editor.click("draw-mask")
    editor.click_at(*TRIANGLE, TRIANGLE[0])
    editor.drag(editor.handle_place("mask-0-corner-1"), (0.8, 0.2))
    assert close_to(editor.handle_place("mask-0-corner-1"), (0.8, 0.2))
    editor.drag(editor.handle_place("mask-0-middle-0"), (0.5, 0.1))
    assert editor.scene_text().count("[0.") + editor.scene_text().count("[1,") >= 4
    assert len(editor.find_all(".handle.corner")) == 4
    # The whole mask is dragged by its inside.
    before = editor.handle_place("mask-0-corner-0")
    editor.drag((0.45, 0.4), (0.5, 0.45))
    after = editor.handle_place("mask-0-corner-0")
    assert close_to(after, (before[0] + 0.05, before[1] + 0.05))


def test_points_snap_to_corners_and_to_the_pictures_edge(editor: EditorPage) -> None:
    editor.click("draw-mask")
    editor.drag((0.003, 0.005), (0.3, 0.3))
    assert "[[0, 0]," in editor.scene_text()
    corner = re.findall(r"polygon = \[\[0, 0\], \[[^]]*\], (\[[^]]*\])", editor.scene_text())[0]
    editor.click("draw-ignore")
    editor.drag((0.304, 0.306), (0.6, 0.6))
    assert f"[[ignore]]\npolygon = [{corner}" in editor.scene_text()
    editor.click("snap")
    editor.click("draw-ignore")
    editor.drag((0.304, 0.306), (0.5, 0.6))
    assert editor.scene_text().count(corner) == 2


def test_undo_and_redo(editor: EditorPage) -> None:
    editor.click("draw-line")
    editor.drag((0.2, 0.5), (0.8, 0.5))
    editor.press("renamed")
    named = editor.scene_text()
    editor.click("delete_element")
    assert editor.scene_text() == ""
    editor.click("undo")
    assert editor.scene_text() == named
    for _ in range(2):
        editor.click("undo")
    assert editor.scene_text() == ""
    assert not editor.find("[data-action=undo]").is_enabled()
    for _ in range(2):
        editor.click("redo")
    assert editor.scene_text() == named


def test_everything_is_done_by_keys_alone(editor: EditorPage) -> None:
    editor.run("document.querySelector('.stage').focus()")
    editor.press("l", Keys.ENTER, *[Keys.ARROW_LEFT] * 10, Keys.ENTER)
    assert editor.elements() == []
    editor.press(*[Keys.ARROW_RIGHT] * 20, Keys.ENTER, "by keys")
    assert editor.elements() == ["by keys"]
    # The first handle, from the list of elements.
    editor.run("document.querySelector('.elements button').focus()")
    editor.press(Keys.ENTER)
    assert editor.run("return document.activeElement.dataset.handle") == "line-0-corner-0"
    before = editor.handle_place("line-0-corner-0")
    editor.press(*[Keys.ARROW_UP] * 5)
    after = editor.handle_place("line-0-corner-0")
    assert after[1] < before[1] - 0.02
    assert editor.run("return document.activeElement.dataset.handle") == "line-0-corner-0"
    # Five steps in a row are one step of undo.
    editor.press_with(Keys.CONTROL, "z")
    assert close_to(editor.handle_place("line-0-corner-0"), before)
    editor.press(Keys.ESCAPE, "m", Keys.ENTER, Keys.ENTER)
    editor.press(
        *[Keys.ARROW_RIGHT] * 8, Keys.ENTER, *[Keys.ARROW_DOWN] * 8, Keys.ENTER, Keys.ENTER
    )
    assert editor.elements() == ["by keys", "Mask 1"]
    editor.run("document.querySelector('[data-handle=\"mask-0-middle-0\"]').focus()")
    editor.press(Keys.ENTER)
    assert len(editor.find_all(".handle.corner")) == 4
    editor.press(Keys.DELETE)
    assert len(editor.find_all(".handle.corner")) == 3
    editor.press(Keys.DELETE)
    assert "three corners" in editor.status()
    assert check_in_python(editor.scene_text()) is None


ARABIC = {"l": "م", "z": "ئ", "v": "ر", "s": "س", "y": "غ"}
FRENCH_PLACES = {"z": "KeyW", "m": "Semicolon"}


def press_key(editor: EditorPage, key: str, code: str, *, control: bool = False) -> None:
    """Press a key of another layout than that of the test's machine."""
    event = {"key": key, "code": code, "modifiers": 2 if control else 0}
    for kind in ("rawKeyDown", "keyUp"):
        editor.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, **event})
    editor.settle()


@pytest.mark.parametrize(
    ("layout", "key_of", "code_of"),
    [
        ("Arabic", ARABIC.get, lambda letter: f"Key{letter.upper()}"),
        ("Caps Lock", str.upper, lambda letter: f"Key{letter.upper()}"),
        ("French", str, lambda letter: FRENCH_PLACES.get(letter, f"Key{letter.upper()}")),
    ],
)
def test_shortcuts_work_on_each_layout_and_the_browser_does_not_save_the_page(
    editor: EditorPage, layout: str, key_of: Callable[[str], str], code_of: Callable[[str], str]
) -> None:
    def press(letter: str, *, control: bool = False) -> None:
        press_key(editor, key_of(letter), code_of(letter), control=control)

    editor.run("document.querySelector('.stage').focus()")
    press("z")
    assert editor.find("[data-action=draw-zone]").get_attribute("aria-pressed") == "true", layout
    press("l")
    assert editor.find("[data-action=draw-line]").get_attribute("aria-pressed") == "true"
    editor.drag((0.2, 0.5), (0.8, 0.5))
    # Nothing has the focus, as after a click outside the editor.
    editor.run("""
        document.activeElement.blur();
        window.prevented = [];
        addEventListener("keydown", (event) => window.prevented.push(event.defaultPrevented));
    """)
    press("z", control=True)
    assert editor.elements() == []
    press("y", control=True)
    assert len(editor.elements()) == 1
    (editor.downloads / "street.toml").unlink(missing_ok=True)
    press("s", control=True)
    editor.wait_until((editor.downloads / "street.toml").exists)
    assert set(editor.run("return window.prevented.slice(0, 3)")) == {True}


def test_the_picture_keeps_its_size_when_a_tool_is_chosen(editor: EditorPage) -> None:
    script = """
        const { width, height } = document.querySelector(".stage").getBoundingClientRect();
        return [width, height];
    """
    before = editor.run(script)
    for tool in ("draw-line", "draw-zone", "ground-straight"):
        editor.click(tool)
        assert editor.find(".drawing-bar").is_displayed()
        assert editor.run(script) == before


def test_the_focus_reaches_each_part_by_tab(editor: EditorPage, street_page: Path) -> None:
    editor.open(street_page)
    editor.run("""
        window.seen = [];
        document.addEventListener("focusin", ({ target }) => {
            window.seen.push(target.dataset.action ?? target.dataset.row ?? target.id);
        });
        document.querySelector("[data-lang=en]").focus();
    """)
    editor.press(Keys.TAB * 40)
    seen = editor.run("return window.seen")
    for name in ("draw-zone", "snap", "zoom_in", "open", "save", "zone-1", "tab-element"):
        assert name in seen


def test_a_finger_draws_moves_and_zooms(editor: EditorPage) -> None:
    editor.click("draw-zone")
    for place in (*TRIANGLE, TRIANGLE[0]):
        editor.tap(place)
    assert editor.elements() == ["zone 1"]
    # The keyboard of a phone would cover the picture.
    assert editor.run("return document.activeElement.tagName") != "INPUT"
    assert not editor.find("[data-action=remove_corner]").is_enabled()
    editor.swipe(editor.handle_place("zone-0-corner-2"), (0.5, 0.8))
    assert close_to(editor.handle_place("zone-0-corner-2"), (0.5, 0.8))
    editor.tap(editor.handle_place("zone-0-middle-0"))
    assert len(editor.find_all(".handle.corner")) == 4
    editor.tap(editor.handle_place("zone-0-corner-1"))
    editor.click("remove_corner")
    assert len(editor.find_all(".handle.corner")) == 3
    width_px = editor.picture_width_px()
    editor.pinch((0.5, 0.5), 100, 200)
    assert editor.picture_width_px() > 1.7 * width_px
    editor.click("draw-mask")
    editor.swipe((0.4, 0.45), (0.6, 0.6))
    assert editor.elements() == ["zone 1", "Mask 1"]
    # A shape is finished and given up without keys.
    editor.click("draw-ignore")
    for place in ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6)):
        editor.tap(place)
    editor.click("draw_back")
    editor.tap((0.5, 0.6))
    editor.click("draw_finish")
    assert editor.elements() == ["zone 1", "Mask 1", "Ignored area 1"]


def test_the_text_and_the_picture_follow_each_other(editor: EditorPage, street_page: Path) -> None:
    editor.open(street_page)
    text = editor.scene_text()
    assert text == STREET_SCENE.read_text(encoding="utf-8")
    editor.set_scene_text(text.replace('"left lane"', '"bus lane"'))
    assert "bus lane" in editor.elements()
    editor.find("[data-row=zone-0]").click()
    editor.drag(editor.handle_place("zone-0-corner-3"), (0.1, 0.7))
    after = editor.scene_text()
    kept = [line for line in after.splitlines() if "#" in line]
    assert kept == [line for line in text.splitlines() if "#" in line]
    changed = set(after.splitlines()) - set(text.splitlines())
    assert len(changed) == 2, "the name and the polygon"


def test_a_text_that_is_not_toml_keeps_the_picture_and_is_named(editor: EditorPage) -> None:
    editor.click("draw-line")
    editor.drag((0.2, 0.5), (0.8, 0.5))
    good = editor.scene_text()
    editor.set_scene_text(f"{good}[[zone]\n")
    assert editor.elements() == ["line 1"]
    assert "not valid TOML" in editor.findings()[0]
    editor.drag(editor.handle_place("line-0-corner-0"), (0.3, 0.6))
    assert "Not changed" in editor.status()
    assert editor.scene_text() == f"{good}[[zone]\n"


def test_mistakes_have_the_messages_of_the_box(editor: EditorPage) -> None:
    editor.set_scene_text(CROSSING)
    assert editor.findings() == [f"street.toml: {check_in_python(CROSSING)}"]
    assert "A box refuses this scene" in editor.find(".check .summary").text
    editor.find(".findings button").click()
    editor.settle()
    assert editor.find("[name=name]").get_attribute("value") == "z"
    editor.type_into("dwell_after_s", "0")
    assert editor.findings() == ["street.toml: zone[0].dwell_after_s = 0: allowed: above 0"]
    assert editor.find("#field-dwell_after_s").get_attribute("aria-invalid") == "true"
    assert "above 0" in editor.find("#field-dwell_after_s-problem").text


def test_mistakes_are_in_the_language_of_the_page_with_the_words_of_the_box_as_tooltip(
    editor: EditorPage,
) -> None:
    editor.set_scene_text(CROSSING)
    (english,) = editor.findings()
    for language, words in (("fr", "ses côtés se croisent"), ("ar", "أضلاعه تتقاطع")):
        editor.choose_language(language)
        assert words in editor.findings()[0]
        assert editor.find(".findings .message").get_attribute("title") == english


def test_a_hostile_name_is_a_text(editor: EditorPage) -> None:
    editor.click("draw-line")
    editor.drag((0.2, 0.5), (0.8, 0.5))
    for name in HOSTILE:
        editor.run(
            "const f = document.querySelector('[name=name]'); f.value = arguments[0]; f.dispatchEvent(new Event('input'))",
            name,
        )
        editor.settle()
        for shown in (".elements bdi", "text.name"):
            script = "return document.querySelector(arguments[0]).textContent"
            assert editor.run(script, shown) == name
        assert editor.run("return window.hostile") is None
        assert check_in_python(editor.scene_text()) is None


def test_any_table_is_shown_without_an_error(editor: EditorPage) -> None:
    script = """
        const [texts, done] = arguments;
        const area = document.getElementById("scene-text");
        const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
        (async () => {
            for (const text of texts) {
                area.value = text;
                area.dispatchEvent(new Event("input"));
                const rows = [...document.querySelectorAll("[data-row]")].map((each) => each.dataset.row);
                for (const row of rows) document.querySelector(`[data-row="${row}"]`).click();
                await frame();
            }
        })().then(() => done(null), (error) => done(String(error)));
    """
    unusual = ("keys: ", "metres: ", "ground: ")
    texts = [
        param.values[0]["toml"]  # type: ignore[call-overload, index]
        for param in CASES
        if str(param.id).startswith(unusual)
    ]
    assert editor.driver.execute_async_script(script, texts) is None


def test_arabic_is_mirrored_but_the_picture_is_not(editor: EditorPage, street_page: Path) -> None:
    editor.open(street_page)
    place = "return document.querySelector(arguments[0]).getBoundingClientRect().x"
    assert editor.run(place, ".side") > editor.run(place, ".stage")
    corner = editor.run(place, ".element.line .shape")
    offset = corner - editor.run(place, ".stage")
    editor.choose_language("ar")
    assert editor.run("return document.documentElement.dir") == "rtl"
    assert editor.run(place, ".side") < editor.run(place, ".stage")
    mirrored = editor.run(place, ".element.line .shape") - editor.run(place, ".stage")
    assert abs(mirrored - offset) < 1
    assert "محرّر المشهد" in editor.find("h1").text


def test_a_phone_of_360_px_shows_all_of_it(editor: EditorPage, street_page: Path) -> None:
    editor.open(street_page)
    editor.set_screen(*PHONE_PX)
    small = "[...document.querySelectorAll('.scene-editor button')].filter((b) => b.offsetParent && Math.min(b.offsetWidth, b.offsetHeight) < 24)"
    for language in ("en", "fr", "ar"):
        editor.choose_language(language)
        editor.find("[data-row=zone-0]").click()
        editor.settle()
        assert editor.run("return document.documentElement.scrollWidth") <= PHONE_PX[0], language
        assert editor.run(f"return {small}.length") == 0, language


def test_the_policy_allows_no_request(editor: EditorPage, empty_page: Path) -> None:
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', empty_page.read_text(encoding="utf-8"))[0]  # fmt: skip
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[^']*'", rules["script-src"])
    assert re.fullmatch(r"'sha256-[^']*'", rules["style-src"])
    assert set(rules["img-src"].split()) == {"data:", "blob:"}
    blocked = editor.driver.execute_async_script(
        "const done = arguments[0]; fetch('https://example.org/').then(() => done('sent'), () => done('blocked'))"
    )
    assert blocked == "blocked"
    # The refusal is logged: it is the one message of this test.
    assert any("Content Security Policy" in message for message in editor.console_messages())
    assert editor.foreign_requests() == []
