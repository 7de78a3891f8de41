"""agent.ptz.motion.path_planner: a path within the range of the head, and around its sectors."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.config.heads import FieldOfView, ForbiddenSector
from agent.ptz.motion.forbidden_sectors import swept_area
from agent.ptz.motion.overshoot import Overshoot
from agent.ptz.motion.path_planner import (
    MotionBounds,
    PathBlocked,
    find_exit,
    is_direct_path_clear,
    plan_path,
)
from drivers.angles import wrap_deg
from drivers.contracts import Pose, Range
from drivers.pan_range import unwrap_pan_deg

WINDOWS = ForbiddenSector(name="windows", pan_deg=(140, 160), tilt_deg=(-20, 30))
FOV = FieldOfView(wide=20.0, tele=20.0)
TILT = Range(low=-30, high=90)
SAMPLES = 40


def bounds(span: Range | None, *sectors: ForbiddenSector, tilt_deg: Range = TILT) -> MotionBounds:
    return MotionBounds(
        sectors=sectors,
        fov=FOV,
        error_deg=0.1,
        at_rest_error_deg=0.1,
        overshoot=Overshoot(horizon_s=0.2, latency_s=0.0),
        pan_deg=span,
        tilt_deg=tilt_deg,
    )


def level(pan_deg: float) -> Pose:
    return Pose(pan_deg=wrap_deg(pan_deg), tilt_deg=0)


@pytest.mark.parametrize(
    ("low", "high", "pan_deg", "nearest_deg"),
    [
        (0, 355, -90, -90),
        (0, 355, 180, 180),
        (0, 355, -2, 0),
        (0, 355, -4, -5),
        (0, 270, -80, -90),
        (-355, 0, 90, 90),
        (-170, 170, -180, -170),
        (-160, 100, 175, -160),
    ],
)
def test_a_pose_out_of_the_range_is_clamped_to_the_nearest_end(
    low: float, high: float, pan_deg: float, nearest_deg: float
) -> None:
    clamped = bounds(Range(low=low, high=high)).clamp(Pose(pan_deg=pan_deg, tilt_deg=0))
    assert clamped.pan_deg == nearest_deg


@pytest.mark.parametrize(
    ("low", "high", "is_clear"), [(0, 355, False), (-170, 170, True), (-300, 100, True)]
)
def test_the_way_between_two_poses_is_the_one_that_the_range_allows(
    low: float, high: float, is_clear: bool
) -> None:
    only = bounds(Range(low=low, high=high), WINDOWS, tilt_deg=Range(low=-15, high=25))
    assert is_direct_path_clear(level(-90), level(80), only) is is_clear
    if is_clear:
        plan_path(level(-90), level(80), only)
    else:
        with pytest.raises(PathBlocked):
            plan_path(level(-90), level(80), only)


@pytest.mark.parametrize(
    ("here_deg", "sector", "low_deg", "high_deg"),
    [(-170, (160, -165), 195, 198), (-6, (-20, 10), 336, 340), (6, (-20, 10), 10, 13)],
)
def test_the_way_out_of_a_sector_is_within_the_range(
    here_deg: float, sector: tuple[float, float], low_deg: float, high_deg: float
) -> None:
    span = Range(low=0, high=355)
    here = ForbiddenSector(name="here", pan_deg=sector)
    point = MotionBounds(
        sectors=(here,),
        fov=None,
        error_deg=0.1,
        at_rest_error_deg=0.1,
        overshoot=Overshoot(horizon_s=0.2, latency_s=0.0),
        pan_deg=span,
        tilt_deg=TILT,
    )
    exit_pose = find_exit(level(here_deg), point)
    assert exit_pose is not None
    assert low_deg < unwrap_pan_deg(exit_pose.pan_deg, span) < high_deg


@given(
    low=st.floats(-540, 360),
    width_deg=st.floats(10, 360),
    start=st.floats(0.01, 0.99),
    target=st.floats(0.01, 0.99),
    tilts=st.tuples(st.floats(-30, 90), st.floats(-30, 90)),
    sectors=st.lists(
        st.builds(
            lambda begin, width, tilt: ForbiddenSector(
                name=f"from {begin}",
                pan_deg=(begin, wrap_deg(begin + width)),
                tilt_deg=(tilt, min(tilt + 40, 90)),
            ),
            st.integers(-179, 180),
            st.integers(1, 90),
            st.integers(-60, 60),
        ),
        max_size=2,
    ),
)
def test_a_path_is_within_any_range_and_around_all_sectors(
    low: float,
    width_deg: float,
    start: float,
    target: float,
    tilts: tuple[float, float],
    sectors: list[ForbiddenSector],
) -> None:
    span = Range(low=low, high=low + width_deg)
    limits = bounds(span, *sectors)
    first, last = (
        Pose(pan_deg=wrap_deg(span.low + share * width_deg), tilt_deg=tilt_deg)
        for share, tilt_deg in zip((start, target), tilts, strict=True)
    )
    assume(limits.visible_sector(swept_area(first), passing=True) is None)
    try:
        path = plan_path(first, last, limits)
    except PathBlocked:
        return
    assert path[-1] == last
    for begin, end in pairwise((first, *path)):
        # A head with end stops has one way to turn, and its tilt may be as fast or be first or last.
        begin_deg, end_deg = (unwrap_pan_deg(pose.pan_deg, span) for pose in (begin, end))
        assert span.low <= end_deg <= span.high
        for step in range(SAMPLES + 1):
            share = step / SAMPLES
            tilt_deg = begin.tilt_deg + (end.tilt_deg - begin.tilt_deg) * share
            passed = Pose(
                pan_deg=wrap_deg(begin_deg + (end_deg - begin_deg) * share), tilt_deg=tilt_deg
            )
            assert limits.visible_sector(swept_area(passed), passing=True) is None
