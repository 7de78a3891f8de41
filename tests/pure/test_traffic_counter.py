"""agent.detection.traffic_counter: the counts of a minute, and whether they are to be trusted."""

from collections.abc import Callable

import msgspec
import pytest

from agent.base.model import TrafficCounts
from agent.base.view_condition import VIEW_LIMITS, ViewLimit
from agent.detection.scene import Scene
from agent.detection.traffic_counter import MINUTE_NS, CountableTime, TrafficCounter
from drivers.media import NS_PER_S

STEP_NS = 100_000_000
FRAMES = 600
"""Of a minute."""

Limits = Callable[[float], tuple[ViewLimit, ...]]
"""From a second of the minute to the limits of its view."""


def counts_of_a_minute(limits: Limits) -> tuple[bool, tuple[ViewLimit, ...]]:
    counter = TrafficCounter("north", Scene(), lambda _area: ())
    for frame in range(FRAMES):
        counter.observe(frame * STEP_NS, {}, limits(frame / 10))
    (minute,) = counter.close_before(FRAMES * STEP_NS)
    return minute.trusted, minute.untrusted_reasons


@pytest.mark.parametrize(
    ("limits", "reasons"),
    [
        (lambda _s: (), ()),
        (lambda s: ("rain",) if s < 5 else (), ()),
        (lambda s: ("rain",) if s < 7 else (), ("rain",)),
        (lambda s: ("rain",) if s % 10 < 2 else (), ("rain",)),
        (lambda s: ("rain",) if s < 4 else ("dark",) if s < 8 else (), ()),
        (lambda _s: ("small", "dark"), ("dark", "small")),
        (lambda s: ("rain", "dark") if s < 5 else ("rain",), ("rain",)),
    ],
    ids=[
        "none",
        "less than a tenth",
        "more than a tenth",
        "in several parts",
        "two that are short",
        "in the order of the limits",
        "one of two",
    ],
)
def test_counts_are_untrusted_if_a_limit_held_for_a_tenth_of_the_minute(
    limits: Limits, reasons: tuple[ViewLimit, ...]
) -> None:
    assert counts_of_a_minute(limits) == (not reasons, reasons)


@pytest.mark.parametrize("limit", VIEW_LIMITS)
def test_each_limit_is_a_reason(limit: ViewLimit) -> None:
    assert counts_of_a_minute(lambda _s: (limit,)) == (False, (limit,))


def test_a_minute_is_judged_by_itself() -> None:
    counter = TrafficCounter("north", Scene(), lambda _area: ())
    trusted = []
    for frame in range(2 * FRAMES + 1):
        trusted += [minute.trusted for minute in counter.close_before(frame * STEP_NS)]
        counter.observe(frame * STEP_NS, {}, ("dark",) if frame < FRAMES else ())
    assert trusted == [False, True]


def test_time_that_was_not_observed_is_no_trusted_time() -> None:
    counter = TrafficCounter("north", Scene(), lambda _area: ())
    for t_s in (0, 1, 2, 40, 41, 42):
        counter.observe(t_s * 1_000_000_000, {}, ("dark",) if t_s > 40 else ())
    (minute,) = counter.flush(60 * 1_000_000_000)
    assert (minute.observed_s, minute.trusted) == (4, False)


def test_one_frame_in_the_dark_is_an_untrusted_minute() -> None:
    counter = TrafficCounter("north", Scene(), lambda _area: ())
    counter.observe(0, {}, ("dark",))
    (minute,) = counter.flush(1)
    assert (minute.observed_s, minute.trusted) == (0, False)


def test_the_parts_of_a_minute_that_a_change_of_the_scene_cuts_do_not_overlap() -> None:
    parts: list[TrafficCounts] = []
    for begin_s, end_s in ((3, 24), (26, 70)):
        counter = TrafficCounter("north", Scene(), lambda _area: ())
        for t_s in range(begin_s, end_s + 1):
            parts += counter.close_before(t_s * NS_PER_S)
            counter.observe(t_s * NS_PER_S, {}, ())
        parts += counter.flush(end_s * NS_PER_S)
    spans = [(part.begin_ns / NS_PER_S, part.end_ns / NS_PER_S) for part in parts]
    assert spans == [(3, 24), (26, 60), (60, 70)]
    assert [part.observed_s for part in parts] == [21, 33, 10]


def minute_of(number: int, *, trusted: bool = True, observed_s: float = 60.0) -> TrafficCounts:
    return TrafficCounts(
        camera="north",
        begin_ns=number * MINUTE_NS,
        end_ns=(number + 1) * MINUTE_NS,
        observed_s=observed_s,
        trusted=trusted,
        untrusted_reasons=() if trusted else ("dark",),
        lines=(),
        zones=(),
        flows=(),
    )


AFTER_MINUTE_NS = MINUTE_NS + 3_500_000_000


def test_countable_time_is_the_part_of_the_time_with_trusted_minutes() -> None:
    countable = CountableTime(0)
    ratios = []
    for number, minute in enumerate(
        (
            minute_of(0),
            minute_of(1, trusted=False),
            minute_of(2, observed_s=30),
            minute_of(3, trusted=False),
        )
    ):
        countable.add(minute)
        ratios.append(countable.ratio(number * MINUTE_NS + AFTER_MINUTE_NS))
    assert ratios == [1.0, 0.5, 0.5, 0.38]


def test_countable_time_is_not_known_in_the_first_minute() -> None:
    countable = CountableTime(10 * MINUTE_NS)
    assert countable.ratio(10 * MINUTE_NS + AFTER_MINUTE_NS - MINUTE_NS) is None
    assert countable.ratio(10 * MINUTE_NS + AFTER_MINUTE_NS) == 0


def test_time_without_pictures_is_not_countable() -> None:
    countable = CountableTime(0)
    countable.add(minute_of(0))
    assert countable.ratio(3 * MINUTE_NS + AFTER_MINUTE_NS) == 0.25


def test_minutes_that_changes_of_the_scene_cut_are_one_minute() -> None:
    """As on a head that turns to another preset every 15 s, all day."""
    countable = CountableTime(0)
    minutes = 24 * 60
    for number in range(minutes):
        for quarter in range(4):
            begin_ns = number * MINUTE_NS + quarter * MINUTE_NS // 4
            part = minute_of(number, observed_s=15)
            countable.add(
                msgspec.structs.replace(part, begin_ns=begin_ns, end_ns=begin_ns + MINUTE_NS // 4)
            )
    assert countable.ratio((minutes - 1) * MINUTE_NS + AFTER_MINUTE_NS) == 1.0


def test_countable_time_is_that_of_the_last_day() -> None:
    countable = CountableTime(0)
    day = 24 * 60
    for number in range(3 * day):
        countable.add(minute_of(number, trusted=number >= 2 * day + day // 2))
    assert countable.ratio((3 * day - 1) * MINUTE_NS + AFTER_MINUTE_NS) == 0.5
