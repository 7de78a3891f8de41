"""agent.incident.incident_heads: leases and presets of an incident, behind the real dispatcher."""

from agent.base.model import IncidentReport
from agent.commands.requester import Requester
from agent.incident.incident_heads import RENEW_AFTER_S
from tests.whole.incident_rig import IncidentBox, box

__all__ = ["box"]
EXPIRES = "2026-11-25T01:30:00Z"
"""Half an hour after the begin of each test."""


def test_a_head_is_leased_and_goes_to_its_preset_once(box: IncidentBox) -> None:
    set_preset(box)
    box.order(heads={"presets": [{"preset": "gate"}]})
    assert box.lease() == Requester(id="amina", role="incident")
    assert box.head.calls.count("PtzGotoPresetArgs") == 1
    box.turn(10)
    assert box.outcome("heads", "mast").outcome == "done"
    for _ in range(10):
        box.turn(RENEW_AFTER_S)
        assert box.lease() == Requester(id="amina", role="incident")
    moves = [call for call in box.head.calls if "Preset" in call]
    box.restart()
    box.turn(RENEW_AFTER_S)
    assert [call for call in box.head.calls if "Preset" in call] == moves
    box.order(revision=2, ended=True)
    assert box.lease() is None


def set_preset(box: IncidentBox) -> None:
    box.commands.run_command(
        {"do": "set_preset", "head": "mast", "preset": "gate"}, "preset", expires=EXPIRES
    )


def test_an_operator_keeps_the_head_and_the_incident_gets_it_after_them(box: IncidentBox) -> None:
    box.commands.run_command(
        {"do": "acquire", "head": "mast", "lease_s": 40}, "acquire", expires=EXPIRES
    )
    box.order(heads={})
    box.turn(10)
    assert box.outcome("heads", "mast").outcome == "busy"
    assert "amina" in (box.outcome("heads", "mast").detail or "")
    for _ in range(4):
        box.turn(11)
    assert box.lease() == Requester(id="amina", role="incident")
    box.commands.run_command(
        {"do": "acquire", "head": "mast", "lease_s": 300}, "again", expires=EXPIRES
    )
    for _ in range(5):
        box.turn(RENEW_AFTER_S)
        assert box.lease() == Requester(id="amina", role="operator")


def test_an_incidents_coordinator_gets_no_operators_rank(box: IncidentBox) -> None:
    box.order(heads={"role": "operator"})
    assert box.lease() == Requester(id="amina", role="incident")
    box.order(revision=2, role="operator", heads={"role": "operator"})
    assert box.lease() == Requester(id="amina", role="operator")


def test_a_head_that_no_incident_has_yet_is_waited_for_and_not_busy(box: IncidentBox) -> None:
    box.order(heads={})
    reports = [event.incident for event in box.events if isinstance(event.incident, IncidentReport)]
    heads = [one for report in reports for one in report.outcomes if one.part == "heads"]
    assert {one.outcome for one in heads} <= {"waiting", "done"}
    assert all("newer" not in (one.detail or "") for one in heads)


def test_of_two_incidents_a_head_follows_the_newest_and_then_the_other(box: IncidentBox) -> None:
    box.order("old", by="amina", heads={})
    box.order("new", by="youssef", heads={})
    box.turn(10)
    assert box.lease() == Requester(id="youssef", role="incident")
    old = [event for event in box.events if event.name == "old"][-1].incident
    assert isinstance(old, IncidentReport)
    assert old.outcomes[0].detail == "the newer incident 'new' has it"
    box.order("new", 2, ended=True)
    box.turn(10)
    assert box.lease() == Requester(id="amina", role="incident")


def test_a_head_that_an_operator_keeps_is_reported_once(box: IncidentBox) -> None:
    box.commands.run_command(
        {"do": "acquire", "head": "mast", "lease_s": 600}, "acquire", expires=EXPIRES
    )
    box.order(heads={})
    box.turn(10)
    count = len(box.events)
    for _ in range(20):
        box.turn(11)
    assert len(box.events) == count, "the seconds that the operator has it for are no outcome"
    for _ in range(40):
        box.turn(11)
    assert len(box.events) == count + 1
    assert box.outcome("heads", "mast").outcome == "done"


def test_an_unknown_preset_stays_unknown_over_a_restart_and_a_busy_head(box: IncidentBox) -> None:
    box.order(heads={"presets": [{"preset": "nowhere"}]})
    box.turn(10)
    unknown = box.outcome("heads", "mast")
    assert unknown.outcome == "unknown"
    box.restart()
    box.turn(10)
    assert box.outcome("heads", "mast") == unknown
    box.commands.run_command(
        {"do": "acquire", "head": "mast", "lease_s": 40}, "acquire", expires=EXPIRES
    )
    for _ in range(12):
        box.turn(10)
    assert box.lease() == Requester(id="amina", role="incident")
    assert box.outcome("heads", "mast") == unknown
    set_preset(box)
    box.order(revision=2, heads={"presets": [{"preset": "gate"}]})
    box.turn(10)
    assert box.outcome("heads", "mast").outcome == "done"
