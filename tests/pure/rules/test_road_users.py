"""The track memory: a road user that was hidden and has a new id of the tracker is the same."""

import pytest

from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.scene import Scene
from tests.pure.rules.scripted_tracks import ScriptedRoadUser, frame_results, straight_path


def numbers_by_track(*road_users: ScriptedRoadUser, end_s: float = 12) -> dict[int, int]:
    """The number of the road user that each track was given to."""
    memory = TrackMemory(SceneGround(Scene()))
    numbers: dict[int, int] = {}
    for result in frame_results(road_users, end_s):
        memory.step(result)
        for user in memory:
            if user.is_visible:
                numbers.setdefault(user.track.id, user.id)
    return numbers


def shown(track: int, *points: tuple[float, float, float], **more: object) -> ScriptedRoadUser:
    """A track that the tracker reports 0.3 s after its first detection."""
    way = straight_path(*points)
    return ScriptedRoadUser(way, track=track, confirmed_from_s=points[0][0] + 0.3, **more)


@pytest.mark.parametrize("hidden_s", [0.1, 0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("speed", [0.02, 0.1, 0.2])
def test_a_moving_road_user_is_expected_where_its_way_leads(hidden_s: float, speed: float) -> None:
    x, again_s = 0.1 + 2 * speed, 2 + hidden_s
    again_x = x + hidden_s * speed
    tracks = numbers_by_track(
        shown(1, (0, 0.1, 0.5), (2, x, 0.5)),
        shown(2, (again_s, again_x, 0.5), (again_s + 1, again_x + speed, 0.5)),
    )
    assert tracks == {1: 1, 2: 1}


def test_it_may_turn_and_brake_while_it_is_hidden() -> None:
    tracks = numbers_by_track(
        shown(1, (0, 0.1, 0.5), (2, 0.5, 0.5)),
        shown(2, (3, 0.6, 0.55), (5, 0.7, 0.75)),
    )
    assert tracks == {1: 1, 2: 1}


def test_a_stationary_one_is_expected_where_it_was() -> None:
    tracks = numbers_by_track(
        shown(
            1,
            (0, 0.1, 0.5),
            (1, 0.5, 0.5),
            (5, 0.5, 0.5),
            drawn_at=straight_path((0, 0.1, 0.5), (1, 0.5, 0.5), (9.9, 0.5, 0.5)),
        ),
        shown(2, (10, 0.5, 0.5), (11, 0.51, 0.5), look=1),
    )
    assert tracks == {1: 1, 2: 1}


@pytest.mark.parametrize(
    "other",
    [
        shown(2, (2.5, 0.55, 0.5), (4, 0.25, 0.5)),
        shown(2, (2.5, 0.4, 0.5), (4, 0.7, 0.5)),
        shown(2, (2.5, 0.6, 0.65), (4, 0.9, 0.65)),
        shown(2, (2.5, 0.6, 0.5), (4, 0.9, 0.5), label="person"),
        shown(2, (2.5, 0.6, 0.5), (4, 0.9, 0.5), box=(0.22, 0.22)),
        shown(2, (5, 1.1, 0.5), (7, 1.5, 0.5)),
    ],
    ids=["comes towards it", "follows it", "other lane", "on foot", "much larger", "too late"],
)
def test_another_road_user_is_not_taken_for_it(other: ScriptedRoadUser) -> None:
    assert numbers_by_track(shown(1, (0, 0.1, 0.5), (2, 0.5, 0.5)), other) == {1: 1, 2: 2}


def test_of_two_that_were_hidden_each_keeps_its_number() -> None:
    tracks = numbers_by_track(
        shown(1, (0, 0.1, 0.5), (2, 0.5, 0.5)),
        shown(2, (0, 0.9, 0.55), (2, 0.5, 0.55)),
        shown(3, (2.8, 0.34, 0.55), (4, 0.1, 0.55)),
        shown(4, (2.8, 0.66, 0.5), (4, 0.9, 0.5)),
    )
    assert tracks == {1: 1, 2: 2, 3: 2, 4: 1}
