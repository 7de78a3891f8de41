"""agent.capture.focus_search: a lens is judged by the sharpest picture seen, once it was turned past it."""

import cv2
import numpy as np
import pytest

from agent.capture.focus_search import (
    BAR_CHARS,
    MIN_BLOCKS,
    PASS_PERCENT,
    FocusSearch,
    percent_bar,
    percent_of,
)
from agent.capture.lens_aim import FOCUS_GRID, FocusBlocks, measure_focus_blocks
from tests.parts.console_peers import make_picture

BLOCKS = FOCUS_GRID**2


def searched(*scores: float) -> FocusSearch:
    """Show each score for as many pictures as the median needs."""
    search = FocusSearch()
    for score in scores:
        for _ in range(3):
            search.add((score,) * BLOCKS)
    return search


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((), None),
        ((40,), None),
        ((5, 20, 40), None),
        ((5, 20, 40, 20), False),
        ((5, 20, 40, 20, 33), False),
        ((5, 20, 40, 20, 34), True),
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
    assert searched(5, 50, 41).percent == 82


def test_one_covered_picture_is_no_turn_of_the_lens() -> None:
    search = searched(40)
    for score in (3, 40, 40):
        search.add((score,) * BLOCKS)
    assert search.is_in_focus is None
    assert search.percent == 100


def test_what_moves_through_a_third_of_the_picture_changes_no_verdict() -> None:
    still = (0.4,) * (BLOCKS * 2 // 3)
    passing = (0.9,) * (BLOCKS - len(still))
    assert percent_of((*still, *passing), (0.4,) * BLOCKS) == 100
    assert percent_of((*still, *(0.1 for _ in passing)), (0.4,) * BLOCKS) == 100


def test_too_few_blocks_with_detail_are_nothing_to_focus_on() -> None:
    few = (0.4,) * (MIN_BLOCKS - 1) + (0.0,) * (BLOCKS - MIN_BLOCKS + 1)
    assert percent_of(few, (0.4,) * BLOCKS) is None
    assert percent_of((), ()) is None
    search = FocusSearch()
    search.add(measure_focus_blocks(np.full((360, 640), 90, np.uint8)))
    assert (search.percent, search.is_in_focus) == (None, None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0, 2])
def test_the_threshold_separates_a_sharp_picture_from_a_blur_of_a_pixel(
    seed: int, noise: int
) -> None:
    rng = np.random.default_rng(seed)
    # A sharp lens's picture has no edge of a single pixel.
    sharp = cv2.GaussianBlur(make_picture(seed, 720, 1280), (0, 0), 0.6)

    def blocks(sigma: float) -> FocusBlocks:
        blurred = sharp if sigma == 0 else cv2.GaussianBlur(sharp, (0, 0), sigma)
        noisy = blurred + rng.normal(0, noise, blurred.shape)
        return measure_focus_blocks(np.clip(noisy, 0, 255).astype(np.uint8))

    reference = blocks(0)
    shares = [percent_of(blocks(sigma), reference) or 0 for sigma in (0, 1, 2, 4)]
    assert shares[0] >= PASS_PERCENT > shares[1] > shares[2] > shares[3]


def test_the_bar_marks_the_threshold() -> None:
    assert percent_bar(0) == "." * 16 + "|" + "..."
    assert percent_bar(50) == "#" * 10 + "." * 6 + "|" + "..."
    assert percent_bar(PASS_PERCENT) == "#" * 17 + "..."
    assert percent_bar(120) == "#" * BAR_CHARS
