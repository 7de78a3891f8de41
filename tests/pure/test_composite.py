"""bench.composite and bench.street_cases on a small drawn street: cases are seeded and their truth is exact."""

import numpy as np
import pytest

from bench import street_cases
from bench.composite import Film, PixelBox, cut_out, find_ways, place
from bench.street_cases import PlacedVehicle
from drivers.media import Planes, Point

WIDTH_PX, HEIGHT_PX = 120, 90
ROAD, VEHICLE, LORRY = 90, 200, 30
PICTURES = 40


def picture(*boxes: tuple[int, int, int, int, int]) -> Planes:
    """A grey road with rectangles: x, y, w, h and luma."""
    y = np.full((HEIGHT_PX, WIDTH_PX), ROAD, np.uint8)
    for left, top, w, h, luma in boxes:
        y[top : top + h, max(0, left) : max(0, left + w)] = luma
    grey = np.full((HEIGHT_PX // 2, WIDTH_PX // 2), 128, np.uint8)
    return y, grey, grey.copy()


@pytest.fixture
def film() -> Film:
    """A car at the top goes to the right; a lorry below it goes to the left."""
    pictures = [
        picture((4 + 2 * n, 20, 18, 14, VEHICLE), (100 - 3 * n, 50, 24, 16, LORRY))
        for n in range(PICTURES)
    ]
    return Film(pictures, 10.0)


def test_a_moving_shape_is_followed_over_the_pictures(film: Film) -> None:
    ways = find_ways(film)
    car = next(way for way in ways if way.shapes[0].y < 40)
    for offset, shape in enumerate(car.shapes):
        assert abs(shape.x - (4 + 2 * (car.begin_index + offset))) <= 1
        assert abs(shape.h - 14) <= 1


def test_a_placed_vehicle_has_the_pixels_of_the_cut_at_its_place_alone(film: Film) -> None:
    cut = cut_out(film, 10, PixelBox(24, 20, 18, 14))
    (y, _, _), covered = place(film, 30, film.pictures[30], cut, PixelBox(40, 70, 14, 10))
    assert covered == 0
    assert y[75, 47] == VEHICLE
    assert y[75, 60] == ROAD
    assert film.pictures[30][0][75, 47] == ROAD


def test_traffic_that_reaches_further_down_is_in_front_of_a_placed_vehicle(film: Film) -> None:
    cut = cut_out(film, 10, PixelBox(24, 20, 18, 14))
    lorry_x = 100 - 3 * 20
    behind = PixelBox(lorry_x + 4, 48, 14, 10)
    (y, _, _), covered = place(film, 20, film.pictures[20], cut, behind)
    assert covered > 0.5
    assert y[55, lorry_x + 10] == LORRY
    in_front = PixelBox(lorry_x + 4, 60, 14, 10)
    (y, _, _), covered = place(film, 20, film.pictures[20], cut, in_front)
    assert covered == 0
    assert y[63, lorry_x + 10] == VEHICLE


def test_a_placed_vehicle_stands_where_its_way_ends() -> None:
    begin, end = PixelBox(10, 10, 8, 6), PixelBox(30, 20, 16, 12)
    vehicle = PlacedVehicle(0, begin, ((2.0, begin), (4.0, end)))
    assert vehicle.shape_at(1.9) is None
    assert vehicle.shape_at(3.0) == PixelBox(20, 15, 12, 9)
    assert vehicle.shape_at(99.0) == end
    assert vehicle.arrival_s == 4.0


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch, film: Film) -> dict[str, street_cases.FilmTraffic]:
    corners = tuple(Point(x, y) for x, y in ((0, 0.1), (1, 0.1), (1, 1), (0, 1)))
    road = street_cases.Carriageway("road", 0, corners)
    monkeypatch.setattr(street_cases, "FILMS", {"drawn": (road,)})
    ways = tuple(find_ways(film))
    return {"drawn": street_cases.FilmTraffic(film.size_px, film.fps, PICTURES, ways)}


def test_a_case_depends_on_its_seed_and_number_alone(
    traffic: dict[str, street_cases.FilmTraffic],
) -> None:
    few = list(street_cases.make_stopped_cases(traffic, 3, seed=1))
    many = list(street_cases.make_stopped_cases(traffic, 6, seed=1))
    assert many[:3] == few
    assert list(street_cases.make_stopped_cases(traffic, 3, seed=2)) != few


def test_a_stopped_vehicle_is_cut_from_one_that_goes_the_lawful_way(
    traffic: dict[str, street_cases.FilmTraffic],
) -> None:
    for case in street_cases.make_stopped_cases(traffic, 8, seed=1):
        (vehicle,) = case.vehicles
        assert vehicle.cut_shape.y < 40, "the lorry goes the other way"
        assert case.length_s == vehicle.arrival_s + street_cases.STANDS_S


def test_vehicles_of_a_queue_do_not_overlap(traffic: dict[str, street_cases.FilmTraffic]) -> None:
    for case in street_cases.make_queue_cases(traffic, 4, seed=1, standing=2):
        first, second = (vehicle.standing_shape for vehicle in case.vehicles)
        assert not first.overlaps(second)
        assert case.vehicles[0].arrival_s < case.vehicles[1].arrival_s


def test_a_wrong_way_vehicle_goes_back_the_way_of_a_lawful_one(
    traffic: dict[str, street_cases.FilmTraffic],
) -> None:
    for case, truth in street_cases.make_wrong_way_cases(traffic, 4, seed=1):
        (vehicle,) = case.vehicles
        begin, end = vehicle.way[0][1], vehicle.way[-1][1]
        assert end.x < begin.x - 30
        assert truth.sightings[0].t_s == vehicle.way[0][0]
        assert truth.sightings[-1].t_s <= PICTURES / 10
        assert truth.sightings[0].at.x > truth.sightings[-1].at.x
