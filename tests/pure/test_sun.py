"""agent.ptz.motion.sun: its position by the almanac, and its sector."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.heads import FieldOfView, SunConfig
from agent.ptz.motion.field_of_view import Direction, angle_between_deg
from agent.ptz.motion.forbidden_sectors import first_visible_sector, overlaps, swept_area
from agent.ptz.motion.sun import sun_position, sun_sector
from drivers.angles import wrap_deg
from drivers.contracts import Pose

CASABLANCA = SunConfig(latitude_deg=33.5912, longitude_deg=-7.6186)
NOON = datetime(2026, 6, 21, 12, 32, tzinfo=UTC)
MIDNIGHT = datetime(2026, 6, 21, 0, 32, tzinfo=UTC)

times = st.integers(0, 365 * 24 * 60).map(
    lambda minute: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
)


@pytest.mark.parametrize(
    ("latitude_deg", "longitude_deg", "at", "azimuth_deg", "elevation_deg"),
    [
        # The worked example of NREL/TP-560-34302, "Solar Position Algorithm": 17 October 2003,
        # 12:30:30 at UTC-7, azimuth 194.340241, zenith angle 50.111622.
        (39.742476, -105.1786, datetime(2003, 10, 17, 19, 30, 30, tzinfo=UTC), 194.34, 39.89),
        # By hand: at noon of the solstice it is 90 - latitude + 23.44 high, and due south; the
        # longitude is 30.5 min west, the equation of time is 1.8 min.
        (33.5912, -7.6186, datetime(2026, 6, 21, 12, 32, 20, tzinfo=UTC), 180.0, 79.85),
        # The same in December: 90 - 33.59 - 23.44; the equation of time is +1.6 min.
        (33.5912, -7.6186, datetime(2026, 12, 21, 12, 28, 50, tzinfo=UTC), 180.0, 32.97),
    ],
)
def test_the_suns_position_matches_the_almanac(
    latitude_deg: float,
    longitude_deg: float,
    at: datetime,
    azimuth_deg: float,
    elevation_deg: float,
) -> None:
    sun = SunConfig(latitude_deg=latitude_deg, longitude_deg=longitude_deg)
    found = sun_position(sun, at)
    assert found is not None
    there = Direction(pan_deg=found.pan_deg, tilt_deg=found.tilt_deg)
    assert angle_between_deg(there, Direction(pan_deg=azimuth_deg, tilt_deg=elevation_deg)) < 0.15


def test_a_head_facing_east_sees_the_sun_rotated_by_90_degrees() -> None:
    # Its zero looks east, so it looks north at pan -90.
    turned = SunConfig(latitude_deg=33.5912, longitude_deg=-7.6186, north_deg=-90.0)
    straight, found = sun_position(CASABLANCA, NOON), sun_position(turned, NOON)
    assert straight is not None
    assert found is not None
    assert (found.pan_deg - straight.pan_deg) % 360 == pytest.approx(270)


def test_there_is_no_sun_at_night_and_none_without_a_clock() -> None:
    assert sun_position(CASABLANCA, MIDNIGHT) is None
    assert sun_sector(CASABLANCA, NOON) is not None
    assert sun_sector(CASABLANCA, MIDNIGHT) is None
    assert sun_sector(CASABLANCA, None) is None


@given(
    at=times, away_deg=st.floats(0, 4.99), around_deg=st.floats(0, 360), north=st.floats(-180, 180)
)
def test_all_within_the_margin_of_the_sun_is_in_its_sector(
    at: datetime, away_deg: float, around_deg: float, north: float
) -> None:
    here = SunConfig(latitude_deg=33.5912, longitude_deg=-7.6186, north_deg=north)
    there, forbidden = sun_position(here, at), sun_sector(here, at)
    if there is None or forbidden is None:
        assert there is None
        assert forbidden is None
        return
    near = from_there(there, away_deg, around_deg)
    assert overlaps(swept_area(Pose(pan_deg=near.pan_deg, tilt_deg=near.tilt_deg)), forbidden)


def from_there(there: Direction, away_deg: float, around_deg: float) -> Direction:
    """The direction at an angle from another one: a step on the sphere (the direct geodesic)."""
    away, around, tilt = (math.radians(angle) for angle in (away_deg, around_deg, there.tilt_deg))
    up = math.sin(tilt) * math.cos(away) + math.cos(tilt) * math.sin(away) * math.cos(around)
    beside = math.atan2(
        math.sin(around) * math.sin(away) * math.cos(tilt), math.cos(away) - math.sin(tilt) * up
    )
    return Direction(
        pan_deg=wrap_deg(there.pan_deg + math.degrees(beside)),
        tilt_deg=math.degrees(math.asin(max(-1.0, min(1.0, up)))),
    )


def test_a_pose_facing_away_from_the_evening_sun_is_allowed() -> None:
    evening = sun_sector(CASABLANCA, datetime(2026, 3, 20, 18, 0, tzinfo=UTC))
    assert evening is not None
    assert evening.may_cross, "a head may pass over the sun"
    assert evening.name == "sun"
    fov = FieldOfView(wide=60.0, tele=3.0)
    west, east = (swept_area(Pose(pan_deg=pan_deg, tilt_deg=-10)) for pan_deg in (-90, 90))
    assert first_visible_sector(west, [evening], fov, 0.5) == evening
    assert first_visible_sector(east, [evening], fov, 0.5) is None


def test_under_a_sun_overhead_the_sector_is_all_around() -> None:
    equator = SunConfig(latitude_deg=0.0, longitude_deg=0.0)
    overhead = sun_sector(equator, datetime(2026, 3, 20, 12, 7, tzinfo=UTC))
    assert overhead is not None
    assert overhead.pan_deg == (-180.0, 180.0)
    assert overhead.tilt_deg[1] == 90.0
