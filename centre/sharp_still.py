"""The sharpest of some pictures of a film, to draw its scene on."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.base.errors import UserError
from agent.base.picture_sharpness import measure_sharpness
from agent.detection.image import gate_luma
from centre.film_player import FilmHeader
from centre.film_stills import read_stills
from drivers.media import NS_PER_S, Frame

SAMPLES = 16
"""Pictures that are compared, evenly over the film. Each is decoded from the keyframe before it."""
_GATE_WIDTH_PX = 320
"""The width at which sharpness is measured, as of a box's camera."""


class FilmStill(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of a film, and its time in it."""

    t_s: float
    frame: Frame


def find_sharpest(film: Path, header: FilmHeader) -> FilmStill:
    """Return the sharpest of SAMPLES pictures; of pictures without edges the middle one.

    Raises: DriverError if the film cannot be opened; UserError if no picture can be decoded.
    """
    best: FilmStill | None = None
    best_rank = (-1.0, 0.0)
    middle_s = header.duration_s / 2
    for still in _read_samples(film, header.duration_s):
        sharpness = measure_sharpness(gate_luma(still.frame, _GATE_WIDTH_PX))
        rank = (0.0 if sharpness is None else sharpness, -abs(still.t_s - middle_s))
        if rank > best_rank:
            best, best_rank = still, rank
    if best is None:
        raise UserError(f"{film}: no picture can be decoded; allowed: a film that is not damaged")
    return best


def _read_samples(film: Path, duration_s: float) -> Iterator[FilmStill]:
    """Yield the pictures in the middle of equal parts; one a second of a film whose header does not name its length."""
    part_s = duration_s / SAMPLES if duration_s > 0 else 1.0
    times_s = [(part + 0.5) * part_s for part in range(SAMPLES)]
    for frame in read_stills(film, (), times_s):
        if frame is not None:
            yield FilmStill(t_s=frame.t_ns / NS_PER_S, frame=frame)
