"""agent.ptz.motion.overshoot: by orders that may not have been received, and by latency."""

from contextlib import suppress

import pytest

from agent.ptz.motion.overshoot import (
    DEFAULT_LATENCY_S,
    POLL_INTERVAL_S,
    CoastingAxis,
    Overshoot,
    OvershootModel,
)
from drivers.contracts import Pose, PtzCapabilities, PtzPosition, Range, Velocity
from drivers.errors import DriverError
from tests.conftest import ManualClock

BRAKE_S = 0.5
ABLE = PtzCapabilities(
    absolute=True,
    pan_deg=Range(low=-170, high=170),
    tilt_deg=Range(low=-30, high=90),
    pan_max_deg_s=60,
    tilt_max_deg_s=40,
)
RIGHT, REST = Velocity(pan_deg_s=60), Velocity()
HERE = Pose(pan_deg=0, tilt_deg=0)


class Captured:
    """A head at pan 0, with its orders."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.momentum = OvershootModel(BRAKE_S, self.clock.boottime_ns)

    def reported(self, goal: Velocity | Pose | None, takes_s: float = 0.0) -> None:
        with self.momentum.timed_order(goal):
            self.clock.advance_s(takes_s)

    def looked(self, takes_s: float = 0.0) -> None:
        with self.momentum.timed_query():
            self.clock.advance_s(takes_s)

    def ahead(self) -> Overshoot:
        found = PtzPosition(pose=HERE, error_deg=0, moving=True, t_ns=self.clock.now_ns)
        return self.momentum.overshoot(self.clock.now_ns, found, ABLE)

    def right_deg(self, velocity: Velocity = REST) -> float:
        """How far to the right it may come."""
        area = self.ahead().reachable_area(HERE, velocity)
        return area.pan_from_deg + area.width_deg


@pytest.fixture
def head() -> Captured:
    head = Captured()
    head.looked()
    head.reported(REST)
    head.clock.advance_s(10)
    return head


def test_an_order_is_in_force_until_the_next_one_is_executed(head: Captured) -> None:
    assert head.right_deg() == 0
    assert head.right_deg(RIGHT) == pytest.approx(60 * (2 * POLL_INTERVAL_S + BRAKE_S))
    head.looked(0.3)
    head.reported(REST, 0.2)
    assert head.right_deg(RIGHT) == pytest.approx(
        60 * (0.2 + 2 * POLL_INTERVAL_S + 0.3 + 0.2 + BRAKE_S)
    )


def test_the_worst_latency_is_assumed_before_the_first_answer() -> None:
    late_s = 3 * DEFAULT_LATENCY_S
    assert Captured().right_deg(RIGHT) == pytest.approx(
        60 * (late_s + 2 * POLL_INTERVAL_S + BRAKE_S)
    )


def test_a_slow_answer_raises_the_latency_for_a_minute(head: Captured) -> None:
    head.looked(2.0)
    for _ in range(58):
        head.clock.advance_s(0.9)
        head.looked(0.1)
        head.reported(REST)
        assert head.ahead().latency_s == pytest.approx(2.0)
    head.clock.advance_s(4)
    head.looked(0.1)
    assert head.ahead().latency_s == pytest.approx(0.1)


def test_a_stop_is_complete_after_the_braking_time(head: Captured) -> None:
    head.reported(RIGHT)
    assert head.right_deg() == pytest.approx(60 * BRAKE_S)
    head.reported(REST)
    for passed_s in (0.1, 0.2, 0.3):
        head.clock.advance_s(0.1)
        assert head.right_deg() == pytest.approx(60 * (BRAKE_S - passed_s))
    head.clock.advance_s(0.3)
    assert head.right_deg() == 0


def test_an_order_overtaken_by_a_stop_may_take_effect_after_it(head: Captured) -> None:
    with head.momentum.timed_order(RIGHT):
        head.reported(REST)
        head.clock.advance_s(2)
        assert head.right_deg() > 0
    assert head.right_deg() > 0
    head.reported(REST)
    head.clock.advance_s(1)
    assert head.right_deg() == 0


def test_a_failed_order_may_or_may_not_have_been_received(head: Captured) -> None:
    head.reported(RIGHT)
    for goal in (REST, Velocity(pan_deg_s=-60)):
        with suppress(DriverError), head.momentum.timed_order(goal):
            raise DriverError("timeout", "no answer")
        head.clock.advance_s(5)
        assert head.right_deg() > 0
    assert head.ahead().reachable_area(HERE, REST).pan_from_deg < 0
    head.reported(REST)
    head.clock.advance_s(1)
    assert head.right_deg() == 0


def test_a_move_to_a_position_overshoots_no_further_than_its_target(head: Captured) -> None:
    head.reported(Pose(pan_deg=12, tilt_deg=0))
    assert head.right_deg() == pytest.approx(12)
    # And on from there, by the newest order.
    slowly = Velocity(pan_deg_s=6)
    until_s = 2 * POLL_INTERVAL_S + BRAKE_S
    assert head.right_deg(slowly) == pytest.approx(12 + 6 * (until_s - 12 / 60))


def test_the_overshoot_of_the_old_and_the_new_order_add_up() -> None:
    ahead = Overshoot(
        horizon_s=2.0,
        latency_s=0.0,
        pan=(CoastingAxis(speed=60, until_s=0.5), CoastingAxis(speed=-10, until_s=1.0)),
    )
    area = ahead.reachable_area(HERE, Velocity(pan_deg_s=20))
    assert area.pan_from_deg == pytest.approx(-10)
    assert area.pan_from_deg + area.width_deg == pytest.approx(60 * 0.5 + 20 * 1.5)
