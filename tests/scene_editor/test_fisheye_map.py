"""agent/scene_editor/fisheye_lens.js and fisheye_calibration.js: the same lenses and places as in Python."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.base.errors import UserError
from agent.config.fisheye import LensConfig, ViewOptions
from agent.detection.fisheye_calibration import line_distances, resolve_lens
from agent.detection.fisheye_lens import FisheyeLens, view_rays
from agent.detection.lens_distortion import POINT_ERROR
from drivers.media import Point
from tests.pure.test_fisheye_lens import BENT, marked
from tests.scene_editor.node_views import run_views

ASPECT = 4 / 3
FLAT = ViewOptions(camera="around", pan_deg=35, tilt_deg=-50, field_of_view_deg=100)
PANORAMA = ViewOptions(
    camera="around",
    projection="panorama",
    pan_deg=-120,
    tilt_deg=-25,
    field_of_view_deg=200,
    width_px=1280,
    height_px=480,
)
PLACES = [(x, y) for x in (0.0, 0.3, 0.5, 1.0) for y in (0.0, 0.5, 0.9)]
LENSES = {
    "data sheet": LensConfig(field_of_view_deg=185, circle=0.95),
    "chessboard": LensConfig(focal_length=0.33, centre=BENT.centre, k=BENT.k),
    "at a wall": LensConfig(field_of_view_deg=170, axis_tilt_deg=-10, k=(0.02, 0.0, 0.0, 0.0)),
    **{f"lines {seed}": marked(BENT, ASPECT, 10, seed, POINT_ERROR / 2) for seed in range(3)},
    "lines and field": msgspec.structs.replace(
        marked(BENT, ASPECT, 5, 7, POINT_ERROR / 2), field_of_view_deg=180.0, circle=1.02
    ),
}


def job(config: LensConfig, view: ViewOptions = FLAT) -> dict[str, Any]:
    tables = msgspec.to_builtins(config)
    lens = {key: value for key, value in tables.items() if value is not None}
    options = msgspec.to_builtins(view)
    return {"do": "fisheye", "lens": lens, "view": options, "places": PLACES, "aspect": ASPECT}


def seen_by(lens: FisheyeLens, view: ViewOptions) -> list[list[float] | None]:
    x, y = np.array(PLACES).T
    seen = lens.project(lens.to_camera(view_rays(view, x, y)), ASPECT)
    return [None if np.isnan(place).any() else list(place) for place in seen]


@pytest.mark.parametrize("name", LENSES)
def test_a_lens_and_the_outline_of_a_view_are_those_of_python(name: str) -> None:
    config = LENSES[name]
    lens = resolve_lens(config)
    for view, answer in zip(
        (FLAT, PANORAMA), run_views(job(config), job(config, PANORAMA)), strict=True
    ):
        assert answer["focal_length"] == pytest.approx(lens.focal_length, rel=1e-5)
        assert answer["k"] == pytest.approx(lens.k, abs=1e-5)
        for place, expected in zip(answer["seen"], seen_by(lens, view), strict=True):
            assert (place is None) == (expected is None)
            assert place is None or place == pytest.approx(expected, abs=1e-5)
    lines = [np.array([[point.x, point.y] for point in line]) for line in config.straight]
    distances = line_distances(lens, lines, ASPECT) if lines else []
    expected = [math.sqrt(float(np.mean(each**2))) for each in distances]
    assert answer["lines"] == pytest.approx(expected, abs=1e-7)
    assert (answer["error_deg"] is not None) == bool(config.straight)


@pytest.mark.parametrize("view", [FLAT, PANORAMA], ids=["flat", "panorama"])
def test_a_view_is_turned_to_a_point_and_widened_to_one(view: ViewOptions) -> None:
    (answer,) = run_views(job(LENSES["chessboard"], view))
    middle, edge = PLACES.index((0.5, 0.5)), PLACES.index((1.0, 0.5))
    direction = answer["directions"][middle]
    assert (direction["pan_deg"], direction["tilt_deg"]) == pytest.approx(
        (view.pan_deg, view.tilt_deg)
    )
    assert answer["widths"][edge] == pytest.approx(view.field_of_view_deg)


def bent_line() -> LensConfig:
    config = marked(BENT, ASPECT, 8, 1, 0.0)
    first, *inner, last = config.straight[3]
    off = Point(inner[4].x + 0.3 * (last.y - first.y), inner[4].y - 0.3 * (last.x - first.x))
    line = (first, *inner[:4], off, *inner[5:], last)
    return msgspec.structs.replace(
        config, straight=(*config.straight[:3], line, *config.straight[4:])
    )


MIDDLE = tuple(Point(0.5 + 0.02 * step, 0.5 + 0.01 * step) for step in range(3))


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (LensConfig(field_of_view_deg=180, k=(-0.2, 0.0, 0.0, 0.0)), "folds"),
        (LensConfig(straight=(MIDDLE, MIDDLE), aspect=ASPECT), "short"),
        (bent_line(), "bent"),
    ],
)
def test_a_lens_that_python_refuses_is_refused(config: LensConfig, code: str) -> None:
    with pytest.raises(UserError):
        resolve_lens(config)
    assert run_views(job(config))[0]["refused"] == code


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({}, "missing"),
        ({"field_of_view_deg": 180, "focal_length": 0.3}, "twice"),
        ({"straight": [MIDDLE], "aspect": 1, "k": [0.1, 0, 0, 0]}, "k"),
    ],
)
def test_a_lens_that_is_not_stated_once_is_refused(keys: dict[str, Any], code: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(keys, LensConfig)
    stated = msgspec.to_builtins({**job(LENSES["data sheet"])["lens"], **keys})
    if "field_of_view_deg" not in keys:
        del stated["field_of_view_deg"]
    answer = run_views({**job(LENSES["data sheet"]), "lens": stated})[0]
    assert answer["refused"] == code
