"""agent.detection.keyframe_watch: when the pictures between keyframes are decoded."""

import numpy as np
import pytest

from agent.base.model import FrameResult
from agent.detection.keyframe_watch import QUIET_NS, KeyframeWatch
from drivers.frame_decoder import MAX_KEYFRAME_INTERVAL_NS
from drivers.media import NS_PER_S, Frame, Point

WIDTH, HEIGHT = 640, 360
RNG = np.random.default_rng(1)


def keyframe(at_s: float, *, car_x: int | None = None) -> Frame:
    """A grey street with a sensor's noise, and a bright car if it has a place."""
    y = RNG.normal(100, 2, (HEIGHT, WIDTH)).astype(np.uint8)
    if car_x is not None:
        y[200:240, car_x : car_x + 80] = 220
    grey = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    return Frame(seq=0, t_ns=round(at_s * NS_PER_S), y=y, u=grey, v=grey)


def result(at_s: float, *, is_still: bool) -> FrameResult:
    return FrameResult(
        seq=0,
        t_ns=round(at_s * NS_PER_S),
        width_px=WIDTH,
        height_px=HEIGHT,
        gate_luma=np.zeros((180, 320), np.uint8),
        moving_ratio=0.0,
        tracks=(),
        inference_count=0,
        is_still=is_still,
    )


def still_watch(interval_s: float = 2.0) -> KeyframeWatch:
    """A watch that has seen a still street for 20 s."""
    watch = KeyframeWatch()
    for number in range(round(20 / interval_s) + 1):
        watch.is_wanted(keyframe(number * interval_s))
    return watch


def test_keyframes_suffice_once_the_street_is_still() -> None:
    watch = KeyframeWatch()
    assert watch.state is None
    wanted = [watch.is_wanted(keyframe(at_s)) for at_s in (0, 2, 4, 6)]
    # The first keyframe is compared with none, and its interval is not known.
    assert wanted == [True, True, False, False]
    assert watch.state == "keyframes"


def test_motion_in_a_keyframe_wants_all_pictures_until_it_has_been_still() -> None:
    watch = still_watch()
    assert watch.is_wanted(keyframe(22, car_x=100))
    assert watch.state == "motion"
    watch.on_result(result(23, is_still=False))
    assert watch.is_wanted(keyframe(24))
    watch.on_result(result(25, is_still=False))
    assert watch.is_wanted(keyframe(26))
    watch.on_result(result(26, is_still=True))
    assert not watch.is_wanted(keyframe(25 + QUIET_NS / NS_PER_S))


def test_motion_between_keyframes_that_detection_saw_counts() -> None:
    watch = still_watch()
    watch.on_result(result(21.5, is_still=False))
    assert watch.is_wanted(keyframe(22))


@pytest.mark.parametrize(("interval_s", "state"), [(2.5, "keyframes"), (3.0, "long_interval")])
def test_keyframes_too_far_apart_do_not_suffice(interval_s: float, state: str) -> None:
    assert MAX_KEYFRAME_INTERVAL_NS == 2.5 * NS_PER_S
    watch = still_watch(interval_s)
    assert watch.state == state
    assert watch.is_wanted(keyframe(30)), "this one is late in either stream"


def test_motion_in_an_excluded_polygon_does_not_count() -> None:
    watch = still_watch()
    watch.begin_scene(((Point(0, 0.5), Point(1, 0.5), Point(1, 1), Point(0, 1)),))
    for at_s in (22, 24, 26, 28):
        watch.is_wanted(keyframe(at_s))
    assert not watch.is_wanted(keyframe(30, car_x=300))


def test_a_stream_that_changes_its_shape_is_watched_on() -> None:
    watch = still_watch()
    watch.begin_scene(((Point(0, 0.5), Point(1, 0.5), Point(1, 1), Point(0, 1)),))
    for at_s in (22, 24, 26):
        watch.is_wanted(keyframe(at_s))
    grey = np.full((240, 320), 128, np.uint8)
    for at_s in (28, 30, 32, 34, 36, 38):
        y = RNG.normal(100, 2, (480, 640)).astype(np.uint8)
        watch.is_wanted(Frame(seq=0, t_ns=at_s * NS_PER_S, y=y, u=grey, v=grey))
    assert watch.state == "keyframes"
