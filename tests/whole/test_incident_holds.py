"""agent.incident.incident_holds: the footage that an incident holds."""

from datetime import timedelta

from agent.base.clock import rfc3339
from tests.whole.incident_rig import NS, IncidentBox, box

__all__ = ["box"]


def test_footage_of_an_earlier_boot_is_held_too(box: IncidentBox) -> None:
    box.clock.now_ns = 60 * NS
    box.order(footage={"before_min": 10})
    earlier, own = sorted(box.holds(), key=lambda hold: hold.boot is not None)
    booted = box.clock.utc(0)
    assert earlier.begin_time == rfc3339(booted - timedelta(minutes=9))
    assert earlier.end_time == rfc3339(booted)
    assert (own.begin_ns, own.ongoing) == (0, True)
    assert earlier.case == own.case


def test_a_viewer_gets_the_lent_camera(box: IncidentBox) -> None:
    box.order(by="samira", footage={}, pictures={})
    assert {hold.camera for hold in box.holds()} == {"north", "tram"}
    assert box.outcome("pictures", "tram").outcome == "done"


def test_a_long_hold_needs_two_signers(box: IncidentBox) -> None:
    box.order(footage={"days": 60})
    assert "two people" in (box.outcome("footage", "north").detail or "")
    (hold,) = box.holds()
    assert hold.expires == rfc3339(box.clock.utc(box.clock.now_ns) + timedelta(days=30))
    box.let_two_sign()
    box.order("two", footage={"days": 60})
    assert box.outcome("footage", "north").detail is None
    assert box.holds()[-1].expires == rfc3339(box.clock.utc(box.clock.now_ns) + timedelta(days=60))
    assert box.receipts[-1].by == "amina and youssef"


def test_a_hold_that_a_person_released_is_not_placed_again(box: IncidentBox) -> None:
    box.order(footage={})
    box.hold_store.request_release(box.holds()[0].id, by="youssef", reason="wrong camera")
    box.turn(30)
    assert box.holds() == []
