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


def take_turns(box: IncidentBox, seconds: int, *cameras: str) -> None:
    """Let a second pass after the other; each of the cameras delivers a frame in it."""
    for _ in range(seconds):
        box.turn(1)
        for camera in cameras:
            box.offer(camera)
        box.turn()


def test_a_dead_camera_takes_no_pictures_of_the_others(box: IncidentBox) -> None:
    box.cameras["yard"] = CameraAccess()
    box.restart()
    box.order(pictures={"every_s": 2})
    take_turns(box, 60, "north")
    # One of each two seconds, but for the five in which the dead one was waited for.
    assert len(box.pictures) in (27, 28)
    assert box.outcome("pictures", "north").outcome == "done"
    assert box.outcome("pictures", "yard").outcome == "failed"
    assert box.outcome("pictures", "yard").detail == "it sends no pictures"
    box.pictures.clear()
    take_turns(box, 10, "north", "yard")
    assert "yard" in {camera for camera, _ in box.pictures}
    assert box.outcome("pictures", "yard").outcome == "done"


def test_a_camera_that_was_dead_is_not_failed_at_the_next_incident(box: IncidentBox) -> None:
    box.order(pictures={"every_s": 2})
    take_turns(box, 60)
    assert box.outcome("pictures", "north").outcome == "failed"
    box.order(revision=2, ended=True)
    box.order("j", pictures={"every_s": 2})
    assert box.outcome("pictures", "north").outcome == "done"


def test_the_receipt_of_the_end_counts_pictures_from_before_a_restart(box: IncidentBox) -> None:
    box.order(pictures={"every_s": 2})
    take_turns(box, 20, "north")
    box.stage.close()
    box.restart()
    take_turns(box, 20, "north")
    count = len(box.pictures)
    box.order(revision=2, ended=True)
    expected = f"it was ended by an order; at least {count} pictures were sent"
    assert box.receipts[-1].detail == expected


def test_a_power_cut_costs_the_count_of_the_last_minute_at_most(box: IncidentBox) -> None:
    box.order(pictures={"every_s": 2})
    take_turns(box, 100, "north")
    box.restart()
    box.order(revision=2, ended=True)
    assert "; at least " in box.receipts[-1].detail
    counted = int(box.receipts[-1].detail.split()[-4])
    assert len(box.pictures) - 30 <= counted <= len(box.pictures)
