"""agent.detection.pixel_density: the least pixels per metre of lines and zones, and their words."""

import math

import pytest

from agent.base.health_model import AreaDensity
from agent.detection.pixel_density import area_densities, iter_low_density_areas, view_angle_deg
from agent.detection.scene import Scene, SceneLine, Zone
from agent.faults.diagnosis import describe_density
from drivers.media import Point
from simulation.street.fixed_view import CAMERA_HEIGHT_M
from tests.pure.rules.street_ground import STREET_MARKS, VIEW, point_at

SIZE_PX = (VIEW.width_px, VIEW.height_px)


def scene(*areas: SceneLine | Zone, calibrated: bool = True) -> Scene:
    return Scene(
        line=tuple(area for area in areas if isinstance(area, SceneLine)),
        zone=tuple(area for area in areas if isinstance(area, Zone)),
        ground=STREET_MARKS if calibrated else None,
    )


def line(y_m: float, *labels: str) -> SceneLine:
    ends = {"start": point_at(-3, 14), "to": point_at(3, y_m)}
    return SceneLine(name="stop line", labels=labels or ("car",), **ends)  # type: ignore[arg-type]


def test_a_line_is_as_good_as_its_far_end() -> None:
    (near,), (far,) = (area_densities(scene(line(y_m)), 320, 180) for y_m in (20, 40))
    assert near.px_per_m == 12.7
    assert far.px_per_m == 6.5
    assert (near.needed_px_per_m, far.needed_px_per_m) == ({}, {"car": 7})


def test_a_zone_that_reaches_the_sky_has_no_pixels_there() -> None:
    corners = (Point(0.2, 0.9), Point(0.8, 0.9), Point(0.8, 0.05))
    (zone,) = iter_low_density_areas(scene(Zone(name="all", polygon=corners)), *SIZE_PX)
    assert zone.px_per_m == 0
    assert zone.needed_px_per_m == {
        **dict.fromkeys(("person", "bicycle", "motorcycle"), 10),
        **dict.fromkeys(("car", "bus", "truck"), 7),
    }


def test_a_density_just_below_the_need_is_not_rounded_to_it() -> None:
    (area,) = area_densities(scene(line(20)), 177, 100)
    assert area.px_per_m == 7.0
    assert not area.needed_px_per_m
    (area,) = area_densities(scene(line(20)), 176, 99)
    assert (area.px_per_m, area.needed_px_per_m) == (6.9, {"car": 7})


def test_without_a_calibration_nothing_is_known() -> None:
    assert area_densities(scene(line(40), calibrated=False), *SIZE_PX) == ()


def test_the_words_name_the_area_the_density_and_what_is_needed() -> None:
    weak = AreaDensity(
        kind="zone",
        name="left lane",
        px_per_m=6.4,
        needed_px_per_m={"person": 10, "car": 7, "bus": 7},
    )
    assert str(describe_density(weak)) == (
        "zone 'left lane': 6.4 pixels per metre; needed: 7 for car, bus; 10 for person"
    )


@pytest.mark.parametrize("y_m", [10, 20, 40, 80])
def test_the_angle_of_the_view_is_that_of_the_line_of_sight_to_the_ground(y_m: float) -> None:
    plane = scene(line(20)).ground_plane
    assert plane is not None
    angle_deg = view_angle_deg(plane, point_at(0.0, y_m), *SIZE_PX)
    assert angle_deg == pytest.approx(math.degrees(math.atan2(CAMERA_HEIGHT_M, y_m)), rel=0.05)


def test_at_the_horizon_there_is_no_angle() -> None:
    plane = scene(line(20)).ground_plane
    assert plane is not None
    assert view_angle_deg(plane, Point(0.5, 0.0), *SIZE_PX) is None
