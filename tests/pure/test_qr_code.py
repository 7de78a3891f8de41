"""agent.console.qr_code: codes that a camera reads, within a terminal."""

import re

import cv2
import numpy as np
import pytest

from agent.console import qr_code
from agent.console.terminal import COLUMNS, ROWS

TOKEN = "abcdefghijklmnopqrstuvwxyz"  # noqa: S105 - of a test
_HALVES = {"\u2588": (255, 255), "\u2580": (255, 0), "\u2584": (0, 255), " ": (0, 0)}
PIXELS = 6


def picture(drawn: bytes) -> np.ndarray:
    """The code as a screen shows it."""
    rows: list[list[int]] = []
    for line in drawn.decode().split("\r\n"):
        cells = re.sub(r"\x1b\[[0-9;]*m", "", line)
        rows += [[_HALVES[cell][half] for cell in cells] for half in (0, 1)]
    return np.kron(np.array(rows, np.uint8), np.ones((PIXELS, PIXELS), np.uint8))


@pytest.mark.parametrize(
    "origin",
    [
        "https://10.0.2.15:8443/",
        "https://192.168.100.100:65535/",
        "https://[fd12:3456:789a:bcde:f012:3456:789a:bcde]:8443/",
    ],
)
def test_a_link_fits_the_screen_and_is_read_by_a_camera(origin: str) -> None:
    drawn = qr_code.draw(f"{origin}#{TOKEN}")
    shown = picture(drawn)
    rows, columns = shown.shape[0] // PIXELS // 2, shown.shape[1] // PIXELS
    assert columns <= COLUMNS - 2
    assert rows < ROWS
    text, _, _ = cv2.QRCodeDetector().detectAndDecode(shown)
    assert text == f"{origin}#{TOKEN}"


def test_a_code_resets_the_colours_at_the_end_of_each_row() -> None:
    for line in qr_code.draw(f"https://10.0.2.15:8443/#{TOKEN}").split(b"\r\n"):
        assert line.startswith(b"\x1b[97;40m")
        assert line.endswith(b"\x1b[0m")
        assert len(re.findall(rb"\x1b", line)) == 2
