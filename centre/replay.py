"""A clip through the eyes and the judge, in the clip's own time: how a scene is tuned.

The same code as on a box, without threads and without a clock: two runs give the same bytes.
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

from agent.base.clock import ClockTrust
from agent.base.errors import UserError
from agent.base.model import BoundingBox, Event, Flow, FrameResult, Label
from agent.base.uuid7 import uuid7_maker
from agent.config import strict
from agent.config.configuration import DetectConfig
from agent.detection import model_card
from agent.detection import scene as scenes
from agent.detection.annotate import AnnotatedFilm
from agent.detection.geometry import rounded
from agent.detection.pipeline import DetectionPipeline
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene
from agent.detection.tflite import Detector
from agent.reporting import topics
from agent.reporting.topics import EnvelopeFields
from drivers import catalog
from drivers.contracts import Camera, Wanted
from drivers.errors import DriverError
from drivers.media import Frame

NAME = "replay"
"""Of the box and of the camera, in what a replay writes."""

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When every clip begins: a fixed time, so that two runs give the same."""

FPS = DetectConfig().fps
"""Frames that are looked at in a second of the clip's time, unless every frame is."""

NS_PER_S = 1_000_000_000
_READ_TIMEOUT_S = 30.0


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to replay, and where the results go."""

    clip: Path
    scene: Path
    events: Path
    tracks: Path | None = None
    annotate: Path | None = None
    every_frame: bool = False
    model: str = DetectConfig().model


class TrackLine(msgspec.Struct, frozen=True, kw_only=True):
    """One road user in one frame, as a line of the tracks file."""

    t_s: float
    frame: int
    track: int
    label: Label
    score: float
    box: BoundingBox


class ReplayLineCount(msgspec.Struct, frozen=True, kw_only=True):
    """Crossings of one line in one direction over the whole clip."""

    line: str
    direction: str
    counts: dict[Label, int]


class ReplaySummary(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a replay. `events` counts begun ones, by kind; `clip_s` is what was seen of
    the clip, `took_s` how long that took.
    """

    frames: int
    passes: int
    clip_s: float
    took_s: float
    lines: tuple[ReplayLineCount, ...]
    events: dict[str, int]


def replay(request: ReplayRequest) -> ReplaySummary:
    """Play a clip and write what came of it.

    Raises BadInput where the scene, the model's name or an output is wrong, or the disk takes no more of
    it, DriverError where the clip is, and ModelRefused where the model's file is not the one that its
    card describes.
    """
    _check_outputs(request)
    scene = scenes.load(request.scene)
    card = model_card.load_card(request.model)
    content = model_card.verify(card)
    camera = _open_clip(request, scene)
    try:
        with ExitStack() as stack:
            run = _Run(request, scene, camera, stack)
            return run.play(DetectionPipeline(Detector(card, content), masks=scene.unwatched))
    finally:
        camera.close()


def _open_clip(request: ReplayRequest, scene: Scene) -> Camera:
    module = catalog.camera_module("replay")
    options = strict.into(
        {"path": str(request.clip), "pace": "fast", "loop": False}, module.Options, "replay"
    )
    wanted = Wanted(
        packets=False,
        frames_fps=math.inf if request.every_frame else FPS,
        masks=scene.masks,
    )
    return module.open_camera(NAME, options, wanted, time.monotonic_ns)


class _Run:
    """One replay: what is open while it lasts."""

    def __init__(
        self, request: ReplayRequest, scene: Scene, camera: Camera, stack: ExitStack
    ) -> None:
        self._camera = camera
        self._scene = scene
        rng = random.Random(request.clip.name)  # noqa: S311 - a replay's ids are repeatable
        new_id = uuid7_maker(lambda t_ns: _unix_ns(EPOCH) + t_ns, rng)
        self._judge = RuleEngine(NAME, scene, new_id)
        self._messages = _Messages(stack.enter_context(_Output(request.events)), new_id)
        self._tracks: _Output | None = None
        self._film: AnnotatedFilm | None = None
        if request.tracks is not None:
            self._tracks = stack.enter_context(_Output(request.tracks))
        if request.annotate is not None:
            info = camera.info
            fps = info.fps if request.every_frame else min(info.fps, FPS)
            size_px = (info.width_px, info.height_px)
            film = AnnotatedFilm(request.annotate, size_px, fps, scene, request.clip.name)
            self._film = stack.enter_context(film)
        self._kinds: Counter[str] = Counter()
        self._flows: list[Flow] = []

    def play(self, eyes: DetectionPipeline) -> ReplaySummary:
        """Play the clip to its end."""
        began_s = time.monotonic()
        frames = passes = last_ns = 0
        for frame in self._frames():
            sight = eyes.process(frame)
            frames, passes, last_ns = frames + 1, passes + sight.passes, sight.t_ns
            self._flows.extend(self._judge.flow(sight.t_ns))
            self._tell(self._judge.evaluate(sight))
            self._write_tracks(sight)
            if self._film is not None:
                self._film.add(frame, sight)
        self._tell(self._judge.flush(last_ns))
        self._flows.extend(self._judge.flush_flow(last_ns))
        for flow in self._flows:
            self._messages.write_flow(flow)
        return ReplaySummary(
            frames=frames,
            passes=passes,
            clip_s=last_ns / 1e9,
            took_s=time.monotonic() - began_s,
            lines=_line_counts(self._scene, self._flows),
            events=dict(sorted(self._kinds.items())),
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

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.rev == 1:
                self._kinds[event.kind] += 1
            self._messages.write_event(event)
            if self._film is not None:
                self._film.note(event)

    def _write_tracks(self, sight: FrameResult) -> None:
        if self._tracks is None:
            return
        for track in sight.tracks:
            line = TrackLine(
                t_s=_t_s(sight.t_ns),
                frame=sight.seq,
                track=track.id,
                label=track.label,
                score=round(track.score, 4),
                box=rounded(track.box),
            )
            self._tracks.write(msgspec.json.encode(line))


class _Messages:
    """The events file: each line is a message as it would go over MQTT."""

    def __init__(self, file: "_Output", new_id: Callable[[int], str]) -> None:
        self._file = file
        self._new_id = new_id
        self._seq = 0

    def write_event(self, event: Event) -> None:
        """One revision of an event."""
        self._file.write(
            topics.event_message(
                event,
                self._stamp(event.t_ns),
                begin=_utc(event.begin_ns),
                t_s=_t_s(event.t_ns),
            )
        )

    def write_flow(self, flow: Flow) -> None:
        """One minute of traffic."""
        draft = topics.flow_draft(flow, begin=_utc(flow.begin_ns), end=_utc(flow.end_ns))
        self._file.write(topics.encode("flow", self._stamp(flow.end_ns), draft.data))

    def _stamp(self, t_ns: int) -> EnvelopeFields:
        self._seq += 1
        return EnvelopeFields(
            id=self._new_id(t_ns),
            box=NAME,
            epoch=NAME,
            seq=self._seq,
            boot=NAME,
            time=topics.rfc3339(_utc(t_ns)),
            clock=ClockTrust(synced=False, source="replay", error_s=None),
        )


def _line_counts(scene: Scene, flows: list[Flow]) -> tuple[ReplayLineCount, ...]:
    totals: dict[tuple[str, str], Counter[Label]] = {}
    for line in scene.line:
        for direction in (line.forward, line.backward):
            totals[line.name, direction] = Counter()
    for flow in flows:
        for crossed in flow.lines:
            for direction, counts in crossed.counts.items():
                totals[crossed.name, direction].update(counts)
    return tuple(
        ReplayLineCount(line=line, direction=direction, counts=dict(counts))
        for (line, direction), counts in totals.items()
    )


class _Output:
    """A new file of lines. Raises BadInput where it cannot be opened, or the disk takes no more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._disk():
            self._file: BinaryIO = path.open("wb")

    def __enter__(self) -> Self:
        """The file itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        """Write what still waits in memory."""
        with self._disk():
            self._file.close()
        return False

    def write(self, line: bytes) -> None:
        """One line, given without its end."""
        with self._disk():
            self._file.write(line + b"\n")

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"output {str(self._path)!r}: {error.strerror or error}") from error


def _check_outputs(request: ReplayRequest) -> None:
    """Refuse an output that would be written over what is read, or over another one."""
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
        if any(_is_same(path, source) for source in (request.clip, request.scene)):
            raise UserError(f"output {str(path)!r}: is what is read from; allowed: another file")
        for other_option, other in outputs[:index]:
            if _is_same(path, other):
                raise UserError(
                    f"{option} {str(path)!r}: is written by {other_option}; allowed: another file"
                )


def _is_same(one: Path, other: Path) -> bool:
    """Whether both are one file, be it there yet or not. A device such as /dev/null keeps nothing."""
    if one.exists() and other.exists():
        return one.is_file() and one.samefile(other)
    return one.resolve() == other.resolve()


def _unix_ns(when: datetime) -> int:
    return round(when.timestamp()) * NS_PER_S


def _utc(t_ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=t_ns // 1000)


def _t_s(t_ns: int) -> float:
    return round(t_ns / NS_PER_S, 3)
