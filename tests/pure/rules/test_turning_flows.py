"""Turning flows: from a line or zone to another, through the whole engine."""

from collections.abc import Iterable

import pytest

from agent.base.model import FlowCounts, Label
from agent.detection.flow_counter import MAX_TRIP_NS
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene, SceneFlow, SceneLine, Zone
from drivers.media import NS_PER_S, Point
from tests.pure.rules.scripted_tracks import (
    ScriptedRoadUser,
    Trajectory,
    frame_results,
    id_maker,
    straight_path,
)

WEST = SceneLine(name="west", start=Point(0.2, 0.95), to=Point(0.2, 0.05))
EAST = SceneLine(name="east", start=Point(0.8, 0.05), to=Point(0.8, 0.95))
NORTH = Zone(
    name="north", polygon=(Point(0.35, 0), Point(0.65, 0), Point(0.65, 0.2), Point(0.35, 0.2))
)
FLOWS = (
    SceneFlow(name="through", origin="west", destination="east"),
    SceneFlow(name="back", origin="east", destination="west"),
    SceneFlow(name="left turn", origin="west", destination="north"),
    SceneFlow(name="right turn", origin="north", destination="west"),
)
JUNCTION = Scene(line=(WEST, EAST), zone=(NORTH,), flow=FLOWS)

THROUGH = straight_path((0, 0.05, 0.5), (9, 0.95, 0.5))
LEFT = straight_path((0, 0.05, 0.5), (4, 0.5, 0.5), (8, 0.5, 0.05))


def minutes(
    road_users: Iterable[ScriptedRoadUser],
    end_s: float,
    scene: Scene = JUNCTION,
    step_ns: int = NS_PER_S // 10,
) -> list[dict[str, dict[Label, int]]]:
    """The flows that are not empty, of each minute."""
    engine = RuleEngine("north", scene, id_maker())
    closed = []
    t_ns = 0
    for result in frame_results(road_users, end_s, step_ns):
        t_ns = result.t_ns
        closed += engine.completed_counts(t_ns)
        engine.evaluate(result)
    closed += engine.flush_counts(t_ns)
    return [{flow.name: flow.counts for flow in minute.flows if flow.counts} for minute in closed]


@pytest.mark.parametrize(
    ("way", "cell"),
    [
        (THROUGH, "through"),
        (straight_path((0, 0.95, 0.5), (9, 0.05, 0.5)), "back"),
        (LEFT, "left turn"),
        (straight_path((0, 0.5, 0.05), (4, 0.5, 0.5), (8, 0.05, 0.5)), "right turn"),
    ],
)
def test_a_road_user_is_in_the_cell_of_its_way(way: Trajectory, cell: str) -> None:
    assert minutes([ScriptedRoadUser(way)], 10) == [{cell: {"car": 1}}]


def test_each_class_has_its_own_count() -> None:
    users = [
        ScriptedRoadUser(THROUGH, track=1, label="bus"),
        ScriptedRoadUser(LEFT, track=2),
        ScriptedRoadUser(straight_path((2, 0.05, 0.7), (9, 0.95, 0.7)), track=3, label="bicycle"),
    ]
    assert minutes(users, 10) == [{"through": {"bicycle": 1, "bus": 1}, "left turn": {"car": 1}}]


@pytest.mark.parametrize(
    "way",
    [
        straight_path((0, 0.5, 0.5), (9, 0.95, 0.5)),
        straight_path((0, 0.05, 0.5), (9, 0.6, 0.5)),
        straight_path((0, 0.05, 0.5), (4, 0.5, 0.5), (8, 0.05, 0.6)),
    ],
    ids=["began between", "ended between", "returned"],
)
def test_a_way_that_is_not_whole_is_in_no_cell(way: Trajectory) -> None:
    assert minutes([ScriptedRoadUser(way)], 10) == [{}]


@pytest.mark.parametrize(
    "way",
    [
        straight_path((0, 0.05, 0.5), (3, 0.4, 0.5), (6, 0.05, 0.5), (14, 0.95, 0.5)),
        straight_path((0, 0.05, 0.5), (8, 0.95, 0.5), (10, 0.6, 0.5), (13, 0.95, 0.5)),
    ],
    ids=["passes `from` twice", "passes `to` three times"],
)
def test_a_way_counts_once(way: Trajectory) -> None:
    assert minutes([ScriptedRoadUser(way)], 15) == [{"through": {"car": 1}}]


def test_the_same_road_user_counts_again_on_its_next_way() -> None:
    way = straight_path((0, 0.05, 0.5), (7, 0.95, 0.5), (14, 0.05, 0.5), (21, 0.95, 0.5))
    assert minutes([ScriptedRoadUser(way)], 22) == [{"through": {"car": 2}, "back": {"car": 1}}]


def test_it_counts_in_the_minute_in_which_the_way_became_certain() -> None:
    way = straight_path((55, 0.05, 0.5), (62, 0.95, 0.5))
    assert minutes([ScriptedRoadUser(way)], 65) == [{}, {"through": {"car": 1}}]


def test_a_zone_that_is_certain_after_the_line_behind_it_is_passed_first() -> None:
    """A road user is in a zone after 0.3 s there; the line in it is crossed before that."""
    inner = SceneLine(name="inner", start=Point(0.4, 0.1), to=Point(0.6, 0.1))
    scene = Scene(
        zone=(NORTH,),
        line=(inner,),
        flow=(
            SceneFlow(name="in", origin="north", destination="inner"),
            SceneFlow(name="out", origin="inner", destination="north"),
        ),
    )
    user = ScriptedRoadUser(straight_path((0, 0.5, 0.9), (2, 0.5, -0.1)), box=(0.04, 0.04))
    assert minutes([user], 3, scene) == [{"in": {"car": 1}}]


@pytest.mark.parametrize(("waits_s", "counts"), [(-20, [{"through": {"car": 1}}]), (20, [])])
def test_a_road_user_that_parked_on_its_way_is_in_no_cell(
    waits_s: float, counts: list[dict[str, dict[Label, int]]]
) -> None:
    until_s = 4 + MAX_TRIP_NS / NS_PER_S + waits_s
    way = straight_path(
        (0, 0.05, 0.5), (4, 0.5, 0.5), (until_s, 0.5, 0.5), (until_s + 4, 0.95, 0.5)
    )
    found = minutes([ScriptedRoadUser(way)], until_s + 5, step_ns=NS_PER_S // 4)
    assert [minute for minute in found if minute] == counts


def test_a_new_id_of_the_tracker_does_not_end_a_way() -> None:
    first = ScriptedRoadUser(straight_path((0, 0.05, 0.5), (5, 0.55, 0.5)), track=1)
    second = ScriptedRoadUser(straight_path((5.1, 0.56, 0.5), (9, 0.95, 0.5)), track=2)
    assert minutes([first, second], 10) == [{"through": {"car": 1}}]


def test_a_flow_counts_its_own_labels_only() -> None:
    flow = SceneFlow(name="through", origin="west", destination="east", labels=("bus", "truck"))
    scene = Scene(line=(WEST, EAST), flow=(flow,))
    users = [ScriptedRoadUser(THROUGH), ScriptedRoadUser(LEFT, track=2, label="bus")]
    users.append(
        ScriptedRoadUser(straight_path((0, 0.05, 0.7), (9, 0.95, 0.7)), track=3, label="bus")
    )
    assert minutes(users, 10, scene) == [{"through": {"bus": 1}}]


def test_each_minute_has_the_whole_matrix_with_its_origins_and_destinations() -> None:
    engine = RuleEngine("north", JUNCTION, id_maker())
    for result in frame_results([], 1):
        engine.evaluate(result)
    (minute,) = engine.flush_counts(NS_PER_S)
    assert minute.flows == tuple(
        FlowCounts(name=flow.name, origin=flow.origin, destination=flow.destination, counts={})
        for flow in FLOWS
    )


def test_nothing_is_kept_of_a_road_user_that_is_forgotten() -> None:
    engine = RuleEngine("north", JUNCTION, id_maker())
    users = [
        ScriptedRoadUser(straight_path((at_s, 0.05, 0.5), (at_s + 3, 0.6, 0.5)), track=at_s)
        for at_s in range(1, 40)
    ]
    most = 0
    for result in frame_results(users, 50):
        engine.evaluate(result)
        most = max(most, len(engine._flow_counter._trips))
    assert 2 <= most <= 6
    assert not engine._flow_counter._trips
