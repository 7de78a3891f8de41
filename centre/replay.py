"""Replay of a video through detection and rules, in the video's own time, to tune a scene.

It runs the box's own code without threads or a clock, so two runs produce the same bytes.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

import msgspec

from agent.base.clock import ClockTrust, rfc3339
from agent.base.errors import UserError
from agent.base.model import BoundingBox, Event, FrameResult, GroundMotion, Label, TrafficCounts
from agent.base.uuid7 import uuid7_factory
from agent.config import toml_decode
from agent.config.configuration import DetectConfig
from agent.detection import model_card
from agent.detection import scene as scenes
from agent.detection.geometry import round_box
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene
from agent.detection.tflite import TfliteDetector
from agent.reporting import outgoing_messages, topics
from agent.reporting.topics import EnvelopeFields
from centre.annotated_video import AnnotatedVideo
from drivers import catalog
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.media import NS_PER_S, Frame

REPLAY_NAME = "replay"
"""Id of the box and name of the camera in the output."""

CLIP_START = datetime(2026, 1, 1, tzinfo=UTC)
"""Time of the first frame: fixed, so that two runs produce the same output."""

DETECT_FPS = DetectConfig().fps
"""Frames per second of video that are processed, unless every frame is."""

_READ_TIMEOUT_S = 30.0


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The video, the scene and the output files."""

    clip: Path
    scene: Path
    events: Path
    tracks: Path | None = None
    annotate: Path | None = None
    every_frame: bool = False
    model: str = DetectConfig().model


class TrackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One track in one frame: a line of the tracks file."""

    t_s: float
    frame: int
    track: int
    label: Label
    score: float
    box: BoundingBox
    ground: GroundMotion | msgspec.UnsetType = msgspec.UNSET
    """Unset without a calibration, or if its foot is not in the picture."""


class ReplayLineCount(msgspec.Struct, frozen=True, kw_only=True):
    """Crossings of one line in one direction over the whole video."""

    line: str
    direction: str
    counts: dict[Label, int]


class ReplaySummary(msgspec.Struct, frozen=True, kw_only=True):
    """Results of a replay. `event_counts` counts events, not revisions, by kind."""

    frames: int
    inferences: int
    played_s: float
    elapsed_s: float
    line_counts: tuple[ReplayLineCount, ...]
    event_counts: dict[str, int]


def replay(request: ReplayRequest) -> ReplaySummary:
    """Play a video and write events, tracks and the annotated video.

    Raises: UserError if scene, model name or an output is wrong or a disk is full; DriverError if the
    video cannot be read; ModelRefused if the model's file does not match its card.
    """
    _check_outputs(request)
    scene = scenes.load_scene(request.scene)
    model = model_card.find_model(request.model)
    content = model_card.read_verified_model(model.card, model.path.parent)
    camera = _open_clip(request, scene)
    try:
        with ExitStack() as stack:
            run = _ReplayRun(request, scene, camera, stack)
            return run.run(
                DetectionPipeline(
                    TfliteDetector(model.card, content), excluded_polygons=scene.excluded_polygons
                )
            )
    finally:
        camera.close()


def _open_clip(request: ReplayRequest, scene: Scene) -> Camera:
    module = catalog.load_camera_driver("replay")
    options = toml_decode.convert(
        {"path": str(request.clip), "pace": "fast", "loop": False}, module.Options, "replay"
    )
    wanted = StreamRequest(
        packets=False,
        frames_fps=math.inf if request.every_frame else DETECT_FPS,
        masks=scene.masks,
    )
    return module.open_camera(REPLAY_NAME, options, wanted, time.monotonic_ns)


class _ReplayRun:
    """One replay and its open files."""

    def __init__(
        self, request: ReplayRequest, scene: Scene, camera: Camera, stack: ExitStack
    ) -> None:
        self._camera = camera
        self._scene = scene
        rng = random.Random(request.clip.name)  # noqa: S311 - a replay's ids are repeatable
        new_id = uuid7_factory(lambda t_ns: _unix_ns(CLIP_START) + t_ns, rng)
        self._rule_engine = RuleEngine(REPLAY_NAME, scene, new_id)
        self._event_file = _EventFile(stack.enter_context(_LineFile(request.events)), new_id)
        self._track_file: _LineFile | None = None
        self._annotated_video: AnnotatedVideo | None = None
        if request.tracks is not None:
            self._track_file = stack.enter_context(_LineFile(request.tracks))
        if request.annotate is not None:
            info = camera.info
            fps = info.fps if request.every_frame else min(info.fps, DETECT_FPS)
            size_px = (info.width_px, info.height_px)
            video = AnnotatedVideo(request.annotate, size_px, fps, scene, request.clip.name)
            self._annotated_video = stack.enter_context(video)
        self._event_counts: Counter[str] = Counter()
        self._traffic_counts: list[TrafficCounts] = []

    def run(self, pipeline: DetectionPipeline) -> ReplaySummary:
        """Play the video to its end."""
        start_s = time.monotonic()
        frames = inferences = last_ns = 0
        for frame in self._frames():
            result = pipeline.process(frame)
            frames, inferences, last_ns = (
                frames + 1,
                inferences + result.inference_count,
                result.t_ns,
            )
            self._traffic_counts.extend(self._rule_engine.completed_counts(result.t_ns))
            self._write_events(self._rule_engine.evaluate(result))
            self._write_tracks(result)
            if self._annotated_video is not None:
                self._annotated_video.add_frame(frame, result)
        self._write_events(self._rule_engine.flush(last_ns))
        self._traffic_counts.extend(self._rule_engine.flush_counts(last_ns))
        for traffic in self._traffic_counts:
            self._event_file.write_traffic(traffic)
        return ReplaySummary(
            frames=frames,
            inferences=inferences,
            played_s=last_ns / 1e9,
            elapsed_s=time.monotonic() - start_s,
            line_counts=_line_counts(self._scene, self._traffic_counts),
            event_counts=dict(sorted(self._event_counts.items())),
        )

    def _frames(self) -> Iterator[Frame]:
        while True:
            try:
                media = self._camera.read(_READ_TIMEOUT_S)
            except DriverError as error:
                if error.kind == "ended":
                    return
                raise
            if isinstance(media, Frame):
                yield media

    def _write_events(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.rev == 1:
                self._event_counts[event.kind] += 1
            self._event_file.write_event(event)
            if self._annotated_video is not None:
                self._annotated_video.add_event(event)

    def _write_tracks(self, result: FrameResult) -> None:
        if self._track_file is None:
            return
        for record in track_records(result, self._rule_engine):
            self._track_file.write(msgspec.json.encode(record))


def track_records(result: FrameResult, rule_engine: RuleEngine) -> Iterator[TrackRecord]:
    """Yield the lines of a frame that the engine has evaluated last."""
    motions = rule_engine.ground_motions()
    for track in result.tracks:
        yield TrackRecord(
            t_s=_to_s(result.t_ns),
            frame=result.seq,
            track=track.id,
            label=track.label,
            score=round(track.score, 4),
            box=round_box(track.box),
            ground=motions.get(track.id, msgspec.UNSET),
        )


class _EventFile:
    """The events file: each line is a message as it is sent over MQTT."""

    def __init__(self, file: "_LineFile", new_id: Callable[[int], str]) -> None:
        self._file = file
        self._new_id = new_id
        self._seq = 0

    def write_event(self, event: Event) -> None:
        """Write one revision of an event."""
        self._file.write(
            outgoing_messages.encode_event(
                event,
                self._next_envelope(event.t_ns),
                begin=_utc(event.begin_ns),
                t_s=_to_s(event.t_ns),
            )
        )

    def write_traffic(self, traffic: TrafficCounts) -> None:
        """Write the traffic counts of one minute."""
        message = outgoing_messages.build_traffic_counts_message(
            traffic, begin=_utc(traffic.begin_ns), end=_utc(traffic.end_ns)
        )
        self._file.write(topics.encode("flow", self._next_envelope(traffic.end_ns), message.data))

    def _next_envelope(self, t_ns: int) -> EnvelopeFields:
        self._seq += 1
        return EnvelopeFields(
            id=self._new_id(t_ns),
            box=REPLAY_NAME,
            epoch=REPLAY_NAME,
            seq=self._seq,
            boot=REPLAY_NAME,
            time=rfc3339(_utc(t_ns)),
            clock=ClockTrust(synced=False, source="replay", error_s=None),
        )


def _line_counts(scene: Scene, traffic_counts: list[TrafficCounts]) -> tuple[ReplayLineCount, ...]:
    totals: dict[tuple[str, str], Counter[Label]] = {}
    for line in scene.line:
        for direction in (line.forward_name, line.backward_name):
            totals[line.name, direction] = Counter()
    for traffic in traffic_counts:
        for crossings in traffic.lines:
            for direction, counts in crossings.counts.items():
                totals[crossings.name, direction].update(counts)
    return tuple(
        ReplayLineCount(line=line, direction=direction, counts=dict(counts))
        for (line, direction), counts in totals.items()
    )


class _LineFile:
    """A new text file. Every method raises UserError if opening or writing fails."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._as_user_error():
            self._file: BinaryIO = path.open("wb")

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        """Close the file, which writes its buffer."""
        with self._as_user_error():
            self._file.close()
        return False

    def write(self, line: bytes) -> None:
        """Write one line, passed without its newline."""
        with self._as_user_error():
            self._file.write(line + b"\n")

    @contextmanager
    def _as_user_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"output {str(self._path)!r}: {error.strerror or error}") from error


def _check_outputs(request: ReplayRequest) -> None:
    """Raise UserError if an output is also an input or another output, or no player would open it."""
    outputs = [
        (option, path)
        for option, path in (
            ("--events", request.events),
            ("--tracks", request.tracks),
            ("--annotate", request.annotate),
        )
        if path is not None
    ]
    for index, (option, path) in enumerate(outputs):
        if any(_is_same_file(path, source) for source in (request.clip, request.scene)):
            raise UserError(f"output {str(path)!r}: is an input; allowed: another file")
        for other_option, other in outputs[:index]:
            if _is_same_file(path, other):
                raise UserError(
                    f"{option} {str(path)!r}: is the output of {other_option}; allowed: another file"
                )
    annotate = request.annotate
    if annotate is not None and annotate.suffix.lower() != ".mp4" and not annotate.is_char_device():
        raise UserError(f"--annotate {str(annotate)!r}: allowed: a name that ends in .mp4")


def _is_same_file(first: Path, second: Path) -> bool:
    """Return whether both paths are one file, existing or not. Devices such as /dev/null are not."""
    if first.exists() and second.exists():
        return first.is_file() and first.samefile(second)
    return first.resolve() == second.resolve()


def _unix_ns(utc: datetime) -> int:
    return round(utc.timestamp()) * NS_PER_S


def _utc(t_ns: int) -> datetime:
    return CLIP_START + timedelta(microseconds=t_ns // 1000)


def _to_s(t_ns: int) -> float:
    return round(t_ns / NS_PER_S, 3)
