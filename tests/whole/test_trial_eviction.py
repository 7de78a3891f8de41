"""A version of the centre on trial evicts nothing that the version before would keep, and no version evicts held footage."""

import os
import random
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.base.clock import SystemClock, boot_id
from agent.base.uuid7 import uuid7_factory
from agent.config.desired_store import ConfigLayer, DesiredStore
from agent.config_change.start_config import StartConfig, load_start_config
from agent.faults.registry import FaultRegistry
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import FootageEvicted, HoldReleased, ReceiptBody
from agent.recording.recovery import recover_folder
from agent.recording.retention import retention_stage
from agent.recording.retention.event_holds import EventHolds
from agent.recording.retention.eviction_plan import EvictionPlan, plan_eviction
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage
from agent.recording.segment_name import SegmentName
from tests.authority_rig import ControlKeys
from tests.conftest import ManualClock
from tests.parts.config_stage_rig import SignedPole, skip_waits
from tests.pole_config import POLE_CONFIG
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import TIMEOUT_S, AgentBox
from tests.whole.test_desired_config import DRAWN
from tests.whole.test_hold_store import event

BOOT, NEXT_BOOT = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "ab")
DAY = datetime(2026, 11, 25, tzinfo=UTC)
SEGMENT_BYTES, SEGMENTS = 1_700_000, 10
SMALL_QUOTAS = {"record": {"max_bytes": 10_000_000, "box_max_bytes": 10_000_000}}
SHORT_AGE = {"record": {"max_age_h": 1}}


def write_segments(folder: Path, boot: str, begin: datetime = DAY) -> None:
    """Ten files of ten seconds, 17 MB in all. They are holes: nothing here looks into them."""
    folder.mkdir(parents=True)
    for number in range(SEGMENTS):
        name = SegmentName(
            counter=number + 1,
            boot=boot[:8],
            begin_ms=number * 10_000,
            utc=begin + timedelta(seconds=10 * number),
            synced=True,
        )
        with (folder / str(name)).open("wb") as file:
            file.truncate(SEGMENT_BYTES)


class RecordingPole:
    """A box with the configuration, holds and footage of its folder; its retention is started as often as one likes."""

    def __init__(self, folder: Path, own: str = "") -> None:
        self.path = folder / "vigie.toml"
        self.path.write_text(f"{POLE_CONFIG}[camera.detect]\nenabled = false\n{own}")
        self.state = folder / "state"
        self.clock = ManualClock()
        self.clock.now_ns = 100_000_000_000
        self.boot = BOOT
        self.footage = self.state / "footage" / "north"
        self.chain: list[ReceiptBody] = []
        write_segments(self.footage, BOOT)
        self.holds = self.open_holds()

    def open_holds(self) -> HoldStore:
        new_id = uuid7_factory(lambda t_ns: 10**18 + t_ns, random.Random(3))
        return HoldStore(self.state / "holds", self.clock, self.boot, new_id)

    def hold_all(self) -> None:
        end = DAY + timedelta(seconds=200)
        self.holds.place("north", DAY, end, owner="Amina", reason="case", case="17", days=30)

    def put_on_trial(self, settings: dict[str, Any], version: int = 1) -> None:
        layer = ConfigLayer(version=version, digest=str(version), by="amina", settings=settings)
        until_ns = self.clock.now_ns + 180_000_000_000
        self.store.begin(layer, "record", "amina", self.boot, until_ns)

    def put_in_force(self, settings: dict[str, Any]) -> None:
        self.put_on_trial(settings)
        self.store.confirm(self.clock.now_ns, self.boot)

    @property
    def store(self) -> DesiredStore:
        return DesiredStore(self.state)

    def start(self) -> StartConfig:
        """The agent starts, takes over the footage, and enforces its limits."""
        start = load_start_config(self.path, self.clock, self.boot)
        faults = FaultRegistry(self.clock.boottime_ns)
        rules, before = start.config.footage_rules, start.rules_before
        assert start.own_rules is not None
        self.holds = self.open_holds()
        self.event_holds = EventHolds(
            self.holds,
            rules.hold,
            self.clock,
            faults,
            None if before is None else rules.during_trial(before).hold,
        )
        self.retention = RetentionStage(
            self.state / "footage",
            RetentionRules(
                rules,
                ["north"] if start.config.camera[0].record else [],
                own=start.own_rules,
                before=before,
            ),
            self.clock,
            self.boot,
            faults,
            self.holds,
            ReceiptQueue(lambda body, _t_ns: self.chain.append(body), faults),
            lambda _hold: None,
        )
        self.retention.enforce()
        if start.config.camera[0].record:
            self.retention.register_folder("north", self.footage, recover_folder(self.footage))
        self.retention.enforce()
        return start

    def left_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.footage.glob("*.mp4"))

    def evicted(self) -> list[ReceiptBody]:
        return [body for body in self.chain if isinstance(body, FootageEvicted | HoldReleased)]


ALL_BYTES = SEGMENT_BYTES * SEGMENTS
GB = 1_000_000_000


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 of 100 GB are free: more than the box's own reserve."""
    stats = os.statvfs_result((1, 1, 100 * GB, 2 * GB, 2 * GB, 0, 0, 0, 0, 255))
    monkeypatch.setattr("agent.recording.retention.retention_stage.os.statvfs", lambda _path: stats)


@pytest.mark.parametrize(
    "settings",
    [
        SMALL_QUOTAS,
        {"camera": {"north": {"record": False, "detect": {"enabled": True}}}, **SMALL_QUOTAS},
        {"record": {"reserve_bytes": 4 * GB}},
    ],
    ids=["quotas", "an unrecorded camera", "the reserve"],
)
@pytest.mark.parametrize("end", ["the agent starts again", "rolled back", "the power goes"])
def test_a_trial_evicts_nothing_that_the_version_before_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], end: str
) -> None:
    """The first case is that of a version that was rolled back, and had evicted 16.2 MB down to 9.8."""
    fill_disk(monkeypatch)
    pole = RecordingPole(tmp_path)
    pole.put_on_trial(settings)
    pole.start()
    assert pole.left_bytes() == ALL_BYTES
    if end == "rolled back":
        pole.store.undo()
        pole.retention.enforce()  # the agent has some seconds left to its end
        assert pole.left_bytes() == ALL_BYTES
    if end == "the power goes":
        pole.boot = NEXT_BOOT
    pole.start()
    assert pole.left_bytes() == ALL_BYTES
    assert pole.evicted() == []


def test_a_trial_of_a_shorter_age_evicts_what_is_older_once_it_is_kept(tmp_path: Path) -> None:
    pole = RecordingPole(tmp_path)
    pole.clock.advance_s(2 * 3600)
    pole.put_on_trial(SHORT_AGE)
    pole.start()
    assert pole.left_bytes() == ALL_BYTES
    pole.store.confirm(pole.clock.now_ns, pole.boot)
    pole.retention.end_trial()
    pole.retention.enforce()
    assert pole.left_bytes() == 0


def test_a_trial_evicts_what_the_version_before_does(tmp_path: Path) -> None:
    pole = RecordingPole(tmp_path, "[record]\nmax_bytes = 10000000\n")
    pole.put_on_trial({"record": {"max_bytes": 99_000_000}})
    pole.start()
    assert pole.left_bytes() == 5 * SEGMENT_BYTES


def test_a_damaged_version_evicts_nothing_that_it_may_keep(tmp_path: Path) -> None:
    """The version kept footage for longer, and more of it, than the box's own file."""
    pole = RecordingPole(tmp_path, "[record]\nmax_bytes = 10000000\nmax_age_h = 1\n")
    pole.put_in_force({"record": {"max_bytes": 99_000_000, "max_age_h": 72}})
    pole.clock.advance_s(2 * 3600)
    pole.start()
    assert pole.left_bytes() == ALL_BYTES
    path = pole.state / "desired" / "layer.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert pole.start().layer is None
    assert pole.left_bytes() == ALL_BYTES


@pytest.mark.parametrize("state", ["damaged", "lost"])
def test_the_trial_of_a_version_in_place_of_a_damaged_one_evicts_nothing(
    tmp_path: Path, state: str
) -> None:
    pole = RecordingPole(tmp_path, "[record]\nmax_bytes = 10000000\nmax_age_h = 1\n")
    kept = {"record": {"max_bytes": 99_000_000, "max_age_h": 72}}
    pole.put_in_force(kept)
    pole.clock.advance_s(2 * 3600)
    path = pole.state / "desired" / "layer.json"
    if state == "damaged":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.unlink()
    pole.put_on_trial(kept, version=2)
    pole.start()
    assert pole.left_bytes() == ALL_BYTES
    pole.store.confirm(pole.clock.now_ns, pole.boot)
    pole.retention.end_trial()
    pole.retention.enforce()
    assert pole.left_bytes() == ALL_BYTES


@pytest.mark.parametrize("settings", [SMALL_QUOTAS, {"record": {"reserve_bytes": 4 * GB}}])
def test_held_footage_is_never_evicted_for_the_limits_of_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """With quotas of 10 MB held footage went from 17.0 MB to 6.8."""
    fill_disk(monkeypatch)
    pole = RecordingPole(tmp_path)
    pole.hold_all()
    pole.put_in_force(settings)
    pole.start()
    pole.retention.on_bytes_written("north", "2026-11-25T00:01:40.000Z", 5_000_000)
    pole.retention.enforce()
    assert pole.left_bytes() == ALL_BYTES
    assert pole.evicted() == []
    (hold,) = pole.holds.active()
    pole.holds.request_release(hold.id, by="Amina", reason="closed")
    pole.clock.advance_s(60)
    pole.retention.enforce()
    assert pole.left_bytes() <= 5_000_000


def test_a_hold_covers_a_long_file_after_segments_have_become_shorter(tmp_path: Path) -> None:
    """The last file before a gap may be as long as segments ever were."""
    pole = RecordingPole(tmp_path)
    begin, end = (DAY + timedelta(seconds=each) for each in (300, 360))
    pole.holds.place("north", begin, end, owner="Amina", reason="case", days=30)
    pole.put_in_force({"record": {"segment_s": 5}})
    pole.clock.advance_s(73 * 3600)
    pole.start()
    assert [path.name[:10] for path in pole.footage.glob("*.mp4")] == ["0000000010"]


def test_held_footage_above_a_quota_is_not_planned_at_each_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pole = RecordingPole(tmp_path)
    pole.hold_all()
    pole.put_in_force(SMALL_QUOTAS)
    pole.start()
    plans: list[EvictionPlan] = []

    def counted(*args: Any) -> EvictionPlan:
        plans.append(plan_eviction(*args))
        return plans[-1]

    monkeypatch.setattr(retention_stage, "plan_eviction", counted)
    for size_bytes in range(1000):
        pole.retention.on_bytes_written("north", "2026-11-25T00:01:40.000Z", size_bytes)
    assert len(plans) == 1
    pole.clock.advance_s(1)
    pole.retention.on_bytes_written("north", "2026-11-25T00:01:40.000Z", 1000)
    assert len(plans) == 2


def test_the_boxs_own_quotas_break_holds_as_before(tmp_path: Path) -> None:
    pole = RecordingPole(tmp_path, "[record]\nmax_bytes = 10000000\n")
    pole.hold_all()
    pole.put_in_force({"health": {"interval_s": 60}})
    pole.clock.advance_s(60)
    pole.start()
    assert pole.left_bytes() < 10_000_000


@pytest.mark.parametrize("hold_rule", [{"kinds": []}, {"event_days": 0.001, "pre_s": 0}])
def test_events_during_a_trial_are_held_by_the_rules_before(
    tmp_path: Path, hold_rule: dict[str, Any]
) -> None:
    pole = RecordingPole(tmp_path)
    pole.put_on_trial({"hold": hold_rule})
    pole.start()
    assert pole.event_holds.on_event(event("begin", 100))
    (hold,) = pole.holds.active()
    begin, expires = (datetime.fromisoformat(time) for time in (hold.begin_time, hold.expires))
    assert expires - begin > timedelta(days=7)
    pole.event_holds.end_trial()
    assert pole.event_holds.on_event(event("end", 110)), (
        "an event that has begun is held to its end"
    )
    (hold,) = pole.holds.active()
    assert not hold.ongoing


def sign(box: SignedPole, people: int, version: int, settings: dict[str, Any]) -> None:
    """Have this many people sign a version, and the box decide about it."""
    names = ("amina", "jonas")[:people]
    signers = [box.keys.identity(name, "supervisor") for name in names]
    box.sign(version, *signers, settings=settings)


def judged_box(pole: RecordingPole, folder: Path, monkeypatch: pytest.MonkeyPatch) -> SignedPole:
    """The box with a stage that judges versions by the footage that there is."""
    skip_waits(monkeypatch)
    pole.start()
    box = SignedPole(folder, ControlKeys())
    box.preview_eviction = pole.retention.preview
    return box


def test_a_version_that_would_evict_footage_needs_two_people_and_says_what_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pole = RecordingPole(tmp_path)
    box = judged_box(pole, tmp_path, monkeypatch)
    sign(box, 1, 1, SMALL_QUOTAS)
    *keys, going = box.reasons()
    assert keys == [
        "record.box_max_bytes = 10000000: now 64000000000; allowed: with signatures of two people",
        "record.max_bytes = 10000000: now 16000000000; allowed: with signatures of two people",
    ]
    span = "from 2026-11-25T00:00:00.000Z to 2026-11-25T00:00:40.000Z"
    assert going == f"would go at once: 8.5 MB of north, 5 files, {span}"
    assert box.restarts == 0
    sign(box, 2, 2, SMALL_QUOTAS)
    assert box.restarts == 1


@pytest.mark.parametrize("people", [1, 2])
def test_a_quota_below_what_is_held_is_refused_also_to_two_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, people: int
) -> None:
    pole = RecordingPole(tmp_path)
    pole.hold_all()
    box = judged_box(pole, tmp_path, monkeypatch)
    sign(box, people, 1, SMALL_QUOTAS)
    held = "17000000 bytes of {} are held (17); allowed: 17000000 or more"
    assert box.reasons() == (
        f"record.max_bytes = 10000000: {held.format('camera north')}",
        f"record.box_max_bytes = 10000000: {held.format('the box')}",
    )
    assert box.restarts == 0
    sign(box, people, 2, {"record": {"max_bytes": 17_000_000}})
    assert box.restarts == (people == 2)


def test_footage_that_is_not_listed_yet_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pole = RecordingPole(tmp_path)
    box = judged_box(pole, tmp_path, monkeypatch)
    (pole.state / "footage" / "south").mkdir()
    sign(box, 1, 1, SMALL_QUOTAS)
    assert box.reasons()[-1] == "not listed yet after the start: the footage of south"


@pytest.mark.parametrize("is_on_trial", [True, False])
def test_the_agent_on_trial_keeps_the_footage_of_the_version_before(
    tmp_path: Path, is_on_trial: bool
) -> None:
    box = AgentBox(tmp_path / "box", "mqtt://127.0.0.1:1", DRAWN, detect_fps=1)
    file = box.folder / "vigie.toml"
    file.write_text(file.read_text().replace('scene = "scene.toml"', "enabled = false"))
    state, clock = box.folder / "state", SystemClock()
    footage = state / "footage" / "north"
    now_ns = clock.boottime_ns()
    write_segments(footage, "cccccccc", clock.utc(now_ns) - timedelta(hours=1))
    store = DesiredStore(state)
    layer = ConfigLayer(version=1, digest="1", by="amina", settings=SMALL_QUOTAS)
    store.begin(layer, "record", "amina", boot_id(), now_ns + 900_000_000_000)
    if not is_on_trial:
        store.confirm(now_ns, boot_id())
    box.start()
    try:
        wait_until(lambda: any(path.name > "0000000011" for path in footage.iterdir()), TIMEOUT_S)
        if not is_on_trial:
            wait_until(lambda: len(list(footage.glob("*.mp4"))) < SEGMENTS, TIMEOUT_S)
        assert box.stop(signal.SIGTERM) == 0
    finally:
        box.kill()
    left = {path.name[:10] for path in footage.glob("*.mp4")}
    assert ("0000000001" in left) == is_on_trial
