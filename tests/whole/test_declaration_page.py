"""`vigie declare`: the page of a running box, in a real browser without a network."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from agent.reporting.declaration.page import LANGUAGES, load_texts
from tests.vectors.browser import CHROMIUM_FLAGS, open_chromium
from tests.whole.report.broker import read_doc_block
from tests.whole.rig import AgentBox

DECLARATION = """
[declaration]
controller = "Commune de Casablanca"
contact = "Place Mohammed V, Casablanca"
cndp_receipt = "D-VS-123/2026"
rights_contact = "donnees@casablanca.example"
[declaration.purposes]
fr = "Sécurité routière"
ar = "السلامة الطرقية"
en = "Road safety"
"""
WIDTHS_PX = (1280, 390)
"""A desk's screen and a phone's."""


def declare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", "declare", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a running agent, which needs no broker for it."""
    box = AgentBox(tmp_path_factory.mktemp("box") / "box", "mqtt://127.0.0.1:9")
    with (box.folder / "vigie.toml").open("a") as config:
        config.write(DECLARATION)
    box.start()
    try:
        written = declare(box.folder, "--config", "vigie.toml", "--out", "page.html")
        assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
        data = json.loads(declare(box.folder, "--config", "vigie.toml", "--json").stdout)
        assert data["controller"]["cndp_receipt"] == "D-VS-123/2026"
    finally:
        box.kill()
    silent = declare(box.folder, "--config", "vigie.toml")
    assert silent.returncode == 2
    assert "no agent is running" in silent.stderr
    return box.folder / "page.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    profile = tmp_path_factory.mktemp("profile")
    for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    opened = open_chromium(options, driver)
    yield opened
    opened.quit()


def test_the_page_is_shown_in_three_languages_and_asks_for_nothing(
    page: Path, browser: webdriver.Chrome
) -> None:
    browser.get(page.as_uri())
    assert browser.get_log("browser") == [], "no request, nothing that the policy refuses"
    entries = browser.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert entries == []
    background = browser.execute_script(
        "return getComputedStyle(document.querySelector('.sign')).backgroundColor"
    )
    assert background == "rgb(255, 216, 77)", "its style passes its own policy"
    for language in LANGUAGES:
        article = browser.find_element(By.ID, language)
        assert load_texts(language).headline in article.text
        assert "D-VS-123/2026" in article.text


def test_arabic_begins_at_the_right(page: Path, browser: webdriver.Chrome) -> None:
    browser.get(page.as_uri())
    for language, begins_right in (("fr", False), ("ar", True)):
        sign = browser.find_element(By.CSS_SELECTOR, f"#{language} .sign")
        icon, heading = (sign.find_element(By.TAG_NAME, name) for name in ("svg", "h1"))
        assert (_left_px(icon) > _left_px(heading)) is begins_right
        labels = browser.find_elements(By.CSS_SELECTOR, f"#{language} .sign dt")
        values = browser.find_elements(By.CSS_SELECTOR, f"#{language} .sign dd")
        assert (_left_px(labels[0]) > _left_px(values[0])) is begins_right


@pytest.mark.parametrize("width_px", WIDTHS_PX)
def test_nothing_runs_out_of_the_page(page: Path, browser: webdriver.Chrome, width_px: int) -> None:
    browser.set_window_size(width_px, 900)
    browser.get(page.as_uri())
    overflow_px = browser.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow_px <= 0
    hidden_px = browser.execute_script(
        "return [...document.querySelectorAll('.wide')].map((e) => e.scrollWidth - e.clientWidth)"
    )
    assert width_px != WIDTHS_PX[0] or max(hidden_px) <= 0, "a phone scrolls the table, a desk not"
    picture = browser.get_screenshot_as_png()
    assert len(picture) > 10_000


def test_the_centre_makes_the_same_page_of_the_message(tmp_path: Path) -> None:
    message = tmp_path / "declaration.json"
    message.write_text(read_doc_block("wire-contract.md", "declaration"), encoding="utf-8")
    made = declare(tmp_path, "--message", str(message), "--lang", "ar")
    assert (made.returncode, made.stderr) == (0, "")
    assert '<html lang="ar" dir="rtl">' in made.stdout
    assert "Casa Tramway" in made.stdout
    assert re.search(r'<article id="fr"', made.stdout) is None
    message.write_text("{}")
    refused = declare(tmp_path, "--message", str(message))
    assert refused.returncode == 2
    assert "not a declaration; allowed: the JSON of up/declaration" in refused.stderr


def _left_px(element: WebElement) -> float:
    return float(element.rect["x"])
