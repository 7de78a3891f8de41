"""From the parts of all films to the result: times, intervals of the clock, and what is not to be trusted. Pure."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

from agent.base.count_proof import (
    CountingConditions,
    CountProof,
    CountValidation,
    UnvalidatedCounts,
    ValidatedCounts,
    count_validation,
    find_gap,
)
from agent.base.model import Label
from agent.base.view_condition import VIEW_LIMITS, ViewLimit
from agent.detection.geometry import bottom_centre
from agent.detection.ground_marks import GeoPosition, geo_position
from agent.detection.scene import Scene, scene_digest
from agent.detection.traffic_counter import MIN_LIMITED_RATIO
from centre.count.clock_interval import ClockInterval, intervals_of
from centre.count.film_list import ListedFilm, printable_name, with_fixed_offset
from centre.count.film_part import FilmPart, PartCrossing, PartMinute
from centre.count.results import (
    CountedCrossing,
    CountedFilm,
    CountedPassage,
    CountInterval,
    CountResult,
    FilmCrossing,
    FlowCount,
    LineCount,
    UntrustedShare,
    ValidationShare,
    crossing_speeds,
)
from centre.film_player import searched_fps
from drivers.media import Point

MIN_OBSERVED_RATIO = 0.9
"""If less of the filmed time was observed, the pictures are too far apart, and counts are not to be trusted."""
MAX_MISSING_S = 2.0
"""A film that ends earlier than its header says, by more than this, is cut."""


class CountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a result, in addition to the films and their parts."""

    scene_name: str
    scene: Scene
    interval_s: int
    zone: tzinfo | None
    """The zone whose clock has the intervals; None: the offset of the first film."""
    model: str
    model_sha256: str
    version: str
    warnings: tuple[str, ...]
    proof: CountProof | None = None
    """Of the counts of this view."""


class _Span(msgspec.Struct, frozen=True):
    """One minute of one film by the clock."""

    begin: datetime
    end: datetime
    minute: PartMinute
    validation: CountValidation


def join_parts(
    films: Sequence[ListedFilm], parts: Sequence[FilmPart], settings: CountSettings
) -> CountResult:
    """Return the result of a count. `films` are in the order of their starts, and `parts` in that of the films."""
    zone = settings.zone or films[0].start.tzinfo or UTC
    validations = list(_minute_validations(films, parts, settings))
    crossings = [
        _crossing(index, film, part, crossing, settings.scene, of_film[crossing.minute])
        for index, (film, part, of_film) in enumerate(zip(films, parts, validations, strict=True))
        for crossing in part.crossings
    ]
    passages = [
        one
        for index, (film, part) in enumerate(zip(films, parts, strict=True))
        for one in _passages(index, film, part)
    ]
    spans = [
        _Span(
            _after(film.start, minute.begin_s), _after(film.start, minute.end_s), minute, validation
        )
        for film, part, of_film in zip(films, parts, validations, strict=True)
        for minute, validation in zip(part.minutes, of_film, strict=True)
    ]
    observed_s = sum(span.minute.observed_s for span in spans)
    untrusted_s = sum(span.minute.observed_s for span in spans if span.minute.reasons)
    reasons_s: defaultdict[ViewLimit, float] = defaultdict(float)
    for span in spans:
        for reason in span.minute.reasons:
            reasons_s[reason] += span.minute.observed_s
    filmed = [
        (film.start, _after(film.start, part.played_s))
        for film, part in zip(films, parts, strict=True)
    ]
    crossings.sort(key=lambda one: one.time)
    passages.sort(key=lambda one: one.time)
    return CountResult(
        films=tuple(_film(film, part) for film, part in zip(films, parts, strict=True)),
        scene_name=settings.scene_name,
        scene=settings.scene,
        interval_s=settings.interval_s,
        crossings=tuple(crossings),
        passages=tuple(passages),
        intervals=tuple(_intervals(filmed, spans, crossings, passages, settings, zone)),
        observed_s=round(observed_s, 3),
        untrusted_share=_ratio(untrusted_s, observed_s),
        untrusted_shares=tuple(
            UntrustedShare(reason=limit, share=_ratio(reasons_s[limit], observed_s))
            for limit in VIEW_LIMITS
            if limit in reasons_s
        ),
        validations=_validation_shares(parts, validations),
        warnings=settings.warnings,
        model=settings.model,
        model_sha256=settings.model_sha256,
        version=settings.version,
    )


def _minute_validations(
    films: Sequence[ListedFilm], parts: Sequence[FilmPart], settings: CountSettings
) -> Iterator[tuple[CountValidation, ...]]:
    """Yield for each film how right the counts of its minutes are. A camera that was moved ends the proof, as on a box."""
    scene_sha256 = scene_digest(settings.scene)
    has_moved = False
    for film, part in zip(films, parts, strict=True):
        found = []
        for minute in part.minutes:
            has_moved = has_moved or "moved" in minute.reasons
            conditions = CountingConditions(
                model_sha256=settings.model_sha256,
                scene_sha256=scene_sha256,
                detect_fps=searched_fps(film.header.fps),
                has_moved=has_moved,
            )
            gap = find_gap(settings.proof, conditions)
            if gap is None and minute.reasons:
                gap = "untrusted"
            found.append(count_validation(settings.proof, gap, minute.light))
        yield tuple(found)


def _validation_shares(
    parts: Iterable[FilmPart], validations: Iterable[Sequence[CountValidation]]
) -> tuple[ValidationShare, ...]:
    observed_s: defaultdict[CountValidation, float] = defaultdict(float)
    crossings: Counter[CountValidation] = Counter()
    for part, of_film in zip(parts, validations, strict=True):
        for minute, validation in zip(part.minutes, of_film, strict=True):
            observed_s[validation] += minute.observed_s
        crossings.update(of_film[one.minute] for one in part.crossings)
    return tuple(
        ValidationShare(
            validation=validation,
            observed_s=round(observed_s[validation], 3),
            crossings=crossings[validation],
        )
        for validation in sorted(
            observed_s, key=lambda one: (one.light, isinstance(one, UnvalidatedCounts))
        )
    )


def _film(film: ListedFilm, part: FilmPart) -> CountedFilm:
    path, duration_s = printable_name(str(film.path)), film.header.duration_s
    warnings = [printable_name(warning) for warning in film.warnings]
    if part.played_s < duration_s - MAX_MISSING_S:
        warnings.append(f"{path}: ends at {part.played_s:.0f} s of {duration_s:.0f} s: it is cut")
    limited = [minute for minute in part.minutes if minute.reasons]
    if limited:
        reasons = _in_order(reason for minute in limited for reason in minute.reasons)
        warnings.append(
            f"{path}: counts are not to be trusted in {len(limited)} of {len(part.minutes)} minutes: "
            f"{', '.join(reasons)}"
        )
    return CountedFilm(
        name=film.name,
        path=path,
        sha256=part.sha256,
        start=film.start,
        start_source=film.start_source,
        duration_s=duration_s,
        played_s=part.played_s,
        fps=film.header.fps,
        width_px=film.header.width_px,
        height_px=film.header.height_px,
        frames=part.frames,
        tracks=f"tracks/{film.name}.csv",
        ottrk=f"tracks/{film.name}.ottrk",
        warnings=tuple(warnings),
    )


def _crossing(
    index: int,
    film: ListedFilm,
    part: FilmPart,
    one: PartCrossing,
    scene: Scene,
    validation: CountValidation,
) -> CountedCrossing:
    minute = part.minutes[one.minute]
    is_small = one.label in minute.small.get(one.line, ())
    reasons = _with_small(minute.reasons, is_small=is_small)
    return CountedCrossing(
        **{name: getattr(one, name) for name in FilmCrossing.__struct_fields__},
        film=index,
        time=_after(film.start, one.t_s),
        foot=_rounded(bottom_centre(one.box)),
        geo=_geo(scene, one.x_m, one.y_m),
        trusted=not reasons,
        untrusted_reasons=reasons,
        light=validation.light,
        validated=isinstance(validation, ValidatedCounts),
    )


def _passages(index: int, film: ListedFilm, part: FilmPart) -> Iterator[CountedPassage]:
    for one in part.passages:
        reasons = part.minutes[one.minute].reasons
        yield CountedPassage(
            film=index,
            t_s=one.t_s,
            time=_after(film.start, one.t_s),
            flow=one.flow,
            label=one.label,
            track=one.track,
            trusted=not reasons,
            untrusted_reasons=reasons,
        )


def _geo(scene: Scene, x_m: float | None, y_m: float | None) -> GeoPosition | None:
    origin = scene.ground.point[0].position if scene.ground and scene.ground.point else None
    if origin is None or x_m is None or y_m is None:
        return None
    found = geo_position(origin, x_m, y_m)
    return GeoPosition(round(found.latitude, 7), round(found.longitude, 7))


def _intervals(
    filmed: Sequence[tuple[datetime, datetime]],
    spans: Iterable[_Span],
    crossings: Iterable[CountedCrossing],
    passages: Iterable[CountedPassage],
    settings: CountSettings,
    zone: tzinfo,
) -> Iterator[CountInterval]:
    """Yield the intervals that have film, in order. `filmed` are begin and end of each film."""
    intervals = sorted(
        {
            interval
            for begin, end in filmed
            for interval in intervals_of(begin, end, settings.interval_s, zone)
        }
    )
    contents = [_Content(interval) for interval in intervals]
    begins = [interval.begin for interval in intervals]

    def between(begin: datetime, end: datetime) -> list[_Content]:
        # The last picture of a film may be at the end of its last interval: it belongs to that one.
        return contents[bisect_right(begins, begin) - 1 : bisect_right(begins, end)]

    for begin, end in filmed:
        for content in between(begin, end):
            content.filmed_s += content.interval.overlap_s(begin, end)
    for span in spans:
        for content in between(span.begin, span.end):
            content.add_minute(span)
    for crossing in crossings:
        between(crossing.time, crossing.time)[0].crossings.append(crossing)
    for passage in passages:
        between(passage.time, passage.time)[0].passages.append(passage)
    for content in contents:
        yield content.count(settings.scene, zone)


class _Content:
    """Everything in one interval."""

    def __init__(self, interval: ClockInterval) -> None:
        self.interval = interval
        self.filmed_s = 0.0
        self.crossings: list[CountedCrossing] = []
        self.passages: list[CountedPassage] = []
        self._observed_s = 0.0
        self._limited_s: defaultdict[ViewLimit, float] = defaultdict(float)
        self._small_s: defaultdict[tuple[str, Label], float] = defaultdict(float)
        self._validated_s: defaultdict[CountValidation, float] = defaultdict(float)

    def add_minute(self, span: _Span) -> None:
        """Add the part of a minute that is in the interval."""
        minute, length_s = span.minute, (span.end - span.begin).total_seconds()
        share = self.interval.overlap_s(span.begin, span.end) / length_s if length_s else 0.0
        observed_s = minute.observed_s * share
        self._observed_s += observed_s
        self._validated_s[span.validation] += observed_s
        for reason in minute.reasons:
            self._limited_s[reason] += observed_s
        for name, labels in minute.small.items():
            for label in labels:
                self._small_s[name, label] += observed_s

    def count(self, scene: Scene, zone: tzinfo) -> CountInterval:
        """Return the counts."""
        reasons = {
            limit for limit, limited_s in self._limited_s.items() if self._is_long(limited_s)
        }
        if self._observed_s < MIN_OBSERVED_RATIO * self.filmed_s:
            reasons.add("frame_rate")
        small = {key for key, small_s in self._small_s.items() if self._is_long(small_s)}
        return CountInterval(
            begin=with_fixed_offset(self.interval.begin, zone),
            end=with_fixed_offset(self.interval.end, zone),
            filmed_s=round(self.filmed_s, 3),
            observed_s=round(self._observed_s, 3),
            trusted=not reasons,
            untrusted_reasons=_in_order(reasons),
            validation=self._validation(is_untrusted="frame_rate" in reasons),
            lines=tuple(self._line_counts(scene, reasons, small)),
            flows=tuple(self._flow_counts(scene, reasons, small)),
        )

    def _validation(self, *, is_untrusted: bool) -> CountValidation | None:
        """Return the weakest validation. `is_untrusted`: the interval is, and not only some of its minutes."""
        found = min(
            (one for one, length_s in self._validated_s.items() if self._is_long(length_s)),
            key=lambda one: one.f1_low if isinstance(one, ValidatedCounts) else -1.0,
            default=None,
        )
        if found is not None and is_untrusted:
            return UnvalidatedCounts(light=found.light, reason="untrusted")
        return found

    def _is_long(self, limited_s: float) -> bool:
        return limited_s > 0 and limited_s >= MIN_LIMITED_RATIO * self._observed_s

    def _line_counts(
        self, scene: Scene, reasons: set[ViewLimit], small: set[tuple[str, Label]]
    ) -> Iterator[LineCount]:
        grouped: dict[tuple[str, str, Label], list[CountedCrossing]] = {}
        for crossing in self.crossings:
            key = crossing.line, crossing.direction, crossing.label
            grouped.setdefault(key, []).append(crossing)
        for line in scene.line:
            for direction in (line.forward_name, line.backward_name):
                for label in line.labels:
                    found = grouped.get((line.name, direction, label), [])
                    speeds = [one.speed_km_h for one in found if one.speed_km_h is not None]
                    of_count = _with_small(reasons, is_small=(line.name, label) in small)
                    yield LineCount(
                        line=line.name,
                        direction=direction,
                        label=label,
                        count=len(found),
                        measured=len(speeds),
                        mean_speed_km_h=round(sum(speeds) / len(speeds), 1) if speeds else None,
                        v85_km_h=crossing_speeds(found).v85_km_h,
                        trusted=not of_count,
                        untrusted_reasons=of_count,
                    )

    def _flow_counts(
        self, scene: Scene, reasons: set[ViewLimit], small: set[tuple[str, Label]]
    ) -> Iterator[FlowCount]:
        counts = Counter((one.flow, one.label) for one in self.passages)
        for flow in scene.flow:
            for label in flow.labels:
                is_small = (flow.origin, label) in small or (flow.destination, label) in small
                of_count = _with_small(reasons, is_small=is_small)
                yield FlowCount(
                    flow=flow.name,
                    origin=flow.origin,
                    destination=flow.destination,
                    label=label,
                    count=counts[flow.name, label],
                    trusted=not of_count,
                    untrusted_reasons=of_count,
                )


def _after(start: datetime, seconds: float) -> datetime:
    """Return a time of a film. `start` has a fixed offset."""
    return start + timedelta(milliseconds=round(seconds * 1000))


def _in_order(limits: Iterable[ViewLimit]) -> tuple[ViewLimit, ...]:
    found = set(limits)
    return tuple(limit for limit in VIEW_LIMITS if limit in found)


def _with_small(reasons: Iterable[ViewLimit], *, is_small: bool) -> tuple[ViewLimit, ...]:
    return _in_order((*reasons, "small") if is_small else reasons)


def _ratio(part_s: float, whole_s: float) -> float:
    return round(part_s / whole_s, 4) if whole_s else 0.0


def _rounded(point: Point) -> Point:
    return Point(round(point.x, 4), round(point.y, 4))
