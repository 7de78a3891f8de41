"""Counts of one labelled clip, as a box counts it, and pictures of chosen moments in it."""

import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np

from agent.base.errors import UserError
from agent.base.model import Event
from agent.base.view_condition import VIEW_LIMITS, Light, ViewLimit
from agent.capture.jpeg import encode_jpeg
from agent.detection import image
from agent.detection.rules.line_crossed import LINE
from agent.detection.scene import Scene, SceneLine
from agent.detection.span_light import SpanLight
from centre.draw import WHITE, draw_outline
from centre.film_player import FilmPlayer
from centre.film_stills import read_stills
from centre.validate.scoring import ReportedCrossing
from drivers.media import NS_PER_S, Frame

MAX_SHORTER_S = 1.0
"""A film that is shorter than its truth by more is another film."""
MAX_JPEG_BYTES = 40_000
_MARK_RADIUS_RATIO = 0.06
_MARK_COLOUR = (255, 80, 60)

Moment = tuple[float, float | None]
"""A time in seconds, and a place on the line or None."""


class ClipRun(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of a clip, its light, and what they cost. `limits`: why a box would not trust them."""

    counted: tuple[ReportedCrossing, ...]
    light: Light
    limits: tuple[ViewLimit, ...]
    played_s: float
    cpu_s: float
    inferences: int


def run_clip(path: Path, scene: Scene, duration_s: float, model: str) -> ClipRun:
    """Count the crossings of a scene's one line, with as many frames a second as a box looks at.

    Raises: UserError if the film is shorter than `duration_s`, or as FilmPlayer.
    """
    counted: list[ReportedCrossing] = []
    limits: set[ViewLimit] = set()
    light = SpanLight()
    inferences = 0
    # Events are counted here, so that any text is an id.
    with FilmPlayer(path, scene, model, str) as player:
        begin_s = time.process_time()
        for played in player.play():
            light.observe(played.result)
            inferences += played.result.inference_count
            for minute in played.minutes:
                limits.update(minute.untrusted_reasons)
            counted += _crossings(played.events)
        for minute in player.flush().minutes:
            limits.update(minute.untrusted_reasons)
        cpu_s = time.process_time() - begin_s
        played_s = player.last_ns / NS_PER_S
    if played_s < duration_s - MAX_SHORTER_S:
        raise UserError(
            f"film {str(path)!r}: {played_s:.1f} s; allowed: the film that was labelled, of {duration_s:g} s"
        )
    return ClipRun(
        counted=tuple(counted),
        light=light.end(),
        limits=tuple(limit for limit in VIEW_LIMITS if limit in limits),
        played_s=played_s,
        cpu_s=cpu_s,
        inferences=inferences,
    )


def _crossings(events: Iterable[Event]) -> Iterator[ReportedCrossing]:
    for event in events:
        if event.kind == LINE.kind and event.label and event.direction:
            t_s, position = event.t_ns / NS_PER_S, event.position or 0.0
            yield ReportedCrossing(t_s, position, event.direction, event.label)


def read_marked_pictures(
    path: Path, scene: Scene, moments: Collection[Moment]
) -> Iterator[tuple[Moment, bytes]]:
    """Yield a JPEG for each moment, with the line and a circle at its place.

    A moment without a picture is left out. Raises: DriverError if the film cannot be opened.
    """
    rising = sorted(moments, key=lambda moment: moment[0])
    stills = read_stills(path, scene.masks, [t_s for t_s, _ in rising])
    for moment, frame in zip(rising, stills, strict=True):
        if frame is not None:
            yield moment, _draw(frame, scene.line[0], moment[1])


def _draw(frame: Frame, line: SceneLine, position: float | None) -> bytes:
    region = image.full_region(frame)
    width_px, height_px = region.w, region.h
    picture = image.crop_rgb(frame, region, (width_px, height_px))
    start, end = ((point.x * width_px, point.y * height_px) for point in (line.start, line.to))
    draw_outline(picture, (start, end), WHITE, 1, closed=False)
    if position is not None:
        centre = tuple(round(a + (b - a) * position) for a, b in zip(start, end, strict=True))
        radius = max(6, round(_MARK_RADIUS_RATIO * width_px))
        cv2.circle(picture, centre, radius, _MARK_COLOUR, 2, cv2.LINE_AA)
    return encode_jpeg(
        np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8), MAX_JPEG_BYTES
    )
