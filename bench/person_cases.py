"""Scores of the rules about people, on PETS 2009 S2.L1 with its true tracks and seeded zones.

A true visit begins when the foot of a person is in a zone and clear of its edge, and ends when it is out and clear of
it: by the rule's own margin, so that a person who walks along an edge is neither in nor out. Presence and counts are
compared in pictures in which no true person is at the edge.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from agent.base.model import BoundingBox, Event, FrameResult
from agent.detection.geometry import (
    bottom_centre,
    box_size,
    edge_distance,
    iou,
    is_inside,
    is_self_intersecting,
)
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.rules.zone_occupancy import EDGE_MARGIN, ZoneOccupancy
from agent.detection.scene import Scene, Zone
from bench.accuracy import people_film, read_frames, true_people
from bench.detector_results import ResultCache
from bench.rule_cases import run_rules
from drivers.masking import polygon_area
from drivers.media import Point, Polygon

TRUE_SET = "PETS09-S2L1"
FILM = people_film(TRUE_SET)
SIZE_PX = (768, 576)
FPS = 10.0
GROUND = (Point(0.0, 0.30), Point(1.0, 0.30), Point(1.0, 1.0), Point(0.0, 1.0))
"""The part of the picture on which people walk."""
MIN_ZONE_AREA, MAX_ZONE_AREA = 0.03, 0.2
"""By the picture's area."""
ZONES_PER_RUN = 16
"""Of one scene, each with a name of its own."""
MIN_VISIT_S = 1.5
"""A shorter visit may have an event or none."""
SAME_PERSON_MIN_IOU = 0.3
SHORT_VISIT_S = 3.0
DWELL_AFTER_S = 10.0
CROWD_COUNT = 3
CROWD_AFTER_S = 3.0
"""A shorter run of a crowd may have an event or none."""
CROWD_GAP_S = 5.0
"""Runs that are nearer to one another are one run: the rule ends an event after as long."""
LATE_S = 5.0
CHANGE_S = 1.0
"""After a person has crossed the edge: the rule is sure of a visit and of its end within about as long."""


class Visit(msgspec.Struct, frozen=True):
    """A true person's stay in a zone."""

    person: int
    begin_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """The length of the stay."""
        return self.end_s - self.begin_s


class PeopleScore(msgspec.Struct):
    """Sums over the zones.

    `untracked`: the person has no track in half of the visit, or a person in the zone has none in the picture. `short`: the
    visit is shorter than SHORT_VISIT_S. `changing`: the picture is less than CHANGE_S after one with a person at the edge. `changed`: the person has more than one track in the stay. `outside`: the event is of a person who is out of the zone.
    """

    visits: int = 0
    visits_found: int = 0
    visits_missed_untracked: int = 0
    visits_missed_short: int = 0
    events: int = 0
    false_events: int = 0
    false_outside: int = 0
    repeated_events: int = 0
    pictures: int = 0
    present_right: int = 0
    count_right: int = 0
    present_wrong_untracked: int = 0
    present_wrong_changing: int = 0
    count_wrong_untracked: int = 0
    count_wrong_changing: int = 0
    dwells: int = 0
    dwells_found: int = 0
    dwells_missed_changed: int = 0
    dwell_events: int = 0
    false_dwells: int = 0
    crowds: int = 0
    crowds_once: int = 0
    extra_crowds: int = 0


class TrueFilm(msgspec.Struct, frozen=True):
    """The true boxes of each picture, by the number of the person."""

    boxes: tuple[Mapping[int, BoundingBox], ...]

    @property
    def aspect(self) -> float:
        """The picture's width by its height."""
        return SIZE_PX[0] / SIZE_PX[1]


def read_truth() -> TrueFilm:
    """Read the true tracks."""
    by_frame: dict[int, dict[int, BoundingBox]] = defaultdict(dict)
    for frame, person, x, y, w, h in true_people(TRUE_SET):
        by_frame[int(frame) - 1][int(person)] = BoundingBox(
            x / SIZE_PX[0], y / SIZE_PX[1], w / SIZE_PX[0], h / SIZE_PX[1]
        )
    return TrueFilm(tuple(by_frame[n] for n in range(max(by_frame) + 1)))


def make_zones(seed: int) -> Iterator[Polygon]:
    """Yield seeded quadrangles on the ground, without end."""
    rng = random.Random(f"zones {seed}")
    while True:
        x, y = rng.uniform(0.1, 0.9), rng.uniform(0.35, 0.9)
        radius = rng.uniform(0.1, 0.3)
        turn = rng.uniform(0, math.pi)
        corners = tuple(
            Point(
                min(
                    1.0,
                    max(
                        0.0,
                        x + radius * math.cos(turn + corner * math.pi / 2) * rng.uniform(0.7, 1.2),
                    ),
                ),
                min(
                    1.0,
                    max(
                        GROUND[0].y,
                        y + radius * math.sin(turn + corner * math.pi / 2) * rng.uniform(0.7, 1.2),
                    ),
                ),
            )
            for corner in range(4)
        )
        if (
            not is_self_intersecting(corners)
            and MIN_ZONE_AREA <= polygon_area(corners) <= MAX_ZONE_AREA
        ):
            yield corners


def side_of(polygon: Polygon, box: BoundingBox, aspect: float) -> int:
    """Return 1 if the foot of a box is in a zone, -1 if it is out, and 0 at the edge."""
    foot = bottom_centre(box)
    if edge_distance(polygon, foot, aspect) < EDGE_MARGIN * box_size(box, aspect):
        return 0
    return 1 if is_inside(polygon, foot) else -1


def true_visits(film: TrueFilm, polygon: Polygon) -> list[Visit]:
    """Return the stays of true persons in a zone."""
    open_visits: dict[int, tuple[float, float]] = {}
    visits: list[Visit] = []
    for index, boxes in enumerate(film.boxes):
        t_s = index / FPS
        for person, box in boxes.items():
            side = side_of(polygon, box, film.aspect)
            if person in open_visits:
                begin_s, last_s = open_visits[person]
                if side >= 0:
                    open_visits[person] = (begin_s, t_s)
                elif t_s - last_s >= 0.5:
                    del open_visits[person]
                    visits.append(Visit(person, begin_s, last_s))
            elif side == 1:
                open_visits[person] = (t_s, t_s)
    visits += [Visit(person, *span) for person, span in open_visits.items()]
    return visits


TrackedPeople = Sequence[Mapping[int, int]]
"""By picture: the track of each true person that has one."""


def find_tracks(film: TrueFilm, results: Sequence[FrameResult]) -> TrackedPeople:
    """Return the track that overlaps each true person most, picture by picture."""
    found = []
    for boxes, result in zip(film.boxes, results, strict=False):
        of_person = {}
        for person, box in boxes.items():
            overlap, track_id = max(
                ((iou(track.box, box), track.id) for track in result.tracks), default=(0.0, 0)
            )
            if overlap >= SAME_PERSON_MIN_IOU:
                of_person[person] = track_id
        found.append(of_person)
    return found


def _tracks_in(visit: Visit, tracked: TrackedPeople) -> list[int | None]:
    """Return the track of the person in each picture of a visit."""
    first, last = round(visit.begin_s * FPS), round(visit.end_s * FPS)
    return [tracked[index].get(visit.person) for index in range(first, min(last + 1, len(tracked)))]


def score_people(cache: ResultCache, visits_wanted: int, seed: int) -> PeopleScore:
    """Add zones until there are as many visits as wanted, and score the rules about people in all of them."""
    film = read_truth()
    score = PeopleScore()
    zones = make_zones(seed)
    results = tuple(cache.results(FILM, b"forward", lambda: read_frames(FILM)))
    tracked = find_tracks(film, results)
    while score.visits < visits_wanted:
        polygons = {f"zone {n}": next(zones) for n in range(ZONES_PER_RUN)}
        scene = Scene(
            zone=tuple(
                Zone(
                    name=name,
                    polygon=polygon,
                    kind="carriageway",
                    labels=("person",),
                    dwell_after_s=DWELL_AFTER_S,
                    crowd_min_count=CROWD_COUNT,
                )
                for name, polygon in polygons.items()
            )
        )
        run = run_rules(scene, results)
        memory = TrackMemory(SceneGround(scene))
        occupancies = {zone.name: ZoneOccupancy(zone, memory) for zone in scene.zone}
        counts: dict[str, list[int]] = defaultdict(list)
        for result in results:
            memory.step(result)
            for name, occupancy in occupancies.items():
                occupancy.step(result.t_ns)
                counts[name].append(len(occupancy.visits))
        for name, polygon in polygons.items():
            visits = true_visits(film, polygon)
            events = [
                (t_s, event) for t_s, event in run.events if event.name == name and event.rev == 1
            ]
            walks = _score_walks(score, film, polygon, visits, _of(events, "person_on_carriageway"))
            _explain_walks(score, walks, tracked)
            dwells = _score_dwells(score, film, visits, _of(events, "dwell"))
            score.dwells_missed_changed += sum(
                len(set(_tracks_in(visit, tracked)) - {None}) > 1 for visit in dwells
            )
            _score_crowds(score, film, polygon, _of(events, "crowd"))
            _score_counts(score, film, polygon, counts[name], tracked)
    return score


def _of(events: Sequence[tuple[float, Event]], kind: str) -> list[tuple[float, Event]]:
    return [(t_s, event) for t_s, event in events if event.kind == kind]


def _person_of(film: TrueFilm, t_s: float, event: Event) -> int | None:
    """Return the true person that an event's box is of."""
    boxes = film.boxes[min(len(film.boxes) - 1, round(t_s * FPS))]
    if event.box is None or not boxes:
        return None
    overlap, person = max((iou(box, event.box), person) for person, box in boxes.items())
    return person if overlap >= SAME_PERSON_MIN_IOU else None


def _score_walks(
    score: PeopleScore,
    film: TrueFilm,
    polygon: Polygon,
    visits: Sequence[Visit],
    events: Sequence[tuple[float, Event]],
) -> list[Visit]:
    """Score the visits of people, and return those that were missed."""
    named: Counter[Visit] = Counter()
    for t_s, event in events:
        score.events += 1
        person = _person_of(film, t_s, event)
        own = [v for v in visits if v.person == person and v.begin_s <= t_s <= v.end_s + LATE_S]
        if own:
            named[own[-1]] += 1
            continue
        box = (
            None
            if person is None
            else film.boxes[min(len(film.boxes) - 1, round(t_s * FPS))][person]
        )
        if box is None or side_of(polygon, box, film.aspect) < 0:
            score.false_events += 1
            score.false_outside += box is not None
    sure = [visit for visit in visits if visit.duration_s >= MIN_VISIT_S]
    score.visits += len(sure)
    score.visits_found += sum(visit in named for visit in sure)
    score.repeated_events += sum(count - 1 for count in named.values())
    return [visit for visit in sure if visit not in named]


def _explain_walks(score: PeopleScore, missed: Sequence[Visit], tracked: TrackedPeople) -> None:
    """Count what missed visits have in common."""
    for visit in missed:
        tracks = _tracks_in(visit, tracked)
        if sum(track is None for track in tracks) * 2 >= len(tracks):
            score.visits_missed_untracked += 1
        elif visit.duration_s < SHORT_VISIT_S:
            score.visits_missed_short += 1


def _score_dwells(
    score: PeopleScore,
    film: TrueFilm,
    visits: Sequence[Visit],
    events: Sequence[tuple[float, Event]],
) -> list[Visit]:
    """Score the stays of people, and return those that were missed."""
    sure = [visit for visit in visits if visit.duration_s >= DWELL_AFTER_S + 1]
    maybe = [visit for visit in visits if visit.duration_s >= DWELL_AFTER_S - 1]
    found: set[Visit] = set()
    for t_s, event in events:
        score.dwell_events += 1
        person = _person_of(film, t_s, event)
        own = [v for v in maybe if v.person == person and v.begin_s <= t_s <= v.end_s + LATE_S]
        found.update(own)
        score.false_dwells += not own
    score.dwells += len(sure)
    score.dwells_found += len(found.intersection(sure))
    return [visit for visit in sure if visit not in found]


def _score_crowds(
    score: PeopleScore, film: TrueFilm, polygon: Polygon, events: Sequence[tuple[float, Event]]
) -> None:
    """A run is a time in which surely enough people are in the zone; the people at its edge may count or not."""
    sure, maybe = [], []
    for boxes in film.boxes:
        sides = [side_of(polygon, box, film.aspect) for box in boxes.values()]
        sure.append(sides.count(1) >= CROWD_COUNT)
        maybe.append(sides.count(1) + sides.count(0) >= CROWD_COUNT)
    runs = [run for run in _runs(sure, gap_s=CROWD_GAP_S) if run[1] - run[0] >= CROWD_AFTER_S]
    possible = _runs(maybe, gap_s=CROWD_GAP_S)
    times = [t_s for t_s, _ in events]
    for begin_s, end_s in runs:
        score.crowds += 1
        score.crowds_once += sum(begin_s <= t_s <= end_s + LATE_S for t_s in times) == 1
    score.extra_crowds += sum(
        not any(begin_s <= t_s <= end_s + LATE_S for begin_s, end_s in possible) for t_s in times
    )


def _runs(holds: Sequence[bool], gap_s: float) -> list[tuple[float, float]]:
    """Return the spans in which a condition holds; nearer ones than `gap_s` are one."""
    spans: list[tuple[float, float]] = []
    for index, is_held in enumerate(holds):
        t_s = index / FPS
        if not is_held:
            continue
        if spans and t_s - spans[-1][1] <= gap_s:
            spans[-1] = (spans[-1][0], t_s)
        else:
            spans.append((t_s, t_s))
    return spans


def _score_counts(
    score: PeopleScore,
    film: TrueFilm,
    polygon: Polygon,
    counts: Sequence[int],
    tracked: TrackedPeople,
) -> None:
    changed_index = -math.inf
    for index, (boxes, count, tracks) in enumerate(zip(film.boxes, counts, tracked, strict=False)):
        sides = {person: side_of(polygon, box, film.aspect) for person, box in boxes.items()}
        if 0 in sides.values():
            changed_index = index
            continue
        is_changing = index - changed_index <= CHANGE_S * FPS
        inside = [person for person, side in sides.items() if side == 1]
        is_untracked = any(person not in tracks for person in inside)
        score.pictures += 1
        if (count > 0) == bool(inside):
            score.present_right += 1
        else:
            score.present_wrong_untracked += is_untracked
            score.present_wrong_changing += is_changing and not is_untracked
        if count == len(inside):
            score.count_right += 1
        else:
            score.count_wrong_untracked += is_untracked
            score.count_wrong_changing += is_changing and not is_untracked
