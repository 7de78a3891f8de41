"""bench.rule_cases: the score of a case from the tracks of its road users."""

from collections.abc import Callable

import pytest

from bench import rule_cases, street_cases
from bench.composite import PixelBox
from bench.street_cases import Carriageway, MovingVehicle, PlacedVehicle, Sighting, StreetCase
from drivers.media import Point
from tests.pure.rules.scripted_tracks import (
    PICTURE_SIZE_PX,
    ScriptedRoadUser,
    frame_results,
    straight_path,
)

WIDTH_PX, HEIGHT_PX = PICTURE_SIZE_PX
ARRIVAL_S = 6.0
PLACE = PixelBox(0.45 * WIDTH_PX, 0.45 * HEIGHT_PX, 0.1 * WIDTH_PX, 0.1 * HEIGHT_PX)


@pytest.fixture(autouse=True)
def road(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = tuple(Point(x, y) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))
    lane = Carriageway("road", 0, corners)
    monkeypatch.setattr(street_cases, "FILMS", {"drawn": (lane,)})
    monkeypatch.setattr(rule_cases, "FILMS", {"drawn": (lane,)})


def case(vehicles: tuple[PlacedVehicle, ...] = ()) -> StreetCase:
    return StreetCase(
        number=0, film="drawn", carriageway="road", order="forward", length_s=50, vehicles=vehicles
    )


def stopped_case() -> StreetCase:
    return case((PlacedVehicle(0, PLACE, ((4.0, PLACE), (ARRIVAL_S, PLACE))),))


def driver(*points: tuple[float, float, float], track: int = 1) -> ScriptedRoadUser:
    return ScriptedRoadUser(straight_path(*points), track=track)


STANDS = ((ARRIVAL_S - 2, 0.1, 0.5), (ARRIVAL_S, 0.5, 0.5), (50.0, 0.5, 0.5))


def test_a_vehicle_that_is_named_where_it_stands_is_found() -> None:
    outcome = rule_cases.score_stopped(stopped_case(), frame_results([driver(*STANDS)], 50), 0.0)
    assert outcome.is_found
    assert -0.5 <= outcome.delays_s[0] <= 1.0
    assert outcome.false_events == ()
    assert not outcome.is_passed


def test_a_vehicle_without_a_track_is_missed() -> None:
    outcome = rule_cases.score_stopped(stopped_case(), frame_results([], 50), 0.3)
    assert not outcome.is_found
    assert outcome.is_passed


def test_an_event_elsewhere_is_false() -> None:
    elsewhere = ((ARRIVAL_S - 2, 0.1, 0.9), (ARRIVAL_S, 0.8, 0.9), (50.0, 0.8, 0.9))
    outcome = rule_cases.score_stopped(stopped_case(), frame_results([driver(*elsewhere)], 50), 0.0)
    assert not outcome.is_found
    assert len(outcome.false_events) == 1


def test_an_event_that_comes_too_late_does_not_find_the_vehicle() -> None:
    late_s = ARRIVAL_S + rule_cases.LATE_S + 2
    late = driver((late_s - 2, 0.1, 0.5), (late_s, 0.5, 0.5), (50.0, 0.5, 0.5))
    outcome = rule_cases.score_stopped(stopped_case(), frame_results([late], 50), 0.0)
    assert outcome.delays_s
    assert not outcome.is_found


@pytest.mark.parametrize(
    ("third_y", "third"), [(None, None), (0.8, "other"), (0.35, "double")], ids=str
)
def test_a_queue_has_three_vehicles(third_y: float | None, third: str | None) -> None:
    placed_y = (0.2, 0.5)
    standing_y = placed_y if third_y is None else (*placed_y, third_y)
    queue = [
        driver((0, 0.0, y), (2, 0.5, y), (30, 0.5, y), track=n) for n, y in enumerate(standing_y, 1)
    ]
    shapes = [
        PixelBox(0.45 * WIDTH_PX, (y - 0.05) * HEIGHT_PX, 0.1 * WIDTH_PX, 0.1 * HEIGHT_PX)
        for y in placed_y
    ]
    placed = tuple(PlacedVehicle(0, shape, ((2.0, shape),)) for shape in shapes)
    assert rule_cases.find_queue(case(placed), frame_results(queue, 30)) == third


def moving(path: Callable[[float], tuple[float, float] | None], end_s: float) -> MovingVehicle:
    times = [n / 10 for n in range(round(end_s * 10))]
    return MovingVehicle(
        "drawn", "road", tuple(Sighting(t_s, Point(*path(t_s)), 0.05) for t_s in times)
    )


def test_a_vehicle_against_the_direction_is_found_and_a_lawful_one_is_no_event() -> None:
    against = straight_path((0, 0.9, 0.3), (4, 0.1, 0.3))
    lawful = straight_path((0, 0.1, 0.7), (4, 0.9, 0.7))
    tracks = [ScriptedRoadUser(against, track=1), ScriptedRoadUser(lawful, track=2)]
    results = list(frame_results(tracks, 5))
    outcome = rule_cases.score_wrong_way(case(), [moving(against, 4)], results)
    assert (outcome.vehicles, outcome.found, outcome.other_events) == (1, 1, 0)
    assert outcome.tracks == 2
    outcome = rule_cases.score_wrong_way(case(), [moving(lawful, 4)], results)
    assert (outcome.vehicles, outcome.found, outcome.other_events) == (1, 0, 1)


def test_a_film_played_backwards_has_its_vehicles_backwards() -> None:
    vehicle = MovingVehicle(
        "drawn", "road", (Sighting(1.0, Point(0, 0), 0.1), Sighting(3.0, Point(1, 1), 0.1))
    )
    first, last = street_cases.reversed_vehicle(vehicle, 10.0).sightings
    assert (first.t_s, first.at) == (7.0, Point(1, 1))
    assert (last.t_s, last.at) == (9.0, Point(0, 0))
