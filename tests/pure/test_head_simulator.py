"""simulation.heads.head_simulator: orders, motors and end stops."""

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.angles import unwrap_near_deg, wrap_deg
from drivers.contracts import Pose, Range, Velocity
from drivers.media import NS_PER_S
from drivers.pan_range import nearest_pan_deg, unwrap_pan_deg
from simulation.heads.head_simulator import (
    NO_FAULT,
    HeadMechanics,
    HeadSimulator,
    InjectedFault,
    MotionState,
    PositionOrder,
    SpeedOrder,
)
from simulation.heads.motion_profile import AxisPoint, MotorLimits, plan_move, plan_velocity

PLAIN = HeadMechanics(ramp_s=0.5, lag_s=0.1)
"""60 and 40 degrees a second, half a second to get there, a tenth until it begins."""
ENDLESS = HeadMechanics(pan_deg=None, lag_s=0.0)


def ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def after(head: HeadSimulator, seconds: float) -> MotionState:
    return head.state_at(ns(seconds))


def test_motion_starts_after_the_lag_and_accelerates_to_the_ordered_speed() -> None:
    head = HeadSimulator(PLAIN)
    head.move(0, Velocity(pan_deg_s=30, tilt_deg_s=-20))
    assert after(head, 0.1).pan_deg == 0
    assert after(head, 0.1).moving
    # Half of the top speed after half of the ramp: a quarter of a second at 15 on average.
    assert after(head, 0.35).pan_deg_s == pytest.approx(30)
    assert after(head, 0.35).pan_deg == pytest.approx(15 * 0.25)
    assert after(head, 1.35).pan_deg == pytest.approx(15 * 0.25 + 30)
    assert after(head, 1.35).tilt_deg == pytest.approx(-10 * 0.25 - 20)


def test_a_stop_decelerates() -> None:
    head = HeadSimulator(PLAIN)
    head.move(0, Velocity(pan_deg_s=60))
    head.stop(ns(1))
    at_stop = after(head, 1.1).pan_deg
    assert after(head, 1.6).pan_deg_s == pytest.approx(0)
    assert after(head, 1.6).pan_deg == pytest.approx(at_stop + 30 * 0.5)
    assert not after(head, 1.61).moving
    assert after(head, 3600).pan_deg == after(head, 1.7).pan_deg


def test_a_speed_above_the_maximum_is_clamped() -> None:
    head = HeadSimulator(PLAIN)
    head.move(0, Velocity(pan_deg_s=1000, tilt_deg_s=-1000, zoom=5))
    state = after(head, 0.61)
    assert (state.pan_deg_s, state.tilt_deg_s) == (pytest.approx(60), pytest.approx(-40))
    assert state.zoom_s == pytest.approx(1 / PLAIN.zoom_travel_s)


def test_an_end_stop_holds_the_head_and_allows_motion_away() -> None:
    head = HeadSimulator(PLAIN)
    head.move(0, Velocity(pan_deg_s=60, tilt_deg_s=40))
    state = after(head, 60)
    assert (state.pan_deg, state.tilt_deg) == (170, 90)
    assert (state.pan_deg_s, state.tilt_deg_s) == (0, 0)
    assert head.rest_time_ns(("pan", "tilt")) == pytest.approx(ns(0.1 + 0.25 + 170 / 60), abs=2)
    head.move(ns(60), Velocity(pan_deg_s=-60))
    assert after(head, 61.1).pan_deg == pytest.approx(170 - 60 * 0.75)


def test_an_endless_head_turns_without_limit_and_takes_the_shorter_way() -> None:
    head = HeadSimulator(ENDLESS)
    head.move(0, Velocity(pan_deg_s=60))
    head.stop(ns(10))
    turned = after(head, 11).pan_deg
    assert turned > 500
    assert after(head, 11).pose.pan_deg == pytest.approx(turned - 720)
    head.goto(ns(11), Pose(pan_deg=-90, tilt_deg=0))
    assert after(head, 20).pan_deg == pytest.approx(630)
    head.goto(ns(20), Pose(pan_deg=100, tilt_deg=0))
    assert after(head, 30).pan_deg == pytest.approx(460)


@pytest.mark.parametrize(
    ("pan_deg", "rest_deg"), [(-90, 270), (-170, 190), (100, 100), (-2, 0), (-4, 355)]
)
def test_a_pose_is_in_the_turn_of_the_range(pan_deg: float, rest_deg: float) -> None:
    head = HeadSimulator(HeadMechanics(pan_deg=Range(low=0, high=355)))
    head.goto(0, Pose(pan_deg=pan_deg, tilt_deg=0))
    assert after(head, 20).pan_deg == rest_deg


def test_a_goto_arrives_in_the_time_of_a_trapezoid_and_is_at_rest_there() -> None:
    head = HeadSimulator(PLAIN)
    head.goto(0, Pose(pan_deg=90, tilt_deg=30, zoom=0.5))
    # 0.1 s of lag, 0.5 s up and 0.5 s down with 30 degrees, the other 60 at 60 degrees a second.
    assert head.rest_time_ns(("pan",)) == pytest.approx(ns(0.1 + 0.5 + 0.5 + 1.0), abs=2)
    assert after(head, 2.0).moving
    state = after(head, 2.2)
    assert not state.moving
    assert (state.pan_deg, state.tilt_deg, state.zoom) == (90, 30, 0.5)
    head.goto(ns(3), Pose(pan_deg=900, tilt_deg=-90))
    assert after(head, 30).pose == Pose(pan_deg=170, tilt_deg=-30)


def test_a_move_at_half_speed_takes_longer() -> None:
    fast, slow = HeadSimulator(PLAIN), HeadSimulator(PLAIN)
    fast.goto(0, Pose(pan_deg=90, tilt_deg=0))
    slow.goto(0, Pose(pan_deg=90, tilt_deg=0), speed=0.5)
    assert slow.rest_time_ns(("pan",)) == pytest.approx(ns(0.1 + 0.25 + 90 / 30), abs=2)
    assert fast.rest_time_ns(("pan",)) == pytest.approx(ns(2.1), abs=2)


def test_each_axis_can_be_moved_alone() -> None:
    head = HeadSimulator(PLAIN)
    head.move(0, Velocity(pan_deg_s=10))
    head.apply_orders(ns(1), {"tilt": PositionOrder(target=20), "zoom": SpeedOrder(speed=0.1)})
    state = after(head, 3.1)
    assert state.pan_deg_s == 10
    assert state.tilt_deg == 20
    assert state.zoom == pytest.approx(0.2, abs=0.01)


def test_a_preset_returns_the_head_and_an_unknown_one_does_nothing() -> None:
    head = HeadSimulator(PLAIN)
    assert not head.goto_preset(0, 7)
    head.goto(0, Pose(pan_deg=-40, tilt_deg=10, zoom=1))
    head.store_preset(ns(10), 7)
    head.goto(ns(10), Pose(pan_deg=0, tilt_deg=0))
    assert after(head, 20).pan_deg == 0
    assert head.goto_preset(ns(20), 7)
    assert after(head, 30).pose == Pose(pan_deg=-40, tilt_deg=10, zoom=1)
    head.clear_preset(7)
    assert head.preset_numbers == frozenset()


def test_a_stuck_axis_never_arrives_until_it_is_repaired() -> None:
    head = HeadSimulator(PLAIN, injected_fault=InjectedFault(stuck=("pan",)))
    head.goto(0, Pose(pan_deg=50, tilt_deg=20))
    assert after(head, 3600).pose == Pose(pan_deg=0, tilt_deg=20)
    assert after(head, 3600).moving
    assert head.rest_time_ns() is None
    head.inject_fault(ns(3600), NO_FAULT)
    assert after(head, 3610).pan_deg == 50
    assert not after(head, 3610).moving


def test_a_slow_or_drifting_head_misses_its_target() -> None:
    slow = HeadSimulator(PLAIN, injected_fault=InjectedFault(slow=0.5))
    slow.move(0, Velocity(pan_deg_s=40))
    assert after(slow, 2).pan_deg_s == pytest.approx(20)
    drifting = HeadSimulator(PLAIN, injected_fault=InjectedFault(drift_deg_s=0.25))
    assert after(drifting, 100).pan_deg == pytest.approx(25, abs=0.1)
    assert not after(drifting, 100).moving
    assert after(drifting, 10_000).pan_deg == 170


def test_time_never_steps_back() -> None:
    head = HeadSimulator(PLAIN)
    head.move(ns(5), Velocity(pan_deg_s=10))
    there = after(head, 8).pan_deg
    assert after(head, 2).pan_deg == there


def test_a_waiter_is_woken_by_orders_to_the_head() -> None:
    head = HeadSimulator(PLAIN)
    assert not head.wait_for(lambda body: body.order_count > 0, 0.0)
    head.set_aux("wiper", on=True)
    assert head.wait_for(lambda body: "wiper" in body.aux_on, 0.0)


speeds = st.floats(-60, 60)
places = st.floats(-170, 170)
orders = st.one_of(
    st.builds(SpeedOrder, speed=speeds),
    st.builds(PositionOrder, target=places, speed=st.floats(0.1, 1)),
)


@given(st.lists(st.tuples(st.floats(0, 3), orders), min_size=1, max_size=8), st.booleans())
@example(
    given_orders=[
        (2.0, SpeedOrder(speed=-31)),
        (1.75, SpeedOrder(speed=-60)),
        (1.0, SpeedOrder(speed=1)),
    ],
    endless=False,
)
def test_no_orders_break_a_motor_or_take_it_past_its_stops(
    given_orders: list[tuple[float, SpeedOrder | PositionOrder]], endless: bool
) -> None:
    mechanics = HeadMechanics(pan_deg=None if endless else Range(low=-170, high=170))
    requested, unasked = HeadSimulator(mechanics), HeadSimulator(mechanics)
    t_s, step_s, states = 0.0, 0.01, []
    for wait_s, order in given_orders:
        requested.apply_orders(ns(t_s), {"pan": order})
        unasked.apply_orders(ns(t_s), {"pan": order})
        for _ in range(math.ceil(wait_s / step_s)):
            t_s += step_s
            states.append(requested.state_at(ns(t_s)))
    assert unasked.state_at(ns(t_s)) == requested.state_at(ns(t_s)), "to ask is not to move"
    top = mechanics.pan_max_deg_s
    for before, later in pairwise(states):
        assert abs(later.pan_deg - before.pan_deg) <= top * step_s * 1.001
        assert endless or abs(later.pan_deg) <= 170
        # A stop may be hit, and left again, between two looks.
        nearest = max(abs(before.pan_deg), abs(later.pan_deg))
        stopped_dead = not endless and nearest >= 170 - top * step_s
        assert stopped_dead or (
            abs(later.pan_deg_s - before.pan_deg_s) <= top / mechanics.ramp_s * step_s * 1.001
        )
    last = given_orders[-1][1]
    if isinstance(last, PositionOrder):
        arrived = requested.state_at(ns(t_s + 60))
        assert wrap_deg(arrived.pan_deg - last.target) == pytest.approx(0, abs=1e-9)
        assert not arrived.moving


@given(st.floats(-90, 90), st.floats(-80, 80), st.floats(-100, 100), st.floats(1, 60))
@example(29.0, 0.0, -99.99999999999999, 3.0)  # rounding takes it past the stop behind its goal
def test_from_any_place_at_any_speed_an_axis_arrives(
    place: float, speed: float, goal: float, top_speed: float
) -> None:
    limb = MotorLimits(low=-100, high=100, acceleration=100)
    course = plan_move(limb, 0, AxisPoint(position=place, speed=speed), goal, top_speed)
    assert course.end_ns is not None
    assert course.at(course.end_ns + 1) == AxisPoint(position=goal, speed=0)
    for before, later in pairwise(course.phases):
        met = before.at(later.begin_s)
        assert met.position == pytest.approx(later.start.position, abs=1e-6)


def test_an_axis_that_leaves_its_stop_and_turns_back_is_held_again() -> None:
    limb = MotorLimits(low=-10, high=10, acceleration=10)
    course = plan_velocity(limb, 0, AxisPoint(position=10, speed=-5), 5)
    assert course.at(ns(0.5)).position == pytest.approx(8.75)
    assert course.at(ns(1.001)) == AxisPoint(position=10, speed=0)
    assert course.end_ns == ns(1)


@given(low=st.floats(-720, 720), width=st.floats(1, 360), pan_deg=st.floats(-180, 180))
def test_a_pan_is_unwrapped_into_its_range(low: float, width: float, pan_deg: float) -> None:
    span = Range(low=low, high=low + width)
    unwrapped = unwrap_pan_deg(pan_deg, span)
    assert abs(wrap_deg(unwrapped - pan_deg)) < 1e-9
    turns = [unwrapped + turn * 360 for turn in (-1, 0, 1)]
    assert (span.low <= unwrapped <= span.high) or not any(
        span.low + 1e-9 < other < span.high - 1e-9 for other in turns
    )
    # What is out of the range is nearest to the end that it is clamped to.
    nearest = nearest_pan_deg(pan_deg, span)
    assert -180 < nearest <= 180
    ends = [abs(wrap_deg(pan_deg - end)) for end in (span.low, span.high)]
    away_deg = abs(wrap_deg(pan_deg - nearest))
    assert away_deg <= (0 if span.low <= unwrapped <= span.high else min(ends)) + 1e-9


@given(st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_an_angle_is_wrapped_without_being_turned(angle: float, other: float) -> None:
    assert -180 < wrap_deg(angle) <= 180
    assert math.cos(math.radians(wrap_deg(angle))) == pytest.approx(math.cos(math.radians(angle)))
    assert abs(unwrap_near_deg(angle, other) - other) <= 180
    assert wrap_deg(180) == wrap_deg(-180) == 180
