"""Scores of counts against labels, and their intervals. Pure."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from agent.base.model import Label
from centre.validate.crossing_truth import ClipTruth, IgnoredCrossing, TrueCrossing
from centre.validate.matching import WINDOW_RATIO, match_one_to_one

Z_95 = 1.959964
"""Standard deviations of a normal distribution that hold 95 % of it."""
TOLERANCE_POSITION = 0.1
"""Largest distance along the line of a count and its crossing."""
LARGE_VEHICLES = frozenset({"car", "truck", "bus"})


class Score(msgspec.Struct, frozen=True):
    """Hits, misses and extras, and the scores computed from them."""

    hits: int = 0
    misses: int = 0
    extras: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(self.hits + other.hits, self.misses + other.misses, self.extras + other.extras)

    @property
    def recall(self) -> float:
        """Recall: the share of labels that was found."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else 1.0

    @property
    def precision(self) -> float:
        """Precision: the share of findings that is correct."""
        return self.hits / (self.hits + self.extras) if self.hits + self.extras else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        denominator = 2 * self.hits + self.misses + self.extras
        return 2 * self.hits / denominator if denominator else 1.0

    @property
    def f1_interval(self) -> tuple[float, float]:
        """The 95 % interval of F1, as of a share of which a miss and an extra are half a case each.

        Misses and extras do not depend on each other, so F1 varies less than such a share: the interval is on the safe side.
        """
        return wilson_interval(self.hits, self.hits + (self.misses + self.extras) / 2)


def wilson_interval(hits: float, cases: float) -> tuple[float, float]:
    """Return the 95 % interval of a share, by Wilson's score: it holds for few cases and for shares near 0 and 1."""
    if not cases:
        return 0.0, 1.0
    share = hits / cases
    z2 = Z_95 * Z_95
    middle = (share + z2 / (2 * cases)) / (1 + z2 / cases)
    half = (
        Z_95 * math.sqrt(share * (1 - share) / cases + z2 / (4 * cases * cases)) / (1 + z2 / cases)
    )
    return max(0.0, middle - half), min(1.0, middle + half)


class ReportedCrossing(msgspec.Struct, frozen=True):
    """One reported crossing: its time, place on the line, direction and label."""

    t_s: float
    position: float
    direction: str
    label: Label


class CrossingScore(msgspec.Struct, frozen=True):
    """The counts of a clip against its labels: what matched, what was missed, and what is extra."""

    matched: tuple[tuple[ReportedCrossing, TrueCrossing], ...]
    missed: tuple[TrueCrossing, ...]
    extra: tuple[ReportedCrossing, ...]

    @property
    def score(self) -> Score:
        """Hits, misses and extras."""
        return Score(len(self.matched), len(self.missed), len(self.extra))

    @property
    def confused(self) -> tuple[tuple[Label, Label], ...]:
        """The counted and the true label of each hit whose labels differ, unless the true one is not sure."""
        return tuple(
            (counted.label, true.label)
            for counted, true in self.matched
            if counted.label != true.label and true.is_label_sure
        )

    @property
    def car_and_lorry(self) -> int:
        """Hits of which a car is counted as a lorry or a bus, or the reverse."""
        return sum(1 for labels in self.confused if LARGE_VEHICLES.issuperset(labels))


def score_counts(
    counted: Sequence[ReportedCrossing], truth: ClipTruth, *, is_strict: bool = False
) -> CrossingScore:
    """Match one to one by direction, time and place on the line, the required labels first.

    A miss counts if the crossing is sure and not at the clip's edge; an extra is forgiven if it matches a crossing that
    is unsure, at the edge, or to be ignored. A strict score requires each sure crossing, and forgives nothing.
    """
    required = [c for c in truth.crossings if c.is_sure and (is_strict or not c.is_at_edge)]
    optional: list[TrueCrossing | IgnoredCrossing] = []
    if not is_strict:
        optional += [c for c in truth.crossings if not c.is_sure or c.is_at_edge]
        optional += truth.ignored
    pairs = _match_crossings(counted, required)
    unmatched = [c for i, c in enumerate(counted) if i not in pairs]
    tolerated = _match_crossings(unmatched, optional)
    found = set(pairs.values())
    return CrossingScore(
        matched=tuple((counted[i], required[j]) for i, j in sorted(pairs.items())),
        missed=tuple(c for j, c in enumerate(required) if j not in found),
        extra=tuple(c for i, c in enumerate(unmatched) if i not in tolerated),
    )


def unverifiable_share(truths: Iterable[ClipTruth]) -> float:
    """Return the share of crossings that no person could be sure of, those to be ignored included."""
    unsure = cases = 0
    for truth in truths:
        unsure += sum(1 for c in truth.crossings if not c.is_sure) + len(truth.ignored)
        cases += len(truth.crossings) + len(truth.ignored)
    return unsure / cases if cases else 0.0


def _match_crossings(
    counted: Sequence[ReportedCrossing], truth: Sequence[TrueCrossing | IgnoredCrossing]
) -> dict[int, int]:
    """Return the largest one-to-one match, nearest candidates first. One whose place is not known is at any."""
    by_time = sorted(range(len(truth)), key=lambda j: truth[j].t_s)
    times_s = [truth[j].t_s for j in by_time]
    reach_s = WINDOW_RATIO * max((t.tolerance_s for t in truth), default=0.0)
    candidates: list[list[int]] = []
    for c in counted:
        near = []
        begin = bisect_left(times_s, c.t_s - reach_s)
        for j in by_time[begin : bisect_right(times_s, c.t_s + reach_s)]:
            t = truth[j]
            dt = abs(c.t_s - t.t_s) / t.tolerance_s
            dp = 0.0 if t.position is None else abs(c.position - t.position)
            if c.direction == t.direction and dt <= 1 and dp <= TOLERANCE_POSITION:
                near.append((dt + dp / TOLERANCE_POSITION, j))
        candidates.append([j for _, j in sorted(near)])
    return match_one_to_one(candidates)
