"""The overshoot of a head: by orders that it may not have received, and by its latency."""

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


class Told:
    """A head at pan 0, with its orders."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.momentum = OvershootModel(BRAKE_S, self.clock.boottime_ns)

    def told(self, goal: Velocity | Pose | None, takes_s: float = 0.0) -> None:
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
def head() -> Told:
    head = Told()
    head.looked()
    head.told(REST)
    head.clock.advance_s(10)
    return head


def test_what_is_told_lasts_until_the_next_word_is_done(head: Told) -> None:
    assert head.right_deg() == 0
    assert head.right_deg(RIGHT) == pytest.approx(60 * (2 * POLL_INTERVAL_S + BRAKE_S))
    head.looked(0.3)
    head.told(REST, 0.2)
    assert head.right_deg(RIGHT) == pytest.approx(
        60 * (0.2 + 2 * POLL_INTERVAL_S + 0.3 + 0.2 + BRAKE_S)
    )


def test_of_a_head_that_has_not_answered_yet_the_worst_is_believed() -> None:
    late_s = 3 * DEFAULT_LATENCY_S
    assert Told().right_deg(RIGHT) == pytest.approx(60 * (late_s + 2 * POLL_INTERVAL_S + BRAKE_S))


def test_a_slow_answer_counts_for_a_minute(head: Told) -> None:
    head.looked(2.0)
    for _ in range(58):
        head.clock.advance_s(0.9)
        head.looked(0.1)
        head.told(REST)
        assert head.ahead().latency_s == pytest.approx(2.0)
    head.clock.advance_s(4)
    head.looked(0.1)
    assert head.ahead().latency_s == pytest.approx(0.1)


def test_a_stop_is_done_when_the_brakes_have_held(head: Told) -> None:
    head.told(RIGHT)
    assert head.right_deg() == pytest.approx(60 * BRAKE_S)
    head.told(REST)
    for passed_s in (0.1, 0.2, 0.3):
        head.clock.advance_s(0.1)
        assert head.right_deg() == pytest.approx(60 * (BRAKE_S - passed_s))
    head.clock.advance_s(0.3)
    assert head.right_deg() == 0


def test_an_order_that_a_stop_has_passed_may_be_heard_after_it(head: Told) -> None:
    with head.momentum.timed_order(RIGHT):
        head.told(REST)
        head.clock.advance_s(2)
        assert head.right_deg() > 0
    assert head.right_deg() > 0
    head.told(REST)
    head.clock.advance_s(1)
    assert head.right_deg() == 0


def test_what_failed_may_have_been_heard_or_not(head: Told) -> None:
    head.told(RIGHT)
    for goal in (REST, Velocity(pan_deg_s=-60)):
        with suppress(DriverError), head.momentum.timed_order(goal):
            raise DriverError("timeout", "no answer")
        head.clock.advance_s(5)
        assert head.right_deg() > 0
    assert head.ahead().reachable_area(HERE, REST).pan_from_deg < 0
    head.told(REST)
    head.clock.advance_s(1)
    assert head.right_deg() == 0


def test_on_its_way_to_a_place_it_goes_no_further_than_there(head: Told) -> None:
    head.told(Pose(pan_deg=12, tilt_deg=0))
    assert head.right_deg() == pytest.approx(12)
    # And on from there, by the newest order.
    slowly = Velocity(pan_deg_s=6)
    until_s = 2 * POLL_INTERVAL_S + BRAKE_S
    assert head.right_deg(slowly) == pytest.approx(12 + 6 * (until_s - 12 / 60))


def test_what_it_was_told_before_and_what_it_is_told_now_add_up() -> None:
    ahead = Overshoot(
        horizon_s=2.0,
        latency_s=0.0,
        pan=(CoastingAxis(speed=60, until_s=0.5), CoastingAxis(speed=-10, until_s=1.0)),
    )
    area = ahead.reachable_area(HERE, Velocity(pan_deg_s=20))
    assert area.pan_from_deg == pytest.approx(-10)
    assert area.pan_from_deg + area.width_deg == pytest.approx(60 * 0.5 + 20 * 1.5)
