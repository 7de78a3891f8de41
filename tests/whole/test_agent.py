"""The whole agent of a box, as systemd starts it, against a real broker and a centre."""

import signal
from pathlib import Path

import av
import pytest

from agent.base.health_model import HealthReport
from agent.base.sha256 import sha256_hex
from agent.reporting.payloads import (
    EventMessage,
    HealthMessage,
    OnlineStatus,
    SnapshotHeader,
    StatusMessage,
    StoppedStatus,
)
from centre.client import ReceivedMessage
from tests.whole.report.broker import Mosquitto
from tests.whole.rig import AgentBox, RunningCentre, fake_camera_toml


def statuses(received: list[ReceivedMessage]) -> list[object]:
    return [h.message.data for h in received if isinstance(h.message, StatusMessage)]


def healths(received: list[ReceivedMessage]) -> list[HealthReport]:
    return [h.message.data for h in received if isinstance(h.message, HealthMessage)]


def events(received: list[ReceivedMessage]) -> list[EventMessage]:
    return [h.message for h in received if isinstance(h.message, EventMessage)]


def test_events_of_a_street_reach_the_centre(box: AgentBox, centre: RunningCentre) -> None:
    box.start()
    received = centre.wait_for(
        lambda all_: (
            len(events(all_)) >= 3
            and {m.data.thumbnail for m in events(all_)}
            & {h.message.data.sha256 for h in all_ if isinstance(h.message, SnapshotHeader)}
            != set()
            and any(report.cameras[0].open for report in healths(all_))
        ),
        "three events, a picture of one of them and the health of an open camera",
    )
    (birth,) = [s for s in statuses(received) if isinstance(s, OnlineStatus)]
    assert birth.site == "Bd Mohammed V / Rue Chaouia"
    assert birth.cameras[0].model == "nanodet_320"
    for event in events(received):
        assert event.box == "casa-0001"
        assert event.data.camera == "north"
        assert event.data.kind in ("line", "view_moved")
    for item in received:
        if isinstance(item.message, SnapshotHeader):
            assert sha256_hex(item.payload) == item.message.data.sha256
            assert item.payload.startswith(b"\xff\xd8")
            assert len(item.payload) <= 20_000
    assert {stage.state for stage in healths(received)[-1].stages} <= {"running", "starting"}

    assert box.stop(signal.SIGTERM) == 0
    farewell = centre.wait_for(
        lambda all_: any(isinstance(s, StoppedStatus) for s in statuses(all_)), "farewell"
    )
    assert [s.reason for s in statuses(farewell) if isinstance(s, StoppedStatus)] == [
        "asked to stop"
    ]
    assert "Traceback" not in box.log
    footage = sorted((box.folder / "state" / "footage" / "north").glob("*.mp4"))
    assert footage
    with av.open(str(footage[0])) as video:
        assert sum(1 for _ in video.decode(video=0)) > 10
    assert not list(box.folder.rglob("*.part"))


@pytest.mark.parametrize(
    ("fault", "code"), [("silent_after_s = 1", "CAM-02"), ("duration_s = 0.5", None)]
)
def test_a_failing_camera_is_reported_and_never_ends_the_agent(
    mosquitto: Mosquitto, centre: RunningCentre, tmp_path: Path, fault: str, code: str | None
) -> None:
    box = AgentBox(tmp_path / "failing", mosquitto.url, fake_camera_toml(fault))
    box.start()
    try:
        if code is not None:
            received = centre.wait_for(
                lambda all_: (
                    any(
                        fault.code == code
                        for h in all_
                        if isinstance(h.message, HealthMessage)
                        for fault in h.message.data.faults
                    )
                    and any(e.data.kind == "camera_lost" for e in events(all_))
                ),
                f"{code} and camera_lost",
            )
            (lost,) = [e for e in events(received) if e.data.kind == "camera_lost"]
            assert lost.data.phase == "begin"
        else:
            # It ended and was opened again, and the agent reports how often.
            centre.wait_for(
                lambda all_: any(
                    h.message.data.cameras[0].reconnects > 0
                    for h in all_
                    if isinstance(h.message, HealthMessage)
                ),
                "a camera that was opened again",
            )
        assert box.stop(signal.SIGTERM) == 0
    finally:
        box.kill()
    assert "Traceback" not in box.log
