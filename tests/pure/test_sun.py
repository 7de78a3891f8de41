"""The sun: where the almanac has it, and what a head does about it, with a clock and without."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control.field_of_view import Direction, beside_deg, between_deg
from agent.control.sun import direction_of_sun, glare, refuge
from agent.heads_config import FieldOfView, Sun
from drivers.contracts import Pose

CASABLANCA = Sun(latitude_deg=33.5912, longitude_deg=-7.6186)
FOV = FieldOfView(wide=60.0, tele=3.0)
NOON = datetime(2026, 6, 21, 12, 32, tzinfo=UTC)
MIDNIGHT = datetime(2026, 6, 21, 0, 32, tzinfo=UTC)

times = st.integers(0, 365 * 24 * 60).map(
    lambda minute: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
)
poses = st.builds(
    Pose, pan_deg=st.floats(-179.9, 180), tilt_deg=st.floats(-90, 90), zoom=st.floats(0, 1)
)


@pytest.mark.parametrize(
    ("latitude_deg", "longitude_deg", "at", "azimuth_deg", "elevation_deg"),
    [
        # The worked example of NREL/TP-560-34302, "Solar Position Algorithm": 17 October 2003, 12:30:30 local at UTC-7, azimuth 194.340241, zenith angle 50.111622.
        (39.742476, -105.1786, datetime(2003, 10, 17, 19, 30, 30, tzinfo=UTC), 194.34, 39.89),
        # By hand: at noon of the solstice it is 90 - latitude + 23.44 high, and due south; the
        # longitude is 30.5 min west, the equation of time is 1.8 min.
        (33.5912, -7.6186, datetime(2026, 6, 21, 12, 32, 20, tzinfo=UTC), 180.0, 79.85),
        # The same in December: 90 - 33.59 - 23.44; the equation of time is +1.6 min.
        (33.5912, -7.6186, datetime(2026, 12, 21, 12, 28, 50, tzinfo=UTC), 180.0, 32.97),
    ],
)
def test_the_sun_stands_where_the_almanac_says(
    latitude_deg: float,
    longitude_deg: float,
    at: datetime,
    azimuth_deg: float,
    elevation_deg: float,
) -> None:
    sun = Sun(latitude_deg=latitude_deg, longitude_deg=longitude_deg)
    found = direction_of_sun(sun, at)
    assert found is not None
    almanac = Direction(pan_deg=azimuth_deg, tilt_deg=elevation_deg)
    assert between_deg(found, almanac) < 0.15


def test_a_head_whose_zero_looks_east_finds_it_turned_by_a_quarter() -> None:
    # Its zero looks east, so it looks north at pan -90.
    turned = Sun(latitude_deg=33.5912, longitude_deg=-7.6186, north_deg=-90.0)
    straight, found = direction_of_sun(CASABLANCA, NOON), direction_of_sun(turned, NOON)
    assert straight is not None
    assert found is not None
    assert (found.pan_deg - straight.pan_deg) % 360 == pytest.approx(270)


def test_there_is_no_sun_at_night() -> None:
    assert direction_of_sun(CASABLANCA, MIDNIGHT) is None
    up = Pose(pan_deg=180, tilt_deg=80)
    assert glare(CASABLANCA, FOV, up, NOON) is not None
    assert glare(CASABLANCA, FOV, up, MIDNIGHT) is None


@given(at=times, pose=poses)
def test_no_pose_passes_that_has_the_sun_in_its_picture(at: datetime, pose: Pose) -> None:
    there = direction_of_sun(CASABLANCA, at)
    found = glare(CASABLANCA, FOV, pose, at)
    near = there is not None and beside_deg(FOV, pose, there) < CASABLANCA.margin_deg
    assert (found is not None) == near
    assert found is None or found.certain


@given(at=times, pose=poses)
def test_without_a_clock_no_pose_passes_that_could_look_straight_at_it(
    at: datetime, pose: Pose
) -> None:
    """Whatever day it is: what is bad at some time of the year is bad without a clock."""
    there = direction_of_sun(CASABLANCA, at)
    middle = Direction(pan_deg=pose.pan_deg, tilt_deg=pose.tilt_deg)
    if there is not None and between_deg(middle, there) < CASABLANCA.margin_deg - 0.6:
        found = glare(CASABLANCA, FOV, pose, None)
        assert found is not None
        assert not found.certain


@pytest.mark.parametrize(
    ("pan_deg", "tilt_deg", "bad"),
    [
        (90, 0, True),  # sunrise at the equinoxes
        (180, 50, True),
        (180, 10, False),  # lower than it stands in the south in December, by more than the margin
        (0, 10, False),  # it is never in the north
        (90, -6, False),  # down by more than the margin
        (180, -30, False),
    ],
)
def test_without_a_clock_what_looks_down_or_north_is_free(
    pan_deg: float, tilt_deg: float, *, bad: bool
) -> None:
    found = glare(CASABLANCA, FOV, Pose(pan_deg=pan_deg, tilt_deg=tilt_deg), None)
    assert (found is not None) == bad


@given(at=times, pose=poses)
def test_a_refuge_is_below_and_free(at: datetime, pose: Pose) -> None:
    found = refuge(CASABLANCA, FOV, pose, at, lowest_deg=-90)
    if glare(CASABLANCA, FOV, pose, at) is None:
        assert found is None
    elif found is not None:
        assert found.pan_deg == pose.pan_deg
        assert found.tilt_deg < pose.tilt_deg
        assert glare(CASABLANCA, FOV, found, at) is None


def test_a_head_that_rests_where_the_sun_sets_is_lowered_in_time_and_only_then() -> None:
    """An evening in March, looking west: the way it would go, minute by minute."""
    pose = Pose(pan_deg=-90, tilt_deg=-10)
    at = datetime(2026, 3, 20, 15, 0, tzinfo=UTC)
    lowered = []
    while at.hour < 20:
        found = refuge(CASABLANCA, FOV, pose, at, lowest_deg=-30)
        if found is not None:
            lowered.append((at, found.tilt_deg))
        at += timedelta(minutes=1)
    begin, end = lowered[0][0], lowered[-1][0]
    assert begin.hour == 17
    assert timedelta(minutes=40) < end - begin < timedelta(minutes=100)
    assert all(-30 <= tilt_deg < -10 for _, tilt_deg in lowered)


def test_without_a_field_of_view_the_middle_is_kept_off() -> None:
    there = direction_of_sun(CASABLANCA, NOON)
    assert there is not None
    near, far = (
        Pose(pan_deg=there.pan_deg, tilt_deg=there.tilt_deg - apart) for apart in (4.9, 5.1)
    )
    assert glare(CASABLANCA, None, near, NOON) is not None
    assert glare(CASABLANCA, None, far, NOON) is None
