"""Counts of one labelled clip, as a box counts it, and pictures of chosen moments in it."""

import time
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import cv2
import msgspec
import numpy as np

from agent.base.errors import UserError
from agent.base.model import Event
from agent.base.view_condition import VIEW_LIMITS, Light, ViewLimit
from agent.capture.jpeg import encode_jpeg
from agent.config.configuration import DetectConfig
from agent.detection import image
from agent.detection.headlights import is_night
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.rules.line_crossed import LINE
from agent.detection.scene import Scene, SceneLine
from agent.detection.tflite import TfliteDetector
from centre.draw import WHITE, draw_outline
from centre.validate.scoring import CountedCrossing
from drivers.camera.replay import Options, open_camera
from drivers.contracts import StreamRequest
from drivers.errors import DriverError
from drivers.media import NS_PER_S, Frame, Polygon

DETECT_FPS = DetectConfig().fps
"""Pictures a second of film that are searched, as by a box."""
MAX_SHORTER_S = 1.0
"""A film that is shorter than its truth by more is another film."""
MAX_JPEG_BYTES = 40_000
_MARK_RADIUS_RATIO = 0.06
_MARK_COLOUR = (255, 80, 60)
_READ_TIMEOUT_S = 30.0


class ClipRun(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of a clip, its light, and what they cost. `limits`: why a box would not trust them."""

    counted: tuple[CountedCrossing, ...]
    light: Light
    limits: tuple[ViewLimit, ...]
    played_s: float
    cpu_s: float
    inferences: int


def run_clip(path: Path, scene: Scene, duration_s: float, detector: TfliteDetector) -> ClipRun:
    """Count the crossings of a scene's one line, with as many frames a second as a box looks at.

    Raises: UserError if the film is shorter than `duration_s`; DriverError if it cannot be read.
    """
    begin_s = time.process_time()
    rules = RuleEngine("clip", scene, str)  # events are counted here, so that any text is an id
    pipeline = DetectionPipeline(detector, excluded_polygons=scene.excluded_polygons)
    counted: list[CountedCrossing] = []
    limits: set[ViewLimit] = set()
    searched = searched_at_night = inferences = last_ns = 0
    with closing(_read_frames(path, scene.masks)) as frames:
        for frame in frames:
            result = pipeline.process(frame)
            last_ns = result.t_ns
            searched += 1
            searched_at_night += is_night(result.gate_luma)
            inferences += result.inference_count
            for minute in rules.completed_counts(last_ns):
                limits.update(minute.untrusted_reasons)
            counted += _crossings(rules.evaluate(result))
    for minute in rules.flush_counts(last_ns):
        limits.update(minute.untrusted_reasons)
    played_s = last_ns / NS_PER_S
    if played_s < duration_s - MAX_SHORTER_S:
        raise UserError(
            f"film {str(path)!r}: {played_s:.1f} s; allowed: the film that was labelled, of {duration_s:g} s"
        )
    return ClipRun(
        counted=tuple(counted),
        light="night" if searched_at_night * 2 > searched else "day",
        limits=tuple(limit for limit in VIEW_LIMITS if limit in limits),
        played_s=played_s,
        cpu_s=time.process_time() - begin_s,
        inferences=inferences,
    )


def _read_frames(path: Path, masks: Sequence[Polygon]) -> Generator[Frame]:
    options = Options(path=str(path), pace="fast")
    wanted = StreamRequest(packets=False, frames_fps=DETECT_FPS, masks=tuple(masks))
    with closing(open_camera("clip", options, wanted, time.monotonic_ns)) as camera:
        while True:
            try:
                media = camera.read(_READ_TIMEOUT_S)
            except DriverError as error:
                if error.kind == "ended":
                    return
                raise
            if isinstance(media, Frame):
                yield media


def _crossings(events: Iterable[Event]) -> Iterator[CountedCrossing]:
    for event in events:
        if event.kind == LINE.kind and event.label and event.direction:
            t_s, position = event.t_ns / NS_PER_S, event.position or 0.0
            yield CountedCrossing(t_s, position, event.direction, event.label)


def read_marked_pictures(
    path: Path, scene: Scene, moments: Collection[tuple[float, float]]
) -> Iterator[tuple[tuple[float, float], bytes]]:
    """Yield a JPEG for each moment, a time in seconds and a place on the line, with the line and a circle at that place.

    Raises: DriverError if the film cannot be read.
    """
    waiting = sorted(moments)
    with closing(_read_frames(path, scene.masks)) as frames:
        for frame in frames:
            while waiting and frame.t_ns >= waiting[0][0] * NS_PER_S - NS_PER_S / DETECT_FPS / 2:
                yield waiting[0], _draw(frame, scene.line[0], waiting.pop(0)[1])
            if not waiting:
                return


def _draw(frame: Frame, line: SceneLine, position: float) -> bytes:
    region = image.full_region(frame)
    width_px, height_px = region.w, region.h
    picture = image.crop_rgb(frame, region, (width_px, height_px))
    start, end = ((point.x * width_px, point.y * height_px) for point in (line.start, line.to))
    draw_outline(picture, (start, end), WHITE, 1, closed=False)
    centre = tuple(round(a + (b - a) * position) for a, b in zip(start, end, strict=True))
    radius = max(6, round(_MARK_RADIUS_RATIO * width_px))
    cv2.circle(picture, centre, radius, _MARK_COLOUR, 2, cv2.LINE_AA)
    return encode_jpeg(
        np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8), MAX_JPEG_BYTES
    )
