"""A technician's phone at the page at the pole: Chromium of 360 pixels, touched, with no way to another origin."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.vectors.browser import LOOPBACK_FLAGS, TIMEOUT_S, open_chromium
from tests.whole.pole_page_box import without_isolates

WIDTH_PX, HEIGHT_PX = 360, 740
POLL_S = 0.2
"""Of what the page shows. More often would keep it from its own work on a machine that is busy."""
_FLAGS = (*LOOPBACK_FLAGS, "--ignore-certificate-errors")
_FIND = """
    const [name, within] = arguments;
    const named = (one) => (one.getAttribute("aria-label") ?? one.innerText ?? "").replace(/[\u2068\u2069]/g, "").trim();
    const root = within === "" ? document : document.querySelector(within);
    const controls = "button, a, summary, label, select, input, textarea, [role=tab], [role=application]";
    const all = [...(root?.querySelectorAll(controls) ?? [])];
    return all.filter((one) => one.checkVisibility() && named(one) === name);
"""
_REACH = """
    const [target] = arguments;
    target.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    const { left, top, width, height } = target.getBoundingClientRect();
    const x = left + width / 2, y = top + height / 2;
    const hit = document.elementFromPoint(x, y);
    return [x, y, target === hit || target.contains(hit)];
"""


class PolePhone:
    """The browser. `touches` counts what a finger has done, `keys` the letters that were typed."""

    def __init__(self, profile: Path) -> None:
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or driver is None:
            pytest.skip("needs Debian's chromium and chromium-driver")
        self.downloads = profile / "downloads"
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.add_argument("about:blank")  # else the browser's own first page
        self.driver = open_chromium(options, driver)
        self.touches = self.keys = 0
        self._requested: list[str] = []
        self.resize(WIDTH_PX, HEIGHT_PX)
        self.send("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=1)
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    def send(self, method: str, **params: object) -> Any:
        """Send a command of the DevTools protocol, and return its result."""
        return self.driver.execute_cdp_cmd(method, params)

    def resize(self, width_px: int, height_px: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width_px,
            height=height_px,
            deviceScaleFactor=1,
            mobile=True,
        )

    def prefer(self, **features: str) -> None:
        """Set preferences of the phone, such as `prefers_color_scheme="dark"`."""
        self.send(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": name.replace("_", "-"), "value": value} for name, value in features.items()
            ],
        )

    def open(self, link: str) -> None:
        """Open a link, as one that was scanned: in a page of its own."""
        self.driver.get("about:blank")
        self.driver.get(link)

    def wait(self, condition: Callable[[], Any], wanted: str) -> Any:
        """Wait until a condition returns something, and return that. A control that was drawn again meanwhile is looked for again."""
        wait = WebDriverWait(
            self.driver, TIMEOUT_S, POLL_S, ignored_exceptions=(StaleElementReferenceException,)
        )
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            pytest.fail(f"no {wanted} in: {self.text()}\n{self.console_messages()}")

    def wait_for_text(self, words: str, selector: str = "body") -> str:
        """Wait until a part of the page has these words, and return its text."""
        return str(
            self.wait(lambda: text if words in (text := self.text(selector)) else None, repr(words))
        )

    def text(self, selector: str = "body") -> str:
        """Return the text of a part of the page, without the characters that isolate values."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        text = str(self.driver.execute_script(script, selector))
        return without_isolates(text)

    def run(self, script: str, *args: object) -> Any:
        return self.driver.execute_script(script, *args)

    def find(self, name: str, within: str = "") -> WebElement:
        """Wait for one visible control by its name, such as the words on a button."""

        def visible() -> WebElement | None:
            found: list[WebElement] = self.run(_FIND, name, within)
            return found[0] if found and found[0].is_enabled() else None

        found: WebElement = self.wait(visible, f"control {name!r}")
        return found

    def select_all(self, selector: str) -> list[WebElement]:
        """Return the elements of a selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def tap(self, target: str | WebElement, within: str = "") -> None:
        """Touch a control where it can be touched: nothing may cover its middle."""
        element = self.find(target, within) if isinstance(target, str) else target
        x, y, is_reachable = self.run(_REACH, element)
        assert is_reachable, f"{target} is covered at {x}, {y}"
        self.tap_at(x, y)

    def tap_at(self, x: float, y: float) -> None:
        """Touch a place of the window."""
        self.press_at(x, y)
        self.release()

    def press(self, target: str) -> None:
        """Put the finger on a control, and leave it there."""
        x, y, is_reachable = self.run(_REACH, self.find(target))
        assert is_reachable, f"{target} is covered at {x}, {y}"
        self.press_at(x, y)

    def press_at(self, x: float, y: float) -> None:
        self.touches += 1
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])

    def release(self, type_: str = "touchEnd") -> None:
        """Lift the finger; with `touchCancel` the phone takes the touch for itself."""
        self.send("Input.dispatchTouchEvent", type=type_, touchPoints=[])

    def set_hidden(self, *, hidden: bool) -> None:
        """Let the phone show another program, or the page again."""
        self.run(
            "const [value] = arguments;"
            "Object.defineProperty(document, 'hidden', { value, configurable: true });"
            "document.dispatchEvent(new Event('visibilitychange'))",
            hidden,
        )

    def type_into(self, element: WebElement, text: str) -> None:
        """Touch a field, and type."""
        self.tap(element)
        element.send_keys(text)
        self.keys += len(text)

    def attach(self, selector: str, path: Path) -> None:
        """Choose a file, as by one touch of the button and one of the file."""
        self.touches += 2
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(str(path))

    def show_view(self, name: str) -> None:
        """Touch a tab, by the English word for it or its translation."""
        self.tap(name, within=".views")
        self.wait(lambda: self.text(".views [aria-current]").strip() == name, f"view {name}")

    def pictures(self) -> int:
        """Return how many live pictures were shown since the view was opened."""
        return int(self.run("return document.querySelector('.screen')?.dataset.pictures ?? 0"))

    def wait_for_pictures(self, more: int = 2) -> None:
        """Wait until more live pictures are shown."""
        before = self.pictures()
        self.wait(lambda: self.pictures() >= before + more, f"{more} pictures")

    def requested(self) -> Sequence[str]:
        """Return the addresses that were requested so far."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requested.append(message["params"]["request"]["url"])
        return self._requested

    def console_messages(self) -> list[str]:
        """Return the warnings and errors in the browser's console."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def screenshot(self) -> bytes:
        """Return the window as PNG."""
        return self.driver.get_screenshot_as_png()

    def close(self) -> None:
        self.driver.quit()


def iter_small_targets(phone: PolePhone, min_px: float) -> Iterator[str]:
    """Yield each visible control whose touch area is smaller than `min_px` in one direction."""
    script = """
        const [minPx] = arguments;
        const size = (one) => (one.matches("input[type=radio], input[type=checkbox], .file input") ? one.closest("label, .file") : one).getBoundingClientRect();
        return [...document.querySelectorAll("button, a, summary, select, input, textarea, [role=tab]")]
            .filter((one) => one.checkVisibility() && !one.classList.contains("skip"))
            .filter((one) => size(one).width < minPx - 0.5 || size(one).height < minPx - 0.5)
            .map((one) => `${one.outerHTML.slice(0, 90)}: ${size(one).width} x ${size(one).height}`);
    """
    yield from phone.run(script, min_px)
