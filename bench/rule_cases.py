"""Scores of the zone rules on composites and on films played backwards: stopped, queue, wrong way."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from agent.base.health_model import UnsupportedArea
from agent.base.model import BoundingBox, Event, FrameResult, Track
from agent.detection.geometry import box_centre, enclosing_box, iou
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene, Zone
from bench import street_cases
from bench.accuracy import clip_path, labelled_clips
from bench.composite import COVERED_RATIO, PixelBox
from bench.detector_results import ResultCache
from bench.street_cases import (
    FILMS,
    FilmTraffic,
    MovingVehicle,
    Sighting,
    StreetCase,
    carriageway,
    plain_case,
    play,
)
from drivers.media import NS_PER_S, Point

STOPPED_AFTER_S = 10.0
LATE_S = 20.0
"""After `stopped_after_s`: an event that begins later does not find the vehicle."""
MIN_OVERLAP = 0.2
"""Of an event's box and a placed vehicle's, from which the event is of that vehicle."""
PASSED_RATIO = 0.05
"""Of the pictures of a standing vehicle, from which the case is passed by traffic."""
QUEUE_COUNT = 3
LABEL_RADIUS = 0.08
"""Of a crossing labelled by eye, in picture widths: the centre of the whole vehicle and the middle of its box differ."""
LABEL_SPAN_S = 0.3
FOUND_AFTER_S = 2.0
"""After the last sighting of a vehicle, in which its event may still begin."""


class RuleRun(msgspec.Struct, frozen=True):
    """The events of a case, each with the time at which the rule gave it, and the tracks of each picture.

    `unsupported` are the lines and zones of which the box says in the end that the view does not support them.
    """

    events: tuple[tuple[float, Event], ...]
    tracks: tuple[tuple[float, tuple[Track, ...]], ...]
    unsupported: tuple[UnsupportedArea, ...]

    def begun(self, kind: str) -> list[tuple[float, Event]]:
        """Return the first revisions of the events of a kind."""
        return [(t_s, event) for t_s, event in self.events if event.kind == kind and event.rev == 1]


QueueThird = Literal["double", "other"]
"""Of a queue that began with two placed vehicles: the third.

double     a second box or place of a placed vehicle: the event's box is that of the two
other      a vehicle of the film
"""


class FalseStop(msgspec.Struct, frozen=True):
    """An event of no placed vehicle. `place` is its centre, in twentieths of the picture."""

    film: str
    place: tuple[int, int]
    is_touching: bool
    """Its box overlaps that of the placed vehicle, by less than it takes to be of it."""


class StoppedOutcome(msgspec.Struct, frozen=True):
    """The outcome of a case: `delays_s` after `stopped_after_s` of each event of the vehicle, and the false events.

    `is_small_said`: the box says that cars are too small in a part of the zone.
    """

    height_px: float
    passed_ratio: float
    delays_s: tuple[float, ...]
    false_events: tuple[FalseStop, ...]
    is_small_said: bool

    @property
    def is_found(self) -> bool:
        """Whether an event named the vehicle in time."""
        return bool(self.delays_s) and self.delays_s[0] <= LATE_S

    @property
    def is_passed(self) -> bool:
        """Whether traffic passes in front of the vehicle."""
        return self.passed_ratio > PASSED_RATIO


class WrongWayOutcome(msgspec.Struct, frozen=True):
    """How many of a film's wrong-way vehicles were found, and the events of no such vehicle."""

    film: str
    vehicles: int
    found: int
    other_events: int
    tracks: int
    length_s: float


def run_rules(scene: Scene, results: Iterable[FrameResult]) -> RuleRun:
    """Run the rules of a scene over the results of a film."""
    numbers = itertools.count(1)
    engine = RuleEngine("case", scene, lambda _t_ns: str(next(numbers)))
    events, tracks = [], []
    for result in results:
        t_s = result.t_ns / NS_PER_S
        events += [(t_s, event) for event in engine.evaluate(result)]
        tracks.append((t_s, result.tracks))
    return RuleRun(tuple(events), tuple(tracks), engine.view_support.unsupported)


def case_results(case: StreetCase, cache: ResultCache) -> Iterator[FrameResult]:
    """Return the pipeline's results of a case."""
    return cache.results(
        clip_path(case.film),
        msgspec.json.encode((case, street_cases.CASE_FPS)),
        lambda: (shown.frame for shown in play(case)),
    )


def passed_ratio(case: StreetCase) -> float:
    """Return the share of the pictures in which traffic covers a part of the vehicle that stands."""
    (vehicle,) = case.vehicles
    covered = [
        shown.covered[0] > COVERED_RATIO
        for shown in play(case)
        if shown.frame.t_ns >= vehicle.arrival_s * NS_PER_S and shown.covered[0] is not None
    ]
    return sum(covered) / len(covered)


def score_stopped(
    case: StreetCase, results: Iterable[FrameResult], passed: float
) -> StoppedOutcome:
    """Run the rule `stopped` on the results of one case. `passed` is its `passed_ratio`."""
    results = tuple(results)
    lane = carriageway(case.film, case.carriageway)
    zone = Zone(name=lane.name, polygon=lane.polygon, stopped_after_s=STOPPED_AFTER_S, events=False)
    (vehicle,) = case.vehicles
    shape, width, height = vehicle.standing_shape, results[0].width_px, results[0].height_px
    truth = _box_of(shape, width, height)
    run = run_rules(Scene(zone=(zone,)), results)
    delays_s, false = [], []
    for t_s, event in run.begun("stopped"):
        assert event.box is not None
        if _is_at(event.box, truth):
            delays_s.append(t_s - vehicle.arrival_s - STOPPED_AFTER_S)
        else:
            centre = box_centre(event.box)
            place = round(20 * centre.x), round(20 * centre.y)
            false.append(FalseStop(case.film, place, iou(event.box, truth) > 0))
    return StoppedOutcome(
        shape.h,
        passed,
        tuple(delays_s),
        tuple(false),
        any("car" in area.small_ratio for area in run.unsupported),
    )


def _box_of(shape: PixelBox, width_px: int, height_px: int) -> BoundingBox:
    return BoundingBox(
        shape.x / width_px, shape.y / height_px, shape.w / width_px, shape.h / height_px
    )


def _is_at(box: BoundingBox, truth: BoundingBox) -> bool:
    """Whether a box is of the vehicle at a place; boxes of far vehicles are coarse."""
    a, b = box_centre(box), box_centre(truth)
    is_near = abs(a.x - b.x) < truth.w / 2 and abs(a.y - b.y) < truth.h / 2
    return is_near or iou(box, truth) >= MIN_OVERLAP


def find_queue(case: StreetCase, results: Iterable[FrameResult]) -> QueueThird | None:
    """Run the rule `queue` on the results of one case: None if no event of a queue of three began, else the third vehicle in it.

    A vehicle of the film that stands between the placed ones is taken for a second box of one.
    """
    results = tuple(results)
    lane = carriageway(case.film, case.carriageway)
    zone = Zone(name=lane.name, polygon=lane.polygon, kind="queue", queue_min_count=QUEUE_COUNT)
    begun = run_rules(Scene(zone=(zone,)), results).begun("queue")
    if not begun:
        return None
    box = begun[0][1].box
    assert box is not None
    first = results[0]
    placed = [_box_of(one.standing_shape, first.width_px, first.height_px) for one in case.vehicles]
    around = enclosing_box(placed)
    # Boxes of far vehicles are coarse.
    w, h = max(one.w for one in placed) / 2, max(one.h for one in placed) / 2
    is_double = (
        around.x - box.x < w
        and around.y - box.y < h
        and box.x + box.w - around.x - around.w < w
        and box.y + box.h - around.y - around.h < h
    )
    return "double" if is_double else "other"


def wrong_way_scene(film: str) -> Scene:
    """Return the scene of a film: each carriageway with its lawful direction."""
    return Scene(
        zone=tuple(
            Zone(name=one.name, polygon=one.polygon, direction_deg=one.direction_deg, events=False)
            for one in FILMS[film]
        )
    )


def score_wrong_way(
    case: StreetCase, vehicles: Sequence[MovingVehicle], results: Iterable[FrameResult]
) -> WrongWayOutcome:
    """Run the rule `wrong_way` on the results of a film, and compare its events with the vehicles that go the wrong way."""
    run = run_rules(wrong_way_scene(case.film), results)
    begun = run.begun("wrong_way")
    of_vehicle: set[str] = set()
    found = 0
    for vehicle in vehicles:
        own = _tracks_of(vehicle, run)
        events = {
            event.event
            for t_s, event in begun
            if event.track in own and t_s <= vehicle.sightings[-1].t_s + FOUND_AFTER_S
        }
        found += bool(events)
        of_vehicle |= events
    return WrongWayOutcome(
        case.film,
        len(vehicles),
        found,
        len(begun) - len(of_vehicle),
        len({track.id for _, tracks in run.tracks for track in tracks}),
        run.tracks[-1][0],
    )


def _tracks_of(vehicle: MovingVehicle, run: RuleRun) -> set[int]:
    """Return the ids of the tracks that were where a vehicle was."""
    found: set[int] = set()
    half_step_s = 0.5 / street_cases.CASE_FPS
    for t_s, tracks in run.tracks:
        sighting = min(vehicle.sightings, key=lambda one: abs(one.t_s - t_s))
        if abs(sighting.t_s - t_s) > max(half_step_s, sighting.span_s):
            continue
        for track in tracks:
            centre = box_centre(track.box)
            away = max(abs(centre.x - sighting.at.x), abs(centre.y - sighting.at.y))
            if away <= sighting.radius:
                found.add(track.id)
    return found


def labelled_vehicles(film: str) -> list[MovingVehicle]:
    """Return the sure crossings that were labelled by eye in a film."""
    labels = labelled_clips().get(film)
    if labels is None:
        return []
    x1, y1, x2, y2 = labels.line
    return [
        MovingVehicle(
            film,
            "",
            (
                Sighting(
                    one.t_s,
                    Point(x1 + one.position * (x2 - x1), y1 + one.position * (y2 - y1)),
                    LABEL_RADIUS,
                    LABEL_SPAN_S,
                ),
            ),
        )
        for one in labels.crossings
        if one.position is not None
        if one.is_sure and not one.is_at_edge and one.label not in ("person", "bicycle")
    ]


def reversed_outcomes(
    traffic: Mapping[str, FilmTraffic], cache: ResultCache
) -> Iterator[WrongWayOutcome]:
    """Play each film backwards. A labelled film has its labelled vehicles, another one those that move alone."""
    for film in FILMS:
        vehicles = labelled_vehicles(film) or list(
            street_cases.moving_vehicles(film, traffic[film])
        )
        last_s = (traffic[film].pictures - 1) / traffic[film].fps
        backwards = [street_cases.reversed_vehicle(one, last_s) for one in vehicles]
        case = plain_case(film, "reversed")
        yield score_wrong_way(case, backwards, case_results(case, cache))


def forward_outcomes(cache: ResultCache) -> Iterator[WrongWayOutcome]:
    """Play each film as it is: each event of the wrong way is false."""
    for film in FILMS:
        case = plain_case(film, "forward")
        yield score_wrong_way(case, (), case_results(case, cache))
