"""The pictures of the scene editor's views: a replay, the presets of a head, the ground."""

import base64
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
from selenium.webdriver.support.ui import WebDriverWait

from centre.preset_page import write_preset_page
from centre.replay import ReplayRequest, replay
from centre.scene_page import write_scene_page
from simulation.street.fixed_view import FixedView
from simulation.street.world import CROSSING_Z_M, ROAD_HALF_M
from tests.scene_editor.browser import TIMEOUT_S, EditorPage
from tests.scene_editor.head_folder import write_head_folder
from tests.whole.drawn_clip import write_street_clip

WIDTH_PX, HEIGHT_PX = 1200, 860
FILM_PX, FILM_S = (1280, 720), 24
HEAD_PX, HEAD_PX_PER_DEG = (1280, 720), 12.0
MARK_ERROR_PX = 1.0
FAR_MARKS_Z_M = (30.0, 45.0)
JPEG_QUALITY = 82


def take_views(folder: Path, scene: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the JPEG of each picture. `scene` is the one of the rendered street."""
    film, events, tracks = (
        folder / name for name in ("street.mp4", "events.jsonl", "tracks.jsonl")
    )
    write_street_clip(film, FILM_S, *FILM_PX)
    replay(ReplayRequest(clip=film, scene=scene, events=events, tracks=tracks))
    with av.open(str(film)) as video:
        *_, last = video.decode(video=0)
    picture, marked = folder / "street.png", folder / "marked.toml"
    cv2.imwrite(str(picture), last.to_ndarray(format="bgr24"))
    marked.write_text(f"{scene.read_text()}\n{_marks()}")
    head = write_head_folder(folder / "mast", HEAD_PX, HEAD_PX_PER_DEG)
    page = EditorPage(write_scene_page(picture, scene), folder)
    try:
        _show(page, write_scene_page(picture, scene))
        page.open_files(film, events, tracks)
        _jump_to_crossing(page)
        yield "scene-editor-replay.jpg", _screenshot(page)
        _show(page, write_scene_page(picture, marked))
        page.find("#tab-ground").click()
        for box in page.find_all("#panel-ground input[type=checkbox]"):
            box.click()
        page.settle()
        yield "scene-editor-ground.jpg", _screenshot(page)
        _show(page, write_preset_page(head))
        yield "scene-editor-presets.jpg", _screenshot(page)
    finally:
        page.close()
        shutil.rmtree(head)


def _show(page: EditorPage, path: Path) -> None:
    page.open(path)
    page.driver.set_window_size(WIDTH_PX, HEIGHT_PX)
    page.settle()


def _marks() -> str:
    """Return `[ground]` with places that are known, marked as exactly as a person does."""
    view, rng = FixedView(*FILM_PX), random.Random(5)  # noqa: S311 - a picture is repeatable
    lines = ["[ground]", "point = ["]
    for z_m in (*CROSSING_Z_M, *FAR_MARKS_Z_M):
        for x_m in (-ROAD_HALF_M, ROAD_HALF_M):
            x_px, y_px = (
                value + rng.gauss(0, MARK_ERROR_PX) for value in view.pixel(x_m, 0.0, z_m)
            )
            at = f"[{x_px / FILM_PX[0]:.4f}, {y_px / FILM_PX[1]:.4f}]"
            lines.append(f"  {{at = {at}, metres = [{x_m + ROAD_HALF_M:.1f}, {z_m:.1f}]}},")
    return "\n".join([*lines, "]", ""])


def _jump_to_crossing(page: EditorPage) -> None:
    rows = page.find_all(".replay-events button")
    next(row for row in rows if "car" in row.text and "street" in row.text).click()
    WebDriverWait(page.driver, TIMEOUT_S, poll_frequency=0.02).until(
        lambda _: page.find_all(".replay-track.marked")
    )
    page.run("scrollTo(0, 0)")
    page.settle()


def _screenshot(page: EditorPage) -> bytes:
    options = {"format": "jpeg", "quality": JPEG_QUALITY}
    shot = page.driver.execute_cdp_cmd("Page.captureScreenshot", options)
    return base64.b64decode(shot["data"])
