"""Result of a validation: one value, from which the page is written. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from agent.base.model import LABELS, Label
from agent.base.view_condition import Light, ViewLimit
from centre.validate.crossing_truth import ClipTruth, TrueCrossing
from centre.validate.scoring import (
    CrossingScore,
    ReportedCrossing,
    Score,
    wilson_interval,
)

MAX_WORST = 12
"""Wrong counts that are shown as pictures."""

Grouping = Literal["all", "class", "direction", "light", "view"]
LimitName = Literal["f1", "strict_f1", "recall", "precision", "cpu"]
"""Figures that may have a limit: `cpu` is the CPU time of a second of film, and has a largest value, the others a least one."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a score, with their intervals of 95 %."""

    hits: int
    misses: int
    extras: int
    recall: float
    recall_interval: tuple[float, float]
    precision: float
    precision_interval: tuple[float, float]
    f1: float
    f1_interval: tuple[float, float]


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a class, a direction, a light or a view, or of all. A hit belongs to the true class."""

    grouping: Grouping
    name: str
    clips: int
    loose: Figures
    strict: Figures


class ConfusedLabels(msgspec.Struct, frozen=True, kw_only=True):
    """The crossings of one true class that were found, by the class that they were counted as."""

    true: Label
    counted: dict[Label, int]


class ClipRow(msgspec.Struct, frozen=True, kw_only=True):
    """One clip. `limits`: why a box would say that its counts are not to be trusted."""

    clip: str
    view: str
    light: Light
    duration_s: float
    limits: tuple[ViewLimit, ...]
    f1: float
    strict_f1: float


class WrongCount(msgspec.Struct, frozen=True, kw_only=True):
    """A crossing that was missed, or one that was counted and did not happen. `position` is None if no label states it."""

    clip: str
    kind: Literal["missed", "extra"]
    t_s: float
    label: Label
    direction: str
    position: float | None


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one model on all clips. `cpu_s` is the CPU time of a second of film, decoding included."""

    model: str
    sha256: str
    rows: tuple[GroupRow, ...]
    confusion: tuple[ConfusedLabels, ...]
    clips: tuple[ClipRow, ...]
    worst: tuple[WrongCount, ...]
    inferences: int
    cpu_s: float

    @property
    def all(self) -> GroupRow:
        """The row of all crossings."""
        return self.rows[0]


class LimitResult(msgspec.Struct, frozen=True, kw_only=True):
    """A limit, and whether the measured value keeps it."""

    name: LimitName
    limit: float
    measured: float
    is_met: bool


class ValidationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one model, or of two on the same clips, against their labels.

    `unverifiable_share` is the share of labelled crossings of which no person could be sure.
    """

    time: str
    version: str
    truth_sha256: str
    crossings: int
    unverifiable_share: float
    duration_s: float
    model: ModelFigures
    against: ModelFigures | None
    limits: tuple[LimitResult, ...]


class ScoredClip(msgspec.Struct, frozen=True, kw_only=True):
    """A clip, its labels, and the scores of its counts."""

    clip: str
    truth: ClipTruth
    light: Light
    limits: tuple[ViewLimit, ...]
    loose: CrossingScore
    strict: CrossingScore

    @property
    def view(self) -> str:
        """The name of the view: the clip's own if its labels name none."""
        return self.truth.view or self.clip


def figures(score: Score) -> Figures:
    """Return the figures of a score."""
    return Figures(
        hits=score.hits,
        misses=score.misses,
        extras=score.extras,
        recall=score.recall,
        recall_interval=wilson_interval(score.hits, score.hits + score.misses),
        precision=score.precision,
        precision_interval=wilson_interval(score.hits, score.hits + score.extras),
        f1=score.f1,
        f1_interval=score.f1_interval,
    )


def group_rows(clips: Iterable[ScoredClip]) -> tuple[GroupRow, ...]:
    """Return the row of all crossings first, then those of each class, direction, light and view that is there."""
    loose: dict[tuple[Grouping, str], Score] = {("all", "all"): Score()}
    strict = dict(loose)
    names: dict[tuple[Grouping, str], set[str]] = {("all", "all"): set()}
    for clip in clips:
        for scores, crossings in ((loose, clip.loose), (strict, clip.strict)):
            for one, score in _single_scores(crossings):
                for group in _groups(clip, one):
                    scores[group] = scores.get(group, Score()) + score
                    names.setdefault(group, set()).add(clip.clip)
        for group in (("all", "all"), ("light", clip.light), ("view", clip.view)):
            names.setdefault(group, set()).add(clip.clip)
    order = {
        label: number
        for number, label in enumerate(("all", *LABELS, "A->B", "B->A", "day", "night"))
    }
    groupings: dict[Grouping, int] = {"all": 0, "class": 1, "direction": 2, "light": 3, "view": 4}
    groups = sorted(
        names, key=lambda group: (groupings[group[0]], order.get(group[1], len(order)), group[1])
    )
    return tuple(
        GroupRow(
            grouping=grouping,
            name=name,
            clips=len(names[grouping, name]),
            loose=figures(loose.get((grouping, name), Score())),
            strict=figures(strict.get((grouping, name), Score())),
        )
        for grouping, name in groups
    )


def _single_scores(
    crossings: CrossingScore,
) -> Iterator[tuple[ReportedCrossing | TrueCrossing, Score]]:
    for _counted, true in crossings.matched:
        yield true, Score(hits=1)
    for missed in crossings.missed:
        yield missed, Score(misses=1)
    for extra in crossings.extra:
        yield extra, Score(extras=1)


def _groups(
    clip: ScoredClip, one: ReportedCrossing | TrueCrossing
) -> tuple[tuple[Grouping, str], ...]:
    return (
        ("all", "all"),
        ("class", one.label),
        ("direction", one.direction),
        ("light", clip.light),
        ("view", clip.view),
    )


def confusion(clips: Iterable[ScoredClip]) -> tuple[ConfusedLabels, ...]:
    """Return the counted classes of each true class, of the crossings that were found and whose class is sure."""
    table: dict[Label, Counter[Label]] = {label: Counter() for label in LABELS}
    for clip in clips:
        for counted, true in clip.loose.matched:
            if true.is_label_sure:
                table[true.label][counted.label] += 1
    return tuple(
        ConfusedLabels(true=label, counted={one: found[one] for one in LABELS if found[one]})
        for label, found in table.items()
        if found
    )


def worst_counts(clips: Iterable[ScoredClip]) -> tuple[WrongCount, ...]:
    """Return wrong counts, those of the clips with the lowest F1 first; at most MAX_WORST."""
    found: list[WrongCount] = []
    for clip in sorted(clips, key=lambda clip: (clip.loose.score.f1, clip.clip)):
        wrong: list[tuple[Literal["missed", "extra"], ReportedCrossing | TrueCrossing]] = [
            *(("missed", one) for one in clip.loose.missed),
            *(("extra", one) for one in clip.loose.extra),
        ]
        found += [
            WrongCount(
                clip=clip.clip,
                kind=kind,
                t_s=round(one.t_s, 2),
                label=one.label,
                direction=one.direction,
                position=None if one.position is None else round(one.position, 3),
            )
            for kind, one in sorted(wrong, key=lambda pair: pair[1].t_s)
        ]
    return tuple(found[:MAX_WORST])


def clip_rows(clips: Iterable[ScoredClip]) -> tuple[ClipRow, ...]:
    """Return a row for each clip."""
    return tuple(
        ClipRow(
            clip=clip.clip,
            view=clip.view,
            light=clip.light,
            duration_s=clip.truth.duration_s,
            limits=clip.limits,
            f1=clip.loose.score.f1,
            strict_f1=clip.strict.score.f1,
        )
        for clip in clips
    )


_MEASURES: Mapping[LimitName, Callable[[ModelFigures], float]] = {
    "f1": lambda model: model.all.loose.f1,
    "strict_f1": lambda model: model.all.strict.f1,
    "recall": lambda model: model.all.loose.recall,
    "precision": lambda model: model.all.loose.precision,
    "cpu": lambda model: model.cpu_s,
}


def check_limits(model: ModelFigures, limits: Mapping[LimitName, float]) -> tuple[LimitResult, ...]:
    """Compare the figures of a model with limits."""
    results = []
    for name, limit in limits.items():
        measured = _MEASURES[name](model)
        is_met = measured <= limit if name == "cpu" else measured >= limit
        results.append(LimitResult(name=name, limit=limit, measured=measured, is_met=is_met))
    return tuple(results)
