"""`vigie scene edit FILM`: the film is counted again from the page, in a real browser, by the real detector."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("selenium", reason="needs selenium, of the extra `dev`")

from agent.__main__ import main
from tests.axe import axe_violations
from tests.scene_editor.browser import PHONE_PX, EditorPage
from tests.vectors.browser import TIMEOUT_S
from tests.whole.drawn_clip import write_street_clip

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCENE = ROOT / "centre" / "demo" / "scenes" / "street.toml"
LENGTH_S = 12
COUNT_TIMEOUT_S = 600.0
"""For the detector, next to all that runs at the same time; never waited out in a pass."""
POLL_S = 0.2
"""More often would keep the page and the detector from their work on a machine that is busy."""


class FilmCommand:
    """The running command."""

    def __init__(self, film: Path, scene: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent", "scene", "edit", str(film), str(scene)],
            env={**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.address = next((word for word in self.line.split() if word.startswith("http")), "")

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    def request(
        self, method: str, path: str, body: str = "", **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Send a request from another program; `path` is below the address."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        with closing(connection):
            # The command refuses a large body before all of it is sent.
            with suppress(ConnectionError):
                connection.request(
                    method, urlsplit(self.address).path + path, body or None, dict(headers.items())
                )
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read().decode(errors="replace")

    def stop(self) -> tuple[int, str]:
        """Stop it as Ctrl-C does, and return its exit code and its errors."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, errors


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "street.mp4"
    write_street_clip(path, LENGTH_S)
    return path


@pytest.fixture(scope="module")
def browser(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditorPage]:
    """The browser that has opened the address of a command."""
    command = FilmCommand(film, SCENE)
    page = EditorPage(command.address, tmp_path_factory.mktemp("browser"))
    yield page
    page.close()
    command.stop()


@pytest.fixture
def page(browser: EditorPage) -> EditorPage:
    """The page, opened again, with the tab of counts."""
    browser.open()
    browser.console_messages()
    browser.foreign_requests()
    show_counts(browser)
    return browser


def show_counts(page: EditorPage) -> None:
    page.find("#tab-replay").click()
    wait_for(page, lambda: bool(page.find_all(".replay-film")))


def set_scene(page: EditorPage, text: str) -> None:
    """Type a scene, and show the counts again."""
    page.find("#tab-text").click()
    page.set_scene_text(text)
    page.find("#tab-replay").click()


def wait_for(page: EditorPage, condition: Callable[[], bool]) -> None:
    page.wait_until(condition, COUNT_TIMEOUT_S, POLL_S)


def count(page: EditorPage) -> None:
    """Count the film and wait for the end."""
    page.click("count-film")
    wait_for(page, lambda: page.find("progress").get_attribute("hidden") is not None)


def shown_counts(page: EditorPage) -> dict[tuple[str, str], tuple[int, str]]:
    """Return the counts of the film by line and direction: the sum, and the words by class, as in `3 (car 3)`."""
    totals = {(row[0], row[1]): row[3].partition(" ") for row in page.table(".replay-counts")}
    return {key: (int(total), words) for key, (total, _, words) in totals.items()}


def replayed_counts(film: Path, scene: Path, folder: Path) -> dict[tuple[str, str], int]:
    """Return the counts that `vigie replay` writes for a saved scene."""
    events = folder / "events.jsonl"
    assert main(["replay", str(film), "--scene", str(scene), "--events", str(events)]) == 0
    counts: dict[tuple[str, str], int] = {}
    for message in map(json.loads, events.read_text().splitlines()):
        for line in message["data"].get("lines", []) if message["type"] == "flow" else []:
            for direction, labels in line["counts"].items():
                key = line["name"], direction
                counts[key] = counts.get(key, 0) + sum(labels.values())
    return counts


def test_the_film_is_counted_again_with_the_scene_as_it_is_drawn(
    page: EditorPage, film: Path, tmp_path: Path
) -> None:
    count(page)
    assert "Counted with the scene" in page.find(".film-count-state").text
    first = shown_counts(page)
    replayed = replayed_counts(film, SCENE, tmp_path)
    assert {key: total for key, (total, _) in first.items()} == replayed
    crossings = sum(total for total, _ in first.values())
    assert crossings > 0
    assert any("car" in words for _, words in first.values())
    rows = page.find_all(".replay-events button")
    assert len(rows) >= crossings, "each crossing is listed"
    rows[0].click()
    wait_for(page, lambda: rows[0].get_attribute("aria-current") == "time")
    wait_for(page, lambda: bool(page.find_all("[data-layer=replay] .replay-track.marked")))

    # A line across the road, elsewhere and not saved.
    text = page.scene_text() + '\n[[line]]\nname = "drawn"\nfrom = [0.0, 0.7]\nto = [1.0, 0.7]\n'
    set_scene(page, text)
    assert "has changed" in page.find(".film-count-state").text
    count(page)
    changed = tmp_path / "changed.toml"
    changed.write_text(text)
    again = {key: total for key, (total, _) in shown_counts(page).items()}
    assert again == replayed_counts(film, changed, tmp_path)
    assert sum(total for (name, _), total in again.items() if name == "drawn") > 0
    assert SCENE.read_text() != text
    assert page.console_messages() == []
    assert page.foreign_requests() == []


def test_a_scene_with_mistakes_is_not_counted_and_a_count_can_be_stopped(page: EditorPage) -> None:
    good = page.scene_text()
    set_scene(page, good + "\n[[line]]\n")
    page.click("count-film")
    assert "the scene has mistakes" in page.find(".film-count-state").text
    set_scene(page, good)
    page.click("count-film")
    page.click("count-film")
    wait_for(page, lambda: page.find("[data-action=count-film]").text == "Count the film")
    assert shown_counts(page) == {} or "Counted" in page.find(".film-count-state").text
    count(page)
    assert shown_counts(page), "the next count waits for the end of the one before"


def test_the_panel_has_no_violation_and_its_words_in_each_language(page: EditorPage) -> None:
    page.set_screen(*PHONE_PX)
    count(page)
    for language, words in (
        ("en", "Counted with the scene"),
        ("fr", "Compté avec la scène"),
        ("ar", "عُدّ بالمشهد كما هو مرسوم"),
    ):
        page.choose_language(language)
        assert words in page.find(".film-count-state").text
        assert axe_violations(page.driver) == []
        assert page.run("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.fixture
def command(film: Path) -> Iterator[FilmCommand]:
    running = FilmCommand(film, SCENE)
    yield running
    running.stop()


def test_the_address_is_for_one_browser_and_ends_with_the_command(
    browser: EditorPage, command: FilmCommand, film: Path
) -> None:
    page = browser
    page.open(command.address)
    own = {"Host": f"127.0.0.1:{command.port}", "Content-Type": "application/toml"}
    status, _, words = command.request("GET", "")
    assert (status, words.count("\n")) == (403, 3)
    assert command.request("GET", "film")[0] == 403
    assert command.request("POST", "count", "x = 1", **own)[0] in {403, 421}
    # The one browser opens it again, and is still let in.
    page.open(command.address)
    assert page.find("[data-action=count-film]")
    cookies = page.driver.execute_cdp_cmd("Network.getAllCookies", {})["cookies"]
    path = urlsplit(command.address).path
    (cookie,) = [cookie for cookie in cookies if cookie["path"] == path]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    own["Cookie"] = f"{cookie['name']}={cookie['value']}"
    foreign = {"Origin": "http://evil.example"}
    assert command.request("POST", "count", "", **own)[0] == 403, "no origin"
    assert command.request("POST", "count", "", **own, **foreign)[0] == 403
    assert command.request("GET", "", **{**own, "Host": "evil.example"})[0] == 421
    status, headers, _ = command.request("GET", "film", **own, Range="bytes=0-99")
    assert (status, headers["content-length"]) == (206, "100")
    own["Origin"] = f"http://127.0.0.1:{command.port}"
    assert command.request("POST", "count", "x = 1", **own)[0] == 400
    assert command.request("POST", "count", "#" * 1_048_577, **own)[0] == 413
    body = SCENE.read_text()
    connection = http.client.HTTPConnection("127.0.0.1", command.port, timeout=TIMEOUT_S)
    with closing(connection) as counting:
        counting.request("POST", urlsplit(command.address).path + "count", body, own)
        assert counting.getresponse().read(7) == b"played "
        assert command.stop() == (0, ""), "also in the middle of a count"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", command.port), TIMEOUT_S)
    page.find("#tab-replay").click()
    page.click("count-film")
    wait_for(page, lambda: "has ended" in page.find(".film-count-state").text)
    assert list(film.parent.iterdir()) == [film], "nothing is written"
