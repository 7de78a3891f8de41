"""agent.incident: one box's incidents on real holds and real state, with a head behind the real dispatcher."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.authority.signed_message import sign_message
from agent.base.clock import rfc3339
from agent.base.model import IncidentReport
from agent.commands.requester import Requester
from agent.config.control import ControlConfig, RolePermission
from agent.incident.order import (
    Addressees,
    FootageOrder,
    HeadsOrder,
    IncidentOrder,
    PicturesOrder,
    make_order_reader,
)
from agent.incident.record import MAX_PENDING, MAX_RUNNING
from centre.signing import sign_incident
from tests.authority_rig import ControlKeys
from tests.whole.incident_rig import AN_HOUR, BOOT, NEXT_BOOT, NS, IncidentBox, box, changes, phases

__all__ = ["box"]


def test_an_incident_begins_holds_footage_and_ends_by_itself(box: IncidentBox) -> None:
    box.order(case="2026/118", footage={"before_min": 10})
    (hold,) = box.holds()
    assert (hold.camera, hold.owner, hold.case) == ("north", "amina", "2026/118")
    assert (hold.boot, hold.begin_ns, hold.ongoing) == (BOOT, 3000 * NS, True)
    assert hold.kind == "manual"
    assert box.report().state == "running"
    assert box.outcome("footage", "north").outcome == "done"
    assert box.outcome("footage", "tram").outcome == "forbidden"
    box.turn(AN_HOUR - 1)
    assert phases(box) == ["begin"]
    box.turn(1)
    assert phases(box) == ["begin", "end"]
    assert box.report().reason == "its time is over"
    assert changes(box) == [("begun", "amina", "i"), ("ended", "vigie", "i")]
    assert [receipt.case for receipt in box.receipts] == ["2026/118"] * 2
    (ended,) = box.holds()
    assert (ended.id, ended.ongoing, ended.end_ns) == (hold.id, False, 7200 * NS)


def test_the_box_is_not_restarted_or_updated_while_an_incident_runs(box: IncidentBox) -> None:
    assert box.store.find_obstacle() is None
    box.order()
    assert box.store.find_obstacle() == "incident i runs: end it first"
    box.turn(AN_HOUR)
    assert box.store.find_obstacle() is None


def test_only_a_newer_revision_counts_and_extends(box: IncidentBox) -> None:
    box.order(revision=3, footage={})
    for revision in (1, 2, 3):
        box.order(revision=revision, ended=True)
    assert phases(box) == ["begin"]
    box.turn(AN_HOUR / 2)
    box.order(revision=4, footage={})
    assert phases(box) == ["begin", "update"]
    box.turn(AN_HOUR - 1)
    assert box.report().state == "running"
    (hold,) = box.holds()
    assert hold.end_time == box.report().ends
    box.turn(1)
    assert phases(box) == ["begin", "update", "end"]
    assert [change for change, _, _ in changes(box)] == ["begun", "extended", "ended"]
    assert box.events[-1].duration_s == pytest.approx(1.5 * AN_HOUR)
    box.order(revision=4, footage={})
    assert phases(box) == ["begin", "update", "end"], "it has ended"
    box.order(revision=5, footage={})
    assert phases(box)[-1] == "begin"
    assert box.events[-1].event != box.events[0].event


def test_an_order_ends_it_in_the_name_of_its_signer(box: IncidentBox) -> None:
    box.order(footage={})
    box.order(revision=2, ended=True, by="youssef")
    assert changes(box)[-1] == ("ended", "youssef", "i")
    assert box.report().reason == "it was ended by an order"
    assert not box.holds()[0].ongoing


def test_a_box_that_joins_late_does_not_join_what_is_over(box: IncidentBox) -> None:
    now = box.clock.utc(box.clock.now_ns)
    past = {"issued": rfc3339(now - timedelta(hours=2)), "ends": rfc3339(now)}
    box.order(retained=True, **past, footage={})
    box.order("j", ended=True)
    assert (box.events, box.receipts, box.holds()) == ([], [], [])
    box.order("k", retained=True, footage={})
    assert box.report().incident == "k"


@pytest.mark.parametrize(
    ("to", "joins"),
    [
        ({"boxes": ["pole-18"]}, False),
        ({"sites": ["Bd Zerktouni"]}, True),
        ({"groups": ["south"]}, True),
        ({"all": True}, True),
    ],
)
def test_a_box_joins_what_names_it(box: IncidentBox, to: dict[str, Any], joins: bool) -> None:
    box.order(to=to)
    assert bool(box.events) == joins


def test_a_revision_that_no_longer_names_the_box_ends_it_there(box: IncidentBox) -> None:
    box.order(footage={})
    box.order(revision=2, to={"boxes": ["pole-18"]})
    assert box.report().state == "ended"
    assert box.report().reason == "it is no longer for this box"


def test_an_emptied_topic_garbage_and_another_id_end_and_begin_nothing(box: IncidentBox) -> None:
    box.order()
    for payload in (b"", b"\xff", b"{}", b"[" * 1000):
        box.send("i", payload)
    box.send("j", msgspec.json.encode({"id": "i"}))
    assert phases(box) == ["begin"]
    assert box.report().state == "running"


def test_after_a_restart_it_continues_and_its_holds_are_open(box: IncidentBox) -> None:
    box.order(footage={"before_min": 10})
    box.turn(60)
    box.restart()
    box.hold_store.reset_for_boot()  # as the retention stage does at its start
    assert not box.holds()[0].ongoing
    box.turn(10)
    (hold,) = box.holds()
    assert hold.ongoing
    assert hold.begin_ns == 3000 * NS
    assert phases(box)[0] == "begin"
    assert "begin" not in phases(box)[1:]
    box.turn(AN_HOUR)
    assert phases(box)[-1] == "end"
    assert len({event.event for event in box.events}) == 1
    assert [event.rev for event in box.events] == list(range(1, len(box.events) + 1))


def test_after_a_power_cut_it_continues_in_the_new_boot(box: IncidentBox) -> None:
    box.order(footage={"before_min": 10})
    began_utc = box.clock.utc(box.clock.now_ns)
    box.clock.now_ns = 60 * NS
    box.clock.boot_utc = began_utc + timedelta(minutes=5) - timedelta(seconds=60)
    box.restart(NEXT_BOOT)
    old, new = sorted(box.holds(), key=lambda hold: hold.boot == NEXT_BOOT)
    assert (old.boot, old.ongoing) == (BOOT, True)
    assert (new.boot, new.begin_ns, new.ongoing) == (NEXT_BOOT, 0, True)
    box.turn(54 * 60)
    assert box.report().state == "running"
    box.turn(60)
    assert box.report().state == "ended"
    assert box.events[-1].duration_s == pytest.approx(AN_HOUR, abs=1)


def test_after_a_power_cut_without_a_clock_it_gets_its_whole_time_again(box: IncidentBox) -> None:
    box.order()
    box.clock.now_ns, box.clock.synced = 60 * NS, False
    box.clock.step_s(-1e6)
    box.restart(NEXT_BOOT)
    box.turn(AN_HOUR - 1)
    assert box.report().state == "running"
    box.turn(1)
    assert box.report().state == "ended"


def test_without_a_clock_a_fresh_order_runs_and_a_kept_one_waits(box: IncidentBox) -> None:
    box.clock.synced = False
    box.order("fresh")
    assert box.report().state == "running"
    box.order("kept", retained=True, footage={})
    assert box.report().state == "pending"
    assert "clock" in (box.report().reason or "")
    assert box.holds() == []
    box.clock.synced = True
    box.turn()
    assert (box.report().incident, box.report().state) == ("kept", "running")
    assert len(box.holds()) == 1


def test_a_kept_order_that_turns_out_to_be_over_ends_without_having_begun(box: IncidentBox) -> None:
    box.clock.synced = False
    box.order(retained=True, footage={})
    box.clock.step_s(AN_HOUR)
    box.clock.synced = True
    box.turn()
    assert phases(box) == ["begin", "end"]
    assert box.report().state == "ended"
    assert (box.holds(), box.receipts) == ([], [])


def test_without_a_clock_a_signed_order_waits_although_it_is_fresh(box: IncidentBox) -> None:
    box.is_signed = True
    box.restart()
    box.clock.synced = False
    box.order()
    assert box.report().state == "pending"


@pytest.mark.parametrize("minutes", [120, 10])
def test_a_revision_without_a_clock_ends_when_it_says(box: IncidentBox, minutes: int) -> None:
    box.is_signed = True
    box.restart()
    box.order()
    box.clock.synced = False
    box.turn(300)
    now = box.clock.utc(box.clock.now_ns)
    ends = rfc3339(now + timedelta(minutes=minutes))
    box.order(revision=2, issued=rfc3339(now), ends=ends)
    assert box.report().ends == ends
    box.turn(60 * minutes - 1)
    assert box.report().state == "running"
    box.turn(1)
    assert (box.report().state, box.report().reason) == ("ended", "its time is over")


def test_a_revision_without_a_clock_whose_end_is_past_ends_it(box: IncidentBox) -> None:
    box.is_signed = True
    box.restart()
    box.order()
    box.clock.synced = False
    now = box.clock.utc(box.clock.now_ns)
    past = {"issued": rfc3339(now - timedelta(hours=2)), "ends": rfc3339(now)}
    box.order(revision=2, **past)
    assert box.report().state == "ended"


def test_rates_are_raised_to_the_highest_and_restored(box: IncidentBox) -> None:
    box.order("a", rates={"fps": 20})
    box.order("b", rates={"fps": 25, "bitrate_kbit_s": 8000})
    assert box.rates == [("north", 20.0), ("north", 25.0)]
    assert box.outcome("fps", "north").outcome == "done"
    assert box.outcome("fps", "tram").outcome == "unsupported"
    assert box.outcome("bitrate", "north").outcome == "unsupported"
    box.order("b", 2, ended=True)
    assert box.rates[-1] == ("north", 20.0)
    box.turn(AN_HOUR)
    assert box.rates[-1] == ("north", None)
    assert len(box.rates) == 4


def states(box: IncidentBox) -> dict[str, str]:
    """The newest reported state of each incident."""
    reports = [event.incident for event in box.events]
    return {one.incident: one.state for one in reports if isinstance(one, IncidentReport)}


def test_one_more_than_run_at_once_waits_until_one_has_ended(box: IncidentBox) -> None:
    for number in range(MAX_RUNNING):
        box.order(f"i{number}")
    box.order("late", retained=True, footage={"before_min": 10})
    assert states(box) == {f"i{n}": "running" for n in range(MAX_RUNNING)} | {"late": "pending"}
    assert box.report().reason == "8 incidents run already: it waits until one has ended"
    box.turn(60)
    box.restart()
    assert (states(box)["late"], box.holds()) == ("pending", [])
    box.order("i3", 2, ended=True)
    assert (states(box)["i3"], states(box)["late"]) == ("ended", "running")
    assert [hold.begin_ns for hold in box.holds()] == [3000 * NS], "before the order arrived"


def test_a_fresh_order_that_waits_without_a_clock_ends_in_time(box: IncidentBox) -> None:
    box.clock.synced = False
    for number in range(MAX_RUNNING):
        box.order(f"i{number}")
    box.turn(AN_HOUR / 2)
    box.order("late")
    box.turn(AN_HOUR / 2)
    assert states(box)["late"] == "running", "the others are over"
    box.turn(AN_HOUR / 2)
    assert states(box)["late"] == "ended"


def test_orders_that_wait_for_the_clock_take_no_place_of_one_that_runs(box: IncidentBox) -> None:
    box.clock.synced = False
    for number in range(MAX_PENDING):
        box.order(f"kept{number}", retained=True)
    box.order("fresh")
    assert states(box)["fresh"] == "running"


def test_of_too_many_that_wait_the_one_that_ends_first_is_ended(box: IncidentBox) -> None:
    box.clock.synced = False
    now = box.clock.utc(box.clock.now_ns)
    for number in range(MAX_PENDING + 1):
        ends = rfc3339(now + timedelta(hours=1, minutes=abs(number - 3)))
        box.order(f"i{number}", retained=True, ends=ends)
    assert [name for name, state in states(box).items() if state == "ended"] == ["i3"]
    assert box.report().reason == "more incidents wait than the box keeps, and it ends first"
    count = len(box.events)
    box.order("i3", retained=True, ends=rfc3339(now + timedelta(hours=1)))
    assert len(box.events) == count, "as an incident that has ended, until a newer revision"


def test_an_incident_whose_state_cannot_be_written_runs_all_the_same(box: IncidentBox) -> None:
    state = box.folder / "incidents.json"
    state.mkdir()
    box.order(footage={})
    assert box.report().state == "running"
    state.rmdir()
    box.turn(1)
    box.restart()
    box.turn(1)
    box.order(revision=2, ended=True)
    assert box.report().state == "ended"


def signed_order(box: IncidentBox, revision: int = 1) -> IncidentOrder:
    now = box.clock.utc(box.clock.now_ns)
    return IncidentOrder(
        id="i",
        revision=revision,
        issued=now,
        ends=now + timedelta(hours=1),
        to=Addressees(all=True),
        footage=FootageOrder(days=60),
        heads=HeadsOrder(),
        pictures=PicturesOrder(),
    )


def test_with_an_authority_only_signed_orders_of_permitted_roles_count(
    box: IncidentBox, tmp_path: Path
) -> None:
    keys, strangers = ControlKeys(), ControlKeys(name="others")
    box.read_order = make_order_reader(keys.load(tmp_path, box.clock)).read
    amina, youssef = keys.identity("amina", "incident"), keys.identity("youssef", "supervisor")
    order = signed_order(box)
    box.order()
    box.send("i", sign_incident(order, strangers.identity("amina", "incident")))
    box.send("i", sign_message(order, "vigie-command+jws", amina))
    for role in ("viewer", "maintainer", "centre"):
        box.send("i", sign_incident(order, keys.identity("eve", role)))  # type: ignore[arg-type] # a role each
    assert box.events == []
    box.send("i", sign_incident(order, amina))
    assert (box.report().by, box.report().role) == ("amina", "incident")
    assert "two people" in (box.outcome("footage", "north").detail or "")
    box.send("i", sign_incident(signed_order(box, 2), youssef, amina))
    assert box.outcome("footage", "north").detail is None
    assert box.receipts[-1].by == "youssef and amina"
    assert box.lease() == Requester(id="youssef", role="incident")


def test_each_part_needs_its_permission(box: IncidentBox, tmp_path: Path) -> None:
    keys = ControlKeys()
    box.read_order = make_order_reader(keys.load(tmp_path, box.clock)).read
    permission = RolePermission(role="incident", actions=("see",), cameras=("north",))
    box.control = ControlConfig(ca="ca", permission=(permission,))
    box.send("i", sign_incident(signed_order(box), keys.identity("amina", "incident")))
    outcomes = {(one.part, one.of): one.outcome for one in box.report().outcomes}
    assert outcomes == {
        ("footage", "north"): "forbidden",
        ("footage", "tram"): "forbidden",
        ("heads", "mast"): "forbidden",
        ("pictures", "north"): "done",
        ("pictures", "tram"): "forbidden",
    }
    assert (box.holds(), box.lease()) == ([], None)
