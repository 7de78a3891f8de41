"""agent.detection.car_heights: pixels per metre of a view without a calibrated ground."""

import random

import pytest

from agent.base.model import Label
from agent.detection.car_heights import MIN_CARS, CarHeights
from tests.pure.rules.scripted_tracks import ScriptedRoadUser, frame_results, straight_path

HEIGHT_PX = 720


def height_at(y: float) -> float:
    """Heights of cars in a view with its horizon at 0.2 of the picture, in picture heights."""
    return 0.15 * (y - 0.2)


def learnt(
    places: list[float], *, label: Label = "car", x: float = 0.5, lorries: int = 0
) -> CarHeights:
    """Heights that were learnt from a car at each place, each for three seconds; some are lorries called cars."""
    heights = CarHeights()
    rng = random.Random(1)
    for number, y in enumerate(places, 1):
        height = height_at(y) * (2.5 if number <= lorries else rng.uniform(0.9, 1.1))
        car = ScriptedRoadUser(
            straight_path((0, x, y), (3, x, y)), track=number, label=label, box=(height, height)
        )
        for result in frame_results([car], 2.9):
            heights.step(result)
    return heights


SPREAD = [0.4 + 0.5 * index / 39 for index in range(40)]


@pytest.mark.parametrize("y", [0.35, 0.5, 0.8])
def test_the_pixels_per_metre_of_a_place_follow_from_the_cars_above_and_below(y: float) -> None:
    expected = height_at(y) * HEIGHT_PX / 1.5
    assert learnt(SPREAD).px_per_m(y, HEIGHT_PX) == pytest.approx(expected, rel=0.08)


def test_a_larger_picture_of_the_same_view_has_more() -> None:
    heights = learnt(SPREAD)
    small, large = (heights.px_per_m(0.6, height_px) for height_px in (360, 1080))
    assert small is not None
    assert large == pytest.approx(3 * small)


@pytest.mark.parametrize(
    ("places", "label", "x"),
    [
        (SPREAD[: MIN_CARS - 1], "car", 0.5),
        (SPREAD, "bus", 0.5),
        (SPREAD, "car", 0.01),
        ([], "car", 0.5),
    ],
    ids=["too few", "no cars", "cut off by the edge", "none"],
)
def test_without_enough_whole_cars_nothing_is_known(
    places: list[float], label: Label, x: float
) -> None:
    assert learnt(places, label=label, x=x).px_per_m(0.5, HEIGHT_PX) is None


def test_a_car_that_stands_for_hours_counts_once() -> None:
    parked = ScriptedRoadUser(lambda _t_s: (0.5, 0.5))
    heights = CarHeights()
    for result in frame_results([parked], 300):
        heights.step(result)
    assert heights.px_per_m(0.5, HEIGHT_PX) is None


def test_lorries_that_are_called_cars_do_not_decide() -> None:
    with_lorries, without = (
        learnt(SPREAD[::-1], lorries=lorries).px_per_m(0.6, HEIGHT_PX) for lorries in (2, 0)
    )
    assert with_lorries == pytest.approx(without, rel=0.1)


def test_cars_at_one_place_say_what_is_there_and_no_more() -> None:
    heights = learnt([0.5 + 0.001 * index for index in range(40)])
    assert heights.px_per_m(0.5, HEIGHT_PX) == heights.px_per_m(0.3, HEIGHT_PX)


def test_nothing_is_said_of_what_is_much_farther_than_the_farthest_cars() -> None:
    heights = learnt(SPREAD)
    limit = heights.px_per_m(0.25, HEIGHT_PX)
    assert limit is not None
    assert limit > 0
    assert heights.px_per_m(0.0, HEIGHT_PX) == pytest.approx(
        heights.px_per_m(0.23, HEIGHT_PX), rel=0.2
    )
