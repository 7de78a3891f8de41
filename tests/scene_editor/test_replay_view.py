"""The replay over the picture, in a real browser: a film, its events and its tracks."""

import json
import re
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from agent.scene_editor.assemble import assemble_page
from tests.scene_editor.browser import HOLD_PICTURES, TIMEOUT_S, EditorPage
from tests.scene_editor.conftest import PICTURE_PX, write_picture
from tests.scene_editor.replay_files import (
    HEIGHT_PX,
    WIDTH_PX,
    ReplayFiles,
    write_replay,
)

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror='window.hostile = 1'>"
BOXES = """
    return [...document.querySelectorAll("[data-layer=replay] .replay-track")].map((rect) => ({
        track: Number(rect.dataset.track),
        left: Number(rect.getAttribute("x")),
        marked: rect.classList.contains("marked"),
    }));
"""
LABELS = """
    return [...document.querySelectorAll("[data-layer=replay] .replay-text")].map((each) => each.textContent.replace(/[\u2068\u2069]/g, ""));
"""
BRIGHT_COLUMNS = """
    const video = document.querySelector(".replay-film");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    const row = context.getImageData(0, arguments[0], canvas.width, 1).data;
    return [...Array(canvas.width).keys()].filter((x) => row[x * 4] > 200);
"""
"""The columns of a row in which the film shows a white rectangle."""


@pytest.fixture
def replay(editor: EditorPage, replay_files: ReplayFiles) -> EditorPage:
    editor.open_files(
        replay_files.scene, replay_files.film, replay_files.events, replay_files.tracks
    )
    return editor


@pytest.fixture
def bare_page(tmp_path: Path) -> Path:
    """The page without a picture."""
    page = tmp_path / "page.html"
    page.write_text(assemble_page())
    return page


def rows(page: EditorPage) -> list[str]:
    return [row.text for row in page.find_all(".replay-events button")]


def wait_for_film(page: EditorPage, track: int, near_px: float) -> None:
    """Wait until the picture of the film is presented in which a track is at this place."""

    def is_shown(_: object) -> bool:
        return any(
            box["track"] == track and abs(box["left"] - near_px) < PICTURE_PX[0] * 0.02
            for box in page.run(BOXES)
        )

    WebDriverWait(page.driver, TIMEOUT_S, poll_frequency=0.02).until(is_shown)


def shown_line(page: EditorPage, line: str) -> list[str]:
    """The table's row of a line's first direction: so far, in all, speeds."""
    return next(row[2:] for row in page.table(".replay-counts") if row[0] == line)


def test_a_click_on_an_event_shows_the_film_and_the_track_at_it(replay: EditorPage) -> None:
    page = replay
    assert page.find("#panel-replay").is_displayed()
    assert [row.split(", ")[0] for row in rows(page)] == sorted(
        row.split(", ")[0] for row in rows(page)
    )
    (crossing,) = [
        row for row in page.find_all(".replay-events button") if "to the right" in row.text
    ]
    assert shown_line(page, "gate") == ["0", "1 (car 1)", "0-10 1"]
    crossing.click()
    left_px = (0.5 - 0.05) * PICTURE_PX[0]
    wait_for_film(page, 1, left_px)
    assert shown_line(page, "gate") == ["1", "1 (car 1)", "0-10 1"]
    assert crossing.get_attribute("aria-current") == "time"
    assert "0:03.0, crossing · gate · to the right, car" in page.status()
    (box,) = [box for box in page.run(BOXES) if box["track"] == 1]
    assert box["marked"], "the one of the event"
    (label,) = [text for text in page.run(LABELS) if text.startswith("car 1")]
    assert re.fullmatch(r"car 1, \d+ km/h", label)
    columns = page.run(BRIGHT_COLUMNS, HEIGHT_PX // 2)
    assert columns[0] * PICTURE_PX[0] / WIDTH_PX == pytest.approx(box["left"], abs=8), (
        "on the film's own picture"
    )


def test_the_filter_leaves_one_rule_or_one_line(replay: EditorPage) -> None:
    page = replay
    everything = rows(page)
    kind, name = page.find_all(".replay-filter select")
    kind.find_element("css selector", "option[value=line]").click()
    assert len(rows(page)) == 2
    name.find_element("css selector", "option[value=yard]").click()
    assert rows(page) == []
    kind.find_element("css selector", "option[value='']").click()
    assert 0 < len(rows(page)) < len(everything)
    assert all("yard" in row for row in rows(page))


def test_it_is_used_by_keys_alone(replay: EditorPage) -> None:
    page = replay
    page.run("document.querySelector('.replay-transport button:nth-child(3)').focus()")
    page.press(Keys.ENTER)
    assert "0:01.0" in page.status()
    page.press(Keys.ENTER)
    assert "0:03.0" in page.status()
    page.run("document.querySelector('#panel-replay input[type=range]').focus()")
    page.press(Keys.END)
    WebDriverWait(page.driver, TIMEOUT_S, poll_frequency=0.02).until(
        lambda _: page.find(".replay-clock").text.startswith("0:08")
    )
    page.press(Keys.HOME)
    WebDriverWait(page.driver, TIMEOUT_S, poll_frequency=0.02).until(
        lambda _: page.find(".replay-clock").text.startswith("0:00.0")
    )


def test_events_are_stepped_through_before_the_first_picture_is_shown(
    editor: EditorPage, replay_files: ReplayFiles
) -> None:
    editor.run(HOLD_PICTURES)
    editor.open_files(
        replay_files.scene, replay_files.film, replay_files.events, replay_files.tracks
    )
    editor.run("document.querySelector('.replay-transport button:nth-child(3)').focus()")
    editor.press(Keys.ENTER, Keys.ENTER)
    assert "0:03.0" in editor.status()
    editor.run("releasePictures()")
    wait_for_film(editor, 1, 0.45 * PICTURE_PX[0])


def test_a_film_whose_first_picture_comes_late_keeps_the_time_base(
    editor: EditorPage, tmp_path: Path
) -> None:
    late = write_replay(tmp_path, first_s=0.7)
    editor.open_files(late.scene, late.film, late.events, late.tracks)
    (crossing,) = [
        row for row in editor.find_all(".replay-events button") if "to the right" in row.text
    ]
    crossing.click()
    wait_for_film(editor, 1, 0.45 * PICTURE_PX[0])
    columns = editor.run(BRIGHT_COLUMNS, HEIGHT_PX // 2)
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(WIDTH_PX / 2, abs=WIDTH_PX * 0.02)


def test_a_film_alone_gives_the_picture_to_draw_on(
    editor: EditorPage, replay_files: ReplayFiles, bare_page: Path
) -> None:
    editor.open(bare_page)
    editor.open_files(replay_files.film)
    assert not editor.find(".empty-hint").is_displayed()
    assert editor.run(
        "return document.querySelector('svg.picture image').getAttribute('width')"
    ) == str(WIDTH_PX)


def test_files_that_replay_did_not_write_are_refused_by_name_and_line(
    editor: EditorPage, replay_files: ReplayFiles, tmp_path: Path
) -> None:
    lines = replay_files.events.read_text().splitlines()
    broken, other, film = (tmp_path / name for name in ("e.jsonl", "other.jsonl", "f.mp4"))
    broken.write_text("\n".join([*lines[:2], lines[2].replace('"t_s":', '"t_x":'), *lines[3:]]))
    other.write_text('{"a": 1}\n')
    film.write_bytes(b"no film")
    for file, message in (
        (broken, "e.jsonl: line 3: t_s = undefined"),
        (other, "other.jsonl: neither events nor tracks"),
        (film, "f.mp4: this browser cannot play it"),
    ):
        editor.open_files(file)
        assert message in editor.status()
    assert rows(editor) == []
    # The browser itself says that it cannot read the film.
    editor.console_messages()


def test_hostile_names_are_shown_as_text(
    editor: EditorPage, replay_files: ReplayFiles, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    messages = [json.loads(line) for line in replay_files.events.read_text().splitlines()]
    for message in messages:
        if message["type"] == "event":
            message["data"] |= {"name": HOSTILE, "direction": HOSTILE, "kind": "some_kind"}
    events.write_text("".join(json.dumps(message) + "\n" for message in messages))
    editor.open_files(events)
    assert f"some_kind · {HOSTILE} · {HOSTILE}" in rows(editor)[0]
    editor.find(".replay-events button").click()
    editor.settle()
    assert editor.run("return window.hostile") is None
    assert editor.find_all("#panel-replay img") == []


def test_the_film_plays_and_pauses(replay: EditorPage) -> None:
    page = replay
    play = page.find(".replay-transport button")
    play.click()
    wait = WebDriverWait(page.driver, TIMEOUT_S, poll_frequency=0.02)
    wait.until(lambda _: page.find(".replay-clock").text[:6] > "0:00.2")
    assert play.text == "Pause"
    play.click()
    wait.until(lambda _: play.text == "Play")


def test_another_picture_ends_the_film(replay: EditorPage, tmp_path: Path) -> None:
    page = replay
    assert len(page.find_all(".replay-film")) == 1
    page.open_files(write_picture(tmp_path / "other.jpg", 640, 360))
    assert page.find_all(".replay-film") == []
    assert page.find("svg.picture image").is_displayed()
    assert len(rows(page)) == 4, "the events stay"
    page.find(".replay-events button").click()
    assert page.find(".replay-transport button").get_attribute("disabled")
