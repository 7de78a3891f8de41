"""A film played through the box's own detection and rules, in the film's own time.

There are no threads and no clock, so the same film gives the same results on each run.
"""

import math
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from agent.base import checked_convert
from agent.base.event_lifecycle import NewId
from agent.base.model import BoundingBox, Event, FrameResult, GroundMotion, Label, TrafficCounts
from agent.config.configuration import DetectConfig
from agent.detection import model_card
from agent.detection.geometry import round_box
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene
from agent.detection.tflite import TfliteDetector
from centre.runtime_notices import hidden_notices
from drivers import catalog
from drivers.av_stream import open_video_source
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.media import NS_PER_S, Frame

FILM_CAMERA = "replay"
"""Name of the camera in events and errors."""

DETECT_FPS = DetectConfig().fps
"""Pictures per second of film that are searched, unless every picture is."""

MIN_FPS = 5.0
"""Films with fewer pictures a second are warned of."""

MIN_WIDTH_PX = 320
"""Films with a smaller picture are warned of: the detector's input is as wide."""

_READ_TIMEOUT_S = 30.0


class FilmHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that a film's header has. `duration_s` is 0 if it does not name the length.

    The size is that of the picture as a player shows it. `creation_time` is the text of its tag, empty if it has none.
    """

    duration_s: float
    fps: float
    width_px: int
    height_px: int
    creation_time: str


class PlayedFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One picture that was searched, its events, and the minute of traffic counts that was over before it, if one was."""

    frame: Frame
    result: FrameResult
    events: tuple[Event, ...]
    minutes: tuple[TrafficCounts, ...]


class TrackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One track in one picture. `t_s` is the time in the film, `frame` the number of the picture in it, from 0."""

    t_s: float
    frame: int
    track: int
    label: Label
    score: float
    box: BoundingBox
    ground: GroundMotion | msgspec.UnsetType = msgspec.UNSET
    """Unset without a calibration, or if its foot is not in the picture."""


class FilmEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The last events of a film, and the traffic counts of the minute that its end cuts."""

    events: tuple[Event, ...]
    minutes: tuple[TrafficCounts, ...]


def read_header(film: Path) -> FilmHeader:
    """Return the facts of a film's header. Raises: DriverError if it is no film, or its pictures cannot be shown."""
    with closing(open_video_source(str(film), _display_name(film))) as source:
        return FilmHeader(
            duration_s=source.duration_s,
            fps=source.info.fps,
            width_px=source.info.width_px,
            height_px=source.info.height_px,
            creation_time=source.creation_time,
        )


def searched_fps(film_fps: float) -> float:
    """Return how many pictures of a second of film are searched, by those that it has."""
    return min(DETECT_FPS, film_fps)


def scene_warnings(scene: Scene, file: Path) -> list[str]:
    """Return a line if a scene counts nothing."""
    if scene.line or scene.zone:
        return []
    return [f"{file}: has no line and no zone: nothing is counted"]


def header_warnings(film: Path, header: FilmHeader) -> list[str]:
    """Return a line for each reason in a film's header why road users would be missed."""
    warnings = []
    if header.fps < MIN_FPS:
        warnings.append(
            f"{film}: {header.fps:.3g} pictures a second: crossings are missed; "
            f"needed: {MIN_FPS:g}, better {DETECT_FPS:g}"
        )
    if header.width_px < MIN_WIDTH_PX:
        warnings.append(
            f"{film}: {header.width_px} pixels wide: road users are missed; needed: {MIN_WIDTH_PX}"
        )
    return warnings


class FilmPlayer:
    """One film, its scene and its model, played once to its end; a context manager."""

    def __init__(
        self,
        film: Path,
        scene: Scene,
        model: str,
        new_id: NewId,
        *,
        local_start: datetime | None = None,
        every_frame: bool = False,
    ) -> None:
        """Open the film and load the model. `local_start` is the time of the first picture by the wall clock there.

        Raises: UserError if the model's name is wrong; ModelRefused if its file does not match its card; DriverError
        if the film cannot be read.
        """
        found = model_card.find_model(model)
        content = model_card.read_verified_model(found.card, found.path.parent)
        self._camera = _open_film(film, scene, math.inf if every_frame else DETECT_FPS)
        with hidden_notices():
            detector = TfliteDetector(found.card, content)
        self._pipeline = DetectionPipeline(detector, excluded_polygons=scene.excluded_polygons)
        self._local_start = local_start
        self.info = self._camera.info
        self.rule_engine = RuleEngine(FILM_CAMERA, scene, new_id)
        self.last_ns = 0
        """The time of the newest picture."""

    def __enter__(self) -> Self:
        """Return the player."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the film."""
        self._camera.close()

    def play(self) -> Iterator[PlayedFrame]:
        """Yield all pictures that are searched. Raises: DriverError if the film is damaged before its end."""
        for frame in _iter_frames(self._camera):
            result = self._pipeline.process(frame)
            self.last_ns = result.t_ns
            minutes = self.rule_engine.completed_counts(result.t_ns)
            events = self.rule_engine.evaluate(self._with_local_time(result))
            yield PlayedFrame(frame=frame, result=result, events=events, minutes=minutes)

    def flush(self) -> FilmEnd:
        """End what the end of the film cuts."""
        return FilmEnd(
            events=self.rule_engine.flush(self.last_ns),
            minutes=self.rule_engine.flush_counts(self.last_ns),
        )

    def _with_local_time(self, result: FrameResult) -> FrameResult:
        if self._local_start is None:
            return result
        local_time = self._local_start + timedelta(microseconds=result.t_ns // 1000)
        return msgspec.structs.replace(result, local_time=local_time)


def _open_film(film: Path, scene: Scene, fps: float) -> Camera:
    """Open a film as a camera whose frames, at most `fps` a second, have the film's own time. Raises: DriverError."""
    module = catalog.load_camera_driver("replay")
    options = checked_convert.convert(
        {"path": str(film), "pace": "fast", "loop": False}, module.Options, "replay"
    )
    wanted = StreamRequest(packets=False, frames_fps=fps, masks=scene.masks)
    return module.open_camera(FILM_CAMERA, options, wanted, time.monotonic_ns)


def _iter_frames(camera: Camera) -> Iterator[Frame]:
    """Yield the frames of a film up to its end. Raises: DriverError if it is damaged before that."""
    while True:
        try:
            media = camera.read(_READ_TIMEOUT_S)
        except DriverError as error:
            if error.kind == "ended":
                return
            raise
        if isinstance(media, Frame):
            yield media


def track_records(result: FrameResult, rule_engine: RuleEngine) -> Iterator[TrackRecord]:
    """Yield the tracks of a picture that the engine has evaluated last."""
    motions = rule_engine.ground_motions()
    for track in result.tracks:
        yield TrackRecord(
            t_s=to_s(result.t_ns),
            frame=result.seq,
            track=track.id,
            label=track.label,
            score=round(track.score, 4),
            box=round_box(track.box),
            ground=motions.get(track.id, msgspec.UNSET),
        )


def to_s(t_ns: int) -> float:
    """Return a time of a film in seconds, to the millisecond."""
    return round(t_ns / NS_PER_S, 3)


def _display_name(film: Path) -> str:
    return f"camera {FILM_CAMERA!r}: video {str(film)!r}"
