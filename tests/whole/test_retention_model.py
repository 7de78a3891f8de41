"""agent.recording.retention on a real disk against a model that knows the true time.

Segments are files of zeros, because nothing here looks into them. The clock is good, or unknown
and wrong by years; a step takes the trust away, as Linux does (ntp_clear in settimeofday(2)).
"""

import os
import random
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.base.clock import ClockTrust
from agent.base.errors import UserError
from agent.base.model import Event
from agent.base.uuid7 import uuid7_factory
from agent.config.recording import FootageRules, HoldConfig, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import FootageEvicted, HoldPlaced, HoldReleased, ReceiptBody
from agent.recording.recovery import StoredSegment, recover_folder
from agent.recording.retention.event_holds import MAX_HOLDS_OF_A_SPAN, EventHolds
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage
from agent.recording.segment_age import short_boot
from agent.recording.segment_name import SegmentName

EPOCH = datetime(2026, 11, 25, tzinfo=UTC)
CAMERAS = ("north", "south")
SEGMENT_S = 10
CAMERA_BYTES, BOX_BYTES, DISK_BYTES = 2000, 3000, 10_000
SETTINGS = RecordConfig(
    max_bytes=CAMERA_BYTES,
    box_max_bytes=BOX_BYTES,
    max_age_h=1.0,
    reserve_bytes=500,
    segment_s=SEGMENT_S,
)
HOLDING = HoldConfig(pre_s=15, post_s=15, event_days=0.5)
HOUR_NS = 3_600_000_000_000


class TrueClock:
    """True time since EPOCH, boots, and what the box believes of UTC."""

    def __init__(self) -> None:
        self.true_ns = 0
        self.booted_ns = 0
        self.set_ns = 0
        """When UTC moved last."""
        self.off = timedelta()
        self.synced = True
        self.boot_number = 1

    @property
    def boot(self) -> str:
        return f"{self.boot_number:08d}-0000-4000-8000-000000000000"

    def boottime_ns(self) -> int:
        return self.true_ns - self.booted_ns

    def utc(self, t_ns: int) -> datetime:
        return EPOCH + timedelta(microseconds=(self.booted_ns + t_ns) // 1000) + self.off

    def trust(self) -> ClockTrust:
        return ClockTrust(synced=self.synced, source="model", error_s=None)


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A segment as the model knows it, in true time."""

    camera: str
    name: str
    size_bytes: int
    begin_ns: int
    end_ns: int


class StoreModel(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="vigie-store-"))
        self.footage = self.state / "footage"
        self.clock = TrueClock()
        self.rng = random.Random(1)
        self.counters = dict.fromkeys(CAMERAS, 1)
        self.stored: dict[str, Stored] = {}
        self.spans: dict[str, tuple[str, int, int | None]] = {}
        self.by_utc: set[str] = set()
        """The holds of people, who know times by the box's UTC only."""
        self.chain: list[ReceiptBody] = []
        self.reported: list[Hold] = []
        self.strangers_bytes = 0
        self.chain_works = True
        real = os.statvfs

        def statvfs(path: Path) -> object:
            real(path)
            used = self.strangers_bytes + sum(each.size_bytes for each in self.on_disk())
            free = max(0, DISK_BYTES - used)
            return mock.Mock(f_blocks=DISK_BYTES, f_frsize=1, f_bavail=free, f_files=0)

        self.patched = mock.patch("agent.recording.retention.retention_stage.os.statvfs", statvfs)
        self.patched.start()
        self.start()

    def teardown(self) -> None:
        self.patched.stop()
        shutil.rmtree(self.state)

    def append(self, body: ReceiptBody, t_ns: int) -> None:
        if not self.chain_works:
            raise OSError("the chain's disk is full")
        self.chain.append(body)

    def start(self) -> None:
        """An agent starts on the content of the disk."""
        clock = self.clock
        self.faults = FaultRegistry(clock.boottime_ns)
        new_id = uuid7_factory(lambda _t: 1_795_564_800_000_000_000 + clock.true_ns, self.rng)
        self.new_id = new_id
        self.receipt_queue = ReceiptQueue(self.append, self.faults)
        self.holds = HoldStore(self.state / "holds", clock, clock.boot, new_id)
        self.events = EventHolds(self.holds, HOLDING, clock, self.faults)
        self.going_on: dict[str, Event] = {}
        self.covered: set[str] = set()
        """Events without a hold of their own at their begin: enough others held the same footage."""
        self.keeper = RetentionStage(
            self.footage,
            RetentionRules(FootageRules(record=SETTINGS, hold=HOLDING), CAMERAS),
            clock,
            clock.boot,
            self.faults,
            self.holds,
            self.receipt_queue,
            self.reported.append,
        )
        self.turn()
        for camera in CAMERAS:
            self.before_change()
            self.keeper.register_folder(
                camera, self.footage / camera, recover_folder(self.footage / camera)
            )
            self.after_change()

    # What is checked around everything that may evict.

    def on_disk(self) -> list[Stored]:
        return [
            each
            for each in self.stored.values()
            if (self.footage / each.camera / each.name).exists()
        ]

    def held_by(self, each: Stored, hold_id: str) -> bool:
        camera, begin_ns, end_ns = self.spans[hold_id]
        begins_before = end_ns is None or each.begin_ns < end_ns
        return each.camera == camera and each.end_ns > begin_ns and begins_before

    def before_change(self) -> None:
        self.was = self.on_disk()
        self.were_held = {hold.id for hold in self.holds.active()}
        self.chain_was = len(self.chain)

    def after_change(self) -> None:
        left = {each.name for each in self.on_disk()}
        gone = [each for each in self.was if each.name not in left]
        still_held = {hold.id for hold in self.holds.active()} & self.were_held
        why = {
            name: body.reason
            for body in self.chain[self.chain_was :]
            if isinstance(body, FootageEvicted)
            for name in body.segments
        }
        for each in gone:
            for hold_id in still_held:
                assert not self.held_by(each, hold_id), f"{each} was held by {hold_id}"
            if self.chain_works:
                assert each.name in why, "a file went without a receipt"
            if why.get(each.name) == "age":
                true_age_ns = self.clock.true_ns - each.begin_ns
                assert true_age_ns >= HOUR_NS - 10_000_000, f"{each} was not old"
            del self.stored[each.name]
        if self.chain_works:
            assert set(why) >= {each.name for each in gone}
            assert not {name for name in why if name in self.stored}, "a receipt, and it is there"

    def turn(self) -> None:
        self.before_change()
        self.keeper.enforce()
        self.after_change()

    # Rules.

    @rule(camera=st.sampled_from(CAMERAS), size_bytes=st.integers(1, 700))
    def write_and_close(self, camera: str, size_bytes: int) -> None:
        clock = self.clock
        name = SegmentName(
            counter=self.counters[camera],
            boot=short_boot(clock.boot),
            begin_ms=clock.boottime_ns() // 1_000_000,
            utc=clock.utc(clock.boottime_ns()),
            synced=clock.synced,
        )
        self.counters[camera] += 1
        begin_ns = clock.true_ns
        self.before_change()
        self.keeper.on_bytes_written(camera, "2026-11-25T00:00:00.000Z", size_bytes)
        self.after_change()
        clock.true_ns += SEGMENT_S * 1_000_000_000
        (self.footage / camera / str(name)).write_bytes(bytes(size_bytes))
        self.stored[str(name)] = Stored(
            camera=camera,
            name=str(name),
            size_bytes=size_bytes,
            begin_ns=begin_ns,
            end_ns=clock.true_ns,
        )
        self.keeper.on_segment_closed(camera, StoredSegment(name=name, size_bytes=size_bytes))

    @rule(seconds=st.sampled_from([1, 30, 700, 3000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.true_ns += seconds * 1_000_000_000

    @rule()
    def take_a_turn(self) -> None:
        self.turn()

    @rule(camera=st.sampled_from(CAMERAS))
    def an_event_begins(self, camera: str) -> None:
        now_ns = self.clock.boottime_ns()
        event = Event(
            event=self.new_id(now_ns),
            rev=1,
            kind="stopped",
            phase="begin",
            camera=camera,
            t_ns=now_ns,
            begin_ns=now_ns,
        )
        assert self.events.on_event(event)
        self.going_on[event.event] = event
        active = [hold for hold in self.holds.active() if hold.camera == camera]
        if event.event not in {hold.id for hold in active}:
            assert sum(hold.kind == "event" for hold in active) >= MAX_HOLDS_OF_A_SPAN
            self.covered.add(event.event)
        begin_ns = self.clock.true_ns - min(now_ns, 15_000_000_000)
        self.spans[event.event] = (camera, begin_ns, None)

    @precondition(lambda self: self.going_on)
    @rule(data=st.data())
    def an_event_ends(self, data: st.DataObject) -> None:
        event = self.going_on.pop(data.draw(st.sampled_from(sorted(self.going_on))))
        now_ns = self.clock.boottime_ns()
        ended = msgspec.structs.replace(event, rev=2, phase="end", t_ns=now_ns)
        before = {hold.id for hold in self.holds.active()}
        kept = self.events.on_event(ended)
        assert (kept is not None) == (event.event in before | self.covered), (
            "what was released stays so"
        )
        camera, begin_ns, _ = self.spans[event.event]
        self.spans[event.event] = (camera, begin_ns, self.clock.true_ns + 15_000_000_000)

    @rule(camera=st.sampled_from(CAMERAS), ago_s=st.integers(5, 300), length_s=st.integers(1, 60))
    def a_person_holds(self, camera: str, ago_s: int, length_s: int) -> None:
        """By another process, in the UTC that the box has now."""
        clock = self.clock
        other = HoldStore(self.state / "holds", clock, clock.boot, self.new_id)
        begin = clock.utc(clock.boottime_ns()) - timedelta(seconds=ago_s)
        end = begin + timedelta(seconds=length_s)
        hold = other.place(camera, begin, end, owner="Amina", reason="case 17", days=0.2)
        begin_ns = clock.true_ns - ago_s * 1_000_000_000
        # Footage under another clock that was never set right is not found by UTC.
        begin_ns = max(begin_ns, clock.booted_ns, clock.set_ns)
        end_ns = clock.true_ns + (length_s - ago_s) * 1_000_000_000
        self.spans[hold.id] = (camera, begin_ns, max(begin_ns, end_ns))
        self.by_utc.add(hold.id)

    def utc_moves(self) -> None:
        """From now on footage is named by another clock than the holds of requesters were."""
        self.clock.set_ns = self.clock.true_ns
        for hold_id in self.by_utc:
            camera, begin_ns, end_ns = self.spans[hold_id]
            assert end_ns is not None
            self.spans[hold_id] = (camera, begin_ns, max(begin_ns, min(end_ns, self.clock.true_ns)))

    @precondition(lambda self: self.holds.active())
    @rule(data=st.data())
    def a_person_releases(self, data: st.DataObject) -> None:
        other = HoldStore(self.state / "holds", self.clock, self.clock.boot, self.new_id)
        hold = data.draw(st.sampled_from(other.active()))
        other.request_release(hold.id, by="Amina", reason="closed")
        assert hold.id not in {each.id for each in self.holds.active()}
        try:
            other.request_release(hold.id, by="Amina", reason="again")
        except UserError:
            return
        raise AssertionError("a hold was released twice")

    @rule(off_s=st.sampled_from([0, 5, 4000]), clock_lost=st.booleans())
    def the_power_goes(self, *, off_s: int, clock_lost: bool) -> None:
        clock = self.clock
        for event_id in self.going_on:
            camera, begin_ns, _ = self.spans[event_id]
            self.spans[event_id] = (camera, begin_ns, clock.true_ns)
        clock.true_ns += off_s * 1_000_000_000 + 1_000_000
        clock.booted_ns = clock.true_ns
        clock.true_ns += 20_000_000_000
        clock.boot_number += 1
        clock.synced = not clock_lost
        off = timedelta(days=-9000) if clock_lost else timedelta()
        if off != clock.off:
            self.utc_moves()
        clock.off = off
        self.start()

    @rule()
    def the_agent_is_killed(self) -> None:
        for event_id in self.going_on:
            camera, begin_ns, _ = self.spans[event_id]
            self.spans[event_id] = (camera, begin_ns, self.clock.true_ns)
        self.start()

    @rule(years=st.sampled_from([-10, 10]))
    def the_clock_is_stepped(self, years: int) -> None:
        self.clock.synced = False
        self.clock.off += timedelta(days=365 * years)
        self.utc_moves()

    @rule()
    def the_time_server_answers(self) -> None:
        if self.clock.off:
            self.utc_moves()
        self.clock.synced = True
        self.clock.off = timedelta()

    @rule()
    def the_chain_cannot_be_written_for_a_while(self) -> None:
        """Receipts of this time are written later, in order."""
        self.chain_works = False
        self.write_and_close("north", 600)
        self.turn()
        codes = {fault.code for fault in self.faults.active()}
        assert "CUS-01" in codes or all(hold.in_custody_log for hold in self.holds.active())
        self.chain_works = True
        self.chain_was = len(self.chain)
        self.turn()
        assert "CUS-01" not in {fault.code for fault in self.faults.active()}

    @rule(used_bytes=st.integers(0, DISK_BYTES))
    def others_fill_the_disk(self, used_bytes: int) -> None:
        footage_bytes = sum(each.size_bytes for each in self.on_disk())
        self.strangers_bytes = min(used_bytes, DISK_BYTES - footage_bytes)
        self.turn()
        footage_bytes = sum(each.size_bytes for each in self.on_disk())
        free_bytes = DISK_BYTES - self.strangers_bytes - footage_bytes
        assert free_bytes >= 500 or not self.on_disk()

    # Always.

    @invariant()
    def health_is_what_lies_on_the_disk(self) -> None:
        for camera in CAMERAS:
            here = [each for each in self.stored.values() if each.camera == camera]
            health = self.keeper.footage_health(camera, 0)
            assert health.segments == len(here) == len(list((self.footage / camera).glob("*.mp4")))

    @invariant()
    def a_turn_keeps_every_limit(self) -> None:
        self.turn()
        per_camera = [
            sum(each.size_bytes for each in self.stored.values() if each.camera == camera)
            for camera in CAMERAS
        ]
        assert max(per_camera) <= CAMERA_BYTES
        assert sum(per_camera) <= BOX_BYTES
        held = self.holds.active()
        for each in self.stored.values():
            in_this_boot = each.begin_ns >= self.clock.booted_ns
            old = self.clock.true_ns - each.begin_ns >= HOUR_NS + 10_000_000
            if in_this_boot and old:
                assert any(hold.camera == each.camera for hold in held), "expired, and not held"

    @invariant()
    def the_chain_knows_every_hold_and_its_end(self) -> None:
        began = {body.hold_id for body in self.chain if isinstance(body, HoldPlaced)}
        over = {body.hold_id for body in self.chain if isinstance(body, HoldReleased)}
        active = {hold.id for hold in self.holds.active()}
        assert active <= began
        assert began - over == active
        assert {hold.id for hold in self.reported} <= over


StoreModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_the_store_is_as_the_model = StoreModel.TestCase
