"""agent.detection.headlights."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from agent.detection import headlights
from agent.detection.detector import SearchedRegion
from agent.detection.image import Region
from agent.detection.model_card import load_card
from agent.detection.pipeline import DetectionPipeline
from drivers.masking import MaskPainter
from drivers.media import Frame, Plane, Point

WIDTH, HEIGHT = 320, 240


def night(*spots: tuple[int, int], luma: int = 250, radius: int = 2, ground: int = 30) -> Plane:
    """A dark street with round spots at (x, y)."""
    picture = np.full((HEIGHT, WIDTH), ground, np.uint8)
    for spot in spots:
        cv2.circle(picture, spot, radius, luma, -1)
    return picture


def test_two_headlights_are_one_vehicle_around_and_above_them() -> None:
    (front,) = headlights.find_headlight_pairs(night((100, 120), (114, 120)))
    assert front.x * WIDTH < 100
    assert (front.x + front.w) * WIDTH > 115
    assert front.y * HEIGHT < 112
    assert 121 < (front.y + front.h) * HEIGHT < 130


@pytest.mark.parametrize(
    ("what", "picture"),
    [
        ("one lamp", night((100, 120))),
        ("one over the other", night((100, 120), (103, 134))),
        ("a street's width apart", night((100, 120), (160, 120))),
        ("dim", night((100, 120), (114, 120), luma=120)),
        ("wide, as a beam on the road is", night((100, 120), (130, 120), radius=9)),
        ("soft", np.asarray(cv2.GaussianBlur(night((100, 120), (122, 120), radius=5), (0, 0), 6))),
        ("a bright bar", np.asarray(cv2.line(night(), (100, 120), (114, 120), 250, 3))),
    ],
)
def test_other_lights_are_not_a_vehicle(what: str, picture: Plane) -> None:
    assert headlights.find_headlight_pairs(picture) == [], what


def test_the_nearest_two_of_three_lamps_belong_to_one_vehicle() -> None:
    (front,) = headlights.find_headlight_pairs(night((100, 120), (120, 120), (132, 120)))
    assert 115 < front.x * WIDTH < 120


def test_night_is_a_dark_picture_without_bright_areas_for_a_while() -> None:
    assert headlights.is_night(night((100, 120)))
    assert not headlights.is_night(night(ground=110))
    shade = night()
    shade[:, : WIDTH // 2] = 180
    assert not headlights.is_night(shade)


@pytest.mark.parametrize("masked_ratio", [0.0, 0.2, 0.4, 0.8])
def test_a_mask_over_a_part_of_the_picture_makes_no_night_of_an_overcast_day(
    masked_ratio: float,
) -> None:
    bottom = masked_ratio
    polygon = (Point(0, 0), Point(1, 0), Point(1, bottom), Point(0, bottom))
    polygons = (polygon,) if masked_ratio else ()
    grey = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    overcast = np.linspace(60, 150, WIDTH * HEIGHT).astype(np.uint8)
    np.random.default_rng(0).shuffle(overcast)
    for picture, is_night in ((overcast.reshape(HEIGHT, WIDTH), False), (night(), True)):
        y, u, v = MaskPainter(polygons, "north").paint_planes((picture, grey, grey))
        pipeline = DetectionPipeline(None, excluded_polygons=polygons)
        result = pipeline.process(Frame(seq=0, t_ns=0, y=y, u=u, v=v))
        assert result.is_night == is_night


class _Blind:
    card = load_card("ssdlite_mobilenet_v2")
    inference_count = 0
    cpu_ns = 0

    def input_width_px(self, _frame_width_px: int) -> int:
        return self.card.input.width_px

    def search(self, _frame: Frame, regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        """Nothing: no detector knows headlights."""
        return tuple(SearchedRegion(region, ()) for region in regions)


def _seen(step_px: int) -> set[str]:
    """The labels of the tracks where two lamps come nearer by so much in each frame."""
    pipeline = DetectionPipeline(_Blind())
    grey = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    labels: set[str] = set()
    for seq in range(40):
        y = 60 + step_px * max(0, seq - 5)
        frame = Frame(
            seq=seq, t_ns=seq * 40_000_000, y=night((150, y), (166, y), radius=2), u=grey, v=grey
        )
        labels |= {track.label for track in pipeline.process(frame).tracks}
    return labels


def test_approaching_headlights_are_a_car_without_the_detector() -> None:
    assert _seen(step_px=3) == {"car"}


def test_static_lamps_are_not_a_vehicle() -> None:
    assert _seen(step_px=0) == set()
