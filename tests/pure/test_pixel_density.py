"""agent.detection.pixel_density: the least pixels per metre of lines and zones, and their words."""

from agent.base.health_model import AreaDensity
from agent.detection.pixel_density import area_densities, iter_low_density_areas
from agent.detection.scene import Scene, SceneLine, Zone
from agent.faults.diagnosis import describe_density
from drivers.media import Point
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
    (near,), (far,) = (area_densities(scene(line(y_m)), *SIZE_PX) for y_m in (20, 40))
    assert near.px_per_m == 50.8
    assert far.px_per_m == 26.1
    assert (near.needed_px_per_m, far.needed_px_per_m) == ({}, {"car": 30})


def test_a_zone_that_reaches_the_sky_has_no_pixels_there() -> None:
    corners = (Point(0.2, 0.9), Point(0.8, 0.9), Point(0.8, 0.05))
    (zone,) = iter_low_density_areas(scene(Zone(name="all", polygon=corners)), *SIZE_PX)
    assert zone.px_per_m == 0
    assert zone.needed_px_per_m == {
        **dict.fromkeys(("person", "bicycle", "motorcycle"), 60),
        **dict.fromkeys(("car", "bus", "truck"), 30),
    }


def test_a_density_just_below_the_need_is_not_rounded_to_it() -> None:
    (area,) = area_densities(scene(line(20)), 756, 425)
    assert area.px_per_m == 30.0
    assert not area.needed_px_per_m
    (area,) = area_densities(scene(line(20)), 755, 425)
    assert (area.px_per_m, area.needed_px_per_m) == (29.9, {"car": 30})


def test_without_a_calibration_nothing_is_known() -> None:
    assert area_densities(scene(line(40), calibrated=False), *SIZE_PX) == ()


def test_the_words_name_the_area_the_density_and_what_is_needed() -> None:
    weak = AreaDensity(
        kind="zone",
        name="left lane",
        px_per_m=22.4,
        needed_px_per_m={"person": 60, "car": 30, "bus": 30},
    )
    assert str(describe_density(weak)) == (
        "zone 'left lane': 22.4 pixels per metre; needed: 30 for car, bus; 60 for person"
    )
