"""agent.detection.fisheye_lens and fisheye_calibration: OpenCV's model, views of the street, lenses found by straight lines."""

import math

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.config.fisheye import LensConfig, ViewOptions
from agent.detection.fisheye_calibration import line_distances, resolve_lens
from agent.detection.fisheye_lens import Array, FisheyeLens, view_rays
from agent.detection.lens_distortion import POINT_ERROR
from bench.film_conditions import FilmCondition, place_under_condition
from drivers.media import Point

BENT = FisheyeLens(focal_length=0.33, centre=Point(0.51, 0.49), k=(-0.03, 0.004, -6e-4, 2e-5))
ANGLES = np.radians([10.0, 40.0, 70.0, 85.0])


def rays_at(angles: Array, around: float = 0.7) -> Array:
    across = np.sin(angles)
    return np.stack([across * math.cos(around), across * math.sin(around), np.cos(angles)], -1)


@given(
    focal=st.floats(0.2, 0.6),
    k1=st.floats(-0.05, 0.08),
    k2=st.floats(-0.005, 0.01),
    around=st.floats(0, 6.3),
)
def test_a_ray_is_seen_where_opencv_sees_it_and_back(
    focal: float, k1: float, k2: float, around: float
) -> None:
    width_px, height_px = 1600, 1200
    lens = FisheyeLens(focal_length=focal, centre=BENT.centre, k=(k1, k2, 0.0, 0.0))
    rays = rays_at(ANGLES[lens.max_angle > ANGLES], around)
    camera = np.array(
        [
            [focal * height_px, 0, 0.51 * width_px],
            [0, focal * height_px, 0.49 * height_px],
            [0, 0, 1],
        ]
    )
    expected, _ = cv2.fisheye.projectPoints(
        rays[:, None], np.zeros(3), np.zeros(3), camera, np.array(lens.k)
    )
    positions = lens.project(rays, width_px / height_px)
    assert np.allclose(positions * (width_px, height_px), expected[:, 0], atol=1e-6)
    assert np.allclose(lens.unproject(positions, width_px / height_px), rays, atol=1e-9)


def test_a_ray_that_the_lens_does_not_see_has_no_position() -> None:
    folding = FisheyeLens(focal_length=0.33, k=(-0.2, 0.0, 0.0, 0.0))
    assert math.degrees(folding.max_angle) == pytest.approx(
        math.degrees(math.sqrt(1 / 0.6)), abs=0.5
    )
    assert np.isnan(folding.project(rays_at(np.radians([100.0])), 1.0)).all()
    assert np.isnan(folding.unproject(np.array([[0.0, 0.0]]), 1.0)).all()


@pytest.mark.parametrize(
    ("axis_tilt_deg", "pan_deg", "tilt_deg", "seen"),
    [
        (-90, 0, -45, (0.5, 0.25)),  # ahead is at the top of the picture
        (-90, 90, -45, (0.75, 0.5)),  # the right at its right
        (-90, 180, -45, (0.5, 0.75)),
        (-90, 0, -90, (0.5, 0.5)),
        (0, 0, 0, (0.5, 0.5)),
        (0, 45, 0, (0.75, 0.5)),
        (0, 0, -45, (0.5, 0.75)),
        (-45, 0, -90, (0.5, 0.75)),
    ],
)
def test_the_middle_of_a_view_is_seen_where_its_pan_and_tilt_say(
    axis_tilt_deg: float, pan_deg: float, tilt_deg: float, seen: tuple[float, float]
) -> None:
    lens = FisheyeLens(focal_length=0.5 / (math.pi / 2), axis_tilt_deg=axis_tilt_deg)
    for projection in ("flat", "panorama"):
        if projection == "panorama" and tilt_deg == -90:
            continue
        view = msgspec.convert(
            {"camera": "mast", "projection": projection, "pan_deg": pan_deg, "tilt_deg": tilt_deg},
            ViewOptions,
        )
        ray = view_rays(view, np.array([0.5]), np.array([0.5]))
        assert np.allclose(lens.project(lens.to_camera(ray), 1.0)[0], seen, atol=1e-9)


def test_a_flat_view_keeps_angles_of_a_pinhole_and_is_upright() -> None:
    view = ViewOptions(
        camera="mast", pan_deg=30, tilt_deg=-20, field_of_view_deg=90, width_px=800, height_px=600
    )
    left, right, top = view_rays(view, np.array([0.0, 1.0, 0.5]), np.array([0.5, 0.5, 0.0]))
    assert math.degrees(
        math.acos(left @ right / np.linalg.norm(left) / np.linalg.norm(right))
    ) == pytest.approx(90)
    assert top[1] > 0
    level = view_rays(view, np.array([0.1, 0.9]), np.array([0.3, 0.3]))
    assert level[0][1] == pytest.approx(level[1][1]), "no roll"


def test_a_panorama_has_one_scale_in_all_directions() -> None:
    view = ViewOptions(
        camera="mast",
        projection="panorama",
        tilt_deg=-30,
        field_of_view_deg=360,
        width_px=1920,
        height_px=480,
    )
    step = 1e-6
    for y in (0.1, 0.5, 0.9):
        here = view_rays(view, np.array([0.4]), np.array([y]))[0]
        across = view_rays(view, np.array([0.4 + step]), np.array([y]))[0] - here
        down = view_rays(view, np.array([0.4]), np.array([y + step * 4]))[0] - here
        assert np.linalg.norm(across) == pytest.approx(np.linalg.norm(down), rel=1e-3)
    first, last = view_rays(view, np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    assert np.allclose(first, last), "it closes at its ends"


def test_a_lens_is_stated_by_its_field_of_view_or_its_focal_length() -> None:
    wide = resolve_lens(LensConfig(field_of_view_deg=180))
    assert wide.focal_length == pytest.approx(0.5 / (math.pi / 2))
    assert resolve_lens(
        LensConfig(field_of_view_deg=180, circle=1.5)
    ).focal_length == pytest.approx(0.75 / (math.pi / 2))
    bent = resolve_lens(LensConfig(field_of_view_deg=180, k=(0.05, 0.0, 0.0, 0.0)))
    assert bent.project(rays_at(np.radians([90.0]), 0.0), 1.0)[0, 0] == pytest.approx(1.0)
    assert resolve_lens(LensConfig(focal_length=0.31, centre=Point(0.4, 0.6))) == FisheyeLens(
        focal_length=0.31, centre=Point(0.4, 0.6)
    )
    with pytest.raises(UserError, match="the lens bends rays back at 74 degrees from its axis"):
        resolve_lens(LensConfig(field_of_view_deg=180, k=(-0.2, 0.0, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "allowed: focal_length, or field_of_view_deg, straight or both"),
        ({"field_of_view_deg": 180, "focal_length": 0.3}, "allowed: focal_length, or"),
        ({"straight": [[[0.1, 0.1], [0.2, 0.1], [0.3, 0.1]]]}, "straight without aspect"),
        ({"straight": [[[0.1, 0.1], [0.2, 0.1]]], "aspect": 1}, "length >= 3"),
        ({"field_of_view_deg": 20}, ">= 60"),
    ],
)
def test_a_lens_that_is_not_stated_once_is_refused(tables: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(tables, LensConfig)


def street_lines(
    lens: FisheyeLens, aspect: float, count: int, seed: int, error: float
) -> list[Array]:
    """Lines on a street below a camera, such as kerbs and edges of houses, as they are seen and marked."""
    rng = np.random.default_rng(seed)
    lines = []
    while len(lines) < count:
        ends = rng.uniform((-12, -12, 4), (12, 12, 8), (2, 3))
        if np.linalg.norm(ends[0] - ends[1]) < 8:
            continue
        points = ends[0] + (ends[1] - ends[0]) * np.linspace(0, 1, 12)[:, None]
        seen = lens.project(points, aspect) + rng.normal(0, error, (12, 2)) / (aspect, 1)
        lines.append(seen)
    return lines


def marked(lens: FisheyeLens, aspect: float, count: int, seed: int, error: float) -> LensConfig:
    lines = street_lines(lens, aspect, count, seed, error)
    straight = tuple(tuple(Point(*place) for place in line.tolist()) for line in lines)
    return LensConfig(straight=straight, aspect=aspect)


@pytest.mark.parametrize("seed", range(4))
def test_straight_lines_of_the_street_find_a_lens_under_which_others_are_straight(
    seed: int,
) -> None:
    found = resolve_lens(marked(BENT, 4 / 3, 10, seed, POINT_ERROR / 2))
    others = line_distances(found, street_lines(BENT, 4 / 3, 50, 100 + seed, 0.0), 4 / 3)
    assert np.sqrt(np.mean(np.concatenate(others) ** 2)) < POINT_ERROR / 2
    seen = BENT.project(rays_at(ANGLES), 4 / 3)
    off = np.linalg.norm(found.unproject(seen, 4 / 3) - rays_at(ANGLES), axis=-1)
    assert np.degrees(off).max() < 4


@pytest.mark.parametrize("seed", range(4))
def test_with_the_field_of_view_lines_find_the_angles_too(seed: int) -> None:
    radius = (
        float(BENT.project(rays_at(np.radians([90.0]), math.pi / 2), 4 / 3)[0, 1]) - BENT.centre.y
    )
    config = msgspec.structs.replace(
        marked(BENT, 4 / 3, 10, seed, POINT_ERROR / 2), field_of_view_deg=180.0, circle=2 * radius
    )
    seen = BENT.project(rays_at(ANGLES), 4 / 3)
    off = np.linalg.norm(resolve_lens(config).unproject(seen, 4 / 3) - rays_at(ANGLES), axis=-1)
    assert np.degrees(off).max() < 2.5


def test_lines_that_show_no_lens_or_are_not_straight_are_refused() -> None:
    middle = tuple(Point(0.5 + 0.02 * step, 0.5 + 0.01 * step) for step in range(3))
    with pytest.raises(
        UserError, match=r"straight: too short, or too near to the picture's middle"
    ):
        resolve_lens(LensConfig(straight=(middle, middle), aspect=1.0))
    config = marked(BENT, 1.0, 8, 1, 0.0)
    first, *inner, last = config.straight[3]
    off_line = Point(inner[4].x + 0.3 * (last.y - first.y), inner[4].y - 0.3 * (last.x - first.x))
    bent = (first, *inner[:4], off_line, *inner[5:], last)
    straight = (*config.straight[:3], bent, *config.straight[4:])
    with pytest.raises(
        UserError, match=r"straight\[3\]: off a straight line by .* of the picture's height"
    ):
        resolve_lens(msgspec.structs.replace(config, straight=straight))


@pytest.mark.parametrize("angle_deg", [120, 140])
@pytest.mark.parametrize("point", [Point(0.5, 0.5), Point(0.05, 0.9), Point(0.8, 0.1)])
def test_a_wide_lens_without_a_circle_is_corrected_by_its_angle_across_the_width(
    angle_deg: float, point: Point
) -> None:
    aspect = 16 / 9
    lens = resolve_lens(
        LensConfig(field_of_view_deg=angle_deg, circle=round(aspect, 4), axis_tilt_deg=0)
    )
    seen = place_under_condition(point, FilmCondition("lens", angle_deg), aspect)
    x, y, z = lens.unproject(np.array([seen.x, seen.y]), aspect)
    half_width = math.tan(math.radians(angle_deg / 2))
    assert x / z == pytest.approx((2 * point.x - 1) * half_width, abs=1e-3)
    assert y / z == pytest.approx((2 * point.y - 1) / aspect * half_width, abs=1e-3)
