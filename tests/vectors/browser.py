"""The page `verifier.html` in a real browser that has no network, driven as a person would."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.free_port import free_port

TIMEOUT_S = 60.0
"""For whatever must come; never waited out in a pass."""
SCRIPT_TIMEOUT_S = 600.0
"""For one script in a page, such as all rules of axe-core on a machine that is busy; never waited out in a pass."""

CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en",
    # Any request of the page would fail; and it is opened from a file.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)

LOOPBACK_FLAGS = (
    *CHROMIUM_FLAGS[:-1],
    # The page's address is a number: any name would be a request to elsewhere.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


def open_chromium(options: webdriver.ChromeOptions, driver: str) -> webdriver.Chrome:
    """Start a browser with the program `driver`, on a port that no other test gets."""
    opened = webdriver.Chrome(options=options, service=Service(driver, port=free_port()))
    opened.set_script_timeout(SCRIPT_TIMEOUT_S)
    # Selenium itself waits 120 s for an answer of the driver.
    opened.command_executor.client_config.timeout = SCRIPT_TIMEOUT_S + TIMEOUT_S
    return opened


class VerifierPage:
    """The page, opened from a file."""

    def __init__(self, page: Path, profile: Path) -> None:
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or driver is None:
            pytest.skip("needs Debian's chromium and chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        self.driver = open_chromium(options, driver)
        self.driver.get(page.as_uri())

    def enter_known_values(self, key: str, heads: str) -> None:
        """Type in the key and the chain heads, one a line, that the centre knows."""
        self.driver.execute_script("document.getElementById('known').open = true")
        for name, value in (("known-key", key), ("known-head", heads)):
            field = self.driver.find_element(By.ID, name)
            field.clear()
            field.send_keys(value)

    def paste_heads(self, heads: str) -> None:
        """Replace the chain heads at once, before the next folder is chosen."""
        self.driver.execute_script(
            "document.getElementById('known-head').value = arguments[0]", heads
        )

    def check_folder(self, folder: Path) -> str | None:
        """The class of the problem, or None where the export is good."""
        verdict = self.driver.find_element(By.ID, "verdict")
        wait = WebDriverWait(self.driver, TIMEOUT_S, poll_frequency=0.02)
        wait.until(lambda _: verdict.get_attribute("data-busy") is None)
        previous_run = verdict.get_attribute("data-run")
        self.driver.find_element(By.ID, "folder").send_keys(str(folder))
        wait.until(lambda _: verdict.get_attribute("data-run") != previous_run)
        return self.read_problem()

    def read_problem(self) -> str | None:
        """Return the problem that the page shows of the folder chosen last, or None if it is good."""
        verdict = self.driver.find_element(By.ID, "verdict")
        wait = WebDriverWait(self.driver, TIMEOUT_S, poll_frequency=0.02)
        wait.until(lambda _: verdict.get_attribute("data-busy") is None)
        ok, problem = verdict.get_attribute("data-ok"), verdict.get_attribute("data-problem")
        assert (ok == "true") == (problem == "")
        return problem or None

    def check_changing(self, path: str, answers: list[bytes]) -> str | None:
        """Check the folder chosen last, on a medium that answers differently at each reading of `path`.

        Return the problem, or None if the export is accepted.
        """
        script = """
            const [path, answers, done] = arguments;
            const files = new Map(chosen);
            let readings = 0;
            const answer = () => Uint8Array.from(answers[Math.min(readings++, answers.length - 1)]).buffer;
            files.set(path, { size: answers[0].length, arrayBuffer: async () => answer() });
            check(files, knownFacts(), () => {}).then(() => done(null), (error) => done(error.problem ?? String(error)));
        """
        numbers = [list(answer) for answer in answers]
        problem: str | None = self.driver.execute_async_script(script, path, numbers)
        return problem

    def read_coverage(self) -> dict[str, Any]:
        """Return what the known heads vouch for, in the fields of HeadCoverage."""
        script = """
            const { receipts, coverage: { covered, alone, confirmed, early, within_s } } = lastResult.outcome;
            return {
                covered_seq: covered?.seq ?? null, covered_time: covered?.time ?? null,
                alone_count: alone ? receipts.at(-1).seq + 1 - alone.seq : 0, alone_time: alone?.time ?? null,
                confirmed_count: confirmed.length, confirmed_seq: confirmed[0]?.seq ?? null,
                confirmed_time: confirmed[0]?.time ?? null, confirmed_within_s: confirmed.length ? within_s : null,
                early_count: early.length, early_seq: early[0]?.seq ?? null,
            };
        """
        found: dict[str, Any] = self.driver.execute_script(script)
        return found

    def verdict_color(self) -> str:
        """Return the colour of the bar of the verdict: `good`, `bad`, or `unsure`, which is amber."""
        script = """
            const shown = getComputedStyle(document.getElementById("verdict")).borderInlineStartColor;
            const probe = document.body.appendChild(document.createElement("i"));
            const names = ["good", "bad", "unsure"].filter((name) => {
                probe.style.color = `var(--${name})`;
                return getComputedStyle(probe).color === shown;
            });
            probe.remove();
            return names.join();
        """
        return str(self.driver.execute_script(script))

    def hash_in_pieces(self, sizes: list[int], piece_bytes: int) -> list[str]:
        """SHA-256 of so many bytes 0, 1, 2 ..., as the page sums a file that is too large to hold."""
        script = """
            const [sizes, piece, done] = arguments;
            const data = (size) => Uint8Array.from({ length: size }, (_, at) => at % 251);
            Promise.all(sizes.map((size) => sha256OfFile(new Blob([data(size)]), -1, piece))).then(done);
        """
        found: list[str] = self.driver.execute_async_script(script, sizes, piece_bytes)
        return found

    def page_text(self) -> str:
        """Return the text of the page."""
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def choose_language(self, lang: str) -> str:
        """Choose a language. How the page now runs."""
        self.driver.find_element(By.CSS_SELECTOR, f"[data-lang={lang}]").click()
        return str(self.driver.execute_script("return document.documentElement.dir"))

    def console_messages(self) -> list[str]:
        """Return the messages in the browser's console."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def close(self) -> None:
        self.driver.quit()
