"""What keeping footage costs: start-up, listing, and eviction with many segments.

Start-up and listing are of 26,000 files in one folder (72 h of segments of 10 s), empty but for a
byte, because only names and sizes are read; for listing there are their receipts too. The pure plan is asked with a million entries in
memory. Eviction runs on real files with a real chain of custody, at 20 cameras. Run:
`python -m bench ring`.
"""

import random
import resource
import tempfile
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.base.clock import ClockTrust, SystemClock, boot_id
from agent.base.device_identity import DeviceIdentity
from agent.base.uuid7 import uuid7_maker
from agent.config.configuration import HoldConfig, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording.catalogue import find
from agent.recording.custody.custody_log import RECEIPTS_PER_FILE, SUFFIX, CustodyLog
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import (
    FIRST_PREV,
    SIGNATURE_BYTES,
    Closed,
    Opened,
    Receipt,
    encode,
    write_line,
)
from agent.recording.recovery import StoredSegment, recover
from agent.recording.retention.eviction_plan import CameraStorage, Limits, plan
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.retention_stage import RetentionStage
from agent.recording.retention.segment_age import BootTimeline, ClockReading, short_boot
from agent.recording.segment_name import SegmentName, rfc3339
from bench.table import Row

SEGMENTS = 26_000
ENTRIES = 1_000_000
CAMERAS = 20
SEGMENT_S = 10
SEGMENT_BYTES = 5_000_000
HELD = 500
ROUNDS = 3
BOOT = "0123abcd-0000-4000-8000-000000000000"
START = datetime(2026, 11, 22, tzinfo=UTC)


def stored(number: int, size_bytes: int = SEGMENT_BYTES) -> StoredSegment:
    """Segment `number` of a boot that began at START."""
    name = SegmentName(
        counter=number + 1,
        boot=short_boot(BOOT),
        begin_ms=number * SEGMENT_S * 1000,
        utc=START + timedelta(seconds=number * SEGMENT_S),
        synced=True,
    )
    return StoredSegment(name=name, size_bytes=size_bytes)


def event_hold(number: int, camera: str, begin_s: float) -> Hold:
    """A minute of an event."""
    begin, end = (START + timedelta(seconds=begin_s + more) for more in (0, 60))
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
        made_boot=BOOT,
        made_ns=round(begin_s * 1e9),
        made_time=rfc3339(begin),
        made_synced=True,
        expires=rfc3339(begin + timedelta(days=7)),
        noted=True,
    )


def keeper(
    folder: Path, names: list[str], max_bytes: int, custody: CustodyLog | None
) -> tuple[RetentionStage, FaultRegistry]:
    """One as on a box, on the real clock."""
    clock = SystemClock()
    faults = FaultRegistry(clock.boottime_ns)
    new_id = uuid7_maker(lambda t_ns: t_ns, random.Random(1))
    made = RetentionStage(
        folder / "footage",
        RecordConfig(max_bytes=max_bytes, box_max_bytes=10**15, max_age_h=2160, reserve_bytes=0),
        HoldConfig(),
        clock,
        boot_id(),
        faults,
        HoldStore(folder / "holds", clock, boot_id(), new_id),
        ReceiptQueue(custody.append if custody else None, faults),
        cameras=names,
        on_broken=lambda _hold: None,
    )
    return made, faults


def write_chain(folder: Path) -> None:
    """The receipts of all the segments. Nobody has signed them: listing does not look at that."""
    folder.mkdir()
    lines: list[bytes] = []
    for number in range(SEGMENTS):
        name = stored(number).name
        opened = Opened(camera="north", segment=str(name))
        closed = Closed(
            camera="north",
            segment=str(name),
            sha256="0" * 64,
            size_bytes=1,
            begin_ns=name.begin_ms * 1_000_000,
            duration_ns=SEGMENT_S * 1_000_000_000,
            begin_time=rfc3339(name.utc),
            software="vigie",
            model=None,
            mask=None,
            config=None,
            sealed=False,
            mask_applied="none",
            recovered=False,
        )
        for body in (opened, closed):
            receipt = Receipt(
                box="bench",
                seq=len(lines) + 1,
                prev=FIRST_PREV,
                boot=BOOT,
                t_ns=closed.begin_ns,
                time=closed.begin_time,
                clock=ClockTrust(synced=True, source="ntp", error_s=0.01),
                body=body,
            )
            lines.append(write_line(bytes(SIGNATURE_BYTES), encode(receipt)))
    for at in range(0, len(lines), RECEIPTS_PER_FILE):
        path = folder / f"{at + 1:010d}{SUFFIX}"
        path.write_bytes(b"".join(lines[at : at + RECEIPTS_PER_FILE]))


def start_up(folder: Path) -> list[Row]:
    """A box that begins on three days of one camera; then its second day is asked for."""
    camera = folder / "footage" / "north"
    camera.mkdir(parents=True)
    for number in range(SEGMENTS):
        (camera / str(stored(number).name)).write_bytes(b"\0")
    began = time.perf_counter()
    made, _ = keeper(folder, ["north"], 10**12, None)
    made.enforce()
    made.register_folder("north", camera, recover(camera))
    took_s = time.perf_counter() - began
    assert made.health("north", 0).segments == SEGMENTS
    write_chain(folder / "custody")
    day = (START + timedelta(days=1), START + timedelta(days=2))
    best_s = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        found = find(folder / "footage", folder / "custody", ["north"], *day)
        best_s = min(best_s, time.process_time() - began)
    a_day = 86_400 // SEGMENT_S
    assert a_day <= len(found) <= a_day + 2
    assert all(entry.closed is not None for entry in found)
    note = f"{SEGMENTS} files"
    listed = f"CPU; {len(found)} of {note}, each with its receipt out of {2 * SEGMENTS}"
    return [
        row("ring: start-up", took_s, "s", "<= 5", note),
        row("ring: list a day", 1e3 * best_s, "ms", "<= 100", listed),
    ]


def planning() -> list[Row]:
    """The pure plan over a million entries of 20 cameras, each with one segment too many."""
    each = ENTRIES // CAMERAS
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    began = time.perf_counter()
    segments = [stored(number) for number in range(each)]
    names = [f"cam{index}" for index in range(CAMERAS)]
    now_ms = each * SEGMENT_S * 1000
    now = ClockReading(
        boot=short_boot(BOOT),
        ms=now_ms,
        unix_ms=round(START.timestamp() * 1000) + now_ms,
        synced=True,
    )
    shelves: dict[str, CameraStorage] = {}
    for name in names:
        own = [stored(number) for number in range(each)] if name != names[0] else segments
        boots = BootTimeline(one.name for one in own)
        shelves[name] = CameraStorage(
            segments=deque(own),
            closed_bytes=each * SEGMENT_BYTES,
            open_bytes=SEGMENT_BYTES,
            ages=boots.ages(now),
        )
    index_s = time.perf_counter() - began
    grown_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000 - before_mb
    limits = Limits(
        camera_bytes=each * SEGMENT_BYTES,
        box_bytes=10**15,
        max_age_ms=now_ms * 2,
        longest_ms=20_000,
        pre_ms=30_000,
    )
    holds = [event_hold(n, names[n % CAMERAS], n * 600.0) for n in range(HELD)]
    best_s, worst_s = float("inf"), 0.0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        made = plan(shelves, holds, limits)
        took_s = time.perf_counter() - began
        best_s, worst_s = min(best_s, took_s), max(worst_s, took_s)
    assert len({eviction.camera for eviction in made.evict}) == CAMERAS
    assert not made.broken
    note = (
        f"{len(made.evict)} go, {HELD} holds; the index itself: {index_s:.1f} s, {grown_mb:.0f} MB"
    )
    return [row(f"ring: plan over {ENTRIES:,} entries", 1e3 * best_s, "ms", "-", note)]


def eviction(folder: Path) -> list[Row]:
    """Cameras whose rings are full: each new segment costs an old one, with its receipt."""
    names = [f"cam{index:02d}" for index in range(CAMERAS)]
    clock = SystemClock()
    identity = DeviceIdentity.load_or_make(folder / "identity")
    custody = CustodyLog.open(folder / "custody", "bench", boot_id(), clock, identity)
    ring = 200
    made, faults = keeper(folder, names, ring * SEGMENT_BYTES, custody)
    made.enforce()
    for name in names:
        camera = folder / "footage" / name
        camera.mkdir(parents=True)
        for number in range(ring):
            (camera / str(stored(number).name)).write_bytes(b"\0")
        made.register_folder(name, camera, [stored(number) for number in range(ring)])
    more = 20
    cpu = time.process_time()
    began = time.perf_counter()
    for number in range(ring, ring + more):
        for name in names:
            segment = stored(number)
            (folder / "footage" / name / str(segment.name)).write_bytes(b"\0")
            made.on_bytes_written(name, rfc3339(segment.name.utc), SEGMENT_BYTES)
            made.on_segment_closed(name, segment)
    took_s = time.perf_counter() - began
    spent_s = time.process_time() - cpu
    assert not faults.active()
    left = sum(1 for _ in (folder / "footage").glob("*/*.mp4"))
    assert left <= ring * CAMERAS
    live_s = more * SEGMENT_S
    pace = live_s / took_s
    receipts = custody.head().seq
    note = f"{more * CAMERAS} segments in {took_s:.2f} s, {receipts} receipts, durable each"
    return [
        row(f"ring: eviction at {CAMERAS} cameras, pace", pace, "x real time", ">= 1", note),
        row("ring: same, of a core", 100 * spent_s / live_s, "%", "-", "at real pace"),
    ]


def turns(folder: Path) -> list[Row]:
    """What a second costs where nothing happens, with many holds."""
    made, _ = keeper(folder, ["cam0"], 10**12, None)
    camera = folder / "footage" / "cam0"
    camera.mkdir(parents=True)
    made.register_folder("cam0", camera, [stored(number) for number in range(SEGMENTS)])
    clock = SystemClock()
    holds = HoldStore(folder / "holds", clock, boot_id(), lambda _t: "")
    for number in range(HELD):
        holds.save(event_hold(number, "cam0", number * 60.0))
    made.enforce()
    began = time.process_time()
    count = 50
    for _ in range(count):
        made.enforce()
    each_ms = 1e3 * (time.process_time() - began) / count
    note = f"{SEGMENTS} segments, {HELD} holds; once a second"
    return [row("ring: an idle turn", each_ms, "ms", "-", note)]


def rows() -> list[Row]:
    """The rows for the table."""
    result = planning()
    for part in (start_up, eviction, turns):
        with tempfile.TemporaryDirectory(prefix="vigie-bench-") as name:
            result += part(Path(name))
    return result


def row(name: str, value: float, unit: str, target: str, note: str) -> Row:
    return Row(name=name, value=value, unit=unit, target=target, note=note)
