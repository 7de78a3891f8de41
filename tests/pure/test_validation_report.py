"""centre.validate: labels are checked, counts are matched with them, and a report has each figure with its interval."""

import itertools
import json
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.base.model import Label
from centre.validate.crossing_truth import ClipTruth, TrueCrossing, decode_truth
from centre.validate.pages import to_html, to_markdown
from centre.validate.report import (
    ModelFigures,
    ScoredClip,
    ValidationReport,
    check_limits,
    clip_rows,
    confusion,
    group_rows,
    worst_counts,
)
from centre.validate.scoring import (
    TOLERANCE_POSITION,
    ReportedCrossing,
    Score,
    score_counts,
    unverifiable_share,
    wilson_interval,
)

SURE = {"t": 1.0, "pos": 0.5, "dir": "A->B", "class": "car", "sure": True}


def clip(*crossings: dict[str, Any], dont_care: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    return {
        "line": [0.1, 0.5, 0.9, 0.5],
        "duration": 10.0,
        "crossings": [SURE | crossing for crossing in crossings],
        "dont_care": list(dont_care),
    }


def decode(**clips: dict[str, Any]) -> dict[str, ClipTruth]:
    return decode_truth(json.dumps(clips).encode(), "truth 'counts.json'")


def one(*crossings: dict[str, Any], dont_care: Sequence[dict[str, Any]] = ()) -> ClipTruth:
    return decode(street=clip(*crossings, dont_care=dont_care))["street"]


def count(t_s: float, direction: str = "A->B", label: Label = "car") -> ReportedCrossing:
    return ReportedCrossing(t_s, 0.5, direction, label)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"crossings": [SURE | {"t": -1}]}, "street.crossings[0].t = -1: allowed: 0 or more"),
        (
            {"crossings": [SURE | {"t": 11}]},
            "street: t = 11: is after the end; allowed: at most 10, its duration",
        ),
        (
            {"crossings": [SURE | {"class": "tram"}]},
            "street.crossings[0].class = 'tram': allowed: 'bicycle', 'bus', 'car', 'motorcycle', 'person', 'truck'",
        ),
        (
            {"crossings": [SURE | {"dir": "up"}]},
            "street.crossings[0].dir = 'up': allowed: 'A->B', 'B->A'",
        ),
        ({"crossings": [{"t": 1.0}]}, "street.crossings[0].dir: missing; it has to be given"),
        (
            {"line": [0.1, 0.5, 0.1, 0.5]},
            "street: line: both points are the same; allowed: two points",
        ),
        ({"line": [0.1, 0.5]}, "street.line: allowed: 4 items"),
        ({"duration": "long"}, "street.duration = 'long': allowed: a number"),
    ],
)
def test_a_mistake_in_the_labels_is_one_line_with_its_place(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as raised:
        decode(street=clip() | changed)
    assert str(raised.value) == f"truth 'counts.json': {message}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{}", "0 clips; allowed: 1 to 2000"),
        (b"[", "not JSON"),
        (b'{"a":1,"a":1}', "the member 'a' is there twice"),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "allowed: at most 24 levels"),
        (b'{"../a":{}}', "a file's name without its ending"),
    ],
)
def test_labels_that_are_no_labels_are_refused_in_one_line(content: bytes, problem: str) -> None:
    with pytest.raises(UserError) as raised:
        decode_truth(content, "truth 'counts.json'")
    assert problem in str(raised.value)


def test_an_unknown_key_of_a_crossing_is_refused_as_a_mistyped_one() -> None:
    with pytest.raises(UserError, match=r"crossings\[0\]\.t_tolerance: unknown key"):
        one({"t_tolerance": 1})


def test_counts_and_labels_match_one_to_one_by_time_place_and_direction() -> None:
    truth = one({}, {"t": 1.2}, {"t": 5.0, "dir": "B->A"}, {"t": 7.0, "t_tol": 1.0})
    counted = [count(1.1), count(1.25), count(5.0), count(7.9)]
    found = score_counts(counted, truth)
    assert found.score == Score(hits=3, misses=1, extras=1)
    assert found.missed == (truth.crossings[2],)
    assert found.extra == (counted[2],)


_MOMENTS = st.tuples(st.integers(0, 12), st.sampled_from([0.5, 0.58, 0.7]))
"""A time in tenths of a second, and a place: often exactly as far away as is tolerated."""


@given(
    st.lists(_MOMENTS, max_size=4),
    st.lists(st.tuples(_MOMENTS, st.sampled_from([0.1, 0.3, 0.7])), max_size=4),
)
def test_no_match_of_counts_and_labels_is_larger(
    counted: list[tuple[int, float]], labels: list[tuple[tuple[int, float], float]]
) -> None:
    truth = one(*({"t": t / 10, "pos": pos, "t_tol": t_tol} for (t, pos), t_tol in labels))
    found = score_counts(
        [ReportedCrossing(t / 10, pos, "A->B", "car") for t, pos in counted], truth
    )

    def fits(count: tuple[int, float] | None, label: TrueCrossing) -> bool:
        if count is None or label.position is None:
            return False
        is_near = abs(count[0] / 10 - label.t_s) <= label.tolerance_s
        return is_near and abs(count[1] - label.position) <= TOLERANCE_POSITION

    free: list[tuple[int, float] | None] = [*counted, *[None] * len(labels)]
    most = max(
        sum(map(fits, chosen, truth.crossings))
        for chosen in itertools.permutations(free, len(labels))
    )
    assert found.score.hits == most


class ComparedTime(float):
    """A time that counts how often it is subtracted from another one."""

    times = 0

    def __rsub__(self, other: float) -> float:
        ComparedTime.times += 1
        return other - float(self)


def test_each_count_is_compared_with_the_labels_near_it_alone() -> None:
    seconds = range(1, 501)
    truth = one({})
    (label,) = truth.crossings
    labels = tuple(msgspec.structs.replace(label, t_s=ComparedTime(t)) for t in seconds)
    truth = msgspec.structs.replace(truth, duration_s=600.0, crossings=labels)
    assert score_counts([count(t + 0.1) for t in seconds], truth).score == Score(hits=500)
    assert ComparedTime.times == 500


def test_a_label_without_a_place_matches_anywhere_on_the_line() -> None:
    anywhere = {key: value for key, value in SURE.items() if key != "pos"}
    truth = decode(street=clip() | {"crossings": [anywhere]})["street"]
    found = score_counts([ReportedCrossing(1.1, 0.02, "A->B", "car")], truth)
    assert found.score == Score(hits=1)
    missed = score_counts([], truth)
    assert missed.missed == truth.crossings
    scored = ScoredClip(
        clip="street", truth=truth, light="day", limits=(), loose=missed, strict=missed
    )
    assert worst_counts([scored])[0].position is None


@pytest.mark.parametrize("forgiven", [{"sure": False}, {"edge": True}])
def test_an_unsure_crossing_counts_neither_way_and_a_strict_score_forgives_nothing(
    forgiven: dict[str, Any],
) -> None:
    truth = one({}, forgiven | {"t": 4.0})
    assert score_counts([count(1.0)], truth).score == Score(hits=1)
    assert score_counts([count(1.0), count(4.0)], truth).score == Score(hits=1)
    strict = score_counts([count(1.0), count(4.0)], truth, is_strict=True).score
    assert strict == (Score(hits=2) if "edge" in forgiven else Score(hits=1, extras=1))


def test_what_only_touches_the_line_is_forgiven_unless_strictly_and_is_unverifiable() -> None:
    truth = one({}, dont_care=[{"t": 3.0, "pos": 0.5, "dir": "A->B", "why": "stands on the line"}])
    counted = [count(1.0), count(3.0)]
    assert score_counts(counted, truth).score == Score(hits=1)
    assert score_counts(counted, truth, is_strict=True).score == Score(hits=1, extras=1)
    assert unverifiable_share([truth]) == 0.5


def test_a_class_that_no_person_is_sure_of_is_not_confused() -> None:
    truth = one({}, {"t": 3.0}, {"t": 5.0, "class_sure": False})
    found = score_counts(
        [count(1.0, label="truck"), count(3.0, label="person"), count(5.0, label="bus")], truth
    )
    assert found.confused == (("truck", "car"), ("person", "car"))
    assert found.car_and_lorry == 1


def test_the_interval_of_f1_holds_the_true_value_in_95_of_100_samples_or_more() -> None:
    rng = random.Random(27)
    recall, precision, cases, samples = 0.93, 0.97, 80, 2000
    true = 2 * recall * precision / (recall + precision)
    inside = 0
    for _ in range(samples):
        hits = sum(rng.random() < recall for _ in range(cases))
        extras = sum(rng.random() > precision for _ in range(hits))
        low, high = Score(hits, cases - hits, extras).f1_interval
        inside += low <= true <= high
    assert inside / samples >= 0.95


def scored(
    name: str, truth: ClipTruth, *counted: ReportedCrossing, night: bool = False
) -> ScoredClip:
    return ScoredClip(
        clip=name,
        truth=truth,
        light="night" if night else "day",
        limits=(),
        loose=score_counts(counted, truth),
        strict=score_counts(counted, truth, is_strict=True),
    )


def figures_of(*clips: ScoredClip) -> ModelFigures:
    return ModelFigures(
        model="nanodet_320",
        sha256="ab" * 32,
        rows=group_rows(clips),
        confusion=confusion(clips),
        clips=clip_rows(clips),
        worst=worst_counts(clips),
        inferences=7,
        cpu_s=0.125,
    )


TRUTH = decode(
    day=clip({}, {"t": 3.0, "class": "truck"}) | {"view": "north"},
    night=clip({"dir": "B->A"}, {"t": 5.0, "edge": True}) | {"view": "north"},
)
FIGURES = figures_of(
    scored("day", TRUTH["day"], count(1.0), count(3.0), count(8.0, label="bus")),
    scored("night", TRUTH["night"], count(5.0), night=True),
)


def report(against: ModelFigures | None = None) -> ValidationReport:
    return ValidationReport(
        time="2026-12-01T08:00:00.000Z",
        version="0.1.0",
        truth_sha256="cd" * 32,
        crossings=4,
        unverifiable_share=0.125,
        duration_s=20.0,
        model=FIGURES,
        against=against,
        limits=check_limits(FIGURES, {"f1": 0.5, "precision": 0.9, "cpu": 0.2}),
    )


def test_crossings_are_scored_by_class_direction_light_and_view() -> None:
    rows = {(row.grouping, row.name): row for row in FIGURES.rows}
    assert list(rows) == [
        ("all", "all"),
        ("class", "car"),
        ("class", "bus"),
        ("class", "truck"),
        ("direction", "A->B"),
        ("direction", "B->A"),
        ("light", "day"),
        ("light", "night"),
        ("view", "north"),
    ]
    every = rows["all", "all"]
    assert (every.loose.hits, every.loose.misses, every.loose.extras) == (2, 1, 1)
    assert (every.strict.hits, every.strict.misses, every.strict.extras) == (3, 1, 1)
    assert every.loose.recall_interval == wilson_interval(2, 3)
    assert (every.loose, every.strict) == (
        rows["view", "north"].loose,
        rows["view", "north"].strict,
    )
    assert (rows["class", "bus"].loose.hits, rows["class", "bus"].loose.extras) == (0, 1)
    assert (rows["light", "night"].clips, rows["light", "night"].loose.recall) == (1, 0.0)


def test_a_clip_without_a_crossing_is_a_clip_of_its_light_and_view() -> None:
    empty = decode(empty=clip() | {"view": "north"})["empty"]
    rows = {row.name: row.clips for row in group_rows([scored("empty", empty)])}
    assert rows == {"all": 1, "day": 1, "north": 1}


def test_wrong_counts_of_the_worst_clip_come_first() -> None:
    assert [(w.clip, w.kind, w.t_s) for w in FIGURES.worst] == [
        ("night", "missed", 1.0),
        ("day", "extra", 8.0),
    ]


def test_a_limit_is_the_least_value_and_that_of_cpu_the_largest() -> None:
    results = {one.name: one.is_met for one in report().limits}
    assert results == {"f1": True, "precision": False, "cpu": True}


def test_the_pages_have_all_figures_and_the_html_file_requests_nothing() -> None:
    pages = (
        to_markdown(report(FIGURES)),
        to_html(report(FIGURES), {FIGURES.worst[0]: b"\xff\xd8jpeg"}),
    )
    for page in pages:
        for words in (
            "12.5%",
            "nanodet_320",
            "20.8% to 93.9%",
            "B-",
            "+0.0 points",
            "precision",
        ):
            assert words in page
    assert "default-src 'none'" in pages[1]
    assert 'src="data:image/jpeg;base64,' in pages[1]
    assert "http" not in pages[1].replace("http-equiv", "")


def test_a_clip_name_is_text_on_the_page() -> None:
    truth = decode(**{"<b>&|": clip({})})
    figures = figures_of(scored("<b>&|", truth["<b>&|"]))
    shown = ValidationReport(
        time="2026-12-01T08:00:00.000Z",
        version="0.1.0",
        truth_sha256="cd" * 32,
        crossings=1,
        unverifiable_share=0.0,
        duration_s=10.0,
        model=figures,
        against=None,
        limits=(),
    )
    assert "<b>" not in to_html(shown, {})
    assert "<b>&\\|" in to_markdown(shown)
