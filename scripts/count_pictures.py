"""The picture of a report of `vigie count`: bars and heat map next to drawn crossings, of the rendered street."""

from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from agent.__main__ import main
from tests.scene_editor.browser import EditorPage
from tests.whole.drawn_clip import write_street_clip

FILM_S = 75.0
PAGE_PX = (740, 1180)
GAP_PX = 20
BARS, CARDS = "#line-0", ".cards"
"""The sections at the head of each half."""
ONLY_BARS = """
    for (const one of document.querySelectorAll("#line-0 .long, #line-0 p, #line-0 figure + figure")) one.remove();
    document.querySelector("#line-0").append(document.querySelector("#heat-map"));
"""
MARK = """
    const marks = ["right", "right", "wrong_class"];
    for (const [at, card] of [...document.querySelectorAll(".card")].slice(0, 3).entries()) card.querySelector(`[data-mark=${marks[at]}]`).click();
"""


def take_report(folder: Path, scene: Path) -> npt.NDArray[Any]:
    """Return the picture, blue first."""
    film, out = folder / "street.mp4", folder / "counted"
    write_street_clip(film, FILM_S, 1280, 720)
    when = ["--start", "2026-05-12T08:00+01:00", "--every", "15s"]
    main(["count", str(film), "--scene", str(scene), "--out", str(out), *when])
    return photograph_report(out / "report.html", folder)


def photograph_report(report: Path, folder: Path) -> npt.NDArray[Any]:
    """Return both halves of the picture of a report side by side, blue first."""
    with closing(EditorPage(report, folder)) as page:
        page.set_screen(*PAGE_PX)
        page.run(ONLY_BARS)
        page.run(MARK)
        halves = [_photograph(page, selector) for selector in (BARS, CARDS)]
    gap = np.full((PAGE_PX[1], GAP_PX, 3), 255, np.uint8)
    return np.hstack([halves[0], gap, halves[1]])


def _photograph(page: EditorPage, selector: str) -> npt.NDArray[Any]:
    """Return the window with a section at its upper edge."""
    page.run("document.querySelector(arguments[0]).scrollIntoView()", selector)
    page.settle()
    shot = np.frombuffer(page.driver.get_screenshot_as_png(), np.uint8)
    return np.asarray(cv2.imdecode(shot, cv2.IMREAD_COLOR))
