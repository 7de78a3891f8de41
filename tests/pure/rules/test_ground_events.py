"""Events of a calibrated scene: place, speed and heading on the ground."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.base.model import Event, GroundMotion, Label
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene, SceneLine, Zone
from agent.reporting import outgoing_messages
from centre.onvif_messages import iter_onvif_messages
from drivers.media import Point
from tests.fleet_messages import NOW
from tests.pure.rules.scripted_tracks import event_names, id_maker
from tests.pure.rules.street_ground import (
    STREET_MARKS,
    VIEW,
    Place,
    Trajectory,
    along,
    point_at,
    street_results,
)
from tests.pure.test_onvif_messages import event_message

LANE: tuple[Point, ...] = tuple(
    point_at(x, y) for x, y in ((0.2, 12.0), (3.6, 12.0), (3.6, 50.0), (0.2, 50.0))
)
NEAR_LINE = SceneLine(
    name="near", start=point_at(-5.6, 22.0), to=point_at(5.6, 22.0), events=True, labels=("car",)
)


def scene(*zones: Zone, line: SceneLine | None = None, calibrated: bool = True) -> Scene:
    return Scene(
        line=() if line is None else (line,),
        zone=zones,
        ground=STREET_MARKS if calibrated else None,
    )


def lane(**keys: Any) -> Zone:
    return Zone(
        **({"name": "lane", "polygon": LANE, "kind": "carriageway", "events": False} | keys)
    )


PLAIN_PICTURE = np.full((90, 160), 128, np.uint8)
"""A picture that shows nothing: these road users have no place in it."""


def run(
    scene: Scene,
    trajectories: list[Trajectory],
    *,
    seconds: float = 6.0,
    label: Label = "car",
    is_stale: Callable[[], bool] = lambda: False,
    size_px: tuple[int, int] = (VIEW.width_px, VIEW.height_px),
) -> list[Event]:
    engine = RuleEngine("north", scene, id_maker(), is_stale)
    road_users = [(trajectory, label) for trajectory in trajectories]
    results = street_results(road_users, seconds, size_px, (PLAIN_PICTURE,))
    events = [event for result in results for event in engine.evaluate(result)]
    return [event for event in events if not event.kind.startswith("view_")]


def test_a_crossing_says_where_how_fast_and_which_way() -> None:
    (event,) = run(scene(line=NEAR_LINE), [along(12.0, 5.0)], seconds=4)
    assert isinstance(event.ground, GroundMotion)
    assert event.ground.speed_km_h == pytest.approx(18, abs=0.3)
    assert event.ground.heading_deg == pytest.approx(0, abs=0.5)
    assert event.ground.x_m == pytest.approx(1.9, abs=0.05)
    # The line is crossed by the middle of the box, whose foot is nearer to the camera.
    assert 17 < event.ground.y_m < 22
    assert event.view_limits == ()


@pytest.mark.parametrize("why", ["not calibrated", "stale"])
def test_without_a_calibration_in_force_an_event_says_nothing_of_the_ground(why: str) -> None:
    calibrated = why == "stale"
    (event,) = run(
        scene(line=NEAR_LINE, calibrated=calibrated),
        [along(12.0, 5.0)],
        seconds=4,
        is_stale=lambda: True,
    )
    assert (event.ground, event.view_limits) == (msgspec.UNSET, msgspec.UNSET)


def test_an_event_that_outlives_its_calibration_says_no_more_of_the_ground() -> None:
    stale: list[bool] = []
    zone = lane(labels=("car",), stopped_after_s=2)
    begin, update = run(
        scene(zone), [lambda _t_s: (1.9, 20.0)], seconds=66, is_stale=lambda: bool(stale)
    )[:2]
    assert (begin.phase, update.phase) == ("begin", "update")
    assert isinstance(begin.ground, GroundMotion)
    assert begin.ground.heading_deg is None
    stale.append(True)
    stale_after = run(scene(zone), [lambda _t_s: (1.9, 20.0)], is_stale=lambda: bool(stale))
    assert stale_after[0].ground is msgspec.UNSET


@pytest.mark.parametrize(
    ("speed_km_h", "label", "queueing"),
    [
        (4.0, "car", True),
        (6.0, "car", False),
        (4.0, "motorcycle", True),
        (6.0, "motorcycle", False),
    ],
)
def test_a_queue_creeps_at_less_than_five_kilometres_an_hour_whatever_the_vehicle(
    speed_km_h: float, label: Label, queueing: bool
) -> None:
    queue = lane(kind="queue", queue_min_count=2)
    speed_m_s = speed_km_h / 3.6
    found = run(
        scene(queue), [along(15.0, speed_m_s), along(21.0, speed_m_s)], label=label, seconds=7
    )
    assert event_names(found) == (["queue begin"] if queueing else [])


def slanted(t_s: float) -> Place:
    """Back towards the camera and across: on the picture more across than back."""
    return 7.0 - 1.6 * t_s, 34.0 - 3.2 * t_s


@pytest.mark.parametrize(("calibrated", "found"), [(True, ["wrong_way begin"]), (False, [])])
def test_a_way_that_the_picture_foreshortens_is_judged_on_the_ground(
    calibrated: bool, found: list[str]
) -> None:
    """At 30 m a metre across is four times as long as one along: 153 degrees off the lane look like 110."""
    wide = tuple(point_at(x, y) for x, y in ((-6.0, 12.0), (8.0, 12.0), (8.0, 45.0), (-6.0, 45.0)))
    zone = lane(polygon=wide, labels=("car",), direction_deg=90)
    events = run(scene(zone, calibrated=calibrated), [slanted], seconds=6)
    assert event_names(events) == found


def test_the_lawful_way_is_not_the_wrong_one_on_the_ground() -> None:
    polygon = (point_at(0.2, 9.5), point_at(3.6, 9.5), *LANE[2:])
    zone = lane(labels=("car",), direction_deg=90, polygon=polygon)
    assert run(scene(zone), [along(14.0, 4.0)], seconds=8) == []
    (event,) = run(scene(zone), [along(48.0, -5.5)], seconds=6.7)
    assert event.kind == "wrong_way"
    assert isinstance(event.ground, GroundMotion)
    assert event.ground.heading_deg == pytest.approx(180, abs=1)


def test_the_message_of_an_event_and_its_onvif_form_have_the_speed() -> None:
    motion = GroundMotion(
        x_m=1.9,
        y_m=16.0,
        error_m=0.2,
        speed_km_h=36.0,
        speed_error_km_h=0.4,
        heading_deg=0.0,
    )
    message = event_message(
        "line",
        "moment",
        name="near",
        label="car",
        track=7,
        score=0.81,
        ground=motion,
        view_limits=("small",),
    )
    encoded = msgspec.json.decode(msgspec.json.encode(message.data))
    assert encoded["ground"] == {
        "x_m": 1.9,
        "y_m": 16.0,
        "error_m": 0.2,
        "speed_km_h": 36.0,
        "speed_error_km_h": 0.4,
        "heading_deg": 0.0,
    }
    assert encoded["view_limits"] == ["small"]
    (converted,) = iter_onvif_messages(message)
    # ONVIF counts in metres per second.
    assert converted.payload["Data"]["Object"]["Object"]["Behaviour"] == {"Speed": 10.0}
    unmeasured = event_message("line", "moment", name="near", label="car", track=7, score=0.81)
    (converted,) = iter_onvif_messages(unmeasured)
    assert "Behaviour" not in converted.payload["Data"]["Object"]["Object"]
    bare = outgoing_messages.build_event_data(
        Event(event="e", rev=1, kind="line", phase="moment", camera="c", t_ns=1, begin_ns=1),
        begin=NOW,
    )
    assert not {"ground", "view_limits"} & set(msgspec.json.decode(msgspec.json.encode(bare)))
