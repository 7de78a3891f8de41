"""agent.detection.rules.person_on_carriageway."""

import pytest

from tests.pure.rules.scripted_tracks import (
    ScriptedRoadUser,
    event_names,
    run_rules,
    straight_path,
    zone_scene,
)

ROAD = zone_scene(kind="carriageway")
WALKS = straight_path((0, 0.2, 0.6), (4, 0.7, 0.6), (10, 0.9, 0.6), (14, 0.3, 0.6), (16, 0.3, 0.6))
STANDS = straight_path((0, 0.7, 0.6), (10, 0.7, 0.6))


def person(**keys: object) -> ScriptedRoadUser:
    return ScriptedRoadUser(
        **({"position_at": STANDS, "label": "person", "box": (0.04, 0.16)} | keys)
    )


def test_a_person_on_a_carriageway_is_reported_after_a_second() -> None:
    events = run_rules(ROAD, [person(position_at=WALKS)], 18)
    assert event_names(events) == ["person_on_carriageway begin", "person_on_carriageway end"]
    assert events[0].t_ns == pytest.approx(3.5e9, abs=4e8)


def test_a_person_along_the_kerb_is_one_event_until_they_have_left_for_two_seconds() -> None:
    # Four seconds on the carriageway and one on the pavement, in turns.
    turns = [(0, 0.56), (3.9, 0.56), (4.1, 0.44), (4.9, 0.44)]
    steps = [(5 * n + t_s, x, 0.6) for n in range(5) for t_s, x in turns]
    along = straight_path(*steps, (40, 0.44, 0.6))
    events = run_rules(ROAD, [person(position_at=along)], 40)
    assert event_names(events) == ["person_on_carriageway begin", "person_on_carriageway end"]
    assert events[1].t_ns == pytest.approx(24e9, abs=3e8)
    turns = [(0, 0.56), (3.9, 0.56), (4.1, 0.44), (6.9, 0.44)]
    steps = [(7 * n + t_s, x, 0.6) for n in range(2) for t_s, x in turns]
    events = run_rules(ROAD, [person(position_at=straight_path(*steps))], 13)
    assert [event.phase for event in events] == ["begin", "end", "begin", "end"]


def test_a_zone_without_the_label_person_ignores_people() -> None:
    assert run_rules(zone_scene(kind="carriageway", labels=("car",)), [person()], 10) == []


@pytest.mark.parametrize(
    ("why", "other"),
    [
        (
            "rides a bicycle",
            ScriptedRoadUser(
                straight_path((0, 0.7, 0.66), (10, 0.7, 0.66)), track=2, label="bicycle"
            ),
        ),
        (
            "sits in a bus",
            ScriptedRoadUser(
                straight_path((0, 0.7, 0.6), (10, 0.7, 0.6)), track=2, label="bus", box=(0.3, 0.4)
            ),
        ),
    ],
)
def test_a_rider_or_driver_is_not_on_foot(why: str, other: ScriptedRoadUser) -> None:
    assert run_rules(ROAD, [person(), other], 10) == [], why


@pytest.mark.parametrize(
    ("why", "other"),
    [
        (
            "stands before a car",
            ScriptedRoadUser(
                straight_path((0, 0.7, 0.55), (10, 0.7, 0.55)), track=2, box=(0.2, 0.2)
            ),
        ),
        (
            "stands beside a bicycle",
            ScriptedRoadUser(
                straight_path((0, 0.78, 0.66), (10, 0.78, 0.66)), track=2, label="bicycle"
            ),
        ),
    ],
)
def test_a_person_near_a_vehicle_is_on_foot(why: str, other: ScriptedRoadUser) -> None:
    assert event_names(run_rules(ROAD, [person(), other], 10)) == ["person_on_carriageway begin"], (
        why
    )


def test_a_passing_bicycle_does_not_end_the_event() -> None:
    passing = ScriptedRoadUser(
        straight_path((4, 0.5, 0.66), (6, 0.9, 0.66)), track=2, label="bicycle"
    )
    assert event_names(run_rules(ROAD, [person(), passing], 10)) == ["person_on_carriageway begin"]
