"""Two people count the same film: their crossings are paired, their agreement is measured, and one count is made of both."""

from collections.abc import Hashable, Sequence
from itertools import permutations
from typing import get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.base.model import LABELS, Label
from centre.validate.agreement import check_comparable, cohen_kappa, compare, merge, pair_crossings
from centre.validate.crossing_truth import (
    ClipTruth,
    CrossingClaim,
    Direction,
    IgnoredCrossing,
    TrueCrossing,
    check_whole,
    decode_truth,
    encode_truth,
)
from centre.validate.matching import match_one_to_one

DURATION_S = 60.0
Table = Sequence[Sequence[int]]


def crossing(
    t_s: float,
    label: Label = "car",
    direction: Direction = "A->B",
    position: float | None = None,
    **more: object,
) -> TrueCrossing:
    one = TrueCrossing(t_s=t_s, label=label, direction=direction, position=position, is_sure=True)
    return msgspec.structs.replace(one, **more)


def clip(*crossings: TrueCrossing, by: str = "amina", **more: object) -> ClipTruth:
    truth = ClipTruth(line=(0.1, 0.5, 0.9, 0.5), duration_s=DURATION_S, crossings=crossings, by=by)
    return msgspec.structs.replace(truth, **more)


def pairs_of(table: Table) -> list[tuple[Hashable, Hashable]]:
    return [
        (i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("table", "kappa"),
    [
        # Cohen 1960, table 1, of 200 cases: .29 / .59.
        (((88, 14, 18), (10, 40, 10), (2, 6, 12)), 0.4915),
        (((20, 5), (10, 15)), 0.4),
        (((10, 0), (0, 10)), 1.0),
        (((5, 5), (5, 5)), 0.0),
        (((0, 10), (10, 0)), -1.0),
        (((10, 0), (0, 0)), None),
        ((), None),
    ],
)
def test_kappa_is_that_of_published_tables(table: Table, kappa: float | None) -> None:
    found = cohen_kappa(pairs_of(table))
    assert found is None if kappa is None else found == pytest.approx(kappa, abs=5e-5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"))))
def test_kappa_is_at_most_one_and_the_same_for_both_orders(pairs: list[tuple[str, str]]) -> None:
    kappa = cohen_kappa(pairs)
    assert kappa == cohen_kappa([(other, one) for one, other in pairs])
    if kappa is not None:
        assert -1 <= kappa <= 1
        assert (kappa == 1) == all(one == other for one, other in pairs)


@given(st.lists(st.lists(st.integers(0, 4), unique=True, max_size=4), max_size=5))
def test_the_match_is_one_to_one_and_the_largest(candidates: list[list[int]]) -> None:
    match = match_one_to_one(candidates)
    assert len(set(match.values())) == len(match)
    assert all(j in candidates[i] for i, j in match.items())
    largest = max(
        sum(j in own for j, own in zip(order, candidates, strict=False))
        for order in permutations(range(5))
    )
    assert len(match) == largest


def test_a_match_whose_exchanges_are_thousands_is_found() -> None:
    count = 5000
    candidates = [[i, i + 1] for i in range(count)] + [[0]]
    assert len(match_one_to_one(candidates)) == count + 1


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (crossing(10.0), crossing(10.6), 1),
        (crossing(10.0), crossing(10.7), 0),
        (crossing(10.0, tolerance_s=0.8), crossing(11.5, tolerance_s=0.8), 1),
        (crossing(10.0, position=0.2), crossing(10.0, position=0.4), 1),
        (crossing(10.0, position=0.2), crossing(10.0, position=0.45), 0),
        (crossing(10.0, position=0.2), crossing(10.0), 1),
        (crossing(10.0), crossing(10.0, "truck"), 1),
        (crossing(10.0), crossing(10.0, direction="B->A"), 1),
        (crossing(10.0), crossing(10.0, "truck", "B->A"), 0),
    ],
)
def test_crossings_of_two_people_are_the_same_within_their_tolerances(
    first: TrueCrossing, second: TrueCrossing, both: int
) -> None:
    agreement = compare(clip(first), clip(second, by="jonas"))
    assert agreement.both == both
    assert len(agreement.pairs) == 2 - both


def test_a_crossing_of_the_same_class_is_paired_before_a_nearer_one_of_another() -> None:
    first = (crossing(10.0), crossing(10.3, "truck"))
    second = (crossing(10.05, "truck"), crossing(10.25))
    pairs = pair_crossings(first, second)
    assert [pair.is_agreed for pair in pairs] == [True, True]


def test_the_agreement_is_stated_by_direction_and_class_with_what_differs() -> None:
    amina = clip(crossing(1), crossing(3), crossing(5, "bus"), crossing(7, "car", "B->A"))
    jonas = clip(crossing(1.2), crossing(5.1, "truck"), crossing(7, "car", "B->A"), crossing(9))
    agreement = compare(amina, jonas)
    assert (agreement.first, agreement.second, agreement.both) == (4, 4, 3)
    assert agreement.share_of_both == 0.75
    rows = [(r.direction, r.label, r.first, r.second, r.both) for r in agreement.rows]
    assert rows == [
        ("A->B", "car", 2, 2, 1),
        ("A->B", "bus", 1, 0, 0),
        ("A->B", "truck", 0, 1, 0),
        ("B->A", "car", 1, 1, 1),
    ]
    assert agreement.rows[0].agreement == 0.5
    # Of three pairs two agree; by chance 2 of 9 would.
    assert agreement.kappa == pytest.approx((2 / 3 - 2 / 9) / (1 - 2 / 9))
    assert [pair.t_s for pair in agreement.disagreements] == pytest.approx([3, 5.05, 9])


def test_two_counts_without_a_crossing_agree() -> None:
    agreement = compare(clip(), clip())
    assert (agreement.share_of_both, agreement.kappa, agreement.rows) == (1.0, None, ())


def test_the_agreed_count_has_what_both_have_and_what_differs_as_unsure_with_both_claims() -> None:
    amina = clip(
        crossing(1, position=0.2, tolerance_s=0.8),
        crossing(3),
        crossing(5, "bus"),
        ignored=(IgnoredCrossing(t_s=4, position=0.5, direction="A->B"),),
    )
    jonas = clip(crossing(1.4, position=0.3), crossing(5.2, "truck"), by="jonas")
    agreed = merge(amina, jonas, compare(amina, jonas).pairs)
    assert agreed.by == "amina, jonas"
    assert agreed.is_whole
    assert agreed.ignored == amina.ignored
    same, alone, differing = agreed.crossings
    assert same == crossing(1.2, position=0.25, tolerance_s=0.8)
    assert alone == crossing(
        3,
        is_sure=False,
        claims=(
            CrossingClaim(by="amina", direction="A->B", label="car"),
            CrossingClaim(by="jonas"),
        ),
    )
    assert not differing.is_sure
    assert [(one.by, one.label) for one in differing.claims] == [
        ("amina", "bus"),
        ("jonas", "truck"),
    ]


@pytest.mark.parametrize(
    ("unsure", "field"), [("is_sure", "is_sure"), ("is_label_sure", "is_label_sure")]
)
def test_a_doubt_of_one_person_is_a_doubt_of_the_agreed_count(unsure: str, field: str) -> None:
    amina, jonas = clip(crossing(1)), clip(crossing(1, **{unsure: False}))
    (agreed,) = merge(amina, jonas, compare(amina, jonas).pairs).crossings
    assert getattr(agreed, field) is False
    assert agreed.claims == ()


CROSSINGS = st.builds(
    TrueCrossing,
    t_s=st.integers(0, 6000).map(lambda hundredths: hundredths / 100),
    position=st.none() | st.integers(0, 100).map(lambda percent: percent / 100),
    direction=st.sampled_from(get_args(Direction)),
    label=st.sampled_from(LABELS),
    is_sure=st.booleans(),
    tolerance_s=st.sampled_from([0.3, 0.8, 2.3]),
)
CLIPS = st.lists(CROSSINGS, max_size=12).map(lambda crossings: clip(*crossings))


# The times differ by both tolerances to the last digit.
@example(clip(crossing(0.02, tolerance_s=0.3)), clip(crossing(0.62, tolerance_s=0.3)))
# The car of the second person is one of two of the first; the bus is near the later of them alone.
@example(clip(crossing(1.0), crossing(1.4)), clip(crossing(1.3), crossing(1.9, "bus")))
@given(CLIPS, CLIPS)
def test_each_crossing_is_in_one_pair_and_the_agreed_count_is_a_valid_file(
    first: ClipTruth, second: ClipTruth
) -> None:
    agreement = compare(first, second)
    for side, truth in enumerate((first, second)):
        found = [pair[side] for pair in agreement.pairs if pair[side] is not None]
        assert sorted(found, key=repr) == sorted(truth.crossings, key=repr)
    other = compare(second, first)
    turned = [(one, two) for two, one in other.pairs]
    assert sorted(turned, key=repr) == sorted(map(tuple, agreement.pairs), key=repr)
    agreed = {"street": merge(first, second, agreement.pairs)}
    assert decode_truth(encode_truth(agreed), "agreed") == agreed
    unsettled = sum(bool(one.claims) for one in agreed["street"].crossings)
    assert unsettled == len(agreement.disagreements)


@given(CLIPS)
def test_a_count_agrees_with_itself(truth: ClipTruth) -> None:
    agreement = compare(truth, truth)
    assert agreement.share_of_both == 1
    assert agreement.disagreements == ()
    assert agreement.kappa in (None, 1.0)


@pytest.mark.parametrize(
    ("counted_s", "is_whole"),
    [(None, True), (60.0, True), (59.0, True), (58.9, False), (0.0, False)],
)
def test_a_count_that_stopped_early_is_no_label_of_the_clip(
    counted_s: float | None, is_whole: bool
) -> None:
    truth = clip(counted_s=counted_s)
    assert truth.is_whole is is_whole
    if is_whole:
        check_whole("street", truth, "truth 'counts.json'")
        return
    with pytest.raises(
        UserError, match=r"^truth 'counts.json': street: counted up to 5?[08]\.[09] s of 60\.0"
    ):
        check_whole("street", truth, "truth 'counts.json'")


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (
            clip(line=(0.1, 0.5, 0.9, 0.6)),
            "line = [0.1, 0.5, 0.9, 0.6]: allowed: that of the other count, [0.1, 0.5, 0.9, 0.5]",
        ),
        (clip(duration_s=61.0), "duration = 61.0: allowed: that of the other count, 60.0"),
    ],
)
def test_counts_of_another_line_or_film_are_not_compared(other: ClipTruth, problem: str) -> None:
    with pytest.raises(UserError) as raised:
        check_comparable(clip(), other, "count")
    assert str(raised.value) == f"count: {problem}"
