"""Objects left behind in a real film: pasted ones, and none without them. Skipped without the film."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from agent.base.model import Event, FrameResult
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene, Zone
from drivers.media import Plane, Point
from tests.pure.rules.scripted_tracks import id_maker

SAMPLE_S, BEGIN_S = 2, 34
FILM_FPS = 10
Change = Callable[[Plane, npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""From a picture and the empty street to a changed picture."""


@pytest.fixture(scope="module")
def pictures(shared: Path) -> Sequence[Plane]:
    """Each twentieth picture of people on a square, 320 wide."""
    film = cv2.VideoCapture(str(shared / "footage" / "opencv_vtest.avi"))
    found = []
    for index in range(10**6):
        if not film.grab():
            break
        if index % (SAMPLE_S * FILM_FPS) == 0:
            luma = cv2.cvtColor(film.retrieve()[1], cv2.COLOR_BGR2GRAY)
            found.append(cv2.resize(luma, (320, 240), interpolation=cv2.INTER_AREA))
    assert len(found) == 40
    return found


def events_of(pictures: Sequence[Plane], change: Change) -> list[Event]:
    """Return the events of objects if the pictures are changed from BEGIN_S on; nothing is tracked."""
    corners = (Point(0, 0), Point(1, 0), Point(1, 1), Point(0, 1))
    zone = Zone(name="square", polygon=corners, events=False, object_after_s=16)
    rule_engine = RuleEngine("north", Scene(zone=(zone,)), id_maker())
    street = np.median(np.stack(pictures), axis=0).astype(np.float32)
    events: list[Event] = []
    for index, picture in enumerate(pictures):
        t_s = index * SAMPLE_S
        shown = change(picture, street) if t_s >= BEGIN_S else picture.astype(np.float32)
        result = FrameResult(
            seq=index,
            t_ns=t_s * 10**9,
            width_px=768,
            height_px=576,
            gate_luma=np.clip(shown, 0, 255).astype(np.uint8),
            moving_ratio=0.0,
            tracks=(),
            inference_count=0,
        )
        events += [one for one in rule_engine.evaluate(result) if one.kind == "object_left"]
    return events


def paste(x: int, y: int, seed: int) -> Change:
    """A patch with a texture of its own, behind the people that walk in front of it."""
    rng = np.random.default_rng(seed)
    blocks = rng.uniform(20, 230, (3, 3)).astype(np.float32)
    patch = cv2.resize(blocks, (12, 14), interpolation=cv2.INTER_LINEAR)

    def change(picture: Plane, street: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        shown = picture.astype(np.float32)
        place = (slice(y, y + 14), slice(x, x + 12))
        passes = np.abs(shown[place] - street[place]) > 18
        shown[place] = np.where(passes, shown[place], patch + shown[place] - street[place])
        return shown

    return change


def test_people_who_walk_by_leave_no_object(pictures: Sequence[Plane]) -> None:
    assert events_of(pictures, lambda picture, _: picture.astype(np.float32)) == []


@pytest.mark.parametrize(
    ("x", "y"), [(40, 160), (80, 200), (150, 150), (210, 190), (110, 100), (270, 210)]
)
def test_a_pasted_object_is_found_once(pictures: Sequence[Plane], x: int, y: int) -> None:
    (begin,) = events_of(pictures, paste(x, y, seed=x))
    assert begin.box is not None
    middle = (begin.box.x + begin.box.w / 2) * 320, (begin.box.y + begin.box.h / 2) * 240
    assert middle == pytest.approx((x + 6, y + 7), abs=4)
    assert begin.t_ns / 1e9 <= BEGIN_S + 16 + 8


@pytest.mark.parametrize(("x", "factor"), [(40, 0.6), (80, 0.5), (150, 0.7), (210, 1.4)])
def test_a_shadow_and_a_lamp_on_the_ground_are_no_objects(
    pictures: Sequence[Plane], x: int, factor: float
) -> None:
    def change(picture: Plane, _street: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        light = np.zeros(picture.shape, np.float32)
        cv2.ellipse(light, (x, 180), (11, 8), 0, 0, 360, 1, -1)
        return picture * (1 - cv2.GaussianBlur(light, (0, 0), 1.0) * (1 - factor))

    assert events_of(pictures, change) == []
