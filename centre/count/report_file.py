"""Write the report of a result: reads its tracks and single pictures of its films, and replaces one HTML file."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from agent.base.atomic_file import replace_atomically
from agent.base.model import BoundingBox
from agent.detection.image import Rgb, crop_rgb, full_region, median
from agent.faults.texts import Language
from centre.count.crossing_pictures import STEP_S, choose_region, draw_crossing, encode_jpeg
from centre.count.folder import REPORT
from centre.count.heat_map import TrackHeat
from centre.count.report import HeatMap, render_report
from centre.count.results import CountedFilm, CountResult
from centre.count.sample import Sample, draw_sample
from centre.count.track_file import read_tracks
from centre.film_stills import read_stills
from centre.line_file import as_user_error
from drivers.errors import DriverError
from drivers.media import Frame

_STREET_WIDTH_PX = 960
_MAX_HEAT_BYTES = 250_000
_STEPS_S = (-STEP_S, 0.0, STEP_S)
_MOMENT = 1


class _TimedBox(msgspec.Struct, frozen=True):
    t_s: float
    box: BoundingBox


class _Request(msgspec.Struct, frozen=True, order=True):
    """A picture that is wanted of a film: its time, the index of its crossing, and of its step in _STEPS_S."""

    t_s: float
    crossing: int
    step: int


_Boxes = Mapping[int, Sequence[_TimedBox]]
"""Bounding boxes of the road user around each drawn crossing."""


def write_report(folder: Path, result: CountResult, language: Language) -> Path:
    """Write `report.html` into the folder of a result, and return its path. The page opens in a language.

    A film that cannot be opened again gives no pictures. Raises: UserError if the tracks cannot be read or the report
    cannot be written.
    """
    sample = draw_sample(result)
    heat, boxes = _read_tracks(folder, result, sample)
    pictures, street = _take_pictures(result, sample, boxes)
    heat_map = _render_heat_map(result, heat, street)
    page = render_report(result, sample, pictures, heat_map, language)
    path = folder / REPORT
    with as_user_error(path):
        # It has pictures of people: as private as a file of the user can be.
        replace_atomically(path, page.encode(), 0o600)
    return path


def _read_tracks(folder: Path, result: CountResult, sample: Sample) -> tuple[TrackHeat, _Boxes]:
    """Read the tracks of all films once."""
    heat = TrackHeat()
    boxes: dict[int, list[_TimedBox]] = {index: [] for index in sample.crossings}
    for film_index, film in enumerate(result.films):
        drawn: dict[int, list[int]] = {}
        for index in sample.crossings:
            if result.crossings[index].film == film_index:
                drawn.setdefault(result.crossings[index].track, []).append(index)
        with as_user_error(folder / film.tracks):
            for row in read_tracks(folder / film.tracks):
                heat.add(row)
                for index in drawn.get(row.track, ()):
                    if abs(row.t_s - result.crossings[index].t_s) < 2 * STEP_S:
                        boxes[index].append(_TimedBox(row.t_s, row.box))
        heat.end_film()
    return heat, boxes


def _take_pictures(
    result: CountResult, sample: Sample, boxes: _Boxes
) -> tuple[dict[int, tuple[bytes | None, ...]], Rgb | None]:
    """Return the JPEGs of each drawn crossing, one for each step, and the street as the median of its pictures."""
    jpegs: dict[tuple[int, int], bytes] = {}
    streets: list[Rgb] = []
    for film_index, film in enumerate(result.films):
        requests = sorted(
            _Request(max(0.0, result.crossings[index].t_s + step_s), index, step)
            for index in sample.crossings
            if result.crossings[index].film == film_index
            for step, step_s in enumerate(_STEPS_S)
        )
        for request, frame in _read_pictures(result, film, requests):
            jpegs[request.crossing, request.step] = _draw_picture(result, request, boxes, frame)
            if request.step == _MOMENT:
                streets.append(_shrink(frame))
    if not streets and result.films:
        middle = _Request(result.films[0].played_s / 2, 0, 0)
        streets = [_shrink(frame) for _, frame in _read_pictures(result, result.films[0], [middle])]
    pictures = {
        index: tuple(jpegs.get((index, step)) for step in range(len(_STEPS_S)))
        for index in sample.crossings
    }
    if not streets:
        return pictures, None
    same_size = [street for street in streets if street.shape == streets[0].shape]
    return pictures, np.asarray(median(np.stack(same_size)), np.uint8)


def _read_pictures(
    result: CountResult, film: CountedFilm, requests: Sequence[_Request]
) -> Iterator[tuple[_Request, Frame]]:
    times_s = [request.t_s for request in requests]
    try:
        stills = read_stills(Path(film.path), result.scene.masks, times_s)
        for request, frame in zip(requests, stills, strict=True):
            if frame is not None:
                yield request, frame
    except DriverError:
        return


def _draw_picture(result: CountResult, request: _Request, boxes: _Boxes, frame: Frame) -> bytes:
    crossing = result.crossings[request.crossing]
    line = next(line for line in result.scene.line if line.name == crossing.line)
    around = [_find_box(boxes[request.crossing], crossing.t_s + step_s) for step_s in _STEPS_S]
    region = choose_region(
        [box for box in around if box is not None] or [crossing.box],
        frame.width_px,
        frame.height_px,
    )
    return draw_crossing(
        frame,
        region,
        line,
        crossing.position,
        around[request.step],
        is_forward=crossing.direction == line.forward_name,
    )


def _find_box(boxes: Sequence[_TimedBox], t_s: float) -> BoundingBox | None:
    """Return the box at about a time, or None if the road user is not tracked there."""
    nearest = min(boxes, key=lambda one: abs(one.t_s - t_s), default=None)
    if nearest is None or abs(nearest.t_s - t_s) > STEP_S / 2:
        return None
    return nearest.box


def _shrink(frame: Frame) -> Rgb:
    height_px = round(frame.height_px * _STREET_WIDTH_PX / frame.width_px / 2) * 2
    return crop_rgb(frame, full_region(frame), (_STREET_WIDTH_PX, height_px))


def _render_heat_map(result: CountResult, heat: TrackHeat, street: Rgb | None) -> HeatMap | None:
    if street is None or not heat.tracks:
        return None
    picture = heat.render(street, result.scene.line)
    return HeatMap(jpeg=encode_jpeg(picture, _MAX_HEAT_BYTES), tracks=heat.tracks, most=heat.most)
