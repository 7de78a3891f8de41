"""`vigie validate count` in a real browser: a person counts a film by keys, stops, continues, and two counts become one."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("selenium", reason="needs selenium, of the extra `dev`")

from agent.__main__ import main
from agent.faults.texts import LANGUAGES
from centre.validate.crossing_truth import read_truth
from tests.axe import axe_violations
from tests.scene_editor.browser import HOLD_PICTURES, PHONE_PX, EditorPage
from tests.whole.count_command import CountCommand, CountedPage
from tests.whole.drawn_clip import write_street_clip
from tests.whole.test_count_report_page import FAULTS

pytestmark = pytest.mark.slow

LENGTH_S = 12.0
SCENE = """
[[line]]
name = "street"
from = [0.22, 0.50]
to = [0.74, 0.50]
labels = ["person", "car", "bus"]
backward_name = "<b>away</b>"

[[line]]
name = "zebra"
from = [0.477, 0.74]
to = [0.477, 0.54]

[[mask]]
polygon = [[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]]
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditorPage]:
    page = EditorPage("about:blank", tmp_path_factory.mktemp("browser"))
    page.foreign_requests()  # those of the browser's own first tab
    yield page
    page.close()


@pytest.fixture(scope="module")
def written_film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "street.mp4"
    write_street_clip(path, LENGTH_S)
    return path.read_bytes()


@pytest.fixture
def film(written_film: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "clips" / "street.mp4"
    path.parent.mkdir()
    path.write_bytes(written_film)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.toml"
    path.write_text(SCENE)
    return path


def validate(film: Path, truth: Path, out: Path) -> dict[str, Any]:
    assert main(["validate", str(film.parent), "--truth", str(truth), "--out", str(out)]) == 0
    return dict(json.loads((out / "validation.json").read_text()))


def test_a_film_is_counted_by_keys_and_its_count_is_what_validate_reads(
    browser: EditorPage, film: Path, scene: Path, tmp_path: Path
) -> None:
    truth = film.with_name("street.street.amina.json")
    with CountCommand(film, scene, "amina", "street") as command:
        page = CountedPage(browser, command.address)
        page.play_to_end()
        browser.wait_until(lambda: truth.exists() and read_truth(truth)["street"].is_whole)
        assert "0 crossings, counted to the end" in command.interrupt()
    # Without a crossing each count of the model is an extra: the person counts the same.
    wanted = validate(film, truth, tmp_path / "none")["model"]["worst"]
    assert len(wanted) >= 2
    with CountCommand(film, scene, "amina", "street") as command:
        page = CountedPage(browser, command.address)
        for number, crossing in enumerate(wanted, 1):
            page.show(crossing["t_s"])
            page.point_at(crossing["position"])
            browser.press(page.key(crossing["label"], crossing["direction"]))
            page.wait_until_saved(number)
        assert browser.console_messages() == []
        # What the page has said to be saved is there after any end.
        command.kill()
    with CountCommand(film, scene, "amina", "street") as command:
        page = CountedPage(browser, command.address)
        page.wait_until_saved(len(wanted))
        assert len(browser.find_all(".count-crossings button")) == len(wanted)
        assert [
            url for url in browser.foreign_requests() if not url.startswith("http://127.0.0.1:")
        ] == []
        assert browser.console_messages() == []
    report = validate(film, truth, tmp_path / "all")
    assert report["model"]["rows"][0]["strict"]["f1"] == 1.0
    assert report["crossings"] == len(wanted)


def test_keys_count_at_the_picture_that_is_shown_and_can_be_undone_changed_and_continued(
    browser: EditorPage, film: Path, scene: Path
) -> None:
    truth = film.with_name("street.street.jonas.json")
    with CountCommand(film, scene, "jonas", "street") as command:
        page = CountedPage(browser, command.address)
        browser.press("q", "s")
        page.wait_until_saved(2)
        first, second = read_truth(truth)["street"].crossings
        assert (first.label, first.direction, first.t_s, first.position) == (
            "person",
            "A->B",
            0,
            None,
        )
        assert (second.label, second.direction, second.is_at_edge) == ("car", "B->A", True)
        browser.press("\ue003")  # Backspace
        page.wait_until_saved(1)
        page.show(5.0)
        browser.press("w")
        page.wait_until_saved(2)
        browser.find(".count-crossings li:last-child button").click()
        browser.press("\ue014", "\ue014")  # two pictures to the right
        browser.wait_until(lambda: abs(page.shown_s() - 5.2) < 0.01)
        browser.click("set-time")
        browser.press("d")
        browser.click("class-unsure")
        browser.wait_until(lambda: not read_truth(truth)["street"].crossings[-1].is_label_sure)
        changed = read_truth(truth)["street"].crossings[-1]
        assert (changed.label, changed.direction) == ("bus", "B->A")
        assert changed.t_s == pytest.approx(5.2, abs=0.01)
        assert (changed.tolerance_s, changed.is_sure, changed.is_at_edge) == (0.3, True, False)
        page.show(0.0)
        browser.press("\ue00c", "1", " ")  # Escape; a quarter of the speed
        browser.wait_until(lambda: page.shown_s() > 0.6)
        browser.press("w", " ")
        # The page saves at the pause, before its button says so.
        page.wait_for_text("[data-action=play]", "Play")
        page.wait_until_saved(3)
        played = read_truth(truth)["street"]
        assert played.crossings[1].tolerance_s == 0.43
        assert 0.5 < (played.counted_s or 0) < 5
        assert "counted up to" in command.interrupt()
        # The part after the jump is not counted: the film continues where it was.
    with CountCommand(film, scene, "jonas", "street") as command:
        page = CountedPage(browser, command.address)
        browser.wait_until(lambda: abs(page.shown_s() - (played.counted_s or 0)) < 0.11)
        second_tab = browser.run("""
            return fetch("count", { method: "POST", headers: { "content-type": "application/json" },
                body: JSON.stringify({ revision: 0, counted: 1, crossings: [] }) }).then((reply) => reply.status);
        """)
        assert second_tab == 200
        browser.press("q")
        page.wait_for_text(".status", "Not saved: count: another page has saved it")
        assert read_truth(truth)["street"].crossings == ()


def test_a_jump_before_the_first_picture_is_shown_is_kept(
    browser: EditorPage, film: Path, scene: Path
) -> None:
    held = browser.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": f"{{{HOLD_PICTURES}}}"}
    )
    with CountCommand(film, scene, "amina", "street") as command:
        page = CountedPage(browser, command.address)
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", held)
        page.jump(5.0)
        browser.run("releasePictures()")
        page.wait_for_picture(5.0)


def test_two_people_differ_and_a_third_settles_it_in_the_page(
    browser: EditorPage, film: Path, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = {"line": [0.22, 0.5, 0.74, 0.5], "duration": LENGTH_S}
    both = {"t": 2.0, "dir": "A->B", "class": "car", "sure": True}
    for by, crossings in (
        ("amina", [both, both | {"t": 5.0, "class": "bus"}, both | {"t": 8.0}]),
        ("jonas", [both, both | {"t": 5.1}, both | {"t": 10.0}]),
    ):
        content = {"street": line | {"by": by, "crossings": crossings}}
        film.with_name(f"street.street.{by}.json").write_text(json.dumps(content))
    words = ["validate", "count", str(film), "--scene", str(scene), "--line", "street"]
    assert main([*words, "--compare", "amina", "jonas"]) == 0
    assert "both 2: agreement 66.7%" in capsys.readouterr().out
    agreed = film.with_name("street.street.agreed.json")
    with CountCommand(film, scene, "agreed", "street") as command:
        page = CountedPage(browser, command.address)
        assert "not settled: 3" in page.text(".count-disputed")
        browser.click("next-dispute")
        page.wait_for_text(".count-claims", "amina: bus, forward")
        assert axe_violations(browser.driver) == []
        browser.find("[data-claim='0']").click()
        browser.click("next-dispute")
        page.wait_for_text(".count-claims", "jonas: no crossing")
        browser.find("[data-claim='1']").click()
        browser.click("next-dispute")
        page.wait_for_text(".count-claims", "amina: no crossing")
        browser.find("[data-claim=unsure]").click()
        page.wait_until_saved(3)
        browser.wait_until(
            lambda: not any(c.claims for c in read_truth(agreed)["street"].crossings)
        )
        assert not browser.find(".count-disputed").is_displayed()
    settled = read_truth(agreed)["street"].crossings
    assert [(one.t_s, one.label, one.is_sure) for one in settled] == [
        (2.0, "car", True),
        (5.05, "bus", True),
        (10.0, "car", False),
    ]
    assert validate(film, agreed, tmp_path / "out")["crossings"] == 3


def test_the_page_is_right_in_each_language_and_on_a_phone(
    browser: EditorPage, film: Path, scene: Path
) -> None:
    with CountCommand(film, scene, "amina", "street") as command:
        page = CountedPage(browser, command.address)
        browser.press("q", "w", "d")
        page.wait_until_saved(3)
        browser.find(".count-crossings button").click()
        browser.find(".help summary").click()
        for language in LANGUAGES:
            browser.choose_language(language)
            assert browser.run("return document.documentElement.dir") == (
                "rtl" if language == "ar" else "ltr"
            )
            assert "{" not in page.text("main")
            for dark in (False, True):
                browser.set_dark(dark=dark)
                assert axe_violations(browser.driver) == []
            assert browser.run(FAULTS) == []
            browser.set_screen(*PHONE_PX)
            assert axe_violations(browser.driver) == []
            assert browser.run(FAULTS) == []
            browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        assert page.text(".count-keys[data-direction='B->A'] legend") == "<b>away</b>"
        address = urlsplit(command.address)
        stranger = http.client.HTTPConnection(address.netloc)
        stranger.request("GET", f"{address.path}count")
        assert stranger.getresponse().status == 403
        stranger.close()


def test_a_film_that_the_browser_cannot_decode_is_said_in_the_page(
    browser: EditorPage, film: Path, scene: Path
) -> None:
    content = bytearray(film.read_bytes())
    begin, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    content[begin:end] = bytes(end - begin)
    film.write_bytes(content)
    with CountCommand(film, scene, "amina", "street") as command:
        browser.open(command.address)
        browser.wait_until(lambda: "cannot play street.mp4" in browser.find("main").text)
        assert axe_violations(browser.driver) == []
