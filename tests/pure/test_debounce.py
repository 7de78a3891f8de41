"""agent.gpio.debounce: a bouncing contact changes once for each real change."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gpio.debounce import Debouncer

HOLD_MS = 50


def changes(edges: list[tuple[int, bool]], until_ms: int) -> list[tuple[bool | None, int]]:
    """Return the changes after edges at times in milliseconds: the level, and since when."""
    debounce = Debouncer(HOLD_MS / 1000)
    found = []

    def note(changed: bool) -> None:
        if changed:
            found.append((debounce.active, debounce.since_ns // 1_000_000))

    for t_ms, active in edges:
        note(debounce.feed(t_ms * 1_000_000, active=active))
    note(debounce.settle(until_ms * 1_000_000))
    return found


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        ([], []),
        ([(0, False)], [(False, 0)]),
        ([(0, False), (100, True)], [(False, 0), (True, 100)]),
        # A bounce, and the change counts from its last one.
        ([(0, False), (100, True), (103, False), (107, True)], [(False, 0), (True, 107)]),
        # Too short to be one.
        ([(0, False), (100, True), (149, False)], [(False, 0)]),
        ([(0, False), (100, True), (150, False)], [(False, 0), (True, 100), (False, 150)]),
        # The same level again is no news.
        ([(0, False), (100, True), (120, True), (140, True)], [(False, 0), (True, 100)]),
        # What never rests is never known.
        ([(t_ms, t_ms % 20 == 0) for t_ms in range(0, 970, 10)], []),
    ],
)
def test_a_change_counts_after_the_hold_time(
    edges: list[tuple[int, bool]], found: list[tuple[bool, int]]
) -> None:
    assert changes(edges, until_ms=1000) == found


def test_the_time_of_the_next_decision_is_returned() -> None:
    debounce = Debouncer(0.05)
    assert debounce.due_ns is None
    debounce.feed(10, active=True)
    assert debounce.due_ns == 50_000_010
    assert not debounce.settle(50_000_009)
    assert debounce.active is None
    assert debounce.settle(50_000_010)
    assert debounce.due_ns is None
    assert (debounce.active, debounce.since_ns) == (True, 10)


def test_without_a_hold_time_every_level_counts_at_once() -> None:
    debounce = Debouncer(0)
    debounce.feed(5, active=True)
    assert debounce.settle(5)
    assert debounce.active is True


def test_a_reset_contact_is_unknown_until_it_is_stable_again() -> None:
    debounce = Debouncer(0.05)
    debounce.feed(0, active=True)
    debounce.settle(10**9)
    debounce.reset()
    assert debounce.active is None
    debounce.feed(2 * 10**9, active=True)
    assert debounce.settle(3 * 10**9)
    assert debounce.active is True


bounces = st.lists(st.integers(1, HOLD_MS - 1), max_size=8)


@given(st.lists(st.tuples(st.integers(HOLD_MS, 5000), bounces), min_size=1, max_size=10))
def test_each_real_change_is_one_change_despite_bounces(
    real: list[tuple[int, list[int]]],
) -> None:
    """Each change comes with bounces that are shorter than the hold time, and is then stable for longer."""
    t_ms, level = 0, False
    edges = [(t_ms, level)]
    expected: list[tuple[bool, int]] = [(level, t_ms)]
    for stands_ms, gaps_ms in real:
        t_ms += stands_ms
        level = not level
        edges.append((t_ms, level))
        for gap_ms in gaps_ms[: len(gaps_ms) // 2 * 2]:
            t_ms += gap_ms
            edges.append((t_ms, not edges[-1][1]))
        expected.append((level, t_ms))
    assert all(a < b for (a, _), (b, _) in pairwise(edges))
    assert changes(edges, until_ms=t_ms + HOLD_MS) == expected
