"""The crossings that are drawn by chance for the report, and a stretch of film to look for missed ones. Pure.

The chance comes from the result itself: the same result gives the same sheet.
"""

import hashlib
import random

import msgspec

from centre.count.results import CountResult

SAMPLE_SIZE = 20
STRETCH_S = 300.0


class FilmStretch(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a film, which is an index of `CountResult.films`; times are those in the film."""

    film: int
    begin_s: float
    end_s: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Indices of `CountResult.crossings` in their order, and a stretch of film, None without a film."""

    crossings: tuple[int, ...]
    stretch: FilmStretch | None


def draw_sample(result: CountResult) -> Sample:
    """Draw SAMPLE_SIZE crossings, or all if there are no more, each with the same chance."""
    digest = hashlib.sha256(msgspec.json.encode(result)).hexdigest()
    rng = random.Random(digest)  # noqa: S311 - repeatable on purpose
    total = len(result.crossings)
    drawn = rng.sample(range(total), min(total, SAMPLE_SIZE))
    return Sample(crossings=tuple(sorted(drawn)), stretch=_draw_stretch(result, rng))


def _draw_stretch(result: CountResult, rng: random.Random) -> FilmStretch | None:
    """Draw STRETCH_S of the films, or the whole of a shorter film. A film's chance is its length."""
    lengths_s = [film.played_s for film in result.films]
    if not lengths_s:
        return None
    [film] = rng.choices(range(len(lengths_s)), [max(1.0, length_s) for length_s in lengths_s])
    begin_s = float(int(rng.random() * max(0.0, lengths_s[film] - STRETCH_S)))
    return FilmStretch(film=film, begin_s=begin_s, end_s=min(lengths_s[film], begin_s + STRETCH_S))
