"""`vigie validate count CLIP` as a process, and the page that it serves in a browser."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.scene_editor.browser import EditorPage
from tests.whole.drawn_clip import FPS

ROOT = Path(__file__).parents[2]
HALF_PICTURE_S = 0.5 / FPS + 0.001


class CountCommand:
    """The command for one film, line and person, as long as the `with`."""

    def __init__(self, film: Path, scene: Path, by: str, line: str | None = None) -> None:
        words = [str(film), "--scene", str(scene), "--by", by, *(["--line", line] if line else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "agent", "validate", "count", *words],
            env={**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        announced = self._process.stdout.readline()
        assert "open it in a browser" in announced
        self.address = announced.split()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()

    def interrupt(self) -> str:
        """End it as a person does, and return what it prints."""
        self._process.send_signal(signal.SIGINT)
        printed, _ = self._process.communicate()
        assert self._process.returncode == 0
        return printed

    def kill(self) -> None:
        """End it in the middle of anything."""
        self._process.kill()
        self._process.wait()


class CountedPage:
    """The page in a browser, used by keys and by the pointer."""

    def __init__(self, browser: EditorPage, address: str) -> None:
        self.browser = browser
        # The page of a command that has ended tries to save again, and logs it.
        browser.open("about:blank")
        browser.console_messages()
        browser.open(address)
        self.wait_for_text(".status", "Saved: ")
        browser.wait_until(
            lambda: bool(browser.run("return document.querySelector('video').readyState > 1"))
        )

    def text(self, selector: str) -> str:
        return str(self.browser.find(selector).text)

    def wait_for_text(self, selector: str, text: str) -> None:
        self.browser.wait_until(lambda: text in self._text_if_there(selector))

    def _text_if_there(self, selector: str) -> str:
        return " ".join(each.text for each in self.browser.find_all(selector))

    def show(self, t_s: float) -> None:
        """Jump to a time, and wait for its picture."""
        self.jump(t_s)
        self.wait_for_picture(t_s)

    def jump(self, t_s: float) -> None:
        """Jump to a time with the slider."""
        script = """
            const scrub = document.querySelector("input[type=range]");
            scrub.value = arguments[0];
            scrub.dispatchEvent(new Event("input"));
        """
        self.browser.run(script, t_s)

    def wait_for_picture(self, t_s: float) -> None:
        """Wait for the picture of a time: half a picture before or after it."""
        self.browser.wait_until(lambda: abs(self.shown_s() - t_s) <= HALF_PICTURE_S)
        self.browser.settle()

    def shown_s(self) -> float:
        """The time of the picture that is shown, of the page's clock: `show` itself moves the slider."""
        minutes, seconds = self.text(".count-clock").split(" / ")[0].split(":")
        return int(minutes) * 60 + float(seconds)

    def point_at(self, place: float) -> None:
        """Move the pointer to a place on the line."""
        script = """
            const [from, to] = document.querySelector(".count-line:not(.other)").getAttribute("points").split(" ").map((point) => point.split(",").map(Number));
            const overlay = document.querySelector(".count-overlay"), box = overlay.getBoundingClientRect(), view = overlay.viewBox.baseVal;
            const at = [0, 1].map((axis) => from[axis] + (to[axis] - from[axis]) * arguments[0]);
            overlay.dispatchEvent(new PointerEvent("pointermove", {
                bubbles: true, pointerType: "mouse", clientX: box.left + at[0] / view.width * box.width, clientY: box.top + at[1] / view.height * box.height,
            }));
        """
        self.browser.run(script, place)

    def key(self, label: str, direction: str) -> str:
        """The letter of the key of a class and a direction, as the page shows it."""
        buttons = self.browser.find_all(f".count-keys[data-direction='{direction}'] button")
        (letter,) = (
            button.find_element("css selector", "kbd").text
            for button in buttons
            if button.find_element("css selector", "span").text == label
        )
        return str(letter).lower()

    def wait_until_saved(self, crossings: int) -> None:
        self.wait_for_text(".status", f"Saved: {crossings} crossings.")

    def play_to_end(self) -> None:
        """Play the whole film at its highest speed."""
        self.browser.press("5", " ")
        self.wait_for_text(".count-counted", "counted to the end")
