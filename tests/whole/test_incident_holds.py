"""agent.incident.incident_holds: the footage that an incident holds."""

from datetime import timedelta

from agent.base.clock import rfc3339
from tests.whole.incident_rig import BOOT, NEXT_BOOT, NS, IncidentBox, box

__all__ = ["box"]
LAST_BOOT = "cccccccc-1111-4111-8111-111111111111"


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


def test_an_order_that_waited_for_the_clock_holds_the_footage_before_its_arrival(
    box: IncidentBox,
) -> None:
    box.clock.synced = False
    box.order(retained=True, footage={"before_min": 10})
    box.turn(40 * 60)
    assert box.holds() == []
    box.clock.synced = True
    box.turn()
    (hold,) = box.holds()
    assert hold.begin_ns == 3000 * NS
    assert hold.begin_time == rfc3339(box.clock.utc(3000 * NS))


def test_an_order_that_waited_since_the_begin_of_the_boot_holds_the_boot_before_too(
    box: IncidentBox,
) -> None:
    box.clock.now_ns, box.clock.synced = 60 * NS, False
    box.order(retained=True, footage={"before_min": 10})
    box.turn(40 * 60)
    box.clock.synced = True
    box.turn()
    earlier, own = sorted(box.holds(), key=lambda hold: hold.boot is not None)
    assert own.begin_ns == 0
    assert earlier.begin_time == rfc3339(box.clock.utc(0) - timedelta(minutes=9))


def test_an_order_that_waited_over_power_cuts_holds_each_boot_since_its_arrival(
    box: IncidentBox,
) -> None:
    box.clock.synced = False
    box.order(retained=True, footage={"before_min": 10})
    box.clock.now_ns = 60 * NS
    box.restart(NEXT_BOOT)
    box.restart(LAST_BOOT)
    box.clock.synced = True
    box.turn(60)
    holds = {hold.boot: hold for hold in box.holds()}
    assert set(holds) == {BOOT, NEXT_BOOT, LAST_BOOT}
    assert [holds[boot].begin_ns for boot in (BOOT, NEXT_BOOT, LAST_BOOT)] == [3000 * NS, 0, 0]
    assert all(hold.ongoing for hold in box.holds()), "held up to the end of its boot"


def test_a_camera_that_a_revision_adds_is_held_from_before_the_arrival_too(
    box: IncidentBox,
) -> None:
    box.order(footage={"before_min": 10})
    box.turn(60)
    box.order(revision=2, by="samira", footage={"before_min": 10})
    assert {hold.camera: hold.begin_ns for hold in box.holds()} == {
        "north": 3000 * NS,
        "tram": 3000 * NS,
    }
