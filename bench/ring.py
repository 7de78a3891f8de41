"""Cost of retention: start-up, listing, and eviction with many segments.

Start-up and listing are of 26,000 files in one folder (72 h of segments of 10 s) of one byte each, because
only names and sizes are read; for listing there are their receipts too. The pure eviction plan runs on a
million entries in memory. Eviction runs on real files with a real custody log, at 20 cameras. Run:
`python -m bench ring`.
"""

import random
import resource
import tempfile
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.base.clock import SystemClock, boot_id, rfc3339
from agent.base.device_identity import DeviceIdentity
from agent.base.uuid7 import uuid7_factory
from agent.config.recording import FootageRules, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording.catalogue import find_segments
from agent.recording.custody.chain_files import CHAIN_SUFFIX
from agent.recording.custody.custody_log import RECEIPTS_PER_FILE, CustodyLog
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import (
    SegmentOpened,
)
from agent.recording.recovery import StoredSegment, recover_folder
from agent.recording.retention.eviction_plan import CameraStorage, RetentionLimits, plan_eviction
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionRules, RetentionStage
from agent.recording.segment_age import BootTimeline, ClockReading, short_boot
from agent.recording.segment_name import SegmentName
from bench.cpu import run_in_turns
from bench.memory import compiled_code
from bench.start import command_work
from bench.table import Row
from tests.receipt_lines import closed_segment, unsigned_line

SEGMENT_COUNT = 26_000
ENTRY_COUNT = 1_000_000
CAMERA_COUNT = 20
SEGMENT_S = 10
SEGMENT_BYTES = 5_000_000
HOLD_COUNT = 500
ROUNDS = 3
BOOT = "0123abcd-0000-4000-8000-000000000000"
START = datetime(2026, 11, 22, tzinfo=UTC)


def make_segment(number: int, size_bytes: int = SEGMENT_BYTES) -> StoredSegment:
    """Return the name of segment `number` of a boot that began at START."""
    name = SegmentName(
        counter=number + 1,
        boot=short_boot(BOOT),
        begin_ms=number * SEGMENT_S * 1000,
        utc=START + timedelta(seconds=number * SEGMENT_S),
        synced=True,
    )
    return StoredSegment(name=name, size_bytes=size_bytes)


def make_event_hold(number: int, camera: str, begin_s: float) -> Hold:
    """Return a hold of one minute of an event."""
    begin, end = (START + timedelta(seconds=begin_s + offset_s) for offset_s in (0, 60))
    return Hold(
        id=f"019a4901-3c62-7d2a-9f0e-{number:012d}",
        kind="event",
        camera=camera,
        boot=BOOT,
        begin_ns=round(begin_s * 1e9),
        end_ns=round((begin_s + 60) * 1e9),
        begin_time=rfc3339(begin),
        end_time=rfc3339(end),
        owner="event",
        reason="stopped",
        created_boot=BOOT,
        created_ns=round(begin_s * 1e9),
        created_time=rfc3339(begin),
        created_synced=True,
        expires=rfc3339(begin + timedelta(days=7)),
        in_custody_log=True,
    )


def open_retention(
    folder: Path, names: list[str], max_bytes: int, custody: CustodyLog | None
) -> tuple[RetentionStage, FaultRegistry]:
    """Return a retention stage as on a box, on the real clock."""
    clock = SystemClock()
    faults = FaultRegistry(clock.boottime_ns)
    new_id = uuid7_factory(lambda t_ns: t_ns, random.Random(1))
    record = RecordConfig(
        max_bytes=max_bytes, box_max_bytes=10**15, max_age_h=2160, reserve_bytes=0
    )
    retention = RetentionStage(
        folder / "footage",
        RetentionRules(FootageRules(record=record), names),
        clock,
        boot_id(),
        faults,
        HoldStore(folder / "holds", clock, boot_id(), new_id),
        ReceiptQueue(custody.append if custody else None, faults),
        lambda _hold: None,
    )
    return retention, faults


def write_chain(folder: Path) -> None:
    """Write the receipts of all segments, unsigned: listing does not verify signatures."""
    folder.mkdir()
    lines: list[bytes] = []
    for number in range(SEGMENT_COUNT):
        name = make_segment(number).name
        opened = SegmentOpened(camera="north", segment=str(name))
        closed = closed_segment(
            str(name),
            begin_ns=name.begin_ms * 1_000_000,
            duration_ns=SEGMENT_S * 1_000_000_000,
            begin_time=rfc3339(name.utc),
        )
        lines.append(unsigned_line(opened, len(lines) + 1))
        lines.append(unsigned_line(closed, len(lines) + 1))
    for at in range(0, len(lines), RECEIPTS_PER_FILE):
        path = folder / f"{at + 1:010d}{CHAIN_SUFFIX}"
        path.write_bytes(b"".join(lines[at : at + RECEIPTS_PER_FILE]))


def startup_rows(folder: Path) -> list[Row]:
    """Measure a start on three days of one camera, then a listing of its second day."""
    camera = folder / "footage" / "north"
    camera.mkdir(parents=True)
    for number in range(SEGMENT_COUNT):
        (camera / str(make_segment(number).name)).write_bytes(b"\0")
    start_s = time.perf_counter()
    retention, _ = open_retention(folder, ["north"], 10**12, None)
    retention.enforce()
    retention.register_folder("north", camera, recover_folder(camera))
    duration_s = time.perf_counter() - start_s
    assert retention.footage_health("north", 0).segments == SEGMENT_COUNT
    write_chain(folder / "custody")
    day = (START + timedelta(days=1), START + timedelta(days=2))
    best_s = float("inf")
    for _ in range(ROUNDS):
        start_s = time.process_time()
        found = find_segments(folder / "footage", folder / "custody", ["north"], *day)
        best_s = min(best_s, time.process_time() - start_s)
    segments_per_day = 86_400 // SEGMENT_S
    assert segments_per_day <= len(found) <= segments_per_day + 2
    assert all(entry.closed is not None for entry in found)
    note = f"{SEGMENT_COUNT} files"
    list_note = f"CPU; {len(found)} of {note}, each with its receipt out of {2 * SEGMENT_COUNT}"
    return [
        make_row("ring: start-up", duration_s, "s", "<= 5", note),
        make_row("ring: list a day", 1e3 * best_s, "ms", "<= 100", list_note),
        command_row(folder, day),
    ]


def command_row(state: Path, day: tuple[datetime, datetime]) -> Row:
    """Measure `vigie footage list` of a day, with the start of Python."""
    span = ("--from", rfc3339(day[0]), "--to", rfc3339(day[1]))
    listing = ("-m", "agent", "footage", "list", "--state", str(state), *span)
    with compiled_code(state / "compiled"):
        turns = run_in_turns({"list": command_work(*listing), "python": command_work("-c", "pass")})
    return make_row(
        "ring: `vigie footage list` of a day",
        turns.ms("list", 1) / 1e3,
        "s",
        "aim <= 0.2",
        f"CPU, the start of bare Python included: {turns.ms('python', 1):.0f} ms",
    )


def planning_rows() -> list[Row]:
    """Measure the pure plan over a million entries of 20 cameras, each with one segment too many."""
    per_camera = ENTRY_COUNT // CAMERA_COUNT
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    start_s = time.perf_counter()
    segments = [make_segment(number) for number in range(per_camera)]
    names = [f"cam{index}" for index in range(CAMERA_COUNT)]
    now_ms = per_camera * SEGMENT_S * 1000
    now = ClockReading(
        boot=short_boot(BOOT),
        boot_ms=now_ms,
        unix_ms=round(START.timestamp() * 1000) + now_ms,
        synced=True,
    )
    storage_by_camera: dict[str, CameraStorage] = {}
    for name in names:
        camera_segments = (
            [make_segment(number) for number in range(per_camera)] if name != names[0] else segments
        )
        boot_timeline = BootTimeline(one.name for one in camera_segments)
        storage_by_camera[name] = CameraStorage(
            segments=deque(camera_segments),
            closed_bytes=per_camera * SEGMENT_BYTES,
            open_bytes=SEGMENT_BYTES,
            ages=boot_timeline.ages(now),
        )
    index_s = time.perf_counter() - start_s
    growth_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000 - before_mb
    limits = RetentionLimits(
        camera_bytes=per_camera * SEGMENT_BYTES,
        box_bytes=10**15,
        max_age_ms=now_ms * 2,
        max_segment_ms=20_000,
        pre_roll_ms=30_000,
    )
    holds = [make_event_hold(n, names[n % CAMERA_COUNT], n * 600.0) for n in range(HOLD_COUNT)]
    best_s, worst_s = float("inf"), 0.0
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        eviction_plan = plan_eviction(storage_by_camera, holds, limits)
        duration_s = time.perf_counter() - start_s
        best_s, worst_s = min(best_s, duration_s), max(worst_s, duration_s)
    assert len({eviction.camera for eviction in eviction_plan.evictions}) == CAMERA_COUNT
    assert not eviction_plan.broken_holds
    note = f"{len(eviction_plan.evictions)} go, {HOLD_COUNT} holds; the index itself: {index_s:.1f} s, {growth_mb:.0f} MB"
    return [make_row(f"ring: plan over {ENTRY_COUNT:,} entries", 1e3 * best_s, "ms", "-", note)]


def eviction_rows(folder: Path) -> list[Row]:
    """Measure cameras at their limit: each new segment evicts an old one, with its receipt."""
    names = [f"cam{index:02d}" for index in range(CAMERA_COUNT)]
    clock = SystemClock()
    identity = DeviceIdentity.load_or_create(folder / "identity")
    custody = CustodyLog.open(folder / "custody", "bench", boot_id(), clock, identity)
    ring_segments = 200
    retention, faults = open_retention(folder, names, ring_segments * SEGMENT_BYTES, custody)
    retention.enforce()
    for name in names:
        camera = folder / "footage" / name
        camera.mkdir(parents=True)
        for number in range(ring_segments):
            (camera / str(make_segment(number).name)).write_bytes(b"\0")
        retention.register_folder(
            name, camera, [make_segment(number) for number in range(ring_segments)]
        )
    new_segments = 20
    cpu_start_s = time.process_time()
    start_s = time.perf_counter()
    for number in range(ring_segments, ring_segments + new_segments):
        for name in names:
            segment = make_segment(number)
            (folder / "footage" / name / str(segment.name)).write_bytes(b"\0")
            retention.on_bytes_written(name, rfc3339(segment.name.utc), SEGMENT_BYTES)
            retention.on_segment_closed(name, segment)
    duration_s = time.perf_counter() - start_s
    cpu_used_s = time.process_time() - cpu_start_s
    assert not faults.active()
    remaining = sum(1 for _ in (folder / "footage").glob("*/*.mp4"))
    assert remaining <= ring_segments * CAMERA_COUNT
    recorded_s = new_segments * SEGMENT_S
    realtime_factor = recorded_s / duration_s
    receipts = custody.head().seq
    note = f"{new_segments * CAMERA_COUNT} segments in {duration_s:.2f} s, {receipts} receipts, durable each"
    return [
        make_row(
            f"ring: eviction at {CAMERA_COUNT} cameras, pace",
            realtime_factor,
            "x real time",
            ">= 1",
            note,
        ),
        make_row("ring: same, of a core", 100 * cpu_used_s / recorded_s, "%", "-", "at real pace"),
    ]


def idle_rows(folder: Path) -> list[Row]:
    """Measure an idle second with many holds."""
    retention, _ = open_retention(folder, ["cam0"], 10**12, None)
    camera = folder / "footage" / "cam0"
    camera.mkdir(parents=True)
    retention.register_folder(
        "cam0", camera, [make_segment(number) for number in range(SEGMENT_COUNT)]
    )
    clock = SystemClock()
    holds = HoldStore(folder / "holds", clock, boot_id(), lambda _t: "")
    for number in range(HOLD_COUNT):
        holds.save(make_event_hold(number, "cam0", number * 60.0))
    retention.enforce()
    start_s = time.process_time()
    count = 50
    for _ in range(count):
        retention.enforce()
    each_ms = 1e3 * (time.process_time() - start_s) / count
    note = f"{SEGMENT_COUNT} segments, {HOLD_COUNT} holds; once a second"
    return [make_row("ring: an idle turn", each_ms, "ms", "-", note)]


def rows() -> list[Row]:
    """Return the rows of the table."""
    result = planning_rows()
    for part in (startup_rows, eviction_rows, idle_rows):
        with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
            result += part(Path(name))
    return result


def make_row(name: str, value: float, unit: str, target: str, note: str) -> Row:
    return Row(name=name, value=value, unit=unit, target=target, note=note)
