"""agent.detection.ground_watch: a calibration is stale once its view has moved, and in force again once it is back."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from agent.detection.ground_watch import (
    CHECK_INTERVAL_NS,
    CONFIRMING_CHECKS,
    MAX_SHIFT_ON_HEAD,
    SAMPLES,
    GroundWatch,
    marks_digest,
)
from drivers.media import NS_PER_S, Plane
from tests.pure.moving_view import NIGHT, RAIN, street, turned
from tests.pure.rules.street_ground import STREET_MARKS

MARKS = marks_digest(STREET_MARKS)
HOUR_NS = 3600 * NS_PER_S
Lens = Callable[[Plane], Plane]


class Watched:
    """A watch and the seconds that it has seen."""

    def __init__(self, watch: GroundWatch | None = None) -> None:
        self.watch = watch or GroundWatch(MARKS, None)
        self.now_ns = 0

    def see(self, checks: int, lens: Lens = lambda picture: picture, **conditions: object) -> int:
        """Look through a lens for some checks. Return the number of changes."""
        changes = 0
        for _ in range(checks):
            for second in range(SAMPLES):
                picture = lens(street(3 * second + 1, **conditions))  # type: ignore[arg-type]
                changes += self.watch.observe(picture, self.now_ns + second * NS_PER_S)
            self.now_ns += CHECK_INTERVAL_NS
        return changes


def test_a_view_that_stays_keeps_its_calibration_in_every_light() -> None:
    watched = Watched()
    assert watched.see(1) == 1
    assert watched.watch.reference is not None
    for conditions in ({}, {"conditions": RAIN}, {"conditions": NIGHT}, {}):
        assert watched.see(CONFIRMING_CHECKS + 1, **conditions) == 0
    assert watched.watch.moved is None


def test_a_view_that_has_moved_makes_it_stale_after_three_checks_and_back_in_force_after_three() -> (
    None
):
    watched = Watched()
    watched.see(2)
    assert watched.see(CONFIRMING_CHECKS - 1, lambda picture: turned(picture, 0.03)) == 0
    assert watched.watch.moved is None
    assert watched.see(1, lambda picture: turned(picture, 0.03)) == 1
    assert watched.watch.moved is not None
    assert "+3." in watched.watch.moved
    assert watched.see(5, lambda picture: turned(picture, 0.03)) == 0
    assert watched.see(CONFIRMING_CHECKS - 1) == 0
    assert watched.see(1) == 1
    assert watched.watch.moved is None


def test_a_hand_at_the_camera_is_no_move() -> None:
    watched = Watched()
    watched.see(2)
    for _ in range(3):
        watched.see(CONFIRMING_CHECKS - 1, lambda picture: turned(picture, 0.05))
        watched.see(1)
    assert watched.watch.moved is None


def test_a_head_may_return_to_a_preset_with_less_accuracy() -> None:
    for max_shift, is_stale in ((MAX_SHIFT_ON_HEAD, False), (0.01, True)):
        watched = Watched(GroundWatch(MARKS, None, max_shift))
        watched.see(1)
        watched.see(4, lambda picture: turned(picture, 0.0125))
        assert (watched.watch.moved is not None) == is_stale


def test_pictures_of_another_stay_are_not_mixed_with_those_of_this_one() -> None:
    watched = Watched()
    watched.see(1)
    for second in range(SAMPLES - 1):
        watched.watch.observe(turned(street(1), 0.2), watched.now_ns + second * NS_PER_S)
    watched.watch.begin_stay()
    assert watched.see(CONFIRMING_CHECKS) == 0
    assert watched.watch.moved is None


def test_a_reported_move_counts_at_once_and_the_first_reason_stays() -> None:
    watched = Watched()
    assert not watched.watch.mark_moved("before there was a reference")
    watched.see(1)
    assert watched.watch.mark_moved("the camera was moved")
    assert not watched.watch.mark_moved("again")
    watched.see(CONFIRMING_CHECKS, lambda picture: turned(picture, 0.04))
    assert watched.watch.moved == "the camera was moved"


NOISE = np.asarray(np.random.default_rng(1).integers(0, 255, (180, 320)), np.uint8)


def see_unlike_pictures(watched: Watched, hours: int) -> None:
    """Look at pictures that are too unlike to be compared, twice an hour, as at a preset of a tour."""
    for _ in range(2 * hours):
        for second in range(SAMPLES):
            watched.watch.observe(NOISE, watched.now_ns + second * NS_PER_S)
        watched.now_ns += HOUR_NS // 2


def test_a_view_that_is_not_recognised_for_a_day_has_moved() -> None:
    watched = Watched()
    watched.see(1)
    see_unlike_pictures(watched, 20)
    assert watched.watch.moved is None
    watched.see(1)
    see_unlike_pictures(watched, 24)
    assert watched.watch.moved is None
    see_unlike_pictures(watched, 1)
    assert watched.watch.moved == "the view has not been recognised for a day"
    watched.see(CONFIRMING_CHECKS)
    assert watched.watch.moved is None


def test_time_in_which_a_view_was_not_watched_is_no_part_of_that_day() -> None:
    watched = Watched()
    watched.see(1)
    see_unlike_pictures(watched, 20)
    # Each time the camera comes back at night: after an outage, or to a preset that is visited every other day.
    for days in (1, 2, 300):
        watched.now_ns += days * 24 * HOUR_NS
        watched.watch.begin_stay()
        see_unlike_pictures(watched, 1)
        assert watched.watch.moved is None
    see_unlike_pictures(watched, 5)
    assert watched.watch.moved == "the view has not been recognised for a day"


def test_a_watch_of_a_later_run_goes_on_with_the_same_reference() -> None:
    first = Watched()
    first.see(1)
    first.see(CONFIRMING_CHECKS, lambda picture: turned(picture, 0.03))
    later = Watched(GroundWatch(MARKS, first.watch.reference))
    assert later.watch.moved == first.watch.moved
    assert later.see(CONFIRMING_CHECKS, lambda picture: turned(picture, 0.03)) == 0
    assert later.see(CONFIRMING_CHECKS) == 1
    assert later.watch.moved is None


@pytest.mark.parametrize("damage", [{"marks": "0" * 64}, {"picture": b"no picture"}])
def test_a_reference_of_other_marks_or_a_damaged_one_is_replaced(damage: dict[str, object]) -> None:
    first = Watched()
    first.see(1)
    assert first.watch.reference is not None
    other = msgspec.structs.replace(first.watch.reference, moved="it was", **damage)
    later = Watched(GroundWatch(MARKS, other))
    assert later.watch.moved is None
    assert later.see(1) == 1


@pytest.mark.parametrize("luma", [5, 120])
def test_a_dark_or_flat_picture_is_no_reference(luma: int) -> None:
    watched = Watched()
    watched.see(2, lambda picture: np.full_like(picture, luma))
    assert watched.watch.reference is None
    watched.see(1)
    assert watched.watch.reference is not None


def test_a_picture_of_another_shape_is_another_view() -> None:
    watched = Watched()
    watched.see(1)
    assert watched.see(1, lambda picture: picture[:, :240]) == 1
    assert watched.watch.moved == "the picture has another shape"
