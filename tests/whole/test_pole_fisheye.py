"""A fisheye camera on the page at the pole: the phone shows its dewarped views, each by its name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="needs selenium, of the extra `dev`")

from tests.whole.pole_page_box import without_isolates
from tests.whole.pole_street import VIEWS, PoleStreet, choose_camera, choose_language

pytestmark = pytest.mark.slow

FISHEYE = """
[[camera]]
name = "around"
driver = "fake"
record = false
options = { width_px = 320, height_px = 320, fps = 4 }
projection = "fisheye"
lens = { field_of_view_deg = 180 }
detect = { enabled = false }

[[camera]]
name = "around-north"
driver = "view"
record = false
options = { camera = "around", tilt_deg = -45, width_px = 320, height_px = 240 }
"""
GROUPS = {
    "en": "Views of around",
    "fr": "Vues de around",
    "ar": "المشاهد الجزئية من around",
}
LISTED = """
    const group = document.querySelector("main select optgroup");
    return [group.label, [...group.children].map((one) => one.value), group.previousSibling.value];
"""
SHOWN_PX = """
    const { naturalWidth, naturalHeight } = document.querySelector(".screen img.live");
    return [naturalWidth, naturalHeight];
"""


@pytest.fixture
def street(tmp_path: Path) -> Iterator[PoleStreet]:
    street = PoleStreet(tmp_path, more=FISHEYE)
    yield street
    street.close()


def test_the_views_of_a_fisheye_camera_are_chosen_and_shown_on_360_pixels(
    street: PoleStreet,
) -> None:
    phone = street.log_in()
    for language, name in GROUPS.items():
        choose_language(phone, language)
        phone.show_view(VIEWS[language][0])
        choose_camera(phone, "around-north")
        label, views, fisheye = phone.run(LISTED)
        assert (without_isolates(label), views, fisheye) == (name, ["around-north"], "around")
        phone.wait(lambda: phone.run(SHOWN_PX) == [320, 240], "picture of the view")
        assert phone.run("return document.scrollingElement.scrollWidth") <= 360
