"""Scoring of detections, people and counts against labels. Pure."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from agent.base.model import BoundingBox, Label
from agent.detection.geometry import iou

Z_95 = 1.959964
"""Standard deviations of a normal distribution that hold 95 % of it."""


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


def wilson_interval(hits: int, cases: int) -> tuple[float, float]:
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


class CountedCrossing(msgspec.Struct, frozen=True):
    """One reported crossing: its time, place on the line, direction and label."""

    t_s: float
    position: float
    direction: str
    label: Label


class CrossingScore(msgspec.Struct, frozen=True):
    """A clip's counts against its labels; `confused` of the hits have another label.

    `car_and_lorry` of these are a car reported as a lorry or a bus, or the reverse.
    """

    score: Score
    confused: int
    car_and_lorry: int
    missed: tuple[dict[str, Any], ...]
    extra: tuple[CountedCrossing, ...]


TOLERANCE_S = 0.3
TOLERANCE_POSITION = 0.1


def score_counts(counted: Sequence[CountedCrossing], truth: dict[str, Any]) -> CrossingScore:
    """Match one to one by direction, time and place on the line, the sure labels first.

    A miss counts if the crossing is sure and not at the clip's edge; an extra is forgiven if it matches
    a crossing that is unsure, at the edge, or to be ignored.
    """
    required = [c for c in truth["crossings"] if c["sure"] and not c.get("edge")]
    optional = [c for c in truth["crossings"] if not c["sure"] or c.get("edge")] + truth[
        "dont_care"
    ]
    pairs = _match_crossings(counted, required)
    unmatched = [c for i, c in enumerate(counted) if i not in pairs]
    tolerated = _match_crossings(unmatched, optional)
    extra = tuple(c for i, c in enumerate(unmatched) if i not in tolerated)
    found = set(pairs.values())
    confused = [
        (counted[i].label, required[j]["class"])
        for i, j in pairs.items()
        if counted[i].label != required[j]["class"] and required[j].get("class_sure", True)
    ]
    large_vehicles = {"car", "truck", "bus"}
    return CrossingScore(
        Score(len(pairs), len(required) - len(pairs), len(extra)),
        len(confused),
        sum(1 for a, b in confused if {a, b} <= large_vehicles),
        tuple(c for j, c in enumerate(required) if j not in found),
        extra,
    )


def _match_crossings(
    counted: Sequence[CountedCrossing], truth: Sequence[dict[str, Any]]
) -> dict[int, int]:
    """Return the largest one-to-one match, by augmenting paths; nearest candidates are tried first."""
    edges: list[list[int]] = []
    for c in counted:
        near = []
        for j, t in enumerate(truth):
            tolerance = t.get("t_tol") or TOLERANCE_S
            dt, dp = abs(c.t_s - t["t"]) / tolerance, abs(c.position - t["pos"])
            if c.direction == t["dir"] and dt <= 1 and dp <= TOLERANCE_POSITION:
                near.append((dt + dp / TOLERANCE_POSITION, j))
        edges.append([j for _, j in sorted(near)])
    owner: dict[int, int] = {}

    def assign(i: int, tried: set[int]) -> bool:
        for j in edges[i]:
            if j in tried:
                continue
            tried.add(j)
            if j not in owner or assign(owner[j], tried):
                owner[j] = i
                return True
        return False

    for i in range(len(counted)):
        assign(i, set())
    return {i: j for j, i in owner.items()}


def score_people(found: Sequence[BoundingBox], truth: Sequence[BoundingBox]) -> Score:
    """Match people in one frame one to one at an overlap of 0.5, best overlap first."""
    pairs = sorted(
        ((iou(f, t), i, j) for i, f in enumerate(found) for j, t in enumerate(truth)),
        reverse=True,
    )
    used_found: set[int] = set()
    used_truth: set[int] = set()
    for iou_value, i, j in pairs:
        if iou_value < 0.5:
            break
        if i not in used_found and j not in used_truth:
            used_found.add(i)
            used_truth.add(j)
    hits = len(used_found)
    return Score(hits, len(truth) - hits, len(found) - hits)
