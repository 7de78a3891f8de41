"""The scene editor in a real browser that has no network, used as a person would: by mouse, touch or keys."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions import interaction
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.vectors.browser import CHROMIUM_FLAGS, LOOPBACK_FLAGS, TIMEOUT_S, open_chromium

WIDTH_PX, HEIGHT_PX = 1000, 760
PHONE_PX = (360, 740)
OWN_SCHEMES = ("file:", "data:", "blob:")
SETTLED = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
TABLE = """
    const cells = (row) => [...row.querySelectorAll("td")].map((cell) => cell.innerText.trim());
    return [...document.querySelector(arguments[0]).rows].map(cells).filter((row) => row.length > 0);
"""
HOLD_PICTURES = """
    const plain = HTMLVideoElement.prototype.requestVideoFrameCallback;
    const released = new Promise((resolve) => { window.releasePictures = resolve; });
    HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
        return plain.call(this, (...picture) => released.then(() => callback(...picture)));
    };
"""
"""The page hears of no picture of a film before `releasePictures()`, as on a machine that is busy."""

Place = tuple[float, float]
"""A place on the picture, in 0..1."""


class EditorPage:
    """The page, opened from a file or an address on loopback. `clicks` and `keys` count what a person did."""

    def __init__(self, page: Path | str, folder: Path) -> None:
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or driver is None:
            pytest.skip("needs Debian's chromium and chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        flags = LOOPBACK_FLAGS if isinstance(page, str) else CHROMIUM_FLAGS
        for flag in (*flags, f"--user-data-dir={folder / 'profile'}"):
            options.add_argument(flag)
        self.driver = open_chromium(options, driver)
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        self.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior",
            {"behavior": "allow", "downloadPath": str(self.downloads)},
        )
        self.clicks = 0
        self.keys = 0
        self._page = page
        self.open()

    def open(self, page: Path | str | None = None) -> None:
        """Open the page again, as it was, in English, on a wide screen."""
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.driver.set_window_size(WIDTH_PX, HEIGHT_PX)
        # Without the question whether to leave a scene that is not saved.
        self.driver.get("about:blank")
        page = page or self._page
        self.driver.get(page if isinstance(page, str) else page.as_uri())
        # A browser that cannot ask for a place downloads; the dialogue of one that can is no part of the page.
        self.driver.execute_script("window.showSaveFilePicker = undefined")
        self.clicks = self.keys = 0
        self.settle()

    def set_screen(self, width_px: int, height_px: int, *, dark: bool = False) -> None:
        """Show the page on a screen of this size."""
        metrics = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.set_dark(dark=dark)

    def set_dark(self, *, dark: bool) -> None:
        """Prefer dark or light colours."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.settle()

    def wait_until(
        self, condition: Callable[[], bool], timeout_s: float = TIMEOUT_S, poll_s: float = 0.02
    ) -> None:
        """Wait for what must come."""
        wait = WebDriverWait(self.driver, timeout_s, poll_frequency=poll_s)
        wait.until(lambda _: condition())

    def settle(self) -> None:
        """Wait until the page is drawn."""
        self.driver.execute_async_script(SETTLED)

    # ---- by mouse

    def click(self, action: str) -> None:
        """Click a button of the page by its name in the code."""
        self.find(f"[data-action={action}]").click()
        self.clicks += 1
        self.settle()

    def click_at(self, *places: Place) -> None:
        """Click places on the picture, one after the other."""
        for place in places:
            x, y = self._client(place)
            builder = ActionBuilder(self.driver, duration=0)
            builder.pointer_action.move_to_location(x, y).pointer_down().pointer_up()
            builder.perform()
            self.clicks += 1
        self.settle()

    def drag(self, begin: Place, end: Place) -> None:
        """Drag from one place on the picture to another."""
        (x, y), (to_x, to_y) = self._client(begin), self._client(end)
        builder = ActionBuilder(self.driver, duration=0)
        pointer = builder.pointer_action.move_to_location(x, y).pointer_down()
        pointer.move_to_location((x + to_x) // 2, (y + to_y) // 2).move_to_location(to_x, to_y)
        pointer.pointer_up()
        builder.perform()
        self.clicks += 1
        self.settle()

    # ---- by touch

    def tap(self, place: Place) -> None:
        """Tap a place on the picture with a finger."""
        self._touch([[self._client(place)]])

    def swipe(self, begin: Place, end: Place) -> None:
        """Drag a finger over the picture."""
        (x, y), (to_x, to_y) = self._client(begin), self._client(end)
        self._touch([[(x, y), ((x + to_x) // 2, (y + to_y) // 2), (to_x, to_y)]])

    def pinch(self, centre: Place, begin_px: int, end_px: int) -> None:
        """Move two fingers, from one distance to another."""
        x, y = self._client(centre)
        steps = [begin_px + (end_px - begin_px) * step // 4 for step in range(5)]
        self._touch([[(x + side * step // 2, y) for step in steps] for side in (-1, 1)])

    def _touch(self, paths: Sequence[Sequence[tuple[int, int]]]) -> None:
        fingers = []
        for number, path in enumerate(paths):
            finger = PointerInput(interaction.POINTER_TOUCH, f"finger {number}")
            finger.create_pointer_move(x=path[0][0], y=path[0][1], duration=0)
            finger.create_pointer_down(button=0)
            for x, y in path[1:]:
                finger.create_pointer_move(x=x, y=y, duration=0)
            finger.create_pointer_up(button=0)
            fingers.append(finger.encode())
        self.driver.execute("actions", {"actions": fingers})
        self.settle()

    # ---- by keys

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        for key in keys:
            ActionChains(self.driver, duration=0).send_keys(key).perform()
            self.keys += len(key)
        self.settle()

    def press_with(self, modifier: str, key: str) -> None:
        """Press a key together with another one."""
        ActionChains(self.driver, duration=0).key_down(modifier).send_keys(key).key_up(
            modifier
        ).perform()
        self.keys += 2
        self.settle()

    def type_into(self, name: str, text: str) -> None:
        """Replace the value of a field."""
        field = self.find(f"[name={name}]")
        field.clear()
        field.send_keys(text)
        self.keys += len(text)
        self.settle()

    # ---- the page

    def find(self, selector: str) -> WebElement:
        """Return an element."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        """Return all such elements."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *values: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *values)

    def table(self, selector: str) -> list[list[str]]:
        """Return the rows of a table, without its head, as they are at one moment: the page may replace them at any time."""
        rows: list[list[str]] = self.run(TABLE, selector)
        return rows

    def scene_text(self) -> str:
        """Return the scene as the text panel shows it."""
        return str(self.run("return document.getElementById('scene-text').value"))

    def set_scene_text(self, text: str) -> None:
        """Type the whole text of the scene."""
        script = """
            const area = document.getElementById("scene-text");
            area.value = arguments[0];
            area.dispatchEvent(new Event("input"));
            area.dispatchEvent(new Event("blur"));
        """
        self.run(script, text)
        self.settle()

    def findings(self) -> list[str]:
        """Return the messages of the check."""
        return [str(each.text) for each in self.find_all(".findings li")]

    def status(self) -> str:
        """Return the line of status."""
        return str(self.find("p.status").text)

    def elements(self) -> list[str]:
        """Return the names in the list of elements."""
        return [str(each.text) for each in self.find_all(".elements bdi")]

    def handle_place(self, handle: str) -> Place:
        """Return where a handle is on the picture."""
        script = """
            const mark = document.querySelector(`[data-handle="${arguments[0]}"] .mark`).getBoundingClientRect();
            const image = document.querySelector("svg.picture image").getBoundingClientRect();
            return [(mark.x + mark.width / 2 - image.x) / image.width, (mark.y + mark.height / 2 - image.y) / image.height];
        """
        x, y = self.run(script, handle)
        return x, y

    def picture_width_px(self) -> float:
        """Return the width of the picture on the screen."""
        return float(
            self.run(
                "return document.querySelector('svg.picture image').getBoundingClientRect().width"
            )
        )

    def choose_language(self, language: str) -> None:
        """Choose a language."""
        self.find(f"[data-lang={language}]").click()
        self.settle()

    def open_files(self, *paths: Path) -> None:
        """Open files with the button."""
        self.find("#open-files").send_keys("\n".join(map(str, paths)))
        self.wait_until(
            lambda: self.run("return document.getElementById('open-files').value") == ""
        )
        self.settle()

    def save(self, name: str) -> str:
        """Save the scene, and return the saved text."""
        file = self.downloads / name
        file.unlink(missing_ok=True)
        self.click("save")
        self.wait_until(lambda: file.exists() and not list(self.downloads.glob("*.crdownload")))
        return file.read_text(encoding="utf-8")

    def console_messages(self) -> list[str]:
        """Return the messages in the browser's console."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def foreign_requests(self) -> list[str]:
        """Return the addresses outside of the page that were requested."""
        entries = [json.loads(entry["message"]) for entry in self.driver.get_log("performance")]
        urls = [
            entry["message"]["params"]["request"]["url"]
            for entry in entries
            if entry["message"]["method"] == "Network.requestWillBeSent"
        ]
        own = (*OWN_SCHEMES, self._page) if isinstance(self._page, str) else OWN_SCHEMES
        return [url for url in urls if not url.startswith(own)]

    def close(self) -> None:
        self.driver.quit()

    def _client(self, place: Place) -> tuple[int, int]:
        """Return the pixels in the window of a place on the picture."""
        script = """
            const image = document.querySelector("svg.picture image").getBoundingClientRect();
            return [image.x + arguments[0] * image.width, image.y + arguments[1] * image.height];
        """
        x, y = self.run(script, *place)
        return round(x), round(y)


def close_to(place: tuple[float, float], expected: tuple[float, float]) -> bool:
    return all(abs(a - b) < 0.004 for a, b in zip(place, expected, strict=True))
