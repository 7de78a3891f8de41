"""agent.detection.pass_budget: shares of the box's passes, by need."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.detection.pass_budget import (
    INTERVAL_NS,
    MIN_PASSES_PER_S,
    PASSES_PER_CAMERA,
    CameraPasses,
    PassBudget,
    share_passes,
)

needs_strategy = st.lists(st.none() | st.floats(0, 30), min_size=1, max_size=12)


def shares_of(needs: list[float | None]) -> list[float]:
    budget = PassBudget()
    cameras = [budget.join() for _ in needs]
    shares = share_passes(dict(zip(cameras, needs, strict=True)), PASSES_PER_CAMERA * len(needs))
    return [shares[camera] for camera in cameras]


@given(needs_strategy)
def test_no_more_is_shared_than_there_is_and_no_camera_starves(needs: list[float | None]) -> None:
    shares = shares_of(needs)
    assert sum(shares) <= PASSES_PER_CAMERA * len(needs) * (1 + 1e-9)
    for need, share in zip(needs, shares, strict=True):
        assert share >= MIN_PASSES_PER_S
        # A camera has at least an equal part, or what it needs.
        assert share >= min(PASSES_PER_CAMERA, PASSES_PER_CAMERA if need is None else need) - 1e-9


@given(needs_strategy)
def test_a_camera_that_needs_more_never_gets_less(needs: list[float | None]) -> None:
    shares = shares_of(needs)
    by_need = sorted(
        (float("inf") if need is None else need, share)
        for need, share in zip(needs, shares, strict=True)
    )
    assert all(after >= before - 1e-9 for (_, before), (_, after) in pairwise(by_need))


def test_a_busy_camera_gets_what_still_ones_leave() -> None:
    assert shares_of([None, 0.5, 0.5, 0.5]) == [4 * PASSES_PER_CAMERA - 3, 1.0, 1.0, 1.0]
    assert shares_of([None, None]) == [PASSES_PER_CAMERA, PASSES_PER_CAMERA]


def use(camera: CameraPasses, seconds: range, passes: int, *, is_limited: bool) -> float | None:
    """Use passes in two frames of each second; return the limit after the last one."""
    limit = None
    for half_s in range(seconds.start * 2, seconds.stop * 2):
        limit = camera.limit_per_s(half_s * INTERVAL_NS)
        camera.note(passes, is_limited=is_limited)
    return limit


def test_the_box_limits_its_cameras_under_strain_alone() -> None:
    budget = PassBudget()
    busy, still = budget.join(), budget.join()
    assert use(busy, range(5), 7, is_limited=True) is None
    assert use(still, range(5), 1, is_limited=False) is None
    budget.set_strained(is_strained=True)
    assert still.share_per_s == pytest.approx(3.0), "half as much again as its two a second"
    assert busy.share_per_s == pytest.approx(2 * PASSES_PER_CAMERA - 3.0)
    use(still, range(5, 8), 8, is_limited=True)
    assert still.share_per_s == busy.share_per_s == PASSES_PER_CAMERA
    budget.set_strained(is_strained=False)
    assert busy.share_per_s is None


def test_a_camera_without_frames_leaves_its_share_to_the_others() -> None:
    budget = PassBudget()
    cameras = [budget.join() for _ in range(4)]
    budget.set_strained(is_strained=True)
    for second in range(10):
        for camera in cameras:
            use(camera, range(second, second + 1), 8, is_limited=True)
    assert {camera.share_per_s for camera in cameras} == {PASSES_PER_CAMERA}
    *others, lost = cameras
    for second in range(10, 14):
        for camera in others:
            use(camera, range(second, second + 1), 8, is_limited=True)
    rest = (4 * PASSES_PER_CAMERA - MIN_PASSES_PER_S) / 3
    assert [camera.share_per_s for camera in others] == [pytest.approx(rest)] * 3
    for camera in cameras:
        use(camera, range(14, 15), 8, is_limited=True)
    assert lost.share_per_s == PASSES_PER_CAMERA


def test_the_views_of_one_camera_share_its_passes_and_under_strain_those_of_one_camera() -> None:
    budget = PassBudget(usual_per_s=15.0)
    views = [budget.join() for _ in range(4)]
    assert [budget.share_of(view) for view in views] == [15 / 4] * 4
    for view in views[1:]:
        budget.report(view, 0.5, t_ns=0)
    assert [budget.share_of(view) for view in views] == [12, 1, 1, 1]
    budget.set_strained(is_strained=True)
    assert [budget.share_of(view) for view in views] == [PASSES_PER_CAMERA - 3, 1, 1, 1]
    budget.set_strained(is_strained=False)
    assert budget.share_of(views[0]) == 12
