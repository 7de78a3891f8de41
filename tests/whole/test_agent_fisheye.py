"""The whole agent with a fisheye camera: its view detects, and its footage is that of the view's events."""

import math
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from agent.base.state_file import StateFile
from agent.config.fisheye import ViewOptions
from agent.detection.fisheye_lens import FisheyeLens
from agent.recording.retention.hold import Hold
from agent.reporting.payloads import (
    EventMessage,
    HealthMessage,
    OnlineStatus,
    StatusMessage,
    TrafficCountsMessage,
)
from bench.fisheye_film import FisheyeFilm
from centre.client import ReceivedMessage
from drivers.av_stream import frame_planes
from drivers.media import Frame
from tests.whole.drawn_clip import FPS, write_film, write_street_clip
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import AgentBox, RunningCentre

SIZE_PX = 800
VIEW = ViewOptions(
    camera="around", tilt_deg=-45.0, field_of_view_deg=90.0, width_px=640, height_px=360
)
AS_A_VIEW = """driver = "view"
record = false
options = { camera = "around", tilt_deg = -45.0, field_of_view_deg = 90.0, width_px = 640, height_px = 360 }
"""
AROUND = """
[[camera]]
name = "around"
driver = "replay"
options = { path = "fisheye.mp4", loop = true }
projection = "fisheye"
lens = { field_of_view_deg = 180.0 }
detect = { enabled = false }
[record]
segment_s = 1.0
[hold]
kinds = ["line"]
pre_s = 2
post_s = 3
"""


def write_fisheye_film(folder: Path) -> None:
    """The rendered street, as the view of a fisheye lens."""
    write_street_clip(folder / "street.mp4", 8.0, VIEW.width_px, VIEW.height_px)
    film = FisheyeFilm(FisheyeLens(focal_length=1 / math.pi), (VIEW,), SIZE_PX, SIZE_PX)
    with av.open(str(folder / "street.mp4")) as source:
        planes = map(frame_planes, source.decode(video=0))
        frames = (Frame(seq=seq, t_ns=0, y=y, u=u, v=v) for seq, (y, u, v) in enumerate(planes))
        write_film(folder / "fisheye.mp4", map(film.warp, frames), FPS)


@pytest.fixture
def box(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[AgentBox]:
    box = AgentBox(tmp_path / "box", mosquitto.url, AS_A_VIEW)
    configuration = box.folder / "vigie.toml"
    configuration.write_text(configuration.read_text() + AROUND)
    write_fisheye_film(box.folder)
    yield box
    box.kill()


def test_a_view_of_a_fisheye_camera_sends_events_and_counts_and_its_cameras_footage_is_held(
    box: AgentBox, centre: RunningCentre
) -> None:
    def events(received: list[ReceivedMessage]) -> list[EventMessage]:
        found = (one.message for one in received)
        return [one for one in found if isinstance(one, EventMessage) and one.data.kind == "line"]

    def healths(received: list[ReceivedMessage]) -> list[HealthMessage]:
        return [one.message for one in received if isinstance(one.message, HealthMessage)]

    box.start()
    centre.wait_for(lambda all_: len(events(all_)) >= 3, "three crossings in the view")
    received = centre.wait_for(
        lambda all_: (
            any(isinstance(one.message, TrafficCountsMessage) for one in all_)
            and bool(healths(all_))
        ),
        "a minute of counts",
    )
    assert {event.data.camera for event in events(received)} == {"north"}
    assert all(event.data.footage is not None for event in events(received)[1:])
    holds = [
        StateFile(path, Hold).load() for path in (box.folder / "state" / "holds").glob("*.json")
    ]
    assert {hold.camera for hold in holds if hold is not None} == {"around"}
    counts = [one.message for one in received if isinstance(one.message, TrafficCountsMessage)]
    assert counts[0].data.camera == "north"
    (status, *_) = [one.message.data for one in received if isinstance(one.message, StatusMessage)]
    assert isinstance(status, OnlineStatus)
    assert [(camera.name, camera.view_of) for camera in status.cameras] == [
        ("north", "around"),
        ("around", None),
    ]
    report = healths(received)[-1].data
    assert [detector.camera for detector in report.detectors] == ["north"]
    assert [footage.camera for footage in report.footage] == ["around"]
    # A busy machine may detect too few pictures a second.
    assert {fault.code for fault in report.faults} <= {"CAM-09"}
    assert "Traceback" not in box.log


def test_a_fisheye_camera_whose_masks_are_not_known_stays_closed_and_so_do_its_views(
    box: AgentBox, centre: RunningCentre
) -> None:
    configuration = box.folder / "vigie.toml"
    configuration.write_text(
        configuration.read_text().replace(
            "detect = { enabled = false }", 'detect = { enabled = false, scene = "around.toml" }'
        )
    )
    (box.folder / "around.toml").write_text("[[mask]]\npolygon = 1\n")
    box.start()

    def closed(received: list[ReceivedMessage]) -> bool:
        reports = [one.message.data for one in received if isinstance(one.message, HealthMessage)]
        faults = {(fault.code, fault.subject) for report in reports for fault in report.faults}
        return {("MSK-01", "around"), ("CAM-01", "north")} <= faults

    centre.wait_for(closed, "both cameras closed")
    assert not list((box.folder / "state" / "footage" / "around").glob("*"))
