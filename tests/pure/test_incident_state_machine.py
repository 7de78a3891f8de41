"""agent.incident.state_machine and order: when an order is in force, and for which boxes."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest

from agent.commands.requester import Requester
from agent.incident.order import (
    MAX_ORDER_BYTES,
    Addressees,
    HeadsOrder,
    IncidentOrder,
    MalformedOrder,
    PresetOrder,
    parse_unsigned_order,
)
from agent.incident.state_machine import (
    MAX_SKEW,
    ON_ORDER,
    ON_TICK,
    Effect,
    Moment,
    Phase,
    Verdict,
    find_deadline_ns,
    judge,
    shift_deadline_ns,
)

ISSUED = datetime(2026, 11, 25, 12, tzinfo=UTC)
ORDER = IncidentOrder(
    id="i",
    revision=1,
    issued=ISSUED,
    ends=ISSUED + timedelta(hours=2),
    to=Addressees(all=True),
)
FIELDS: dict[str, Any] = {
    "id": "2026-118",
    "revision": 1,
    "issued": "2026-11-25T12:00:00Z",
    "ends": "2026-11-25T14:00:00Z",
    "by": "amina",
    "role": "incident",
    "to": {"all": True},
}
NS = 1_000_000_000


def moment(after_s: float, *, synced: bool = True, t_ns: int = 50 * NS) -> Moment:
    return Moment(t_ns=t_ns, utc=ISSUED + timedelta(seconds=after_s), synced=synced)


def test_the_tables_are_complete_and_end_what_was_reported() -> None:
    phases: tuple[Phase, ...] = get_args(Phase)
    verdicts: tuple[Verdict, ...] = get_args(Verdict)
    assert set(ON_ORDER) == {(phase, verdict) for phase in (None, *phases) for verdict in verdicts}
    assert set(ON_TICK) == {(phase, verdict) for phase in phases for verdict in verdicts}
    effects: set[Effect] = {one.effect for one in (*ON_ORDER.values(), *ON_TICK.values())}
    assert effects == set(get_args(Effect))
    for table in (ON_ORDER, ON_TICK):
        for (phase, _), (next_phase, effect) in table.items():  # type: ignore[attr-defined] # a mapping each
            if next_phase == "running" and phase != "running":
                assert effect == "begin"
            if next_phase == "ended" and phase == "running":
                assert effect == "end"
            if next_phase == "ended" and phase == "pending":
                assert effect == "drop"
            if effect in ("end", "drop"):
                assert next_phase == "ended"


@pytest.mark.parametrize(
    ("now", "deadline_ns", "verdict"),
    [
        pytest.param(moment(0), None, "runs", id="begin"),
        pytest.param(moment(7199), None, "runs", id="a second before the end"),
        pytest.param(moment(7200), None, "over", id="the end"),
        pytest.param(moment(-60), None, "runs", id="the centre's clock is a minute ahead"),
        pytest.param(moment(-86_400), None, "unclear", id="issued by a clock of tomorrow"),
        pytest.param(moment(7200), 99 * NS, "over", id="a trusted clock decides alone"),
        pytest.param(moment(9999, synced=False), None, "unclear", id="no clock, it may be old"),
        pytest.param(moment(9999, synced=False), 51 * NS, "runs", id="no clock, before the end"),
        pytest.param(moment(0, synced=False), 50 * NS, "over", id="no clock, the end"),
    ],
)
def test_whether_an_order_is_in_force(
    now: Moment, deadline_ns: int | None, verdict: Verdict
) -> None:
    assert judge(ORDER, now, deadline_ns) == verdict


def test_an_order_of_the_end_is_over_whatever_the_clock_says() -> None:
    ended = msgspec.structs.replace(ORDER, ended=True)
    for synced in (True, False):
        assert judge(ended, moment(0, synced=synced), None) == "over"


def test_the_end_in_time_of_the_boot_is_known_with_a_clock_or_for_a_fresh_order() -> None:
    assert find_deadline_ns(ORDER, moment(3600), is_fresh=False) == (50 + 3600) * NS
    unsynced = moment(99_999, synced=False)
    assert find_deadline_ns(ORDER, unsynced, is_fresh=True) == (50 + 7200) * NS
    assert find_deadline_ns(ORDER, unsynced, is_fresh=False) is None
    far = moment(-1e6)
    deadline_ns = find_deadline_ns(ORDER, far, is_fresh=True)
    assert deadline_ns == (50 + 86_400 + MAX_SKEW.total_seconds()) * NS


def test_a_revision_moves_the_end_by_as_much_as_the_clock_of_the_centre_says() -> None:
    now = moment(0, synced=False)
    for seconds in (3600, -600):
        revision = msgspec.structs.replace(ORDER, ends=ORDER.ends + timedelta(seconds=seconds))
        assert shift_deadline_ns(7250 * NS, ORDER, revision, now) == (7250 + seconds) * NS
    assert shift_deadline_ns(None, ORDER, ORDER, now) is None
    days = timedelta(days=9)
    far = msgspec.structs.replace(ORDER, issued=ISSUED + days, ends=ORDER.ends + days)
    longest = (50 + 86_400 + MAX_SKEW.total_seconds()) * NS
    assert shift_deadline_ns(7250 * NS, ORDER, far, now) == longest


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (Addressees(), False),
        (Addressees(all=True), True),
        (Addressees(boxes=("pole-17", "pole-18")), True),
        (Addressees(boxes=("pole-18",)), False),
        (Addressees(sites=("Bd Zerktouni",)), True),
        (Addressees(sites=("bd zerktouni",)), False),
        (Addressees(groups=("north", "south")), True),
        (Addressees(groups=("east",)), False),
    ],
)
def test_an_order_is_for_boxes_sites_and_groups(to: Addressees, *, expected: bool) -> None:
    assert to.include("pole-17", "Bd Zerktouni", ("south", "west")) is expected


def test_the_preset_that_names_the_most_counts() -> None:
    heads = HeadsOrder(
        presets=(
            PresetOrder(preset="any"),
            PresetOrder(preset="box", box="pole-17"),
            PresetOrder(preset="both", box="pole-17", head="mast"),
            PresetOrder(preset="other", box="pole-18", head="mast"),
        )
    )
    assert heads.preset_of("pole-17", "mast") == "both"
    assert heads.preset_of("pole-17", "arm") == "box"
    assert heads.preset_of("pole-19", "arm") == "any"
    assert HeadsOrder().preset_of("pole-17", "mast") is None


def test_an_unsigned_order_has_its_requester() -> None:
    signed = parse_unsigned_order(msgspec.json.encode(FIELDS))
    assert signed.signers == (Requester(id="amina", role="incident"),)
    assert signed.order.ends - signed.order.issued == timedelta(hours=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ends": "2026-11-26T12:00:01Z"}, "ends: 1 day, 0:00:01 after issued; allowed"),
        ({"ends": "2026-11-25T12:00:00Z"}, "ends: 0:00:00 after issued; allowed"),
        ({"issued": "0001-01-01T00:00:00+14:00"}, "issued: allowed: a year after"),
        ({"ends": "9999-12-31T23:59:59-14:00"}, "ends: allowed: a year after"),
        ({"ends": "2026-11-25T13:00:00"}, "ends"),
        ({"revision": 0}, "revision = 0"),
        ({"id": "a/b"}, "id = 'a/b'"),
        ({"to": {"everybody": True}}, "to.everybody: unknown key"),
        ({"role": "tour"}, "role = 'tour'"),
        ({"footage": {"days": 91}}, "footage.days = 91"),
        ({"footage": {"before_min": 1e9}}, "footage.before_min"),
        ({"pictures": {"every_s": 0.1}}, "pictures.every_s = 0.1"),
        ({"siren": True}, "siren: unknown key"),
    ],
)
def test_a_wrong_order_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedOrder) as caught:
        parse_unsigned_order(msgspec.json.encode({**FIELDS, **change}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_order_has_a_bound_and_needs_a_requester() -> None:
    with pytest.raises(MalformedOrder, match="allowed: 32768"):
        parse_unsigned_order(b" " * (MAX_ORDER_BYTES + 1))
    with pytest.raises(MalformedOrder, match="not JSON"):
        parse_unsigned_order(b"\xff")
    for name in ("by", "role", "to"):
        fields = {key: value for key, value in FIELDS.items() if key != name}
        with pytest.raises(MalformedOrder, match=f"{name}: missing"):
            parse_unsigned_order(msgspec.json.encode(fields))
