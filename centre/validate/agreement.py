"""Agreement of two people who have counted the same line in the same clip, and their agreed count. Pure.

Which moments are without a crossing is no number, so that the share of crossings that both have is the positive
agreement (Hripcsak and Rothschild 2005, doi:10.1197/jamia.M1733), and Cohen's kappa is of the direction and the class of
those that both have (Cohen 1960, doi:10.1177/001316446002000104).
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from agent.base.errors import UserError
from agent.base.model import LABELS, Label
from centre.validate.crossing_truth import (
    TOLERANCE_S,
    ClipTruth,
    CrossingClaim,
    Direction,
    TrueCrossing,
)
from centre.validate.matching import WINDOW_RATIO, match_one_to_one
from centre.validate.scoring import TOLERANCE_POSITION

_DIRECTIONS: tuple[Direction, ...] = ("A->B", "B->A")
_TIME_DIGITS, _POSITION_DIGITS = 3, 4


class CrossingPair(NamedTuple):
    """A crossing as both people have it, or as one of them has it alone."""

    first: TrueCrossing | None
    second: TrueCrossing | None

    @property
    def is_agreed(self) -> bool:
        """Whether both have it, with the same direction and class."""
        return (
            self.first is not None
            and self.second is not None
            and _category(self.first) == _category(self.second)
        )

    @property
    def t_s(self) -> float:
        """The time: the mean of both."""
        times = [one.t_s for one in self if one is not None]
        return sum(times) / len(times)


class AgreementRow(msgspec.Struct, frozen=True, kw_only=True):
    """The crossings of one direction and class: those of each, and those that both have so."""

    direction: Direction
    label: Label
    first: int
    second: int
    both: int

    @property
    def agreement(self) -> float:
        """The positive agreement."""
        return 2 * self.both / (self.first + self.second)


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of two people, paired in the order of time. `kappa` is None if it is not defined: for a single category."""

    pairs: tuple[CrossingPair, ...]
    both: int
    first: int
    second: int
    kappa: float | None
    rows: tuple[AgreementRow, ...]

    @property
    def share_of_both(self) -> float:
        """The positive agreement of crossings, of whatever direction and class; 1 without any."""
        return 2 * self.both / (self.first + self.second) if self.first + self.second else 1.0

    @property
    def disagreements(self) -> tuple[CrossingPair, ...]:
        """Crossings that one alone has, or that differ in direction or class."""
        return tuple(pair for pair in self.pairs if not pair.is_agreed)


def cohen_kappa(pairs: Iterable[tuple[Hashable, Hashable]]) -> float | None:
    """Return Cohen's kappa of pairs of categories, None if it is not defined: both use one category alone, or no pair."""
    found = Counter(pairs)
    cases = found.total()
    first: Counter[Hashable] = Counter()
    second: Counter[Hashable] = Counter()
    for (one, other), count in found.items():
        first[one] += count
        second[other] += count
    # In whole numbers, so that full chance agreement is found exactly.
    observed = cases * sum(count for (one, other), count in found.items() if one == other)
    expected = sum(count * second[category] for category, count in first.items())
    if expected == cases * cases:
        return None
    return (observed - expected) / (cases * cases - expected)


def compare(first: ClipTruth, second: ClipTruth) -> Agreement:
    """Pair the crossings of two people, and measure their agreement."""
    pairs = pair_crossings(first.crossings, second.crossings)
    both = [(one, other) for one, other in pairs if one is not None and other is not None]
    agreed = Counter(_category(one) for one, other in both if _category(one) == _category(other))
    of_first, of_second = (Counter(map(_category, one.crossings)) for one in (first, second))
    rows = (
        AgreementRow(
            direction=direction,
            label=label,
            first=of_first[direction, label],
            second=of_second[direction, label],
            both=agreed[direction, label],
        )
        for direction in _DIRECTIONS
        for label in LABELS
    )
    return Agreement(
        pairs=pairs,
        both=len(both),
        first=len(first.crossings),
        second=len(second.crossings),
        kappa=cohen_kappa((_category(one), _category(other)) for one, other in both),
        rows=tuple(row for row in rows if row.first or row.second),
    )


def pair_crossings(
    first: Sequence[TrueCrossing], second: Sequence[TrueCrossing]
) -> tuple[CrossingPair, ...]:
    """Pair crossings one to one whose times and places differ by no more than both tolerances.

    Those of the same direction and class first, then those that differ in one of the two. The pairs are the same in
    either order of the people.
    """
    # Of several matches of the same size the order of the two decides, and thereby what is left for those that differ.
    if _order(second) < _order(first):
        return tuple(CrossingPair(one, other) for other, one in pair_crossings(second, first))
    left = sorted(first, key=lambda one: one.t_s)
    right = sorted(second, key=lambda one: one.t_s)
    pairs: list[CrossingPair] = []
    for differing in (0, 1):
        partners = match_one_to_one(_candidates(left, right, differing))
        pairs += [CrossingPair(left[i], right[j]) for i, j in partners.items()]
        taken = set(partners.values())
        left = [one for i, one in enumerate(left) if i not in partners]
        right = [one for j, one in enumerate(right) if j not in taken]
    pairs += [CrossingPair(one, None) for one in left]
    pairs += [CrossingPair(None, one) for one in right]
    return tuple(sorted(pairs, key=lambda pair: pair.t_s))


def merge(first: ClipTruth, second: ClipTruth, pairs: Sequence[CrossingPair]) -> ClipTruth:
    """Return the agreed count: a crossing on which both differ is not sure, and has the claims of both, until it is settled."""
    names = (first.by or "first", second.by or "second")
    crossings = [_merge_pair(pair, names) for pair in pairs]
    return msgspec.structs.replace(
        first,
        by=", ".join(names),
        counted_s=None,
        crossings=tuple(sorted(crossings, key=lambda one: one.t_s)),
        ignored=tuple(dict.fromkeys((*first.ignored, *second.ignored))),
    )


def check_comparable(first: ClipTruth, second: ClipTruth, label: str) -> None:
    """Raise UserError that begins with `label` if the counts are not of the same line in the same clip."""
    for name, one, other in (
        ("line", list(first.line), list(second.line)),
        ("duration", first.duration_s, second.duration_s),
    ):
        if one != other:
            raise UserError(f"{label}: {name} = {other}: allowed: that of the other count, {one}")


def _candidates(
    left: Sequence[TrueCrossing], right: Sequence[TrueCrossing], differing: int
) -> list[list[int]]:
    """Return, for each of the left, those of the right that may be the same, the nearest first."""
    times_s = [one.t_s for one in right]
    widest_s = max((one.tolerance_s for one in right), default=TOLERANCE_S)
    candidates = []
    for one in left:
        reach_s = WINDOW_RATIO * (one.tolerance_s + widest_s)
        near = []
        for j in range(
            bisect_left(times_s, one.t_s - reach_s), bisect_right(times_s, one.t_s + reach_s)
        ):
            distance = _distance(one, right[j])
            if distance is not None and _differing(one, right[j]) == differing:
                near.append((distance, j))
        candidates.append([j for _, j in sorted(near)])
    return candidates


def _distance(one: TrueCrossing, other: TrueCrossing) -> float | None:
    """Return the distance in time and place, None if it is more than both tolerances."""
    dt = abs(one.t_s - other.t_s) / (one.tolerance_s + other.tolerance_s)
    dp = 0.0
    if one.position is not None and other.position is not None:
        dp = abs(one.position - other.position) / (2 * TOLERANCE_POSITION)
    return None if dt > 1 or dp > 1 else dt + dp


def _order(crossings: Sequence[TrueCrossing]) -> list[tuple[object, ...]]:
    return sorted(
        (one.t_s, one.direction, one.label, one.tolerance_s, repr(one.position))
        for one in crossings
    )


def _differing(one: TrueCrossing, other: TrueCrossing) -> int:
    return (one.direction != other.direction) + (one.label != other.label)


def _category(one: TrueCrossing) -> tuple[Direction, Label]:
    return one.direction, one.label


def _merge_pair(pair: CrossingPair, names: tuple[str, str]) -> TrueCrossing:
    both = [one for one in pair if one is not None]
    places = [one.position for one in both if one.position is not None]
    merged = msgspec.structs.replace(
        both[0],
        t_s=round(pair.t_s, _TIME_DIGITS),
        position=round(sum(places) / len(places), _POSITION_DIGITS) if places else None,
        is_sure=pair.is_agreed and all(one.is_sure for one in both),
        is_at_edge=any(one.is_at_edge for one in both),
        is_label_sure=all(one.is_label_sure for one in both),
        is_occluded=any(one.is_occluded for one in both),
        tolerance_s=max(one.tolerance_s for one in both),
    )
    if pair.is_agreed:
        return merged
    claims = tuple(_claim(name, one) for name, one in zip(names, pair, strict=True))
    return msgspec.structs.replace(merged, claims=claims)


def _claim(name: str, one: TrueCrossing | None) -> CrossingClaim:
    if one is None:
        return CrossingClaim(by=name)
    return CrossingClaim(by=name, direction=one.direction, label=one.label)
