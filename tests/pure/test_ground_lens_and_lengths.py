"""agent.detection.lens_distortion and known_lengths, through the planes that they give."""

import contextlib
import itertools
import math
import random

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.detection.ground_marks import GroundMarks
from agent.detection.ground_plane import calibrate, fit_plane
from agent.detection.lens_distortion import undistort
from drivers.media import Point
from tests.ground_camera import STREET, GroundCamera
from tests.pure.ground_rig import cameras, refusal


def showing_lines(
    camera: GroundCamera, places: list[tuple[float, float]]
) -> list[tuple[Point, ...]]:
    """Return the four lines between the places that show the lens best: long ones, far from the middle."""
    lines = []
    for start, to in itertools.combinations(places, 2):
        with contextlib.suppress(AssertionError):
            lines.append(camera.straight(start, to))
    return sorted(lines, key=middle_area, reverse=True)[:4]


def middle_area(line: tuple[Point, ...]) -> float:
    """Return twice the area of the triangle of a line and the picture's middle."""
    x1, y1, x2, y2 = line[0].x - 0.5, line[0].y - 0.5, line[-1].x - 0.5, line[-1].y - 0.5
    return abs(x1 * y2 - x2 * y1)


@given(cameras, st.floats(-0.35, 0.15))
@settings(max_examples=30)
def test_straight_lines_give_the_distortion(camera: GroundCamera, distortion: float) -> None:
    camera = msgspec.structs.replace(camera, distortion=distortion)
    places = camera.visible_places(random.Random(3), 12, max_m=25)
    assume(len(places) == 12)
    marks = msgspec.structs.replace(
        camera.mark(places), straight=tuple(showing_lines(camera, places))
    )
    try:
        plane = calibrate(marks)
    except UserError as error:
        # Far places are near the horizon, and a line through the middle of the picture is straight with every lens.
        assert "straight" in str(error)  # noqa: PT017
        assume(False)
    assert plane.distortion == 0 or plane.distortion == pytest.approx(distortion, abs=1e-3)
    if plane.distortion:
        assert plane.fit_error_m < 0.05


def test_the_density_of_a_distorted_picture_is_that_of_a_metre_in_it() -> None:
    camera = GroundCamera(distortion=-0.2, tilt_deg=30)
    marks = msgspec.structs.replace(
        camera.mark([*STREET, (-7.0, 12.0)]),
        straight=(camera.straight((-4, 6.5), (4, 6.5)), camera.straight((-6, 9), (-6, 20))),
    )
    plane = calibrate(marks)
    assert plane.distortion == pytest.approx(-0.2, abs=1e-3)
    edge, _ = undistort((plane.aspect / 2, 0.0), plane.distortion)
    assert plane.edge_scale == pytest.approx(plane.aspect / 2 / edge)
    assert plane.edge_scale == pytest.approx(0.842, abs=0.001)
    for x_m, y_m in ((0.0, 10.0), (3.0, 8.5), (-4.0, 20.0)):
        left, right = camera.see(x_m - 0.005, y_m), camera.see(x_m + 0.005, y_m)
        seen = camera.see(x_m, y_m)
        assert left is not None
        assert right is not None
        assert seen is not None
        step_px = math.hypot((right[0].x - left[0].x) * 1920, (right[0].y - left[0].y) * 1080)
        density = plane.pixels_per_metre(seen[0], 1920, 1080)
        assert density == pytest.approx(step_px / 0.01, rel=0.01)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (((0.5, 0.2), (0.5, 0.5), (0.5, 0.9)), "too near to the picture's middle"),
        (((0.5, 0.2), (0.51, 0.21), (0.52, 0.22)), r"straight[0]: 0.041 of the picture's height"),
        (((0.1, 0.9), (0.5, 0.5), (0.9, 0.9)), r"straight[0]: off a straight line by"),
    ],
)
def test_lines_that_do_not_show_the_lens_are_refused(
    line: tuple[tuple[float, float], ...], message: str
) -> None:
    marks = GroundCamera().mark(STREET)
    straight = (tuple(Point(*point) for point in line),)
    assert message in refusal(msgspec.structs.replace(marks, straight=straight))


def test_straight_lines_of_a_lens_without_distortion_change_nothing() -> None:
    camera = GroundCamera()
    marks = camera.mark(STREET)
    straight = (camera.straight((-5, 8), (5, 8)),)
    assert calibrate(msgspec.structs.replace(marks, straight=straight)).distortion == 0


level_cameras = st.builds(
    GroundCamera,
    height_m=st.floats(4, 12),
    tilt_deg=st.floats(20, 45),
    focal=st.floats(0.7, 1.6),
)


@given(level_cameras)
@settings(max_examples=25)
def test_two_lengths_and_the_height_give_the_ground(camera: GroundCamera) -> None:
    # At the place on which the camera looks, a length across and one along.
    y_m = camera.height_m / math.tan(math.radians(camera.tilt_deg))
    lengths = (
        camera.mark_length((-0.3 * y_m, 0.85 * y_m), (0.3 * y_m, 0.85 * y_m)),
        camera.mark_length((0.2 * y_m, 0.8 * y_m), (0.2 * y_m, 1.2 * y_m)),
    )
    marks = GroundMarks(length=lengths, camera_height_m=camera.height_m, aspect=camera.aspect)
    plane = fit_plane(marks)
    assert plane.error_m is None
    for x_m, share in ((0.0, 1.0), (1.5, 0.9), (-2.0, 1.3)):
        seen = camera.see(x_m, share * y_m)
        assert seen is not None
        found = plane.to_ground(seen[0])
        assert found is not None
        assert math.dist((found.x_m, found.y_m), (x_m, share * y_m)) < 0.01


def length_ratio_and_error(roll_deg: float, count: int) -> tuple[float, float]:
    """Return the largest error of four metres that are driven, and its stated error there, as shares."""
    camera = GroundCamera(roll_deg=roll_deg)
    ends = (
        ((-3.5, 13.0), (3.5, 13.0)),
        ((4.0, 10.0), (4.0, 18.0)),
        ((-4.0, 10.0), (-4.0, 18.0)),
        ((-3.5, 19.0), (3.5, 19.0)),
    )
    lengths = tuple(camera.mark_length(*one) for one in ends[:count])
    marks = GroundMarks(length=lengths, camera_height_m=6.0, aspect=camera.aspect)
    plane = calibrate(marks)
    errors = []
    for x_m, y_m in ((-2.5, 10.0), (2.5, 10.0), (-2.5, 16.0), (2.5, 16.0)):
        seen = [camera.see(x_m, y_m), camera.see(x_m, y_m + 4)]
        found = [plane.place_m(one[0]) for one in seen if one is not None]
        start, end = found
        assert start is not None
        assert end is not None
        error = abs(math.dist(start, end) / 4 - 1)
        errors.append((error, plane.length_error_m(start, end) / 4))
    return max(errors)


@pytest.mark.parametrize("roll_deg", [-2.0, 2.0])
def test_the_roll_that_two_lengths_leave_open_is_within_twice_the_stated_error(
    roll_deg: float,
) -> None:
    error, stated = length_ratio_and_error(roll_deg, 2)
    assert 0.01 < error < 2 * stated
    assert stated < 0.05


@pytest.mark.parametrize("roll_deg", [-3.0, 2.0, 5.0])
def test_lengths_along_both_sides_give_the_roll(roll_deg: float) -> None:
    error, stated = length_ratio_and_error(roll_deg, 4)
    assert error < 2 * stated
    assert error < 0.02


def test_three_lengths_have_held_out_errors_and_a_wrong_one_is_named() -> None:
    camera = GroundCamera()
    lengths = (
        camera.mark_length((-3, 10), (3, 10)),
        camera.mark_length((2, 9), (2, 16)),
        camera.mark_length((-3, 18), (3, 18)),
    )
    marks = GroundMarks(length=lengths, camera_height_m=6.0, aspect=camera.aspect)
    plane = calibrate(marks)
    assert plane.error_m == pytest.approx(0, abs=1e-3)
    wrong = (*lengths[:2], msgspec.structs.replace(lengths[2], metres=9.0))
    assert "ground.length[" in refusal(msgspec.structs.replace(marks, length=wrong))


def test_lengths_that_no_camera_sees_are_refused() -> None:
    lengths = (
        GroundCamera().mark_length((-3, 10), (3, 10)),
        GroundCamera().mark_length((2, 9), (2, 16)),
    )
    marks = GroundMarks(length=lengths, camera_height_m=60.0, aspect=16 / 9)
    assert "ground.length" in refusal(marks)
    same = (msgspec.structs.replace(lengths[0], to=lengths[0].start), lengths[1])
    assert "the same point as `from`" in refusal(msgspec.structs.replace(marks, length=same))
