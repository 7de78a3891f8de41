"""The report of `vigie count` in a real browser without a network, used as a person would: by mouse and by keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="needs selenium, of the extra `dev`")

from agent.faults.texts import LANGUAGES, Language
from centre.count import plots
from centre.count.report import HeatMap, render_report
from centre.count.results import CountResult
from centre.count.sample import SAMPLE_SIZE, draw_sample
from centre.validate.scoring import wilson_interval
from tests.axe import axe_violations
from tests.count_result import build_result, grey_jpeg
from tests.scene_editor.browser import PHONE_PX, EditorPage

pytestmark = pytest.mark.slow

A4_WIDTH_PX = 703
"""The paper without its margins, at 96 pixels an inch."""
HOSTILE = "<img src=x onerror=document.title='run'>"
HOSTILE_END = "</script><script>document.title='run'</script>"
FAULTS = """
    const faults = [];
    if (document.documentElement.scrollWidth > innerWidth) faults.push(`page: ${document.documentElement.scrollWidth} px wide`);
    const name = (element) => `${element.tagName}.${element.className}: ${element.textContent.slice(0, 40)}`;
    const isBlock = (element) => !["none", "inline"].includes(getComputedStyle(element).display) && getComputedStyle(element).position === "static";
    for (const parent of document.querySelectorAll("body, header, main, section, div, figure, li, dl, ol, ul, tr")) {
        const boxes = [...parent.children].filter(isBlock).map((element) => [element, element.getBoundingClientRect()]);
        for (const [at, [one, a]] of boxes.entries()) for (const [other, b] of boxes.slice(at + 1))
            if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1)
                faults.push(`${name(one)} over ${name(other)}`);
    }
    for (const element of document.querySelectorAll("p, button, dt, dd, h1, h2, h3, li, figcaption"))
        if (element.clientWidth && element.scrollWidth > element.clientWidth + 1) faults.push(`cut: ${name(element)}`);
    return faults;
"""
"""Elements that lie over each other, or whose text is wider than they are."""

COVERED = """
    const { left, top, width, height } = document.activeElement.getBoundingClientRect();
    return !document.activeElement.contains(document.elementFromPoint(left + width / 2, top + height / 2));
"""
"""Whether another element is over the one that has the focus."""


def write_page(folder: Path, result: CountResult, language: Language) -> Path:
    sample = draw_sample(result)
    jpegs = (grey_jpeg(90), grey_jpeg(140), None)
    pictures = dict.fromkeys(sample.crossings, jpegs)
    heat_map = HeatMap(jpeg=grey_jpeg(120), tracks=400, most=77)
    path = folder / f"report-{language}.html"
    path.write_text(render_report(result, sample, pictures, heat_map, language), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    return write_page(folder, build_result(), "en")


@pytest.fixture(scope="module")
def browser(folder: Path, report: Path) -> Iterator[EditorPage]:
    page = EditorPage(report, folder)
    yield page
    page.close()


def press(page: EditorPage, number: int, mark: str) -> None:
    """Click a button in the middle of the window, as the verdict is over its lower edge."""
    button = page.find(f".card:nth-child({number}) [data-mark={mark}]")
    page.run("arguments[0].scrollIntoView({ block: 'center' })", button)
    button.click()


def read(page: EditorPage, selector: str) -> str:
    """Return the text of an element without the isolation of its values."""
    text = str(page.run("return document.querySelector(arguments[0]).textContent", selector))
    return text.replace("\u2068", "").replace("\u2069", "")


def test_the_page_makes_no_request_and_logs_no_error(browser: EditorPage) -> None:
    browser.foreign_requests()  # those of the browser's own first tab
    browser.open()
    for language in ("fr", "ar", "en"):
        browser.choose_language(language)
    assert browser.foreign_requests() == []
    assert browser.console_messages() == []
    assert browser.run(
        "return [...document.images].every((one) => one.complete && one.naturalWidth)"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_that_was_written_in_a_language_is_that_of_the_switch(
    browser: EditorPage, tmp_path: Path, language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "is_installed", lambda: False)
    browser.open(write_page(tmp_path, build_result(), language))
    assert browser.run("return document.documentElement.lang") == language
    written = browser.run("return document.documentElement.outerHTML")
    for other in (*LANGUAGES, language):
        browser.choose_language(other)
    assert browser.run("return document.documentElement.outerHTML") == written


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_has_no_violation_and_nothing_lies_over_anything(
    browser: EditorPage, language: Language
) -> None:
    browser.open()
    browser.choose_language(language)
    assert browser.run("return document.documentElement.dir") == (
        "rtl" if language == "ar" else "ltr"
    )
    press(browser, 1, "right")
    press(browser, 2, "no_such")
    assert axe_violations(browser.driver) == []
    assert browser.run(FAULTS) == []
    browser.set_screen(*PHONE_PX)
    assert axe_violations(browser.driver) == []
    assert browser.run(FAULTS) == []
    browser.set_screen(A4_WIDTH_PX, 1000)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.run(FAULTS) == []
    assert not browser.find("header nav").is_displayed()
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_arabic_is_mirrored_but_a_plot_is_not(browser: EditorPage) -> None:
    browser.open()
    browser.set_screen(*PHONE_PX)
    for language, begins_right in (("fr", False), ("ar", True)):
        browser.choose_language(language)
        first, second = browser.find_all("#totals th")[:2]
        assert (first.rect["x"] > second.rect["x"]) is begins_right
        hidden_px = """
            const plot = document.querySelector(".plot");
            const [frame, image] = [plot.getBoundingClientRect(), plot.firstChild.getBoundingClientRect()];
            return [frame.left - image.left, image.right - frame.right];
        """
        left_px, right_px = browser.run(hidden_px)
        assert left_px == 0 < right_px, "a wide plot opens where its time begins"


@pytest.mark.parametrize(
    ("wrong_class", "missing", "looked"), [(0, 0, 20), (1, 2, 20), (0, 1, 7), (0, 3, 3)]
)
def test_marks_state_the_error_with_its_interval(
    browser: EditorPage, wrong_class: int, missing: int, looked: int
) -> None:
    browser.open()
    assert read(browser, "#statement") == "No crossing is marked yet."
    marks = ["wrong_class"] * wrong_class + ["no_such"] * missing
    marks += ["right"] * (looked - len(marks))
    for number, mark in enumerate(marks, 1):
        press(browser, number, mark)
    low, high = (round(100 * end) for end in wilson_interval(wrong_class + missing, looked))
    assert read(browser, "#statement") == (
        f"Of {looked} crossings looked at, {wrong_class + missing} wrong: "
        f"error between {low} % and {high} % (95 %, Wilson)."
    )
    low, high = (round(100 * end) for end in wilson_interval(missing, looked))
    assert read(browser, "#statement-presence") == (
        f"Without the class: {missing} wrong, error between {low} % and {high} %."
    )
    assert read(browser, "#progress-text") == f"Looked at: {looked} of {SAMPLE_SIZE}"


def test_keys_mark_and_move_on_and_a_second_time_removes_the_mark(browser: EditorPage) -> None:
    browser.open()
    browser.run("document.querySelector('[data-mark]').focus()")
    browser.press("1", "3", "2")
    pressed = "return [...document.querySelectorAll('[data-mark][aria-pressed=true]')].map((one) => one.dataset.mark)"
    assert browser.run(pressed) == ["right", "no_such", "wrong_class"]
    focused = "return [...document.querySelectorAll('.card')].indexOf(document.activeElement.closest('.card'))"
    assert browser.run(focused) == 3
    assert browser.run(COVERED) is False
    press(browser, 2, "no_such")
    assert browser.run(pressed) == ["right", "wrong_class"]


def test_a_saved_page_opens_with_its_marks_and_its_language(
    browser: EditorPage, report: Path
) -> None:
    browser.open()
    browser.choose_language("ar")
    for number, mark in enumerate(("right", "wrong_class", "right"), 1):
        press(browser, number, mark)
    stated = read(browser, "#statement")
    browser.find("#sheet .save").click()
    saved = browser.downloads / f"{report.stem}-marked.html"
    browser.wait_until(saved.is_file)
    browser.open(saved)
    assert browser.run("return document.documentElement.lang") == "ar"
    assert read(browser, "#statement") == stated
    press(browser, 4, "right")
    assert read(browser, "#progress-text") == f"ما فُحص: 4 من {SAMPLE_SIZE}"
    assert browser.console_messages() == []
    assert saved.stat().st_size < 1.1 * report.stat().st_size


def test_hostile_names_run_nothing(
    browser: EditorPage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "is_installed", lambda: False)
    result = build_result(lines=(HOSTILE, HOSTILE_END), films=(HOSTILE_END, HOSTILE))
    browser.open(write_page(folder, result, "fr"))
    for language in LANGUAGES:
        browser.choose_language(language)
    assert browser.run("return document.title") != "run"
    assert browser.console_messages() == []
    text = read(browser, "#totals")
    assert HOSTILE in text
    assert HOSTILE_END in text
