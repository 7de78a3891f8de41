"""Line counts under each condition of `bench.film_conditions`, and whether the box says that they are not to be trusted."""

import math
from collections.abc import Iterator, Mapping

import msgspec

from agent.base.view_condition import VIEW_LIMITS, ViewLimit
from bench.accuracy import LineCounter, clip_path, labelled_clips, make_line, read_frames
from bench.detector_results import ResultCache
from bench.film_conditions import (
    CONDITIONS,
    FilmCondition,
    degrade_film,
    place_under_condition,
)
from centre.validate.crossing_truth import ClipTruth
from centre.validate.scoring import Score, score_counts
from drivers.media import NS_PER_S, Frame, Point

SILENT_BELOW_F1, WORD_NOT_ABOVE_F1 = 0.8, 0.95
"""Below the first a limit has to be named; above the second none may be."""


SHOWN_BEFORE_S = 300
"""Time for which the camera has shown the film again and again: limits of the view and the contrast stretch follow slowly."""
FPS_OF_REPEATS = 25


class ConditionOutcome(msgspec.Struct, frozen=True):
    """The counts of all films under a condition, and in how many of them the box named a limit of the view.

    `silent` has the number of crossings of each film with an F1 below the first bound and no limit, `needless` that of each with
    a limit and an F1 above the second.
    """

    condition: FilmCondition
    score: Score
    films: int
    said: int
    silent: tuple[int, ...]
    needless: tuple[int, ...]
    limits: tuple[ViewLimit, ...]

    @property
    def is_named(self) -> bool:
        """Whether the box names a limit in most films where the F1 of all is too low, and in none where it is high."""
        if self.score.f1 < SILENT_BELOW_F1:
            return 2 * self.said > self.films
        return self.score.f1 <= WORD_NOT_ABOVE_F1 or not self.said


def chosen_films(crossings_wanted: int) -> dict[str, ClipTruth]:
    """Return the labels of as many labelled films as it takes to have so many sure crossings."""
    chosen: dict[str, ClipTruth] = {}
    count = 0
    for film, labels in labelled_clips().items():
        if count < crossings_wanted:
            chosen[film] = labels
            count += sum(one.is_sure and not one.is_at_edge for one in labels.crossings)
    return chosen


def condition_outcomes(
    truth: Mapping[str, ClipTruth], cache: ResultCache, seed: int
) -> Iterator[ConditionOutcome]:
    """Count the crossings of the films under each condition."""
    for condition in CONDITIONS:
        total = Score()
        named: set[ViewLimit] = set()
        silent: list[int] = []
        needless: list[int] = []
        said = 0
        for film, labels in truth.items():
            score, limits = _count(film, labels, condition, cache, seed)
            total += score
            named |= limits
            said += bool(limits)
            crossings = score.hits + score.misses
            if not limits and score.f1 < SILENT_BELOW_F1:
                silent.append(crossings)
            if limits and score.f1 > WORD_NOT_ABOVE_F1:
                needless.append(crossings)
        yield ConditionOutcome(
            condition,
            total,
            len(truth),
            said,
            tuple(sorted(silent)),
            tuple(sorted(needless)),
            tuple(one for one in VIEW_LIMITS if one in named),
        )


def _count(
    film: str,
    labels: ClipTruth,
    condition: FilmCondition,
    cache: ResultCache,
    seed: int,
) -> tuple[Score, set[ViewLimit]]:
    """Return the score of a film that the camera has shown for SHOWN_BEFORE_S, and the limits that the box names in it."""
    path = clip_path(film)

    def frames() -> Iterator[Frame]:
        return degrade_film(read_frames(path), condition, seed)

    def shown_before() -> Iterator[Frame]:
        film_frames = list(frames())
        length_ns = film_frames[-1].t_ns + NS_PER_S // FPS_OF_REPEATS
        for number in range(-math.ceil(SHOWN_BEFORE_S * NS_PER_S / length_ns), 0):
            for frame in film_frames:
                yield msgspec.structs.replace(frame, t_ns=frame.t_ns + number * length_ns)

    counter: LineCounter | None = None
    limits: set[ViewLimit] = set()
    case = msgspec.json.encode((condition, seed, SHOWN_BEFORE_S))
    for result in cache.results(path, case, frames, shown_before):
        if counter is None:
            x1, y1, x2, y2 = labels.line
            aspect = result.width_px / result.height_px
            start, to = (
                place_under_condition(Point(x, y), condition, aspect)
                for x, y in ((x1, y1), (x2, y2))
            )
            counter = LineCounter([make_line(film, start.x, start.y, to.x, to.y)])
        counter.update(result)
        if result.view is not None:
            limits |= set(result.view.limits)
    assert counter is not None
    return score_counts(counter.crossings[film], labels).score, limits
