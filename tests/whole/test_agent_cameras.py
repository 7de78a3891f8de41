"""The whole agent on recorded and on streamed video."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from agent.base.model import GroundMotion
from agent.reporting.payloads import EventMessage, HealthMessage
from centre.client import ReceivedMessage
from tests.child_processes import child_commands
from tests.contracts.conftest import RtspServer, _missing_rtsp_reason
from tests.pure.rules.street_ground import street_ground_toml
from tests.whole.drawn_clip import write_street_clip
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import SCENE, AgentBox, RunningCentre, footage_bytes


@pytest.fixture
def street_camera() -> Iterator[RtspServer]:
    reason = _missing_rtsp_reason()
    if reason is not None:
        pytest.skip(reason)
    server = RtspServer()
    yield server
    server.kill()


def healths(received: list[ReceivedMessage]) -> list[HealthMessage]:
    return [h.message for h in received if isinstance(h.message, HealthMessage)]


def kinds(received: list[ReceivedMessage]) -> list[tuple[str, str]]:
    events = (h.message.data for h in received if isinstance(h.message, EventMessage))
    return [(event.kind, event.phase) for event in events]


def car_motions(received: list[ReceivedMessage]) -> list[GroundMotion]:
    """Motions of cars on the ground, in events."""
    events = (h.message.data for h in received if isinstance(h.message, EventMessage))
    grounds = (event.ground for event in events if event.label == "car")
    return [ground for ground in grounds if isinstance(ground, GroundMotion)]


def test_a_looped_video_is_detected_and_recorded(
    mosquitto: Mosquitto, centre: RunningCentre, tmp_path: Path
) -> None:
    write_street_clip(tmp_path / "street.mp4", 8.0)
    options = f'path = "{tmp_path / "street.mp4"}"\nloop = true'
    box = AgentBox(
        tmp_path / "box", mosquitto.url, f'driver = "replay"\n[camera.options]\n{options}'
    )
    (box.folder / "scene.toml").write_text(SCENE + street_ground_toml())
    box.start()
    try:
        centre.wait_for(lambda all_: kinds(all_).count(("line", "moment")) >= 5, "five crossings")
        centre.wait_for(lambda all_: bool(car_motions(all_)), "a car on the ground")
        centre.wait_for(lambda all_: healths(all_)[-1].data.uptime_s > 10, "second time around")
        received = centre.wait_for(lambda _: True, "")
        report = healths(received)[-1].data
    finally:
        box.kill()
    assert report.cameras[0].reconnects == 0
    # Line 5 has 4 pixels per metre: all road users are too small there.
    assert [fault.code for fault in report.faults] == ["CAM-09"]
    assert report.footage[0].gaps == 0
    # A busy machine may detect too seldom for a speed, which needs four places in two seconds; test_replay has it always.
    speeds_km_h = [one.speed_km_h for one in car_motions(received) if one.speed_km_h is not None]
    assert all(5 < speed < 60 for speed in speeds_km_h)
    ground = report.cameras[0].ground
    assert ground is not None
    assert (ground.error_m, ground.moved) == (0.0, None)
    assert "line 5" in [area.name for area in ground.low_density]
    assert "line 5" in [area.name for area in report.cameras[0].unsupported]
    (reference,) = (box.folder / "state" / "ground" / "north").iterdir()
    assert reference.suffix == ".json"


def test_an_rtsp_camera_with_two_streams_is_recorded_and_detected_until_it_disappears(
    mosquitto: Mosquitto, centre: RunningCentre, tmp_path: Path, street_camera: RtspServer
) -> None:
    url = street_camera.url("open")
    box = AgentBox(
        tmp_path / "box",
        mosquitto.url,
        f'driver = "rtsp"\noptions = {{ url = "{url}" }}\ndetect_options = {{ url = "{url}" }}',
    )
    box.start()
    try:
        centre.wait_for(
            lambda all_: any(
                (m.data.cameras[0].detect_fps or 0) > 3 and m.data.uptime_s > 5
                for m in healths(all_)
            ),
            "frames in health",
        )
        street_camera.kill()
        received = centre.wait_for(
            lambda all_: (
                ("camera_lost", "begin") in kinds(all_)
                and any(m.data.faults for m in healths(all_))
            ),
            "word of the loss",
        )
        assert {fault.code for m in healths(received) for fault in m.data.faults} <= {
            "CAM-01",
            "CAM-02",
        }
    finally:
        box.kill()
    assert "Traceback" not in box.log
    part = next((box.folder / "state" / "footage" / "north").iterdir())
    with av.open(str(part)) as video:
        assert next(video.decode(video=0)).width > 0


def stream_children(agent_pid: int) -> list[int]:
    """The children of the agent's fork server."""
    return [child for server in child_commands(agent_pid) for child in child_commands(server)]


def test_a_camera_that_breaks_its_reader_is_a_fault_and_is_recorded_again(
    mosquitto: Mosquitto, centre: RunningCentre, tmp_path: Path, street_camera: RtspServer
) -> None:
    url = street_camera.url("open")
    box = AgentBox(
        tmp_path / "box", mosquitto.url, f'driver = "rtsp"\noptions = {{ url = "{url}" }}'
    )
    box.start()

    footage = box.folder / "state" / "footage" / "north"
    try:
        centre.wait_for(
            lambda all_: any(m.data.cameras[0].stream_fps > 3 for m in healths(all_)),
            "frames in health",
        )
        (child,) = stream_children(box.pid)
        os.kill(child, signal.SIGSEGV)
        received = centre.wait_for(
            lambda all_: any(m.data.faults for m in healths(all_)), "word of the fault"
        )
        (fault,) = next(m.data.faults for m in healths(received) if m.data.faults)
        recorded_bytes = footage_bytes(footage)
        centre.wait_for(lambda _: footage_bytes(footage) > recorded_bytes, "new footage")
        (again,) = stream_children(box.pid)
    finally:
        box.kill()
    assert (fault.code, fault.subject) == ("CAM-05", "north")
    assert "was killed by SIGSEGV" in fault.detail
    assert again != child
    assert "Traceback" not in box.log
