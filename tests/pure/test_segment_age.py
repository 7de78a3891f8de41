"""agent.recording.segment_age: a lower bound from powered-on time and UTC."""

from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given

from agent.recording.segment_age import BootTimeline, ClockReading
from agent.recording.segment_name import SegmentName

DAY = datetime(2026, 11, 25, tzinfo=UTC)
HOUR_MS = 3_600_000
TEN_YEARS = 87_600


def name(boot: str, at_h: float, utc_h: float, *, synced: bool = True) -> SegmentName:
    """A segment `at_h` hours after its boot, with `utc_h` hours of the day in its name."""
    return SegmentName(
        counter=1,
        boot=boot,
        begin_ms=round(at_h * HOUR_MS),
        utc=DAY + timedelta(hours=utc_h),
        synced=synced,
    )


def now(boot: str, at_h: float, utc_h: float, *, synced: bool = True) -> ClockReading:
    unix_ms = round((DAY + timedelta(hours=utc_h)).timestamp() * 1000)
    return ClockReading(boot=boot, boot_ms=round(at_h * HOUR_MS), unix_ms=unix_ms, synced=synced)


@pytest.mark.parametrize(
    ("names", "at", "age_h"),
    [
        pytest.param([name("a", 1, 1)], now("a", 5, 5), 4, id="in one boot"),
        pytest.param(
            [name("a", 1, 1)], now("a", 5, TEN_YEARS), 4, id="in one boot, whatever UTC says"
        ),
        pytest.param([name("a", 1, 1)], now("b", 2, 30), 29, id="off for a day, both clocks known"),
        pytest.param(
            [name("a", 1, 1), name("a", 9, 9)],
            now("b", 2, 0, synced=False),
            10,
            id="no clock now: eight hours of that boot and two of this",
        ),
        pytest.param(
            [name("a", 1, -9999, synced=False), name("b", 3, 8, synced=False)],
            now("c", 2, 30),
            5,
            id="no clock then: a boot between counts as far as its names go",
        ),
        pytest.param(
            [name("a", 1, -9999, synced=False), name("a", 2, 2)],
            now("b", 1, 30),
            29,
            id="the clock was set an hour after it was recorded",
        ),
        pytest.param(
            [name("a", 1, 1), name("b", 1, -9999, synced=False)],
            now("c", 1, -TEN_YEARS),
            2,
            id="set back by ten years and trusted: powered-on time goes on",
        ),
        pytest.param(
            [name("a", 1, 1), name("b", 1, 30), name("b", 2, TEN_YEARS)],
            now("b", 3, TEN_YEARS + 1),
            3,
            id="stepped by ten years within this boot: UTC is not asked",
        ),
        pytest.param(
            [name("a", 1, 1), name("b", 1, 30)],
            now("b", 3, TEN_YEARS),
            3,
            id="stepped by ten years since this boot's newest name",
        ),
        pytest.param(
            [name("a", 1, 50), name("b", 1, 20)],
            now("c", 2, 9999),
            3,
            id="boots that contradict each other in UTC are not asked",
        ),
    ],
)
def test_the_age_of_the_oldest_segment_is_computed(
    names: list[SegmentName], at: ClockReading, age_h: float
) -> None:
    ages = BootTimeline(names).ages(at)
    assert ages.age_ms(names[0]) == age_h * HOUR_MS


@given(
    lengths_h=st.lists(
        st.tuples(st.integers(1, 50), st.integers(0, 100), st.booleans()), min_size=1, max_size=6
    ),
    now_synced=st.booleans(),
)
def test_no_segment_is_ever_considered_older_than_it_is(
    *, lengths_h: list[tuple[int, int, bool]], now_synced: bool
) -> None:
    """Boots of some hours, off for some between, with a good clock or none."""
    names: list[SegmentName] = []
    true_h: list[float] = []
    start_h = 0
    for number, (on_h, off_h, synced) in enumerate(lengths_h):
        for at_h in range(on_h):
            utc_h = start_h + at_h if synced else -500_000
            names.append(name(f"boot{number}", at_h, utc_h, synced=synced))
            true_h.append(start_h + at_h)
        start_h += on_h + off_h
    here_h = lengths_h[-1][0]
    last_start_h = start_h - here_h - lengths_h[-1][1]
    now_h = last_start_h + here_h
    at = now(f"boot{len(lengths_h) - 1}", here_h, now_h if now_synced else 99, synced=now_synced)
    ages = [BootTimeline(names).ages(at).age_ms(each) for each in names]
    assert ages == sorted(ages, reverse=True), "oldest first"
    for age_ms, begin_h, each in zip(ages, true_h, names, strict=True):
        true_ms = (now_h - begin_h) * HOUR_MS
        assert age_ms <= true_ms
        if now_synced and each.synced:
            assert age_ms == true_ms
