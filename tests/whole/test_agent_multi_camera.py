"""The whole agent with two fixed cameras on one pole: a car that passes both views is counted once between them."""

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.base.model import FlowCounts, TrafficCounts
from agent.reporting.payloads import EventMessage, TrafficCountsMessage
from bench.multi_camera_tracking import PAN_DEG, SIDES, make_view
from centre.client import ReceivedMessage
from simulation.street.renderer import bgr_to_planes
from simulation.street.road_users import draw_road_user
from simulation.street.world import LANE_M, new_car
from simulation.surround.panned_view import PannedView, visible_road_users
from simulation.surround.surround_renderer import SurroundRenderer
from tests.parts.test_multi_camera_config import scene_text
from tests.whole.drawn_clip import Planes, write_film
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import AgentBox, RunningCentre

SIZE_PX = (640, 360)
FPS = 5
SPEED_M_S, WAY_M = 2.5, 28.0
"""Slow: on a busy machine the two films begin a moment apart, and a road user that is elsewhere by some metres is another.
It also detects less often than five times a second.
"""
FILM_S = 2 * WAY_M / SPEED_M_S + 4.0
"""The street is empty for two seconds before the car comes, and after it has left."""
NORTH = """driver = "replay"
record = false
options = { path = "north.mp4", loop = true }
"""
SOUTH_AND_FLOW = """
[[camera]]
name = "south"
driver = "replay"
record = false
options = { path = "south.mp4", loop = true }
detect = { scene = "south.toml" }
[multi_camera_tracking]
cameras = ["south", "north"]
[[multi_camera_tracking.flow]]
name = "northwards"
from = { camera = "south", name = "gate" }
to = { camera = "north", name = "gate" }
"""


def iter_pictures(renderer: SurroundRenderer, view: PannedView) -> Iterator[Planes]:
    """One car drives north past the pole."""
    street = renderer.render_static(view)
    for number in range(round(FILM_S * FPS)):
        picture = street.copy()
        z_m = SPEED_M_S * (number / FPS - FILM_S / 2)
        car = new_car(random.Random(1), 1, LANE_M, z_m, 1, "driving")
        for one in visible_road_users([car] if abs(z_m) < WAY_M else [], view):
            draw_road_user(picture, one.view, one.road_user)
        yield bgr_to_planes(renderer.effects.apply(picture, number, lambda _picture: None))


def northwards(received: list[ReceivedMessage]) -> list[tuple[TrafficCounts, FlowCounts]]:
    """The minutes of the camera to the north, each with its flow from the other one."""
    found = (one.message for one in received)
    minutes = [one.data for one in found if isinstance(one, TrafficCountsMessage)]
    return [(one, one.flows[0]) for one in minutes if one.camera == "north"]


def crossings(received: list[ReceivedMessage], camera: str) -> int:
    found = (one.message for one in received)
    events = [one.data for one in found if isinstance(one, EventMessage)]
    return sum(1 for one in events if (one.camera, one.kind) == (camera, "line"))


@pytest.fixture
def box(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[AgentBox]:
    box = AgentBox(tmp_path / "box", mosquitto.url, NORTH)
    configuration = box.folder / "vigie.toml"
    configuration.write_text(configuration.read_text() + SOUTH_AND_FLOW)
    renderer = SurroundRenderer(*SIZE_PX, px_per_deg=5.0)
    for name, side in SIDES.items():
        view = msgspec.structs.replace(
            make_view(PAN_DEG["next to each other"], side),
            width_px=SIZE_PX[0],
            height_px=SIZE_PX[1],
        )
        write_film(box.folder / f"{name}.mp4", iter_pictures(renderer, view), FPS)
        scene = box.folder / ("scene.toml" if name == "north" else f"{name}.toml")
        scene.write_text(scene_text(side).replace("[[line]]", "[[line]]\nevents = true"))
    yield box
    box.kill()


def test_a_car_that_passes_two_cameras_is_counted_once_between_them_until_one_of_them_is_lost(
    box: AgentBox, centre: RunningCentre
) -> None:
    def counted(received: list[ReceivedMessage]) -> bool:
        return any(
            flow.counts and "camera_lost" not in flow.untrusted_reasons
            for _, flow in northwards(received)
        )

    box.start()
    received = centre.wait_for(counted, "a car in the flow")
    minutes = northwards(received)
    assert {(flow.from_camera, flow.name) for _, flow in minutes} == {("south", "northwards")}
    in_flow = sum(sum(flow.counts.values()) for _, flow in minutes)
    at_gate = sum(
        count
        for minute, _ in minutes
        for line in minute.lines
        for labels in line.counts.values()
        for count in labels.values()
    )
    assert 1 <= in_flow <= at_gate
    assert crossings(received, "south") >= in_flow

    (box.folder / "south.mp4").unlink()
    received = centre.wait_for(
        lambda all_: "camera_lost" in northwards(all_)[-1][1].untrusted_reasons,
        "word of the loss in the flow",
    )
    minute, flow = northwards(received)[-1]
    assert flow.trusted is False
    assert "camera_lost" not in minute.untrusted_reasons
    assert "Traceback" not in box.log
