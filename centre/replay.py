"""Replay of a video through detection and rules, in the video's own time, to tune a scene.

It runs the box's own code without threads or a clock, so two runs produce the same bytes.
"""

import math
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

import msgspec

from agent.base import checked_convert
from agent.base.atomic_file import open_replacement
from agent.base.clock import ClockTrust, rfc3339
from agent.base.errors import UserError
from agent.base.model import (
    BoundingBox,
    Event,
    FrameResult,
    GroundMotion,
    Label,
    LineCounts,
    SpeedCounts,
    TrafficCounts,
)
from agent.base.speed_bands import add_speeds
from agent.base.uuid7 import uuid7_factory
from agent.base.view_condition import VIEW_LIMITS, ViewLimit
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
from centre.runtime_notices import hidden_notices
from drivers import catalog
from drivers.av_stream import open_video_source
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from drivers.media import NS_PER_S, Frame

REPLAY_NAME = "replay"
"""Id of the box and name of the camera in the output."""

CLIP_START = datetime(2026, 1, 1, tzinfo=UTC)
"""Time of the first frame if none is given: fixed, so that two runs produce the same output."""

DETECT_FPS = DetectConfig().fps
"""Frames per second of video that are processed, unless every frame is."""

MIN_FPS = 5.0
"""Films with fewer pictures a second are warned of."""

STANDARD_OUTPUT = Path("-")
"""As the file of events or tracks."""

OnProgress = Callable[[float], None]
"""Called with the seconds of the film that are played."""

_READ_TIMEOUT_S = 30.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The video, the scene and the output files."""

    clip: Path
    scene: Path
    events: Path
    tracks: Path | None = None
    annotate: Path | None = None
    every_frame: bool = False
    model: str = DetectConfig().model
    start: datetime | None = None
    """Time of the first frame, as the wall clock there showed it. Without it the hours of zones are not known."""


class ReplayOutlook(msgspec.Struct, frozen=True, kw_only=True):
    """Facts known before a replay. `duration_s` is 0 if the film does not name it."""

    duration_s: float
    warnings: tuple[str, ...]


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
    """Crossings of one line in one direction over the whole video, and their speeds."""

    line: str
    direction: str
    counts: dict[Label, int]
    speeds: SpeedCounts | None
    """None without a calibration of the ground."""


class ReplayFlowCount(msgspec.Struct, frozen=True, kw_only=True):
    """Road users of one turning flow over the whole video."""

    flow: str
    counts: dict[Label, int]


class ReplaySummary(msgspec.Struct, frozen=True, kw_only=True):
    """Results of a replay. `event_counts` counts events, not revisions, by kind.

    `untrusted_minutes` are those of `minutes` whose counts are not to be trusted, and `untrusted_reasons` the limits of
    their views.
    """

    frames: int
    inferences: int
    played_s: float
    elapsed_s: float
    line_counts: tuple[ReplayLineCount, ...]
    flow_counts: tuple[ReplayFlowCount, ...]
    minutes: int
    untrusted_minutes: int
    untrusted_reasons: tuple[ViewLimit, ...]
    event_counts: dict[str, int]


def inspect(request: ReplayRequest) -> ReplayOutlook:
    """Return the length of the film, and a line for each reason why little or nothing would be counted.

    Raises: UserError if the scene is wrong; DriverError if the film cannot be opened.
    """
    scene = scenes.load_scene(request.scene)
    with closing(open_video_source(str(request.clip), _clip_name(request))) as source:
        fps, duration_s = source.info.fps, source.duration_s
    warnings = []
    if not scene.line and not scene.zone:
        warnings.append(f"{request.scene}: has no line and no zone: nothing is counted")
    if scene.has_hours and request.start is None:
        warnings.append(
            f"{request.scene}: has hours, and --start is not given: rules run all the time"
        )
    if fps < MIN_FPS:
        warnings.append(
            f"{request.clip}: {fps:.3g} pictures a second: crossings are missed; "
            f"needed: {MIN_FPS:g}, better {DETECT_FPS:g}"
        )
    return ReplayOutlook(duration_s=duration_s, warnings=tuple(warnings))


def replay(request: ReplayRequest, on_progress: OnProgress | None = None) -> ReplaySummary:
    """Play a video and write events, tracks and the annotated video.

    Each output gets its name when it is whole: a replay that is interrupted or fails leaves none.

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
            with hidden_notices():
                detector = TfliteDetector(model.card, content)
            pipeline = DetectionPipeline(detector, excluded_polygons=scene.excluded_polygons)
            return run.run(pipeline, on_progress)
    finally:
        camera.close()


def _clip_name(request: ReplayRequest) -> str:
    return f"camera {REPLAY_NAME!r}: video {str(request.clip)!r}"


def _open_clip(request: ReplayRequest, scene: Scene) -> Camera:
    module = catalog.load_camera_driver("replay")
    options = checked_convert.convert(
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
        self._local_start = request.start
        start = (request.start or CLIP_START).astimezone(UTC)
        start_ns = (start - _EPOCH) // _MICROSECOND * 1000
        new_id = uuid7_factory(lambda t_ns: start_ns + t_ns, rng)
        self._rule_engine = RuleEngine(REPLAY_NAME, scene, new_id)
        self._event_file = _EventFile(stack.enter_context(_LineFile(request.events)), new_id, start)
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

    def run(self, pipeline: DetectionPipeline, on_progress: OnProgress | None) -> ReplaySummary:
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
            self._write_events(self._rule_engine.evaluate(self._with_local_time(result)))
            self._write_tracks(result)
            if self._annotated_video is not None:
                self._annotated_video.add_frame(frame, result)
            if on_progress is not None:
                on_progress(last_ns / NS_PER_S)
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
            flow_counts=_flow_counts(self._scene, self._traffic_counts),
            minutes=len(self._traffic_counts),
            untrusted_minutes=sum(not minute.trusted for minute in self._traffic_counts),
            untrusted_reasons=tuple(
                limit
                for limit in VIEW_LIMITS
                if any(limit in minute.untrusted_reasons for minute in self._traffic_counts)
            ),
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

    def _with_local_time(self, result: FrameResult) -> FrameResult:
        if self._local_start is None:
            return result
        local_time = self._local_start + timedelta(microseconds=result.t_ns // 1000)
        return msgspec.structs.replace(result, local_time=local_time)

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

    def __init__(self, file: "_LineFile", new_id: Callable[[int], str], start: datetime) -> None:
        self._file = file
        self._new_id = new_id
        self._start = start
        self._seq = 0

    def write_event(self, event: Event) -> None:
        """Write one revision of an event."""
        self._file.write(
            outgoing_messages.encode_event(
                event,
                self._next_envelope(event.t_ns),
                begin=self._utc(event.begin_ns),
                t_s=_to_s(event.t_ns),
            )
        )

    def write_traffic(self, traffic: TrafficCounts) -> None:
        """Write the traffic counts of one minute."""
        message = outgoing_messages.build_traffic_counts_message(
            traffic, begin=self._utc(traffic.begin_ns), end=self._utc(traffic.end_ns)
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
            time=rfc3339(self._utc(t_ns)),
            clock=ClockTrust(synced=False, source="replay", error_s=None),
        )

    def _utc(self, t_ns: int) -> datetime:
        return self._start + timedelta(microseconds=t_ns // 1000)


def _line_counts(scene: Scene, traffic_counts: list[TrafficCounts]) -> tuple[ReplayLineCount, ...]:
    minutes: dict[str, list[LineCounts]] = {line.name: [] for line in scene.line}
    for traffic in traffic_counts:
        for crossings in traffic.lines:
            minutes[crossings.name].append(crossings)
    return tuple(
        ReplayLineCount(
            line=line.name,
            direction=direction,
            counts=dict(
                sum(
                    (Counter(one.counts[direction]) for one in minutes[line.name]), Counter[Label]()
                )
            ),
            speeds=None
            if scene.ground is None
            else add_speeds(
                one.speeds[direction] for one in minutes[line.name] if isinstance(one.speeds, dict)
            ),
        )
        for line in scene.line
        for direction in (line.forward_name, line.backward_name)
    )


def _flow_counts(scene: Scene, traffic_counts: list[TrafficCounts]) -> tuple[ReplayFlowCount, ...]:
    totals: dict[str, Counter[Label]] = {flow.name: Counter() for flow in scene.flow}
    for traffic in traffic_counts:
        for flow in traffic.flows:
            totals[flow.name].update(flow.counts)
    return tuple(ReplayFlowCount(flow=name, counts=dict(one)) for name, one in totals.items())


class _LineFile:
    """A new text file, which gets its name when the block ends well.

    Every method raises UserError if opening or writing fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        with self._as_user_error():
            self._file: BinaryIO = self._stack.enter_context(self._open())

    def _open(self) -> AbstractContextManager[BinaryIO]:
        path = self._path
        if path == STANDARD_OUTPUT:
            return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        # A device, such as /dev/null, is written to as it is.
        is_replaced = path.is_file() or not path.exists()
        return open_replacement(path.resolve(), 0o666) if is_replaced else path.open("wb")

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        """Finish the file, or remove it if the block has failed."""
        with self._as_user_error():
            self._stack.__exit__(error_type, error, traceback)
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
        if path.is_dir():
            raise UserError(f"{option} {str(path)!r}: Is a directory; allowed: a file")
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


def _to_s(t_ns: int) -> float:
    return round(t_ns / NS_PER_S, 3)
