"""The pictures of the page at the pole: its views on three phones side by side."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tests.whole.pole_phone import PolePhone
from tests.whole.pole_street import VIEWS, PoleStreet, choose_camera, choose_language

YARD = r'driver = "replay"\noptions = .*'
NO_YARD = 'driver = "v4l2"\noptions = { device = "/dev/v4l/by-id/yard" }'


def take_phones(folder: Path, width_px: int) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield the name of each picture and the picture; the yard's camera of the box is gone."""
    street = PoleStreet(folder)
    with closing(street):
        street.box.kill()
        toml = street.box.folder / "vigie.toml"
        toml.write_text(re.sub(YARD, NO_YARD, toml.read_text()))
        street.box.start()
        phone = street.log_in()
        phone.wait_for_text("CAM-01", ".problems")
        yield "pole-page.jpg", _side_by_side(width_px, *_photograph_work(phone))
        yield "pole-install.jpg", _side_by_side(width_px, *_photograph_install(phone))


def _photograph_work(phone: PolePhone) -> Iterator[bytes]:
    """Yield the views of the picture, the scene and the checks."""
    phone.tap("Level")
    phone.wait_for_pictures()
    yield phone.screenshot()
    phone.show_view("Scene")
    phone.wait_for_text("zebra", ".scene-editor")
    phone.wait(
        lambda: phone.run("return document.querySelector('.picture image').href.baseVal"), ""
    )
    phone.run("document.querySelector('.scene-editor').scrollIntoView()")
    yield phone.screenshot()
    phone.show_view("Checks")
    phone.tap("Run all checks")
    phone.wait_for_text("Checks that failed", "main")
    phone.run("document.querySelector('[data-number=\"6\"]').scrollIntoView({ block: 'center' })")
    yield phone.screenshot()


def _photograph_install(phone: PolePhone) -> Iterator[bytes]:
    """Yield the commissioning, the box in French, and the picture in Arabic and in the dark."""
    phone.show_view("Install")
    phone.tap("Begin")
    phone.wait_for_text("Notes for the certificate")
    phone.wait(lambda: phone.select_all(".inspected img:not([hidden])"), "inspected picture")
    phone.run("document.querySelector('main h2').scrollIntoView()")
    yield phone.screenshot()
    choose_language(phone, "fr")
    phone.wait(lambda: "…" not in phone.text("main"), "end of the work")
    phone.wait_for_text("CAM-01 caméra inaccessible", ".problems")
    phone.run("document.querySelector('main section').scrollIntoView()")
    yield phone.screenshot()
    phone.prefer(prefers_color_scheme="dark")
    choose_language(phone, "ar")
    phone.show_view(VIEWS["ar"][0])
    choose_camera(phone, "mast")
    phone.wait_for_text("CAM-01 تعذر", ".problems")
    phone.wait_for_pictures()
    yield phone.screenshot()


def _side_by_side(joined_width_px: int, *screenshots: bytes) -> npt.NDArray[Any]:
    """Join screenshots of one height, with white between them."""
    pictures = [
        np.asarray(cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR))
        for shot in screenshots
    ]
    height_px, width_px = pictures[0].shape[:2]
    gap_px = (joined_width_px - width_px * len(pictures)) // (len(pictures) - 1)
    gap = np.full((height_px, gap_px, 3), 255, np.uint8)
    return np.hstack([part for picture in pictures for part in (picture, gap)][:-1])
