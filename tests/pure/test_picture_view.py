"""agent.base.picture_view: one definition of dark, low light and glare, for the aim, the events and the drift."""

import functools
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from agent.base.picture_view import LightState, measure_light
from agent.capture.lens_aim import measure_aim
from agent.detection.view_monitor import compare_to_reference
from drivers.media import Plane
from simulation.street.fixed_view import FixedView
from simulation.street.renderer import SceneConditions, StreetRenderer, bgr_to_planes

SIZE = (640, 360)
BLACK_LUMA = 16


@functools.cache
def street(*, night: bool = False, rain: float = 0.0) -> Plane:
    conditions = SceneConditions(night=night, rain=rain, noise=4.0)
    return bgr_to_planes(StreetRenderer(FixedView(*SIZE), conditions, 1).render(20.0, 20))[0]


def without_lamps(luma: Plane, light: float) -> Plane:
    """A street in a part of its light, in video range."""
    return np.asarray(BLACK_LUMA + (luma - float(BLACK_LUMA)) * light, np.uint8)


def capped(noise: float) -> Plane:
    """A lens with its cap on: black in video range, with the noise of the sensor."""
    rng = np.random.default_rng(1)
    luma = BLACK_LUMA + np.abs(rng.normal(0, noise, (SIZE[1], SIZE[0])))
    return np.asarray(luma, np.uint8)


def overexposed(luma: Plane) -> Plane:
    white = np.array(luma)
    white[: SIZE[1] // 3] = 235
    return white


@pytest.mark.parametrize(
    ("make", "state", "exposure"),
    [
        pytest.param(
            lambda: capped(0.0), "dark", "too dark: 100% of it is black", id="a capped lens"
        ),
        pytest.param(lambda: capped(1.0), "dark", "too dark: 100% of it is black", id="with noise"),
        pytest.param(
            lambda: capped(8.0), "dark", "too dark: 100% of it is black", id="with much noise"
        ),
        pytest.param(
            lambda: np.zeros((SIZE[1], SIZE[0]), np.uint8),
            "dark",
            "too dark: 100% of it is black",
            id="a capped lens in full range",
        ),
        pytest.param(
            lambda: without_lamps(street(), 0.1),
            "dark",
            "too dark: 100% of it is black",
            id="a night without lamps",
        ),
        pytest.param(
            lambda: np.maximum(without_lamps(street(), 0.1), (street() > 200) * np.uint8(120)),
            "low_light",
            "too little light to see road users by",
            id="a night without lamps, in which a few things shine",
        ),
        pytest.param(
            lambda: overexposed(street()), "glare", "too bright: 33% of it is white", id="a low sun"
        ),
        pytest.param(street, None, "good", id="a street by day"),
        pytest.param(lambda: street(rain=1.0), None, "good", id="in heavy rain"),
        pytest.param(lambda: street(night=True), None, "good", id="at night with lamps"),
        pytest.param(
            lambda: street(night=True, rain=1.0), None, "good", id="at night in heavy rain"
        ),
    ],
)
def test_the_light_of_a_picture_has_one_definition(
    make: Callable[[], Plane], state: LightState | None, exposure: str
) -> None:
    picture = make()
    aim = measure_aim(picture)
    assert (aim.view.light.state, str(aim.exposure)) == (state, exposure)
    small = np.asarray(cv2.resize(picture, (320, 180), interpolation=cv2.INTER_AREA), np.uint8)
    assert measure_light(small).state == state
    assert (compare_to_reference(small, small) == "dark") == (state == "dark")


@pytest.mark.shared
def test_no_real_street_by_day_or_at_night_is_dark_or_overexposed(shared: Path) -> None:
    clips = sorted(
        path for path in (shared / "footage").iterdir() if path.suffix in (".mp4", ".avi")
    )
    assert len(clips) > 20
    for path in clips:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            luma = np.asarray(frame.to_ndarray(format="yuv420p")[: frame.height], np.uint8)
        assert str(measure_aim(luma).exposure) == "good", path.name
