"""agent.recording.retention.hold_store: other processes, other runs, damaged files, and a failing disk."""

import json
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from agent.base.errors import UserError
from agent.base.model import Event, EventPhase
from agent.base.state_file import StateFile
from agent.base.uuid7 import uuid7_factory
from agent.config.recording import FootageRules, HoldConfig, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import FootageEvicted, HoldPlaced, HoldReleased, ReceiptBody
from agent.recording.recovery import StoredSegment, recover_folder
from agent.recording.retention import event_holds, undeletable_files
from agent.recording.retention.active_holds import ActiveHolds
from agent.recording.retention.event_holds import EventFootageSpan, EventHolds
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage
from agent.recording.retention.undeletable_files import RETRY_S
from agent.recording.segment_name import SegmentName
from tests.conftest import ManualClock
from tests.whole.test_custody_log import Box

BOOT = "aaaaaaaa-1111-4111-8111-111111111111"
DAY = datetime(2026, 11, 25, tzinfo=UTC)
EVENT_ID = "019a4901-3c62-7d2a-9f0e-000000000001"
RNG = random.Random(3)


def holds_of(folder: Path, clock: ManualClock, boot: str = BOOT) -> HoldStore:
    return HoldStore(folder / "holds", clock, boot, uuid7_factory(lambda t_ns: 10**18 + t_ns, RNG))


def manual(holds: HoldStore, begin_s: float = 10, end_s: float = 20, **more: object) -> str:
    begin, end = (DAY + timedelta(seconds=each) for each in (begin_s, end_s))
    wanted = {"owner": "Amina", "reason": "case 17", "days": 30, **more}
    return holds.place("north", begin, end, **wanted).id  # type: ignore[arg-type]


def event(phase: EventPhase, t_s: float, kind: str = "stopped") -> Event:
    return Event(
        event=EVENT_ID,
        rev=1,
        kind=kind,
        phase=phase,
        camera="north",
        t_ns=round(t_s * 1e9),
        begin_ns=100_000_000_000,
        name="bay",
    )


class Kept:
    """A keeper with one camera's footage: files of 100 bytes, ten seconds each."""

    def __init__(self, folder: Path, clock: ManualClock, **settings: float) -> None:
        self.state = folder
        self.clock = clock
        self.faults = FaultRegistry(clock.boottime_ns)
        self.chain: list[ReceiptBody] = []
        self.chain_works = True
        self.reported: list[str] = []
        self.folder = folder / "footage" / "north"
        self.folder.mkdir(parents=True)
        self.record = RecordConfig(**{"max_bytes": 1000, "reserve_bytes": 0, **settings})  # type: ignore[arg-type]
        self.start(ReceiptQueue(self.append, self.faults))
        segments = [self.segment(number) for number in range(10)]
        self.keeper.enforce()
        self.keeper.register_folder("north", self.folder, segments)

    def start(self, receipt_queue: ReceiptQueue) -> None:
        """A run of the agent begins, and nothing has been read."""
        self.holds = holds_of(self.state, self.clock)
        self.keeper = RetentionStage(
            self.state / "footage",
            RetentionRules(FootageRules(record=self.record, hold=HoldConfig(pre_s=0)), ["north"]),
            self.clock,
            BOOT,
            self.faults,
            self.holds,
            receipt_queue,
            lambda hold: self.reported.append(hold.id),
        )

    def append(self, body: ReceiptBody, t_ns: int) -> None:
        if not self.chain_works:
            raise OSError("no room for receipts")
        self.chain.append(body)

    def stored(self, number: int) -> StoredSegment:
        name = SegmentName(
            counter=number + 1,
            boot=BOOT[:8],
            begin_ms=number * 10_000,
            utc=DAY + timedelta(seconds=10 * number),
            synced=True,
        )
        return StoredSegment(name=name, size_bytes=100)

    def segment(self, number: int, folder: Path | None = None) -> StoredSegment:
        segment = self.stored(number)
        ((folder or self.folder) / str(segment.name)).write_bytes(bytes(100))
        return segment

    def add_camera(self, name: str) -> Path:
        """Register as much footage of another camera."""
        folder = self.folder.with_name(name)
        folder.mkdir()
        segments = [self.segment(number, folder) for number in range(10)]
        self.keeper.register_folder(name, folder, segments)
        return folder

    def stick(self, *numbers: int) -> list[Path]:
        """Put what no unlink(2) takes away in the place of segments."""
        paths = [self.folder / str(self.stored(number).name) for number in numbers]
        for path in paths:
            path.unlink()
            path.mkdir()
        return paths

    def left(self, folder: Path | None = None) -> list[int]:
        return sorted(int(path.name[:10]) - 1 for path in (folder or self.folder).glob("*.mp4"))

    def evictions(self) -> list[FootageEvicted]:
        return [body for body in self.chain if isinstance(body, FootageEvicted)]

    def write(self, size_bytes: int) -> None:
        self.keeper.on_bytes_written("north", "2026-11-25T00:01:40.000Z", size_bytes)

    def codes(self) -> set[str]:
        return {fault.code for fault in self.faults.active()}


@pytest.fixture
def clock() -> ManualClock:
    clock = ManualClock()
    clock.now_ns = 100_000_000_000
    return clock


def test_a_hold_of_another_process_is_respected_at_once(clock: ManualClock, tmp_path: Path) -> None:
    kept = Kept(tmp_path, clock)
    hold_id = manual(holds_of(tmp_path, clock), 1, 2)
    kept.write(150)  # no turn was taken in between
    assert kept.left() == [0, *range(3, 10)]
    kept.keeper.enforce()
    kept.keeper.enforce()
    held = [body for body in kept.chain if isinstance(body, HoldPlaced)]
    assert [(body.hold_id, body.owner, body.reason) for body in held] == [
        (hold_id, "Amina", "case 17")
    ]
    holds_of(tmp_path, clock).request_release(hold_id, by="Yassine", reason="closed")
    kept.write(250)
    assert 0 not in kept.left()
    kept.keeper.enforce()
    assert HoldReleased(hold_id=hold_id, by="Yassine", reason="closed") in kept.chain
    assert list((tmp_path / "holds").iterdir()) == []


@pytest.mark.raises_fault("STO-03")
def test_a_full_ring_breaks_a_hold_and_reports_it_in_three_ways(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept = Kept(tmp_path, clock)
    hold_id = manual(kept.holds, 0, 99)
    clock.advance_s(20)
    kept.keeper.enforce()
    assert kept.codes() == {"STO-03"}, "before it breaks"
    health = kept.keeper.footage_health("north", 0)
    assert (health.holds, health.held_bytes) == (1, 1000)
    kept.write(100)
    assert kept.reported == [hold_id]
    assert kept.codes() == {"STO-03"}
    assert [type(body) for body in kept.chain] == [HoldPlaced, HoldReleased, FootageEvicted]
    assert kept.left() == list(range(2, 10))
    clock.advance_s(20)
    kept.keeper.enforce()
    assert kept.codes() == set()


@pytest.mark.raises_fault("CUS-01")
def test_receipts_of_an_unwritable_chain_are_appended_later(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept = Kept(tmp_path, clock)
    kept.chain_works = False
    manual(kept.holds, 1, 2)
    kept.keeper.enforce()
    for size_bytes in (50, 150, 250):
        kept.write(size_bytes)
    assert kept.codes() == {"CUS-01"}
    assert kept.left() == [0, *range(4, 10)]
    assert kept.chain == []
    kept.chain_works = True
    kept.keeper.enforce()
    assert kept.codes() == set()
    names = [
        name[:10]
        for body in kept.chain
        if isinstance(body, FootageEvicted)
        for name in body.segments
    ]
    assert names == ["0000000002", "0000000003", "0000000004"]


def test_a_hold_ends_at_its_expiry(clock: ManualClock, tmp_path: Path) -> None:
    kept = Kept(tmp_path, clock)
    hold_id = manual(kept.holds, 1, 2, days=1)
    clock.advance_s(86_000)
    kept.keeper.enforce()
    assert [hold.id for hold in kept.holds.active()] == [hold_id]
    clock.advance_s(401)
    kept.keeper.enforce()
    assert kept.holds.active() == ()
    assert kept.chain[-1] == HoldReleased(hold_id=hold_id, by="vigie", reason="expired")


def test_footage_of_a_removed_camera_expires_too(clock: ManualClock, tmp_path: Path) -> None:
    first = Kept(tmp_path, clock)
    former = tmp_path / "footage" / "former"
    first.folder.rename(former)
    clock.advance_s(72 * 3600)
    again = Kept(tmp_path, clock)
    again.keeper.enforce()
    assert list(former.glob("*.mp4")) == []
    evicted = [body for body in again.chain if isinstance(body, FootageEvicted)]
    assert {(body.camera, body.reason) for body in evicted} >= {("former", "age")}


def held(begin: str, end: str) -> EventFootageSpan:
    return EventFootageSpan(
        begin_time=f"2026-11-25T{begin}.000Z", end_time=f"2026-11-25T{end}.000Z"
    )


def test_an_events_hold_starts_at_its_begin_and_its_end_moves(
    clock: ManualClock, tmp_path: Path
) -> None:
    holds = holds_of(tmp_path, clock)
    events = EventHolds(
        holds, HoldConfig(pre_s=20, post_s=5), clock, FaultRegistry(clock.boottime_ns)
    )
    assert events.on_event(event("begin", 100)) == held("00:01:20", "00:01:45")
    (hold,) = holds_of(tmp_path, clock).active()
    assert (hold.id, hold.ongoing, hold.owner, hold.reason) == (
        EVENT_ID,
        True,
        "event",
        "stopped bay",
    )
    assert events.on_event(event("update", 160)) == held("00:01:20", "00:02:45")
    assert events.on_event(event("end", 200)) == held("00:01:20", "00:03:25")
    (hold,) = holds_of(tmp_path, clock).active()
    assert (hold.ongoing, hold.begin_ns, hold.end_ns) == (False, 80 * 10**9, 205 * 10**9)
    assert (hold.begin_time, hold.end_time) == (
        "2026-11-25T00:01:20.000Z",
        "2026-11-25T00:03:25.000Z",
    )


def test_an_instant_event_is_held_and_a_line_crossing_is_not(
    clock: ManualClock, tmp_path: Path
) -> None:
    holds = holds_of(tmp_path, clock)
    events = EventHolds(holds, HoldConfig(), clock, FaultRegistry(clock.boottime_ns))
    assert events.on_event(event("moment", 100, "line")) is None
    assert events.on_event(event("moment", 100, "wrong_way")) is not None
    assert [hold.ongoing for hold in holds.active()] == [False]


def many(phase: EventPhase, t_s: float, count: int) -> list[Event]:
    """A revision of as many events, which have begun together."""
    return [
        msgspec.structs.replace(event(phase, t_s), event=f"{EVENT_ID[:-3]}{number:03x}")
        for number in range(count)
    ]


def test_events_at_one_time_share_eight_holds_and_all_their_footage_is_held(
    clock: ManualClock, tmp_path: Path
) -> None:
    holds = holds_of(tmp_path, clock)
    events = EventHolds(
        holds, HoldConfig(pre_s=20, post_s=5), clock, FaultRegistry(clock.boottime_ns)
    )
    spans = {events.on_event(one) for one in many("begin", 100, 560)}
    assert spans == {held("00:01:20", "00:01:45")}
    assert len(holds.active()) == 8
    long = many("end", 300, 560)[559]
    assert {events.on_event(one) for one in many("end", 200, 559)} == {held("00:01:20", "00:03:25")}
    assert len(holds.active()) == 8
    assert events.on_event(long) == held("00:01:20", "00:05:05")
    assert [hold.id for hold in holds.active() if hold.end_ns == 305 * 10**9] == [long.event]


def test_an_event_whose_footage_others_hold_no_longer_is_held_itself(
    clock: ManualClock, tmp_path: Path
) -> None:
    holds = holds_of(tmp_path, clock)
    events = EventHolds(holds, HoldConfig(), clock, FaultRegistry(clock.boottime_ns))
    *others, last = many("begin", 100, 9)
    for one in (*others, last):
        events.on_event(one)
    assert len(holds.active()) == 8
    holds_of(tmp_path, clock).request_release(others[0].event, by="amina", reason="no case")
    events.on_event(many("update", 160, 9)[8])
    assert last.event in {hold.id for hold in holds.active()}


@pytest.mark.raises_fault("STO-04")
def test_a_camera_with_too_many_holds_of_events_says_so_and_holds_again_once_some_have_ended(
    clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_holds, "MAX_EVENT_HOLDS", 3)
    holds, faults = holds_of(tmp_path, clock), FaultRegistry(clock.boottime_ns)
    events = EventHolds(holds, HoldConfig(), clock, faults)
    *first, fourth = (
        msgspec.structs.replace(one, t_ns=one.t_ns + number * 10**12, phase="moment")
        for number, one in enumerate(many("begin", 100, 4))
    )
    assert all(events.on_event(one) for one in first)
    assert events.on_event(fourth) is None
    assert [(fault.code, fault.subject) for fault in faults.active()] == [("STO-04", "north")]
    holds.request_release(first[0].event, by="amina", reason="no case")
    assert events.on_event(fourth) is not None
    assert faults.active() == ()


@pytest.mark.raises_fault("STO-04")
def test_a_hold_that_cannot_be_written_is_in_force_and_written_later(
    clock: ManualClock, tmp_path: Path
) -> None:
    faults = FaultRegistry(clock.boottime_ns)
    kept = Kept(tmp_path, clock)
    in_the_way = tmp_path / "holds"
    in_the_way.rmdir()
    in_the_way.write_text("no folder")
    events = EventHolds(kept.holds, HoldConfig(pre_s=100), clock, faults)
    assert events.on_event(event("begin", 100)) is not None
    assert [fault.code for fault in faults.active()] == ["STO-04"]
    in_the_way.unlink()
    kept.keeper.enforce()
    assert [hold.id for hold in holds_of(tmp_path, clock).active()] == [EVENT_ID]
    assert [type(body) for body in kept.chain] == [HoldPlaced]


def test_a_restart_within_a_boot_ends_the_open_event_holds(
    clock: ManualClock, tmp_path: Path
) -> None:
    holds = holds_of(tmp_path, clock)
    events = EventHolds(holds, HoldConfig(), clock, FaultRegistry(clock.boottime_ns))
    events.on_event(event("begin", 100))
    (tmp_path / "holds" / ".half.json.making").write_text("{")
    clock.advance_s(60)
    again = holds_of(tmp_path, clock)
    again.reset_for_boot()
    assert [(hold.ongoing, hold.end_ns) for hold in again.active()] == [(False, 160 * 10**9)]
    assert [path.suffix for path in (tmp_path / "holds").iterdir()] == [".json"]
    other_boot = holds_of(tmp_path, clock, "bbbbbbbb-1111")
    other_boot.save(msgspec.structs.replace(again.active()[0], ongoing=True))
    other_boot.reset_for_boot()
    assert [hold.ongoing for hold in other_boot.active()] == [True], "to the end of its boot"


def test_a_hold_ends_by_a_release_and_not_by_the_loss_of_its_file(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept = Kept(tmp_path, clock)
    hold_id = manual(holds_of(tmp_path, clock), 1, 2)
    kept.keeper.enforce()
    for path in (tmp_path / "holds").iterdir():
        path.unlink()
    (tmp_path / "holds").rmdir()
    kept.write(150)
    assert kept.left() == [0, *range(3, 10)]
    kept.keeper.enforce()
    assert [hold.id for hold in holds_of(tmp_path, clock).active()] == [hold_id]


def test_footage_that_cannot_be_deleted_is_a_fault_and_tried_again_later(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept = Kept(tmp_path, clock, max_age_h=1)
    (stuck,) = kept.stick(0)
    clock.advance_s(3600)
    for _ in range(3):
        clock.advance_s(1)
        kept.keeper.enforce()
    assert kept.codes() == {"STO-02"}
    assert len(kept.evictions()) == 1, "not said each second"
    stuck.rmdir()
    clock.advance_s(RETRY_S)
    kept.keeper.enforce()
    assert kept.codes() == set()
    assert kept.left() == []


@pytest.mark.raises_fault("STO-02")
def test_files_that_cannot_be_deleted_keep_no_others_past_their_age(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept = Kept(tmp_path, clock, max_age_h=1)
    south = kept.add_camera("south")
    kept.stick(0, 1, 2, 3, 4, 5)
    clock.advance_s(3700)
    kept.keeper.enforce()
    assert kept.left() == [0, 1, 2, 3, 4, 5]
    assert kept.left(south) == []
    assert kept.keeper.footage_health("north", 0).segments == 6
    kept.add_camera("west")
    assert kept.codes() == {"STO-02"}
    for _ in range(2):
        clock.advance_s(RETRY_S)
        kept.keeper.enforce()
    assert kept.codes() == {"STO-02"}
    assert [body.camera for body in kept.evictions()] == [
        "north",
        "south",
        "west",
        "north",
        "north",
    ]


@pytest.mark.raises_fault("STO-02")
def test_a_file_that_cannot_be_deleted_keeps_no_removed_camera_waiting(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept = Kept(tmp_path, clock, max_age_h=1)
    former = kept.add_camera("former")
    kept.stick(0)
    clock.advance_s(3700)
    kept.start(ReceiptQueue(kept.append, kept.faults))
    kept.keeper.register_folder("north", kept.folder, [kept.stored(0)])
    kept.keeper.enforce()
    assert kept.left(former) == []
    assert kept.codes() == {"STO-02"}


@pytest.mark.raises_fault("STO-02")
def test_a_quarantine_that_cannot_be_emptied_keeps_no_footage_past_its_age(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept = Kept(tmp_path, clock, max_age_h=1, max_bytes=2000)
    quarantine = kept.folder / "quarantine"
    quarantine.mkdir()
    (quarantine / "holiday.jpg").write_bytes(b"sand")
    clock.synced = False  # the time of the move is that of the machine
    kept.keeper.register_folder("north", kept.folder, recover_folder(kept.folder))
    quarantine.rename(tmp_path / "elsewhere")
    quarantine.write_text("no folder")
    clock.advance_s(3700)
    kept.keeper.enforce()
    assert kept.left() == []
    assert kept.codes() == {"STO-02"}
    quarantine.unlink()
    (tmp_path / "elsewhere").rename(quarantine)
    clock.advance_s(RETRY_S)
    kept.keeper.enforce()
    assert list(quarantine.iterdir()) == []
    assert kept.codes() == set()


def test_a_full_ring_makes_room_behind_files_that_cannot_be_deleted(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept = Kept(tmp_path, clock)
    stuck = kept.stick(0, 2)
    kept.write(150)
    assert kept.left() == [0, 2, *range(4, 10)]
    assert kept.keeper.footage_health("north", 0).bytes == 800 + 150
    clock.advance_s(5)
    kept.write(210)
    assert kept.left() == [0, 2, *range(5, 10)]
    assert kept.evictions()[-1].segments == (str(kept.stored(4).name),), "not tried at each write"
    for path in stuck:
        path.rmdir()
    clock.advance_s(RETRY_S)
    kept.write(350)
    assert kept.left() == list(range(5, 10))


@pytest.mark.raises_fault("STO-03")
def test_held_footage_makes_no_room_in_place_of_a_file_that_cannot_be_deleted(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept = Kept(tmp_path, clock)
    hold_id = manual(kept.holds, 11, 99)
    kept.keeper.enforce()
    kept.stick(0)
    for _ in range(3):
        kept.write(90)
        clock.advance_s(RETRY_S)
    assert kept.left() == list(range(10))
    assert kept.reported == []
    kept.write(190)
    assert kept.reported == [hold_id], "recording outlasts every hold"
    assert kept.left() == [0, *range(3, 10)]


@pytest.mark.raises_fault("STO-02")
def test_a_folder_that_refuses_each_deletion_stops_its_own_recorder_alone(
    clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(tmp_path, clock, box_max_bytes=2000)
    south = kept.add_camera("south")
    stuck = kept.stick(*range(10))
    monkeypatch.setattr(undeletable_files, "MAX_FAILURES_IN_A_ROW", 3)
    with pytest.raises(IsADirectoryError):
        kept.write(100)
    clock.advance_s(2)
    kept.keeper.on_bytes_written("south", "2026-11-25T00:01:40.000Z", 300)
    assert kept.left(south) == list(range(5, 10))
    assert len([body for body in kept.evictions() if body.camera == "north"]) == 2
    kept.keeper.enforce()
    assert kept.codes() == {"STO-02"}
    for path in stuck:
        path.rmdir()
    clock.advance_s(RETRY_S)
    kept.write(100)
    kept.keeper.enforce()
    assert kept.codes() == set()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"{EVENT_ID}.json", "{"),
        (f"{EVENT_ID}.json", "[]"),
        ("holiday.json", "{}"),
        ("notes.txt", "buy video"),
        (f"{EVENT_ID}.release", '{"hold_id": 7}'),
    ],
)
def test_an_invalid_hold_file_is_set_aside_and_kept(
    clock: ManualClock, tmp_path: Path, name: str, content: str
) -> None:
    holds = holds_of(tmp_path, clock)
    good = manual(holds)
    (tmp_path / "holds" / name).write_text(content)
    assert [hold.id for hold in holds.active()] == [good]
    assert (tmp_path / "holds" / name).read_text() == content, "only the agent changes files"
    holds.reset_for_boot()
    assert [hold.id for hold in holds.active()] == [good]
    assert (tmp_path / "holds" / f"{name}.unreadable").read_text() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end_s": 5}, "not after from"),
        ({"end_s": 10}, "not after from"),
        ({"owner": " "}, "an owner and a reason"),
        ({"reason": ""}, "an owner and a reason"),
        ({"days": 0}, "at most 90"),
        ({"days": 91}, "at most 90"),
        ({"days": float("nan")}, "at most 90"),
    ],
)
def test_an_invalid_hold_is_refused_in_one_line(
    clock: ManualClock, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    holds = holds_of(tmp_path, clock)
    with pytest.raises(UserError, match=message) as refused:
        manual(holds, **change)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    assert holds.active() == ()


@pytest.mark.parametrize("hold_id", ["", "nothing", "../../etc/passwd", EVENT_ID])
def test_only_an_existing_hold_can_be_released(
    clock: ManualClock, tmp_path: Path, hold_id: str
) -> None:
    with pytest.raises(UserError, match="no such hold"):
        holds_of(tmp_path, clock).request_release(hold_id, by="Amina", reason="over")


@pytest.mark.parametrize(
    ("written", "reported"),
    [
        ("2026-11-25T00:00:01Z", "2026-11-25T00:00:01.000Z"),
        ("2026-11-25T01:00:01.5+01:00", "2026-11-25T00:00:01.500Z"),
        ("2026-11-25T00:00:01.000400Z", "2026-11-25T00:00:01.000Z"),
    ],
)
def test_a_hold_file_written_by_a_person_gets_normalised_times(
    clock: ManualClock, tmp_path: Path, written: str, reported: str
) -> None:
    kept = Kept(tmp_path, clock)
    path = tmp_path / "holds" / f"{manual(kept.holds, 1, 2)}.json"
    hold = json.loads(path.read_bytes())["state"]
    path.write_text(json.dumps({**hold, "begin_time": written, "in_custody_log": False}))
    kept.keeper.enforce()
    (held,) = (body for body in kept.chain if isinstance(body, HoldPlaced))
    assert held.begin_time == reported
    kept.write(250)
    assert 0 in kept.left()


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+01:00", "2026-11-25T00:00:01", "noon"])
def test_a_hold_with_an_impossible_time_is_set_aside(
    clock: ManualClock, tmp_path: Path, time: str
) -> None:
    path = tmp_path / "holds" / f"{manual(holds_of(tmp_path, clock))}.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes())["state"], "begin_time": time}))
    holds = holds_of(tmp_path, clock)
    holds.reset_for_boot()
    assert holds.active() == ()
    assert path.with_name(f"{path.name}.unreadable").exists()


def chain_on_disk(kept: Kept, folder: Path) -> ReceiptQueue:
    """The custody log as far as a reader of holds needs it."""
    custody = Box(folder / "log").open()
    for body in kept.chain:
        if isinstance(body, HoldPlaced | HoldReleased):
            custody.append(body, 0)
    return ReceiptQueue(custody.append, kept.faults, custody.read_lines_backwards)


def restarted(kept: Kept, folder: Path, clock: ManualClock) -> tuple[HoldStore, ActiveHolds]:
    """The holds of the next run of the agent."""
    queue, store = chain_on_disk(kept, folder), holds_of(folder, clock)
    return store, ActiveHolds(store, queue, clock, kept.faults, lambda _hold: None)


@pytest.mark.parametrize("damaged", [b"", b"{", b"folder"])
def test_a_damaged_hold_is_placed_again_from_its_receipt(
    clock: ManualClock, tmp_path: Path, damaged: bytes
) -> None:
    kept = Kept(tmp_path, clock)
    hold_id = manual(kept.holds, 1, 2)
    kept.keeper.enforce()
    (before,) = kept.holds.all()
    path = tmp_path / "holds" / f"{hold_id}.json"
    path.unlink()
    if damaged == b"folder":
        path.mkdir()
    else:
        path.write_bytes(damaged)
    store, holds = restarted(kept, tmp_path, clock)
    holds.load()
    (again,) = holds.current
    for name in ("id", "camera", "begin_time", "end_time", "owner", "reason", "expires"):
        assert getattr(again, name) == getattr(before, name)
    assert again.in_custody_log
    assert StateFile(path, Hold).read() == again
    assert store.pop_damaged_ids() == set()


def held_and_expired(folder: Path, clock: ManualClock, **settings: float) -> tuple[Kept, str]:
    """A box at its next start: its footage has expired, and one of its two holds is damaged."""
    kept = Kept(folder, clock, max_age_h=1, **settings)
    manual(kept.holds, 21, 29)
    damaged = manual(kept.holds, 1, 19)
    kept.keeper.enforce()
    (folder / "holds" / f"{damaged}.json").write_bytes(b"{")
    clock.advance_s(3700)
    kept.start(chain_on_disk(kept, folder))
    return kept, damaged


def test_a_recorder_that_starts_first_evicts_nothing_that_a_damaged_hold_protects(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept, damaged = held_and_expired(tmp_path, clock)
    kept.keeper.register_folder("north", kept.folder, recover_folder(kept.folder))
    assert kept.left() == [0, 1, 2]
    assert damaged in {hold.id for hold in holds_of(tmp_path, clock).active()}
    assert kept.codes() == set()


@pytest.mark.raises_fault("STO-04")
def test_holds_are_in_force_at_the_start_before_their_files_can_be_written(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept, damaged = held_and_expired(tmp_path, clock)
    in_the_way = tmp_path / "holds" / f".{damaged}.json.making"
    in_the_way.mkdir()  # where the file is written
    kept.keeper.register_folder("north", kept.folder, recover_folder(kept.folder))
    assert kept.left() == [0, 1, 2]
    kept.keeper.enforce()
    assert kept.codes() == {"STO-04"}
    in_the_way.rmdir()
    kept.keeper.enforce()
    assert kept.codes() == set()
    assert damaged in {hold.id for hold in holds_of(tmp_path, clock).active()}
    assert kept.left() == [0, 1, 2]


@pytest.mark.raises_fault("STO-02")
def test_footage_does_not_expire_before_the_holds_were_read(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept, _ = held_and_expired(tmp_path, clock)
    folder, elsewhere = tmp_path / "holds", tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.write_text("no folder")
    kept.keeper.register_folder("north", kept.folder, recover_folder(kept.folder))
    kept.write(500)
    kept.keeper.enforce()
    assert kept.left() == list(range(10))
    assert kept.codes() == {"STO-02"}
    folder.unlink()
    elsewhere.rename(folder)
    clock.advance_s(RETRY_S)
    kept.keeper.enforce()
    assert kept.left() == [0, 1, 2]
    assert kept.codes() == set()


def test_a_full_disk_gets_room_before_the_holds_were_read(
    clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, _ = held_and_expired(tmp_path, clock, reserve_bytes=1000)
    (tmp_path / "holds").rename(tmp_path / "elsewhere")
    (tmp_path / "holds").write_text("no folder")
    # 800 of 100,000 bytes are free, and 1000 are to be.
    stats = os.statvfs_result((1, 1, 100_000, 800, 800, 0, 0, 0, 0, 255))
    monkeypatch.setattr("agent.recording.retention.retention_stage.os.statvfs", lambda _path: stats)
    kept.keeper.register_folder("north", kept.folder, recover_folder(kept.folder))
    assert kept.left() == list(range(2, 10))


def test_a_damaged_hold_that_was_released_is_not_placed_again(
    clock: ManualClock, tmp_path: Path
) -> None:
    kept = Kept(tmp_path, clock)
    hold_id = manual(kept.holds, 1, 2)
    kept.keeper.enforce()
    kept.holds.request_release(hold_id, by="Amina", reason="over")
    kept.keeper.enforce()
    (tmp_path / "holds" / f"{hold_id}.json").write_bytes(b"{")
    _, holds = restarted(kept, tmp_path, clock)
    holds.load()
    assert holds.current == ()


def test_each_flipped_bit_of_a_hold_is_found(clock: ManualClock, tmp_path: Path) -> None:
    path = tmp_path / "holds" / f"{manual(holds_of(tmp_path, clock))}.json"
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 3):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert holds_of(tmp_path, clock).active() == ()
