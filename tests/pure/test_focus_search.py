"""agent.capture.focus_search: a lens is judged by the sharpest value seen, once it was turned past it."""

import pytest

from agent.capture.focus_search import BAR_CHARS, PASS_PERCENT, FocusSearch, percent_bar


def searched(*scores: float) -> FocusSearch:
    """Show each score for as many pictures as the median needs."""
    search = FocusSearch()
    for score in scores:
        for _ in range(3):
            search.add(score)
    return search


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((), None),
        ((40,), None),
        ((5, 20, 40), None),
        ((5, 20, 40, 20), False),
        ((5, 20, 40, 20, 35), False),
        ((5, 20, 40, 20, 36), True),
        ((40, 20, 40), True),
        ((5, 20, 40, 20, 42), True),
        ((5, 20, 40, 20, 60), None),
        ((5, 20, 40, 20, 60, 30, 60), True),
    ],
)
def test_a_lens_is_judged_only_after_it_was_turned_past_its_peak(
    scores: tuple[float, ...], verdict: bool | None
) -> None:
    assert searched(*scores).is_in_focus is verdict


def test_the_share_is_of_the_best_seen() -> None:
    search = searched(5, 50, 41)
    assert (search.focus, search.best, search.percent) == (41, 50, 82)


def test_one_covered_picture_is_no_turn_of_the_lens() -> None:
    search = searched(40)
    search.add(3)
    search.add(40)
    search.add(40)
    assert search.is_in_focus is None
    assert search.best == 40


def test_the_bar_marks_the_threshold() -> None:
    assert percent_bar(0) == "." * 17 + "|" + ".."
    assert percent_bar(50) == "#" * 10 + "." * 7 + "|" + ".."
    assert percent_bar(PASS_PERCENT) == "#" * 18 + ".."
    assert percent_bar(120) == "#" * BAR_CHARS
