"""Replay of a video through detection and rules, in the video's own time, to tune a scene.

It runs the box's own code without threads or a clock, so two runs produce the same bytes.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import msgspec

from agent.base.errors import UserError
from agent.base.model import (
    Event,
    FrameResult,
    Label,
    LineCounts,
    SpeedCounts,
    TrafficCounts,
)
from agent.base.speed_bands import add_speeds
from agent.base.view_condition import VIEW_LIMITS, ViewLimit
from agent.config.configuration import DetectConfig
from agent.detection import scene as scenes
from agent.detection.scene import Scene
from centre.annotated_video import AnnotatedVideo
from centre.film_messages import FILM_START, FilmMessages
from centre.film_player import (
    FilmPlayer,
    header_warnings,
    read_header,
    scene_warnings,
    searched_fps,
    track_records,
)
from centre.line_file import LineFile
from drivers.media import NS_PER_S

OnProgress = Callable[[float], None]
"""Called with the seconds of the film that are played."""


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
    header = read_header(request.clip)
    warnings = scene_warnings(scene, request.scene)
    if scene.has_hours and request.start is None:
        warnings.append(
            f"{request.scene}: has hours, and --start is not given: rules run all the time"
        )
    warnings += header_warnings(request.clip, header)
    return ReplayOutlook(duration_s=header.duration_s, warnings=tuple(warnings))


def replay(request: ReplayRequest, on_progress: OnProgress | None = None) -> ReplaySummary:
    """Play a video and write events, tracks and the annotated video.

    Each output gets its name when it is whole: a replay that is interrupted or fails leaves none.

    Raises: UserError if scene, model name or an output is wrong or a disk is full; DriverError if the
    video cannot be read; ModelRefused if the model's file does not match its card.
    """
    _check_outputs(request)
    scene = scenes.load_scene(request.scene)
    messages = FilmMessages(request.clip.name, request.start or FILM_START)
    player = FilmPlayer(
        request.clip,
        scene,
        request.model,
        messages.new_id,
        local_start=request.start,
        every_frame=request.every_frame,
    )
    with player, ExitStack() as stack:
        return _ReplayRun(request, scene, player, messages, stack).run(on_progress)


class _ReplayRun:
    """One replay and its open files."""

    def __init__(
        self,
        request: ReplayRequest,
        scene: Scene,
        player: FilmPlayer,
        messages: FilmMessages,
        stack: ExitStack,
    ) -> None:
        self._player = player
        self._scene = scene
        self._messages = messages
        self._event_file = stack.enter_context(LineFile(request.events))
        self._track_file: LineFile | None = None
        self._annotated_video: AnnotatedVideo | None = None
        if request.tracks is not None:
            self._track_file = stack.enter_context(LineFile(request.tracks))
        if request.annotate is not None:
            info = player.info
            fps = info.fps if request.every_frame else searched_fps(info.fps)
            size_px = (info.width_px, info.height_px)
            video = AnnotatedVideo(request.annotate, size_px, fps, scene, request.clip.name)
            self._annotated_video = stack.enter_context(video)
        self._event_counts: Counter[str] = Counter()
        self._traffic_counts: list[TrafficCounts] = []

    def run(self, on_progress: OnProgress | None) -> ReplaySummary:
        """Play the video to its end."""
        start_s = time.monotonic()
        frames = inferences = 0
        for played in self._player.play():
            frames, inferences = frames + 1, inferences + played.result.inference_count
            self._traffic_counts.extend(played.minutes)
            self._write_events(played.events)
            self._write_tracks(played.result)
            if self._annotated_video is not None:
                self._annotated_video.add_frame(played.frame, played.result)
            if on_progress is not None:
                on_progress(played.result.t_ns / NS_PER_S)
        end = self._player.flush()
        self._write_events(end.events)
        self._traffic_counts.extend(end.minutes)
        for traffic in self._traffic_counts:
            self._event_file.write(self._messages.encode_traffic(traffic))
        return ReplaySummary(
            frames=frames,
            inferences=inferences,
            played_s=self._player.last_ns / NS_PER_S,
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

    def _write_events(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.rev == 1:
                self._event_counts[event.kind] += 1
            self._event_file.write(self._messages.encode_event(event))
            if self._annotated_video is not None:
                self._annotated_video.add_event(event)

    def _write_tracks(self, result: FrameResult) -> None:
        if self._track_file is None:
            return
        for record in track_records(result, self._player.rule_engine):
            self._track_file.write(msgspec.json.encode(record))


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
