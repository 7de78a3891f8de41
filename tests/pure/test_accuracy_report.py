"""bench.report_rows and bench.line_place: intervals, verdicts, and lines that are moved and turned."""

import pytest

from bench import line_place
from bench.report_rows import at_least, at_most, share_row, to_markdown
from centre.validate import scoring
from drivers.media import Point
from tests.pure.test_rule_engine_on_rendered_street import sights


@pytest.mark.parametrize(
    ("hits", "cases", "low", "high"),
    [
        (54, 64, 0.736, 0.913),
        (53, 56, 0.854, 0.982),
        (0, 20, 0.0, 0.161),
        (20, 20, 0.839, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_an_interval_is_that_of_wilson(hits: int, cases: int, low: float, high: float) -> None:
    found = scoring.wilson_interval(hits, cases)
    assert found == pytest.approx((low, high), abs=0.0006)


@pytest.mark.parametrize(
    ("hits", "cases", "goal", "verdict"),
    [
        (195, 200, at_least(0.95), "met"),
        (19, 20, at_least(0.95), "not reached yet: 20 cases of 200"),
        (189, 200, at_least(0.95), "missed"),
        (4, 200, at_most(0.02), "met"),
        (5, 200, at_most(0.02), "missed"),
        (0, 200, at_most(0.0), "met"),
        (0, 0, at_least(0.95), "no case"),
        (3, 4, None, "no goal"),
    ],
)
def test_a_goal_is_met_with_enough_cases_alone(
    hits: int, cases: int, goal: object, verdict: str
) -> None:
    assert share_row("rule", "quantity", hits, cases, goal).verdict == verdict


def test_a_row_of_the_page_has_the_cases_and_the_interval() -> None:
    row = share_row("stopped", "found", 54, 64, at_least(0.95), published="91 to 97 %", cause="far")
    table = to_markdown([row], "64 cases a rule")
    assert table.startswith("64 cases a rule\n")
    assert (
        "| `stopped` | found | 91 to 97 % | 54 of 64 = 84.4% | 73.6% to 91.3% | 95% | missed | far |"
        in table
    )


def test_lines_are_moved_along_their_normal_and_turned_about_their_middle() -> None:
    lines = line_place.variants(Point(0.2, 0.5), Point(0.8, 0.5), aspect=2.0)
    assert lines["moved forth"][0].y == pytest.approx(0.5 + line_place.MOVED)
    assert lines["moved back"][1].y == pytest.approx(0.5 - line_place.MOVED)
    assert lines["drawn"][0].x == pytest.approx(0.2 - 0.6 * line_place.LENGTHENED)
    left, right = lines["turned left"], lines["turned right"]
    assert left[0].y == pytest.approx(right[1].y)
    assert left[0].y < 0.5 < left[1].y
    middle_x = (left[0].x + left[1].x) / 2
    assert middle_x == pytest.approx(0.5)


@pytest.mark.parametrize("y", [0.45, 0.5, 0.55])
@pytest.mark.parametrize("seed", [1, 2])
def test_counts_of_the_rendered_street_do_not_depend_on_the_place_of_the_line(
    seed: int, y: float
) -> None:
    score = line_place.score_place("rendered", Point(0.22, y), Point(0.74, y), sights(seed))
    for variant in score.counts:
        drawn, off, apart = line_place.difference([score], variant)
        assert drawn >= 10
        assert (off, apart) == (0, 0), variant
