"""agent.detection.rules.parked."""

from datetime import datetime, timedelta

import msgspec
import pytest

from agent.base.model import Event
from agent.detection.rule_engine import RuleEngine
from tests.pure.rules.scripted_tracks import (
    ScriptedRoadUser,
    event_names,
    frame_results,
    id_maker,
    run_rules,
    straight_path,
    with_jitter,
    zone_scene,
)

PARKS = straight_path((0, 0.2, 0.5), (4, 0.7, 0.5), (90, 0.7, 0.5), (94, 0.95, 0.5))
NO_PARKING = {"events": False, "parked_after_s": 60}
EVENING = datetime(2026, 11, 30, 21, 59)  # noqa: DTZ001 - a wall clock


def run_from(local: datetime, user: ScriptedRoadUser, end_s: float) -> list[Event]:
    """Return the events of a zone in which parking is forbidden from 22:00, from a time of the wall clock on."""
    rule_engine = RuleEngine("north", zone_scene(**NO_PARKING, hours=("22:00-06:00",)), id_maker())
    return [
        event
        for result in frame_results([user], end_s, step_ns=10**9)
        for event in rule_engine.evaluate(
            msgspec.structs.replace(
                result, local_time=local + timedelta(microseconds=result.t_ns // 1000)
            )
        )
    ]


def test_a_vehicle_that_stands_for_long_enough_is_parked() -> None:
    begin, end = run_rules(
        zone_scene(**NO_PARKING), [ScriptedRoadUser(with_jitter(PARKS, 0.003))], 96
    )
    assert event_names([begin, end]) == ["parked begin", "parked end"]
    assert begin.t_ns == pytest.approx(64e9, abs=1e9)
    assert end.t_ns == pytest.approx(90e9, abs=1.5e9)


def test_a_parked_vehicle_that_traffic_hides_is_not_named_again() -> None:
    before = ScriptedRoadUser(straight_path((0, 0.7, 0.5), (70, 0.7, 0.5)))
    after = ScriptedRoadUser(straight_path((76, 0.7, 0.5), (110, 0.7, 0.5)), track=9, look=1)
    lorry = straight_path((67, 0.1, 0.5), (79, 1.3, 0.5))
    passes = ScriptedRoadUser(lorry, track=5, label="truck", box=(0.4, 0.2))
    events = run_rules(zone_scene(**NO_PARKING), [before, after, passes], 110)
    assert event_names(events) == ["parked begin"]


@pytest.mark.parametrize(
    ("why", "until_s", "label"),
    [("it leaves before", 50, "car"), ("it is a person", 90, "person")],
)
def test_others_are_not(why: str, until_s: float, label: str) -> None:
    way = straight_path((0, 0.7, 0.5), (until_s, 0.7, 0.5), (until_s + 2, 0.95, 0.5))
    assert run_rules(zone_scene(**NO_PARKING), [ScriptedRoadUser(way, label=label)], 100) == [], why


def test_the_time_before_the_hours_does_not_count() -> None:
    stands = ScriptedRoadUser(straight_path((0, 0.7, 0.5), (200, 0.7, 0.5)))
    (begin,) = run_from(EVENING, stands, 150)
    assert begin.t_ns == pytest.approx(120e9, abs=1e9)
    assert begin.duration_s == pytest.approx(60.0, abs=0.001)
