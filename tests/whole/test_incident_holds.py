"""agent.incident.incident_holds: the footage that an incident holds."""

from datetime import timedelta

import msgspec

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


def test_a_hold_follows_a_newer_revision(box: IncidentBox) -> None:
    box.order(footage={"before_min": 10})
    began = box.clock.utc(box.clock.now_ns)
    box.turn(600)
    box.let_two_sign()
    box.order(revision=2, by="samira", case="2026/118", footage={"before_min": 50, "days": 60})
    north, tram = sorted(box.holds(), key=lambda hold: hold.camera)
    assert (north.owner, north.case) == ("samira", "2026/118")
    assert north.begin_ns == 600 * NS
    assert north.begin_time == rfc3339(box.clock.utc(600 * NS))
    assert north.expires == rfc3339(began + timedelta(days=60))
    assert north.ongoing
    assert not north.in_custody_log
    assert tram.begin_ns == north.begin_ns, (
        "its owner's viewer signs, so it is held from now on too"
    )
    assert box.report().case == "2026/118"
    assert box.outcome("footage", "north").detail is None
    assert box.receipts[-1].detail == "footage is held from 50 min before"


def test_a_revision_shortens_no_hold(box: IncidentBox) -> None:
    box.let_two_sign()
    box.order(footage={"before_min": 50, "days": 60})
    (first,) = box.holds()
    box.turn(60)
    box.order(revision=2, footage={"before_min": 5, "days": 7})
    (hold,) = box.holds()
    assert (hold.begin_ns, hold.expires) == (first.begin_ns, first.expires)
    assert box.outcome("footage", "north").outcome == "done"
    assert box.outcome("footage", "north").detail == "for 60 days: no revision shortens a hold"
    assert box.receipts[-1].detail == "footage is held from 50 min before"


def test_a_long_hold_stays_long_without_a_second_signature_of_the_revision(
    box: IncidentBox,
) -> None:
    read_one = box.read_order
    box.let_two_sign()
    box.order(footage={"days": 60})
    box.read_order = read_one
    box.order(revision=2, footage={"days": 60})
    assert box.outcome("footage", "north").detail is None
    box.order(revision=3, footage={"days": 90})
    assert (
        box.outcome("footage", "north").detail
        == "for 60 days; longer needs the signatures of two people"
    )


def test_a_revision_reaches_the_holds_of_earlier_boots(box: IncidentBox) -> None:
    box.clock.now_ns = 60 * NS
    box.order(footage={"before_min": 10})
    booted = box.clock.utc(0)
    box.clock.boot_utc += timedelta(minutes=5)
    box.restart(NEXT_BOOT)
    box.order(revision=2, case="2026/118", footage={"before_min": 50})
    assert [hold.case for hold in box.holds()] == ["2026/118"] * 3
    assert {hold.boot for hold in box.holds()} == {None, BOOT, NEXT_BOOT}
    (earlier,) = [hold for hold in box.holds() if hold.boot is None]
    assert earlier.begin_time == rfc3339(booted - timedelta(minutes=49))
    assert earlier.end_time == rfc3339(booted)


def test_a_revision_that_reaches_back_before_the_boot_holds_that_footage_too(
    box: IncidentBox,
) -> None:
    box.order(footage={"before_min": 10})
    box.order(revision=2, footage={"before_min": 90})
    earlier, own = sorted(box.holds(), key=lambda hold: hold.boot is not None)
    assert own.begin_ns == 0
    assert earlier.begin_time == rfc3339(box.clock.utc(0) - timedelta(minutes=30))


def test_a_revision_without_permission_changes_no_hold(box: IncidentBox) -> None:
    box.order(by="samira", footage={})
    box.order(revision=2, by="amina", case="2026/118", footage={})
    assert box.outcome("footage", "tram").outcome == "forbidden"
    (tram,) = [hold for hold in box.holds() if hold.camera == "tram"]
    assert (tram.owner, tram.case, tram.ongoing) == ("samira", None, True)


def test_a_revision_places_no_hold_again_that_a_person_released(box: IncidentBox) -> None:
    box.order(footage={})
    box.hold_store.request_release(box.holds()[0].id, by="youssef", reason="wrong camera")
    box.order(revision=2, case="2026/118", footage={"before_min": 50})
    assert box.holds() == []


def test_a_hold_that_a_power_cut_kept_from_following_follows_after_it(box: IncidentBox) -> None:
    box.order(footage={})
    record = box.store.find("i")
    assert record is not None
    revised = msgspec.structs.replace(record.order, revision=2, case="2026/118")
    box.store.save(msgspec.structs.replace(record, order=revised))
    box.restart()
    box.turn(10)
    assert [hold.case for hold in box.holds()] == ["2026/118"]
