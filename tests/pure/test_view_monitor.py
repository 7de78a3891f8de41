"""agent.detection.view_monitor and agent.base.view_condition: one diagnosis of a camera's view, from its first picture on."""

import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import av
import cv2
import msgspec
import numpy as np
import pytest

from agent.base.picture_sharpness import MIN_SHARPNESS, measure_sharpness
from agent.base.view_condition import VIEW_LIMITS, ViewCondition, ViewLimit, ViewState
from agent.detection.contrast_stretch import LumaRange, measure_luma_range
from agent.detection.image import downscale_luma
from agent.detection.picture_quality import PictureQuality, view_limits
from agent.detection.view_monitor import LIMIT_OF_STATE, ViewMonitor
from agent.faults.diagnosis import FAULT_OF_LIMIT, LIMIT_WORDS, find_view
from bench.film_conditions import FilmCondition, degrade_frame
from drivers.media import NS_PER_S, Frame, Plane
from simulation.street.fixed_view import FixedView
from simulation.street.renderer import SceneConditions, StreetRenderer, bgr_to_planes

PAGE = Path(__file__).parents[2] / "docs" / "view.md"
SIZE = (640, 360)
GATE_WIDTH_PX = 320
CHROMA = np.full((90, 160), 128, np.uint8)

Change = Callable[[Plane], Plane]


def street(*, night: bool = False, rain: float = 0.0) -> list[Plane]:
    """Pictures of the rendered street, a second apart, as the motion gate gets them."""
    conditions = SceneConditions(night=night, rain=rain, noise=4.0)
    renderer = StreetRenderer(FixedView(*SIZE), conditions, 1)
    return [
        downscale_luma(bgr_to_planes(renderer.render(20.0 + n, n))[0], GATE_WIDTH_PX)
        for n in range(20)
    ]


DAY = street()


def as_it_is(luma: Plane) -> Plane:
    return luma


def blurred(sigma_px: float) -> Change:
    return lambda luma: np.asarray(cv2.GaussianBlur(luma, (0, 0), sigma_px), np.uint8)


def covered(luma: Plane) -> Plane:
    return np.full_like(luma, 90)


def capped(luma: Plane) -> Plane:
    return np.full_like(luma, 16)


def without_lamps(luma: Plane) -> Plane:
    """A tenth of the light of the day, and some windows that are lit."""
    return np.asarray(16 + (luma - 16.0) * 0.1 + (luma > 185) * 90, np.uint8)


def sunlit(luma: Plane) -> Plane:
    white = np.array(luma)
    white[: len(white) // 3] = 235
    return white


def upside_down(luma: Plane) -> Plane:
    return np.ascontiguousarray(luma[::-1, ::-1])


class Camera:
    """A camera whose pictures a monitor gets, one a second."""

    def __init__(self) -> None:
        self.monitor = ViewMonitor()
        self._seconds = count()

    def see(
        self, seconds: int, change: Change = as_it_is, pictures: list[Plane] = DAY, noise: int = 4
    ) -> ViewCondition:
        return list(self.watch(seconds, change, pictures, noise))[-1]

    def watch(
        self, seconds: int, change: Change = as_it_is, pictures: list[Plane] = DAY, noise: int = 4
    ) -> Iterator[ViewCondition]:
        for _ in range(seconds):
            second = next(self._seconds)
            luma = change(pictures[second % len(pictures)])
            if noise:
                grain = np.random.default_rng(second).integers(0, noise, luma.shape, np.uint8)
                luma = np.asarray(cv2.add(luma, grain), np.uint8)
            yield self.monitor.observe(
                luma, second * NS_PER_S, measure_luma_range(luma), is_moving=False
            )


@pytest.mark.parametrize(
    ("state", "change", "after_s"),
    [
        ("dark", capped, 10),
        ("blocked", covered, 10),
        ("blurred", blurred(2.0), 15),
        ("blurred", blurred(4.0), 15),
        ("low_light", without_lamps, 60),
        ("glare", sunlit, 60),
    ],
)
def test_a_view_that_is_bad_from_the_first_picture_on_is_diagnosed_and_stays_so(
    state: ViewState, change: Change, after_s: int
) -> None:
    conditions = list(Camera().watch(150, change))
    assert [c.state for c in conditions] == ["good"] * after_s + [state] * (150 - after_s)
    limits = [c.limits for c in conditions]
    assert limits == [()] * after_s + [(LIMIT_OF_STATE[state],)] * (150 - after_s)


def test_rain_is_a_limit_of_a_good_view_while_it_lasts() -> None:
    camera = Camera()
    rain = [
        degrade_frame(Frame(seq=n, t_ns=0, y=luma, u=CHROMA, v=CHROMA), FilmCondition("rain", 3)).y
        for n, luma in enumerate(DAY)
    ]
    assert camera.see(30).limits == ()
    in_rain = list(camera.watch(40, pictures=rain, noise=0))
    assert {c.state for c in in_rain} == {"good"}
    assert in_rain[4].limits == ()
    assert in_rain[20].limits == in_rain[-1].limits == ("rain",)
    assert camera.see(30).limits == ()


def test_a_picture_that_shakes_while_its_head_moves_has_no_limit() -> None:
    shaken = [
        degrade_frame(Frame(seq=n, t_ns=0, y=luma, u=CHROMA, v=CHROMA), FilmCondition("shake", 6)).y
        for n, luma in enumerate(DAY)
    ]
    fixed, turning = Camera(), Camera()
    turning.monitor.begin_view(is_at_rest=False)
    assert "shaken" in fixed.see(30, pictures=shaken).limits
    assert turning.see(30, pictures=shaken).limits == ()


@pytest.mark.parametrize(("edge_scale", "limits"), [(0.60, ("lens",)), (0.73, ()), (1.0, ())])
def test_a_lens_that_bends_lines_too_much_is_a_limit_of_its_calibrated_view(
    edge_scale: float, limits: tuple[ViewLimit, ...]
) -> None:
    camera = Camera()
    camera.monitor.begin_view(is_at_rest=True, edge_scale=edge_scale)
    assert camera.see(2).limits == limits
    camera.monitor.begin_view(is_at_rest=True)
    assert camera.see(2).limits == ()


QUALITY = PictureQuality(
    luma=LumaRange(low=20, high=220),
    noise=1.0,
    streak_density=0.0,
    shift_px=0.0,
    pictures_per_s=10.0,
    width_px=640,
)
BAD_QUALITIES: tuple[dict[str, Any], ...] = (
    {"pictures_per_s": 1.0},
    {"width_px": 50},
    {"shift_px": 9.0},
    {"streak_density": 0.5},
    {"noise": 30.0},
    {"noise": 30.0, "luma": LumaRange(low=100, high=150)},
)


def test_the_limits_with_words_and_faults_are_exactly_those_that_a_good_view_can_have() -> None:
    of_pictures = {
        limit
        for changed in BAD_QUALITIES
        for limit in view_limits(msgspec.structs.replace(QUALITY, **changed))
    }
    of_a_lens, of_small_places = {"lens"}, {"small"}
    assert set(LIMIT_WORDS) == of_pictures | of_a_lens | of_small_places
    assert set(LIMIT_WORDS) - set(FAULT_OF_LIMIT) == {"rain", "low_contrast"}


@pytest.mark.parametrize("limit", VIEW_LIMITS)
def test_a_report_of_a_good_view_with_any_limit_has_a_diagnosis(limit: ViewLimit) -> None:
    view = ViewCondition(state="good", since_ns=0, mean_luma=90, sharpness=None, limits=(limit,))
    code, words = find_view(view)
    assert code == FAULT_OF_LIMIT.get(limit)
    assert (words is not None) == (limit in LIMIT_WORDS)


def test_a_picture_that_comes_again_and_again_is_frozen_from_the_beginning() -> None:
    assert Camera().see(60, pictures=DAY[:1], noise=0).state == "frozen"


@pytest.mark.parametrize("change", [blurred(1.5), upside_down, covered, capped])
def test_a_view_that_becomes_bad_stays_so_until_it_is_good_again(change: Change) -> None:
    camera = Camera()
    assert camera.see(60).state == "good"
    states = [condition.state for condition in camera.watch(300, change)]
    assert "good" not in states[16:]
    assert len(set(states[16:])) == 1
    back = camera.see(6)
    assert (back.state, back.since_ns) == ("good", 360 * NS_PER_S)


@pytest.mark.parametrize("night", [False, True])
@pytest.mark.parametrize("rain", [0.0, 0.6, 1.0])
def test_neither_night_nor_rain_is_a_bad_view(night: bool, rain: float) -> None:
    pictures = street(night=night, rain=rain)
    assert {c.state for c in Camera().watch(200, pictures=pictures, noise=0)} == {"good"}


def test_rain_that_begins_and_a_night_that_falls_are_no_bad_view() -> None:
    camera = Camera()
    for night, rain in ((False, 0.0), (False, 0.6), (True, 0.6), (True, 0.0), (False, 0.0)):
        pictures = street(night=night, rain=rain)
        assert {c.state for c in camera.watch(90, pictures=pictures)} == {"good"}, (night, rain)


def test_a_covered_frozen_picture_has_one_state() -> None:
    camera = Camera()
    states = [condition.state for condition in camera.watch(60, capped, noise=0)]
    assert set(states[20:]) == {"dark"}


def test_a_covered_camera_stays_covered_while_its_head_turns() -> None:
    camera = Camera()
    assert camera.see(30, capped).state == "dark"
    for is_at_rest in (False, True, False):
        camera.monitor.begin_view(is_at_rest=is_at_rest)
        assert {c.state for c in camera.watch(8, capped)} == {"dark"}


def test_the_blur_of_a_moving_head_is_its_own() -> None:
    camera = Camera()
    camera.monitor.begin_view(is_at_rest=False)
    assert camera.see(60, blurred(4.0)).state == "good"
    camera.monitor.begin_view(is_at_rest=True)
    assert camera.see(60, blurred(4.0)).state == "blurred"


def test_another_preset_is_no_moved_camera() -> None:
    camera = Camera()
    camera.see(60)
    camera.monitor.begin_view(is_at_rest=True)
    assert camera.see(60, upside_down).state == "good"


def test_a_clock_in_the_picture_does_not_make_a_blurred_one_sharp() -> None:
    def with_clock(luma: Plane) -> Plane:
        stamped = np.array(blurred(3.0)(luma))
        cv2.putText(stamped, "2026-11-03 07:41:05", (4, 14), 0, 0.45, 255, 1)
        return stamped

    assert Camera().see(30, with_clock).state == "blurred"


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (120, 160), (90, 320), (180, 320)])
def test_any_picture_is_diagnosed(shape: tuple[int, int]) -> None:
    monitor = ViewMonitor()
    for second in range(30):
        luma = np.random.default_rng(second).integers(0, 256, shape).astype(np.uint8)
        assert monitor.observe(
            luma, second * NS_PER_S, measure_luma_range(luma), is_moving=False
        ).state


BLURS = (0.0, 1.0, 1.5, 2.0, 3.0)


@pytest.mark.shared
def test_real_streets_by_day_and_night_are_sharp_and_blurred_ones_are_not(shared: Path) -> None:
    """The numbers are those of docs/view.md."""
    paths = [path for path in (shared / "footage").iterdir() if path.suffix in (".mp4", ".avi")]
    assert len(paths) > 20
    found: dict[float, list[float]] = {sigma: [] for sigma in BLURS}
    for path in paths:
        with av.open(str(path)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number % 60:
                    continue
                if number >= 240:
                    break
                full = np.asarray(frame.to_ndarray(format="yuv420p")[: frame.height], np.uint8)
                for sigma in BLURS:
                    radius = sigma * full.shape[1] / GATE_WIDTH_PX
                    lens = blurred(radius)(full) if sigma else full
                    sharpness = measure_sharpness(downscale_luma(lens, GATE_WIDTH_PX))
                    if sharpness is not None:
                        found[sigma].append(sharpness)
    assert min(found[0.0]) >= MIN_SHARPNESS + 0.05
    assert all(max(found[sigma]) < MIN_SHARPNESS for sigma in (1.5, 2.0, 3.0))
    rows = re.findall(
        r"^\| ([\d.]+|sharp) \| ([\d.]+) \| ([\d.]+) \| (\d+) \|",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert [
        (f"{sigma}" if sigma else "sharp", f"{min(of):.2f}", f"{max(of):.2f}", f"{len(of)}")
        for sigma, of in found.items()
    ] == rows
