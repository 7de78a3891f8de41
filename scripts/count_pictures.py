"""The picture of a report of `vigie count`, and of the page on which a person counts, of the rendered street."""

from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.__main__ import main
from agent.config.configuration import DetectConfig
from agent.detection.scene import SceneLine, load_scene
from centre.validate.clip_run import run_clip
from centre.validate.crossing_truth import ClipTruth, TrueCrossing, encode_truth
from centre.validate.manual_count import AGREED, compare_counts, count_path
from centre.validate.scene_truth import labelled_scene
from tests.scene_editor.browser import EditorPage
from tests.whole.count_command import CountCommand, CountedPage
from tests.whole.drawn_clip import write_street_clip

FILM_S = 75.0
PAGE_PX = (740, 1180)
GAP_PX = 20
EYE_FILM_S, EYE_PAGE_PX = 30.0, (1200, 960)
DIFFERENCE = 3
"""Index of the crossing on which two people differ."""
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


def take_count_by_eye(folder: Path, scene: Path) -> npt.NDArray[Any]:
    """Return the picture of the page that counts by eye, at a difference of two people, blue first."""
    film, by = folder / "street.mp4", ("amina", "jonas")
    write_street_clip(film, EYE_FILM_S, 1280, 720)
    line = load_scene(scene).line[0]
    counted = run_clip(
        film, labelled_scene(_truth(line, ())), EYE_FILM_S - 1, DetectConfig().model
    ).counted
    crossings = [
        TrueCrossing(
            t_s=one.t_s,
            position=one.position,
            direction="A->B" if one.direction == "A->B" else "B->A",
            label=one.label,
            is_sure=True,
        )
        for one in counted
    ]
    other = msgspec.structs.replace(crossings[DIFFERENCE], label="truck")
    for person, found in zip(
        by, (crossings, [*crossings[:DIFFERENCE], other, *crossings[DIFFERENCE + 1 :]]), strict=True
    ):
        truth = {film.stem: msgspec.structs.replace(_truth(line, tuple(found)), by=person)}
        count_path(film, line, person).write_bytes(encode_truth(truth))
    compare_counts(film, line, *by)
    with (
        CountCommand(film, scene, AGREED, line.name) as command,
        closing(EditorPage("about:blank", folder)) as browser,
    ):
        page = CountedPage(browser, command.address)
        browser.driver.set_window_size(*EYE_PAGE_PX)
        browser.click("next-dispute")
        page.wait_for_text(".count-claims", "truck")
        page.wait_for_picture(crossings[DIFFERENCE].t_s)
        return _screenshot(browser)


def _truth(line: SceneLine, crossings: tuple[TrueCrossing, ...]) -> ClipTruth:
    ends = (line.start.x, line.start.y, line.to.x, line.to.y)
    return ClipTruth(line=ends, duration_s=EYE_FILM_S, crossings=crossings)


def _photograph(page: EditorPage, selector: str) -> npt.NDArray[Any]:
    """Return the window with a section at its upper edge."""
    page.run("document.querySelector(arguments[0]).scrollIntoView()", selector)
    page.settle()
    return _screenshot(page)


def _screenshot(page: EditorPage) -> npt.NDArray[Any]:
    shot = np.frombuffer(page.driver.get_screenshot_as_png(), np.uint8)
    return np.asarray(cv2.imdecode(shot, cv2.IMREAD_COLOR))
