"""The count of one film: its tracks as they come, and its crossings, passages and minutes when it is over."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec

from agent.base.model import TrafficCounts
from agent.base.sha256 import file_sha256_hex
from agent.base.view_condition import ViewLimit
from agent.detection.crossing_speeds import CrossingSpeed
from agent.detection.flow_counter import FlowPassage
from agent.detection.geometry import round_box
from agent.detection.rules.line_crossing import Crossing
from agent.detection.scene import Scene
from agent.detection.span_light import SpanLight
from centre.count import ottrk, track_file
from centre.count.film_list import ListedFilm
from centre.count.film_part import FilmPart, PartCrossing, PartKey, PartMinute, PartPassage
from centre.count.folder import CountFolder
from centre.film_player import FilmEnd, FilmPlayer, PlayedFrame, to_s, track_records
from centre.line_file import LineFile
from drivers.media import NS_PER_S

OnProgress = Callable[[float, tuple[ViewLimit, ...]], None]
"""Called about once a second of film with the seconds that are played, and the limits of the view then."""


class FilmJob(msgspec.Struct, frozen=True, kw_only=True):
    """One film that is to be counted, and the folder of the result."""

    film: ListedFilm
    key: PartKey
    scene: Scene
    model: str
    out: Path


def count_film(job: FilmJob, on_progress: OnProgress) -> None:
    """Count one film, and write its files: its part is the last, and stands for all of them.

    Raises: UserError if a file cannot be written; ModelRefused; DriverError if the film cannot be read to its end.
    """
    folder = CountFolder(job.out)
    name = job.film.name
    folder.remove_film(name)
    with ExitStack() as stack:
        # Events are not written, so that any text is an id.
        player = stack.enter_context(FilmPlayer(job.film.path, job.scene, job.model, str))
        tracks = stack.enter_context(LineFile(folder.tracks(name)))
        counter = _FilmCounter(player, is_measured=job.scene.ground is not None)
        tracks.write(counter.header)
        played_s = 0
        for played in player.play():
            for line in counter.step(played):
                tracks.write(line)
            if played.result.t_ns >= played_s * NS_PER_S:
                view = player.rule_engine.view_support.view
                on_progress(played_s, () if view is None else view.limits)
                played_s += 1
        part = counter.finish(player.flush(), job)
    run_id = f"vigie-{part.sha256[:32]}"
    ottrk.write_ottrk(
        folder.tracks(name), folder.ottrk(name), job.film, run_id, part.pictures, job.model
    )
    folder.write_part(name, part)


class _FilmCounter:
    """Collects what the rule engine counts, and the rows of the tracks file."""

    def __init__(self, player: FilmPlayer, *, is_measured: bool) -> None:
        self._player = player
        self._engine = player.rule_engine
        self._is_measured = is_measured
        columns = track_file.COLUMNS + (track_file.GROUND_COLUMNS if is_measured else ())
        self.header = ",".join(columns).encode()
        self._frames = self._pictures = 0
        self._crossings: list[PartCrossing] = []
        self._unmeasured: dict[tuple[str, int, int], int] = {}
        """Indices of the crossings whose speed is not final yet, by line, road user and time."""
        self._passages: list[PartPassage] = []
        self._minutes: list[PartMinute] = []
        self._light = SpanLight()
        """Of the minute that runs."""

    def step(self, played: PlayedFrame) -> Iterator[bytes]:
        """Take one picture, and yield the rows of its tracks."""
        t_ns = played.result.t_ns
        self._frames, self._pictures = self._frames + 1, played.result.seq + 1
        self._add_minutes(played.minutes)
        self._light.observe(played.result)
        self._add_crossings(self._engine.crossings, t_ns)
        self._add_speeds(self._engine.final_speeds)
        self._add_passages(self._engine.flow_passages, t_ns)
        for record in track_records(played.result, self._engine):
            yield track_file.encode_row(record, is_measured=self._is_measured)

    def finish(self, end: FilmEnd, job: FilmJob) -> FilmPart:
        """Return everything that was counted: the film is over."""
        self._add_speeds(self._engine.final_speeds)
        self._add_minutes(end.minutes)
        return FilmPart(
            key=job.key,
            sha256=file_sha256_hex(job.film.path),
            played_s=to_s(self._player.last_ns),
            frames=self._frames,
            pictures=self._pictures,
            crossings=tuple(self._crossings),
            passages=tuple(self._passages),
            minutes=tuple(self._minutes),
        )

    def _add_crossings(self, crossings: Iterable[Crossing], t_ns: int) -> None:
        for crossing in crossings:
            ground = crossing.ground
            if self._is_measured:
                self._unmeasured[_identity(crossing)] = len(self._crossings)
            self._crossings.append(
                PartCrossing(
                    minute=len(self._minutes),
                    t_s=to_s(crossing.t_ns),
                    seen_s=to_s(t_ns),
                    line=crossing.line.name,
                    direction=crossing.direction,
                    label=crossing.track.label,
                    track=crossing.track.id,
                    score=round(crossing.track.score, 4),
                    position=round(crossing.position, 4),
                    box=round_box(crossing.track.box),
                    x_m=None if ground is None else round(ground.x_m, 2),
                    y_m=None if ground is None else round(ground.y_m, 2),
                )
            )

    def _add_speeds(self, speeds: Iterable[CrossingSpeed]) -> None:
        for speed in speeds:
            index = self._unmeasured.pop(_identity(speed.crossing))
            self._crossings[index] = msgspec.structs.replace(
                self._crossings[index],
                speed_km_h=round(speed.speed_km_h, 1),
                speed_error_km_h=round(speed.speed_error_km_h, 1),
            )

    def _add_passages(self, passages: Iterable[FlowPassage], t_ns: int) -> None:
        self._passages.extend(
            PartPassage(
                minute=len(self._minutes),
                t_s=to_s(t_ns),
                flow=passage.flow.name,
                label=passage.track.label,
                track=passage.track.id,
            )
            for passage in passages
        )

    def _add_minutes(self, minutes: Iterable[TrafficCounts]) -> None:
        self._minutes.extend(
            PartMinute(
                begin_s=to_s(minute.begin_ns),
                end_s=to_s(minute.end_ns),
                observed_s=minute.observed_s,
                light=self._light.end(),
                reasons=minute.untrusted_reasons,
                small={one.name: one.small for one in minute.lines if one.small}
                | {one.name: one.small for one in minute.zones if one.small},
            )
            for minute in minutes
        )


def _identity(crossing: Crossing) -> tuple[str, int, int]:
    return crossing.line.name, crossing.road_user, crossing.t_ns
