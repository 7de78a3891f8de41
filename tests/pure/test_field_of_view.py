"""agent.ptz.motion.field_of_view: pixels to directions, and back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.heads import FieldOfView
from agent.ptz.motion.field_of_view import (
    Direction,
    angle_between_deg,
    direction_to_point,
    horizontal_fov_deg,
    point_to_direction,
)
from drivers.angles import wrap_deg
from drivers.contracts import Pose
from drivers.media import Point

FOV = FieldOfView(wide=60.0, tele=3.0)

poses = st.builds(
    Pose,
    pan_deg=st.floats(-179.9, 180),
    tilt_deg=st.floats(-80, 80),
    zoom=st.floats(0, 1),
)
places = st.builds(Point, x=st.floats(0, 1), y=st.floats(0, 1))


@given(pose=poses, at=places)
def test_a_pixel_maps_to_a_direction_and_back(pose: Pose, at: Point) -> None:
    back = direction_to_point(FOV, pose, point_to_direction(FOV, pose, at))
    assert back is not None
    assert back.x == pytest.approx(at.x, abs=1e-6)
    assert back.y == pytest.approx(at.y, abs=1e-6)


@given(pose=poses, at=places)
def test_a_head_sent_to_a_direction_has_it_in_the_centre(pose: Pose, at: Point) -> None:
    there = point_to_direction(FOV, pose, at)
    sent = Pose(pan_deg=there.pan_deg, tilt_deg=there.tilt_deg, zoom=pose.zoom)
    middle = direction_to_point(FOV, sent, there)
    assert middle is not None
    assert (middle.x, middle.y) == (pytest.approx(0.5), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("at", "pan_deg", "tilt_deg"),
    [
        # Worked example: a picture 60 degrees wide, level; tan 30 = 0.57735, over 16/9 is 0.32476, whose arc is 17.9917.
        (Point(0.5, 0.5), 0.0, 0.0),
        (Point(1.0, 0.5), 30.0, 0.0),
        (Point(0.0, 0.5), -30.0, 0.0),
        (Point(0.5, 0.0), 0.0, 17.9917),
        (Point(0.5, 1.0), 0.0, -17.9917),
    ],
)
def test_a_level_picture_reaches_as_far_as_its_width(
    at: Point, pan_deg: float, tilt_deg: float
) -> None:
    found = point_to_direction(FOV, Pose(pan_deg=0, tilt_deg=0), at)
    assert found.pan_deg == pytest.approx(pan_deg, abs=1e-3)
    assert found.tilt_deg == pytest.approx(tilt_deg, abs=1e-3)


def test_tilted_down_by_half_its_height_a_picture_has_the_horizon_at_its_upper_edge() -> None:
    half = math.degrees(math.atan(math.tan(math.radians(FOV.wide / 2)) / FOV.aspect))
    found = point_to_direction(FOV, Pose(pan_deg=90, tilt_deg=-half), Point(0.5, 0.0))
    assert found.tilt_deg == pytest.approx(0.0, abs=1e-9)


def test_a_picture_continues_across_180_degrees() -> None:
    right = point_to_direction(FOV, Pose(pan_deg=170, tilt_deg=0), Point(1.0, 0.5))
    assert right.pan_deg == pytest.approx(-160.0)
    assert direction_to_point(FOV, Pose(pan_deg=170, tilt_deg=0), right) is not None


def test_a_direction_behind_is_not_in_the_picture() -> None:
    pose = Pose(pan_deg=0, tilt_deg=0)
    assert direction_to_point(FOV, pose, Direction(pan_deg=180, tilt_deg=0)) is None
    beside = direction_to_point(FOV, pose, Direction(pan_deg=45, tilt_deg=0))
    assert beside is not None
    assert beside.x > 1


def test_the_zoom_is_between_wide_and_tele() -> None:
    assert horizontal_fov_deg(FOV, 0) == pytest.approx(60)
    assert horizontal_fov_deg(FOV, 1) == pytest.approx(3)
    assert horizontal_fov_deg(FOV, 2) == pytest.approx(3)
    # The same step magnifies by the same factor.
    focal = [1 / math.tan(math.radians(horizontal_fov_deg(FOV, z) / 2)) for z in (0, 0.5, 1)]
    assert focal[1] / focal[0] == pytest.approx(focal[2] / focal[1])


@given(pose=poses, turn=st.floats(-360, 360))
def test_the_angle_between_directions_is_computed(pose: Pose, turn: float) -> None:
    one = Direction(pan_deg=pose.pan_deg, tilt_deg=pose.tilt_deg)
    level = Direction(pan_deg=turn, tilt_deg=0)
    assert angle_between_deg(one, one) == 0
    assert angle_between_deg(Direction(pan_deg=0, tilt_deg=0), level) == pytest.approx(
        abs(wrap_deg(turn)), abs=1e-6
    )
    assert angle_between_deg(one, level) == pytest.approx(angle_between_deg(level, one))
