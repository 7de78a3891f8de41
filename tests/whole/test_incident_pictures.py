"""agent.incident.incident_pictures: the pictures of an incident."""

from itertools import pairwise

from agent.capture.snapshot_command import CameraAccess
from tests.whole.incident_rig import IncidentBox, box

__all__ = ["box"]


def test_pictures_come_in_their_interval_and_within_the_rate(box: IncidentBox) -> None:
    box.cameras["yard"] = CameraAccess()
    box.restart()
    box.order(pictures={"every_s": 10, "max_bytes": 8000, "rate_kbit_s": 64})
    assert box.outcome("pictures", "tram").outcome == "forbidden"
    for _ in range(20):
        box.offer("north")
        box.offer("yard")
        box.turn(1)
    assert [camera for camera, _ in box.pictures] == ["north", "yard", "north", "yard"]
    box.order(revision=2, pictures={"every_s": 2, "max_bytes": 8000, "rate_kbit_s": 8})
    box.pictures.clear()
    for _ in range(40):
        box.offer("north")
        box.offer("yard")
        box.turn(1)
    # 8,000 bytes take 8 s at 8 kbit/s, and the first one was still at the old rate.
    cameras = [camera for camera, _ in box.pictures]
    assert 4 <= len(cameras) <= 6
    assert all(one != other for one, other in pairwise(cameras))
    box.order(revision=3, ended=True)
    assert "pictures were sent" in box.receipts[-1].detail
    box.pictures.clear()
    box.offer("north")
    box.turn(60)
    assert box.pictures == []
