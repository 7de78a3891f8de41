"""bench.person_cases: true visits to a zone, and how events are compared with them."""

import itertools

from agent.base.model import BoundingBox
from bench import person_cases
from bench.person_cases import PeopleScore, TrueFilm, Visit
from drivers.media import Point
from tests.pure.rules.scripted_tracks import (
    ScriptedRoadUser,
    frame_results,
    run_rules,
    straight_path,
    zone_scene,
)

ZONE = (Point(0.5, 0.0), Point(1.0, 0.0), Point(1.0, 1.0), Point(0.5, 1.0))


def walker(*feet_x: float) -> list[BoundingBox]:
    """Boxes whose foot is at these places, one a picture."""
    return [BoundingBox(x - 0.025, 0.4, 0.05, 0.2) for x in feet_x]


def film(*people: list[BoundingBox]) -> TrueFilm:
    return TrueFilm(tuple(dict(enumerate(boxes, 1)) for boxes in zip(*people, strict=True)))


def test_a_visit_lasts_from_clear_inside_to_clear_outside() -> None:
    # Out, at the edge, in for 3 s, at the edge, out.
    places = [0.3] * 10 + [0.5] * 5 + [0.7] * 30 + [0.5] * 5 + [0.3] * 10
    (visit,) = person_cases.true_visits(film(walker(*places)), ZONE)
    assert (visit.begin_s, visit.end_s) == (1.5, 4.9)


def test_a_person_along_the_edge_makes_no_visit() -> None:
    assert person_cases.true_visits(film(walker(*[0.5] * 50)), ZONE) == []


def test_zones_are_seeded_and_lie_on_the_ground() -> None:
    first, again = (list(itertools.islice(person_cases.make_zones(seed=3), 20)) for _ in range(2))
    assert first == again
    assert first != list(itertools.islice(person_cases.make_zones(seed=4), 20))
    assert all(corner.y >= person_cases.GROUND[0].y for zone in first for corner in zone)


def score_walks(events_of: list[ScriptedRoadUser], truth: TrueFilm) -> PeopleScore:
    scene = zone_scene(kind="carriageway")
    events = run_rules(scene, events_of, len(truth.boxes) / person_cases.FPS)
    score = PeopleScore()
    visits = person_cases.true_visits(truth, ZONE)
    person_cases._score_walks(
        score, truth, ZONE, visits, [(e.t_ns / 1e9, e) for e in events if e.rev == 1]
    )
    return score


def person(x: float) -> ScriptedRoadUser:
    return ScriptedRoadUser(
        straight_path((0, x, 0.5), (10, x, 0.5)), label="person", box=(0.05, 0.2)
    )


def test_a_visit_with_an_event_of_its_person_is_found() -> None:
    score = score_walks([person(0.7)], film(walker(*[0.7] * 80)))
    assert (score.visits, score.visits_found, score.false_events) == (1, 1, 0)


def test_an_event_where_no_person_is_is_false_and_the_visit_is_missed() -> None:
    score = score_walks([person(0.9)], film(walker(*[0.6] * 80)))
    assert (score.visits, score.visits_found) == (1, 0)
    assert (score.false_events, score.false_outside) == (1, 0)


def test_an_event_of_a_person_out_of_the_zone_is_false() -> None:
    score = score_walks([person(0.53)], film(walker(*[0.46] * 80)))
    assert score.visits == 0
    assert (score.events, score.false_events) == (1, 1)


def test_tracks_are_those_that_overlap_a_person() -> None:
    truth = film(walker(*[0.7] * 5), walker(*[0.2] * 5))
    tracked = person_cases.find_tracks(truth, list(frame_results([person(0.7)], 0.4)))
    assert tracked[2] == {1: 1}
    visit = Visit(1, 0.0, 0.4)
    assert person_cases._tracks_in(visit, tracked) == [1] * 5


def test_runs_that_are_near_are_one() -> None:
    holds = [True] * 10 + [False] * 20 + [True] * 10 + [False] * 80 + [True] * 10
    assert person_cases._runs(holds, gap_s=5.0) == [(0.0, 3.9), (12.0, 12.9)]
