"""agent.detection.ground_path: paths on the ground that are of one road user, and those that are not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.model import GroundMotion, Label
from agent.detection.ground_path import (
    MAX_GAP_NS,
    MAX_SAMPLES,
    SAMPLE_NS,
    GroundPath,
    make_sample,
    match_cost,
)
from drivers.media import NS_PER_S

KM_H = 3.6


def motion(
    east_m: float, north_m: float, speed_m_s: float | None, heading_deg: float | None
) -> GroundMotion:
    return GroundMotion(
        x_m=east_m,
        y_m=north_m,
        error_m=0.5,
        speed_km_h=None if speed_m_s is None else speed_m_s * KM_H,
        speed_error_km_h=None if speed_m_s is None else 1.0,
        heading_deg=heading_deg,
    )


def path(
    begin_s: float,
    end_s: float,
    *,
    speed_m_s: float = 10.0,
    heading_deg: float = 0.0,
    aside_m: float = 0.0,
    ahead_m: float = 0.0,
    label: Label = "car",
    is_measured: bool = True,
) -> GroundPath:
    """A straight path that is `ahead_m` beyond the origin at 0 s, and `aside_m` to the right of it."""
    heading = math.radians(heading_deg)
    samples = []
    for index in range(round((end_s - begin_s) * NS_PER_S / SAMPLE_NS) + 1):
        t_s = begin_s + index * SAMPLE_NS / NS_PER_S
        way_m = speed_m_s * t_s + ahead_m
        east_m = way_m * math.sin(heading) + aside_m * math.cos(heading)
        north_m = way_m * math.cos(heading) - aside_m * math.sin(heading)
        moving = motion(east_m, north_m, speed_m_s if is_measured else None, heading_deg)
        samples.append(make_sample(round(t_s * NS_PER_S), moving, (0.0, 0.0)))
    found = GroundPath(label, samples[0])
    found.samples.extend(samples[1:])
    return found


@pytest.mark.parametrize("begin_s", [1.0, 2.0, 2.5, 4.0], ids=lambda begin_s: f"from {begin_s} s")
@pytest.mark.parametrize(("label", "speed_m_s"), [("person", 1.4), ("car", 4.0), ("bus", 14.0)])
def test_a_straight_way_goes_on_in_the_next_view(
    begin_s: float, label: Label, speed_m_s: float
) -> None:
    before = path(0, 2, speed_m_s=speed_m_s, label=label)
    after = path(begin_s, begin_s + 1, speed_m_s=speed_m_s, label=label)
    cost = match_cost(before, after)
    assert cost is not None
    assert cost < 0.1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(path(0, 2), path(3, 4, label="person"), id="a person behind a car"),
        pytest.param(path(0, 2, label="bicycle"), path(3, 4, label="car"), id="a bicycle, a car"),
        pytest.param(path(0, 2), path(3, 4, heading_deg=180, ahead_m=-50), id="the other way"),
        pytest.param(path(0, 2), path(1, 2, aside_m=9), id="across the street, at once"),
        pytest.param(path(0, 2), path(1, 2, ahead_m=-15), id="the car behind, at once"),
        pytest.param(path(0, 2), path(3, 4, ahead_m=-20), id="the car behind, after a gap"),
        pytest.param(path(0, 2), path(3, 4, aside_m=12), id="across the street, after a gap"),
        pytest.param(path(0, 2), path(3, 4, is_measured=False), id="without a velocity, a gap"),
        pytest.param(
            path(0, 2, speed_m_s=1.4, label="person"),
            path(1, 2, speed_m_s=1.4, label="person", aside_m=2.5),
            id="two people side by side",
        ),
        pytest.param(
            path(0, 2, speed_m_s=1.4, label="person"),
            path(2 + MAX_GAP_NS / NS_PER_S + 1, 12, speed_m_s=1.4, label="person"),
            id="too late",
        ),
        pytest.param(
            path(0, 2, speed_m_s=20), path(9, 10, speed_m_s=20), id="too far to be certain"
        ),
    ],
)
def test_paths_of_two_road_users_are_not_joined(before: GroundPath, after: GroundPath) -> None:
    assert match_cost(before, after) is None


def test_a_place_that_is_seen_too_badly_is_not_joined() -> None:
    before, after = path(0, 2), path(1, 2)
    assert match_cost(before, after) is not None
    after.samples.extend(
        [after.samples.popleft()._replace(error_m=20.0) for _ in range(len(after.samples))]
    )
    assert match_cost(before, after) is None


@pytest.mark.parametrize(("label", "other"), [("car", "truck"), ("bicycle", "motorcycle")])
def test_a_view_may_take_a_road_user_for_its_neighbour(label: Label, other: Label) -> None:
    assert match_cost(path(0, 2, label=label), path(2.5, 3.5, label=other)) is not None


def test_a_car_that_brakes_in_the_gap_is_joined() -> None:
    before, after = path(0, 2), path(4, 5, speed_m_s=6.0, ahead_m=12.0)
    assert match_cost(before, after) is not None


def test_the_own_path_costs_less_than_that_of_the_car_behind() -> None:
    before = path(0, 2, speed_m_s=8)
    own = match_cost(before, path(3, 4, speed_m_s=8, ahead_m=1))
    behind = match_cost(before, path(3, 4, speed_m_s=8, ahead_m=-6))
    assert own is not None
    assert behind is None or own < behind


def test_a_slow_road_user_without_a_heading_stands() -> None:
    sample = make_sample(0, motion(1.0, 2.0, 0.5, None), (10.0, 20.0))
    assert (sample.x_m, sample.y_m) == (11.0, 22.0)
    assert sample.velocity is not None
    assert sample.velocity[:2] == (0.0, 0.0)
    assert sample.velocity.error_m_s > 0.5


def test_a_path_keeps_its_last_seconds_alone() -> None:
    assert len(path(0, 60).samples) == MAX_SAMPLES


@given(
    turn_deg=st.floats(0, 360),
    shift_m=st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
    gap_s=st.floats(-1, 4),
    speed_m_s=st.floats(1, 15),
    aside_m=st.floats(-4, 4),
)
def test_the_cost_does_not_depend_on_where_north_and_the_origin_are(
    turn_deg: float, shift_m: tuple[float, float], gap_s: float, speed_m_s: float, aside_m: float
) -> None:
    def placed(
        begin_s: float, end_s: float, heading_deg: float, at_m: tuple[float, float]
    ) -> GroundPath:
        found = path(
            begin_s,
            end_s,
            speed_m_s=speed_m_s,
            heading_deg=heading_deg,
            aside_m=aside_m if begin_s else 0.0,
        )
        found.samples.extend(
            [
                one._replace(x_m=one.x_m + at_m[0], y_m=one.y_m + at_m[1])
                for one in [found.samples.popleft() for _ in range(len(found.samples))]
            ]
        )
        return found

    begin_s = 2 + gap_s
    here = match_cost(placed(0, 2, 0, (0, 0)), placed(begin_s, begin_s + 1, 0, (0, 0)))
    there = match_cost(
        placed(0, 2, turn_deg, shift_m), placed(begin_s, begin_s + 1, turn_deg, shift_m)
    )
    if here is None or there is None:
        assert here is None or here > 13
        assert there is None or there > 13
    else:
        assert there == pytest.approx(here, rel=1e-3, abs=1e-3)
