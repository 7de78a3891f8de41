from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.detect.judge import Judge
from agent.detect.scene import Scene
from agent.model import Flow, Sight
from tests.pure.rules.street import S, Walker, line, new_id, path, sights, zone

SCENE = Scene(line=line(each=False).line, zone=zone(each=False).zone)


def flows(scene: Scene, seen: list[Sight]) -> list[Flow]:
    judge = Judge("north", scene, new_id())
    closed: list[Flow] = []
    for sight in seen:
        closed.extend(judge.flow(sight.t_ns))
        judge.judge(sight)
    closed.extend(judge.finish_flow(seen[-1].t_ns))
    return closed


def crossings_at(*seconds: float) -> list[Walker]:
    return [
        Walker(path((s - 2, 0.2, 0.5), (s + 2, 0.8, 0.5)), track=i + 1)
        for i, s in enumerate(seconds)
    ]


def test_a_minute_tells_who_crossed_each_line_which_way() -> None:
    walkers = [
        *crossings_at(10, 20, 30),
        Walker(path((40, 0.8, 0.5), (44, 0.2, 0.5)), track=8, label="bus"),
    ]
    (flow,) = flows(SCENE, list(sights(walkers, 55)))
    assert (flow.begin_ns, flow.end_ns, flow.watched_s) == (0, 55 * S, 55.0)
    assert flow.lines[0].counts == {"forward": {"car": 3}, "backward": {"bus": 1}}


def test_minutes_follow_each_other_and_count_nothing_twice() -> None:
    closed = flows(SCENE, list(sights(crossings_at(10, 59.9, 70, 130), 150)))
    assert [(flow.begin_ns // S, flow.end_ns // S) for flow in closed] == [
        (0, 60),
        (60, 120),
        (120, 150),
    ]
    assert sum(flow.lines[0].counts["forward"].get("car", 0) for flow in closed) == 4


def test_a_zone_tells_how_many_were_there_in_the_mean_and_at_most() -> None:
    walkers = [
        Walker(path((0, 0.7, 0.5), (60, 0.7, 0.5))),
        Walker(path((20, 0.7, 0.8), (40, 0.7, 0.8)), track=2, label="person"),
    ]
    flow = flows(SCENE, list(sights(walkers, 59)))[0]
    assert flow.zones[0].peak == {"car": 1, "person": 1}
    assert flow.zones[0].mean["car"] > 0.95
    assert abs(flow.zones[0].mean["person"] - 20 / 59) < 0.05


def test_what_was_not_watched_is_not_counted_as_watched() -> None:
    seen = [sight for sight in sights([], 59) if not 10 * S < sight.t_ns < 40 * S]
    (flow,) = flows(SCENE, seen)
    assert abs(flow.watched_s - 29) < 0.2


def test_minutes_in_which_nothing_was_watched_are_not_told() -> None:
    seen = [sight for sight in sights([], 250) if not 30 * S < sight.t_ns < 200 * S]
    assert [flow.begin_ns // S for flow in flows(SCENE, seen)] == [0, 180, 240]


def test_a_street_that_is_never_seen_has_no_minutes() -> None:
    judge = Judge("north", SCENE, new_id())
    assert judge.flow(100 * S) == ()
    assert judge.finish_flow(100 * S) == ()


@settings(max_examples=15)
@given(st.lists(st.floats(3, 125), max_size=6))
def test_the_minutes_add_up_to_the_events(seconds: list[float]) -> None:
    seen = list(sights(crossings_at(*seconds), 130, step_ns=S // 4))
    scene = line()
    judge = Judge("north", scene, new_id())
    counted = Counter(e.direction for sight in seen for e in judge.judge(sight) if e.kind == "line")
    told = Counter[str | None]()
    for flow in flows(scene, seen):
        for direction, labels in flow.lines[0].counts.items():
            told[direction] += sum(labels.values())
    assert +told == counted
