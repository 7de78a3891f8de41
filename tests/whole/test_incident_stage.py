"""agent.incident: one box's incidents on real holds and real state, with a head behind the real dispatcher."""

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.authority.signed_message import sign_message
from agent.base.clock import rfc3339
from agent.base.model import Event, IncidentOutcome, IncidentReport, Reply
from agent.capture.snapshot_command import CameraAccess
from agent.commands.requester import Requester
from agent.config.configuration import BoxConfig, InstitutionConfig
from agent.config.control import Action, ControlConfig, RolePermission
from agent.faults.registry import FaultRegistry
from agent.incident.incident_heads import RENEW_AFTER_S, IncidentHeads
from agent.incident.incident_holds import IncidentHolds
from agent.incident.incident_pictures import IncidentPictures
from agent.incident.incident_rates import IncidentRates
from agent.incident.incident_stage import (
    IncidentEffects,
    IncidentReporter,
    IncidentStage,
    JobQueue,
)
from agent.incident.order import (
    Addressees,
    FootageOrder,
    HeadsOrder,
    IncidentOrder,
    OrderReader,
    PicturesOrder,
    SignedOrder,
    make_order_reader,
    parse_unsigned_order,
    permits_by,
)
from agent.incident.record import MAX_OPEN, IncidentStore
from agent.ptz import ptz_args
from agent.recording.custody.receipts import IncidentChanged
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore
from agent.reporting.mqtt.packets import ReceivedPublish
from centre.signing import sign_incident
from drivers.media import Frame
from tests.authority_rig import ControlKeys
from tests.conftest import ManualClock
from tests.parts.command_rig import CommandRig

BOOT = "aaaaaaaa-1111-4111-8111-111111111111"
NEXT_BOOT = "bbbbbbbb-1111-4111-8111-111111111111"
BOX = BoxConfig(id="pole-17", site="Bd Zerktouni", groups=("south",))
TRAM = InstitutionConfig(owner="Casa Tramway", purpose="safety", viewers=("samira",))
PLANE = np.zeros((2, 2), np.uint8)
NS = 1_000_000_000
AN_HOUR = 3600.0
EXPIRES = "2026-11-25T01:30:00Z"
"""Half an hour after the begin of each test."""


class IncidentBox:
    """A box with two cameras, one of them lent, and a head. `restart` makes another agent on the same state."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.folder = folder
        self.clock = clock
        clock.now_ns = 3600 * NS
        self.boot = BOOT
        self.faults = FaultRegistry(clock.boottime_ns)
        (folder / "commands").mkdir()
        self.commands = CommandRig(folder / "commands", clock)
        self.head = self.commands.head
        self.events: list[Event] = []
        self.receipts: list[IncidentChanged] = []
        self.pictures: list[tuple[str, int]] = []
        self.rates: list[tuple[str, float | None]] = []
        self.cameras = {"north": CameraAccess(), "tram": CameraAccess(viewers=TRAM.viewers)}
        self.read_order: Callable[[bytes], SignedOrder] = parse_unsigned_order
        self.is_signed = False
        self.control = ControlConfig()
        self._ids = itertools.count(1)
        self.restart()

    def restart(self, boot: str = BOOT) -> None:
        self.boot = boot
        self.hold_store = HoldStore(self.folder / "holds", self.clock, boot, self._new_id)
        holds = IncidentHolds(
            self.hold_store,
            self.clock,
            boot,
            self._new_id,
            self.faults,
            {"north": None, "tram": TRAM},
            command_days=30,
            permits=self.permits,
        )
        self.store, self.jobs = IncidentStore(self.folder), JobQueue()
        self.stage = IncidentStage(
            BOX,
            self.clock,
            boot,
            self.store,
            self.jobs,
            OrderReader(
                lambda payload: self.read_order(payload),  # noqa: PLW0108 - a test replaces it
                is_signed=self.is_signed,
            ),
            IncidentEffects(
                holds=holds,
                heads=self._make_heads(),
                pictures=self._make_pictures(),
                rates=IncidentRates(
                    {"north": lambda fps: self._set_fps("north", fps), "tram": lambda _fps: False}
                ),
            ),
            IncidentReporter(
                new_event_id=self._new_id,
                publish_event=self.events.append,
                append_receipt=lambda receipt, _t_ns: self.receipts.append(receipt),
            ),
        )
        self.turn()

    def turn(self, after_s: float = 0.0) -> None:
        """Let time pass, and have the stage and the dispatcher do all that is due."""
        self.clock.advance_s(after_s)
        for _ in range(4):
            self.jobs.post(lambda: None)
            self.stage.run_once(None)  # type: ignore[arg-type] # there is a job
            self.commands.run_all()

    def order(
        self, incident: str = "i", revision: int = 1, *, retained: bool = False, **fields: Any
    ) -> None:
        """An order of the next hour, unless the fields say otherwise."""
        now = self.clock.utc(self.clock.now_ns)
        payload = {
            "id": incident,
            "revision": revision,
            "issued": rfc3339(now),
            "ends": rfc3339(now + timedelta(hours=1)),
            "by": "amina",
            "role": "incident",
            "to": {"boxes": ["pole-17"]},
            **fields,
        }
        self.send(incident, msgspec.json.encode(payload), retained=retained)

    def send(self, incident: str, payload: bytes, *, retained: bool = False) -> None:
        received = ReceivedPublish(topic="", payload=payload, retained=retained, properties=())
        self.stage.receive(incident, received)
        self.turn()

    def report(self) -> IncidentReport:
        report = self.events[-1].incident
        assert isinstance(report, IncidentReport)
        return report

    def outcome(self, part: str, of: str) -> IncidentOutcome:
        (found,) = [one for one in self.report().outcomes if (one.part, one.of) == (part, of)]
        return found

    def holds(self) -> list[Hold]:
        return list(self.hold_store.active())

    def lease(self) -> Requester | None:
        lease = self.head.state().lease
        return None if lease is None else lease.holder

    def offer(self, camera: str) -> None:
        """A frame of a camera."""
        frame = Frame(seq=0, t_ns=self.clock.now_ns, y=PLANE, u=PLANE[:1, :1], v=PLANE[:1, :1])
        self.cameras[camera].next_frame.offer(frame)

    def _make_heads(self) -> IncidentHeads:
        return IncidentHeads(
            "pole-17",
            {"mast": "north"},
            self._run_command,
            lambda _head: self.lease(),
            self.store.note_moved,
            self.clock.boottime_ns,
            self.jobs.post,
            self.permits,
        )

    def _make_pictures(self) -> IncidentPictures:
        return IncidentPictures(
            self.cameras,
            lambda _frame, max_bytes: bytes(max_bytes),
            lambda camera, jpeg, _t_ns, _event: self.pictures.append((camera, len(jpeg))),
            self.clock.boottime_ns,
            self.jobs.post,
            self.permits,
        )

    def _run_command(
        self, requester: Requester, args: ptz_args.Args, on_reply: Callable[[Reply], None]
    ) -> None:
        self.commands.dispatcher.submit_own(
            "ptz",
            args,
            requester,
            command_id=f"command-{next(self._ids)}",
            via="test",
            send_reply=on_reply,
        )

    def permits(self, requester: Requester, action: Action, camera: str | None) -> bool:
        return permits_by(self.control)(requester, action, camera)

    def _set_fps(self, camera: str, fps: float | None) -> bool:
        self.rates.append((camera, fps))
        return True

    def _new_id(self, _t_ns: int) -> str:
        return f"019a4901-3c62-7d2a-9f0e-{next(self._ids):012x}"


@pytest.fixture
def box(tmp_path: Path, clock: ManualClock) -> Iterator[IncidentBox]:
    box = IncidentBox(tmp_path, clock)
    yield box
    box.commands.idempotency_store.close()


def changes(box: IncidentBox) -> list[tuple[str, str, str]]:
    return [(receipt.change, receipt.by, receipt.incident) for receipt in box.receipts]


def phases(box: IncidentBox) -> list[str]:
    return [event.phase for event in box.events]


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


def test_footage_of_an_earlier_boot_is_held_too(box: IncidentBox) -> None:
    box.clock.now_ns = 60 * NS
    box.order(footage={"before_min": 10})
    earlier, own = sorted(box.holds(), key=lambda hold: hold.boot is not None)
    booted = box.clock.utc(0)
    assert earlier.begin_time == rfc3339(booted - timedelta(minutes=9))
    assert earlier.end_time == rfc3339(booted)
    assert (own.begin_ns, own.ongoing) == (0, True)
    assert earlier.case == own.case


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


def test_a_viewer_gets_the_lent_camera(box: IncidentBox) -> None:
    box.order(by="samira", footage={}, pictures={})
    assert {hold.camera for hold in box.holds()} == {"north", "tram"}
    assert box.outcome("pictures", "tram").outcome == "done"


def test_a_long_hold_needs_two_signers(box: IncidentBox) -> None:
    box.order(footage={"days": 60})
    assert "two people" in (box.outcome("footage", "north").detail or "")
    (hold,) = box.holds()
    assert hold.expires == rfc3339(box.clock.utc(box.clock.now_ns) + timedelta(days=30))
    read = box.read_order

    def read_two(payload: bytes) -> SignedOrder:
        signed = read(payload)
        second = Requester(id="youssef", role="operator")
        return msgspec.structs.replace(signed, signers=(*signed.signers, second))

    box.read_order = read_two
    box.order("two", footage={"days": 60})
    assert box.outcome("footage", "north").detail is None
    assert box.holds()[-1].expires == rfc3339(box.clock.utc(box.clock.now_ns) + timedelta(days=60))
    assert box.receipts[-1].by == "amina and youssef"


def test_a_hold_that_a_person_released_is_not_placed_again(box: IncidentBox) -> None:
    box.order(footage={})
    box.hold_store.request_release(box.holds()[0].id, by="youssef", reason="wrong camera")
    box.turn(30)
    assert box.holds() == []


def test_so_many_incidents_run_at_once_and_no_more(box: IncidentBox) -> None:
    for number in range(MAX_OPEN + 1):
        box.order(f"i{number}")
    assert {event.name for event in box.events} == {f"i{number}" for number in range(MAX_OPEN)}
    box.order("i0", 2, ended=True)
    box.order(f"i{MAX_OPEN}", 2)
    assert box.report().incident == f"i{MAX_OPEN}"


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
