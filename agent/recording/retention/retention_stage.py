"""Retention stage: enforces the limits of the footage."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import msgspec

from agent.base.clock import Clock, rfc3339, unix_ms
from agent.base.health_model import FootageHealth
from agent.base.message import Message
from agent.config.configuration import InstitutionConfig
from agent.config.recording import MAX_SEGMENT_S, FootageRules
from agent.faults.registry import FaultRegistry
from agent.recording import quarantine
from agent.recording.camera_recovery import (
    UNKNOWN_PROVENANCE,
    SegmentProvenance,
    logged_provenance,
    recover_camera,
)
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import FootageEvicted
from agent.recording.gop import MAX_GOP_NS
from agent.recording.quarantine import QUARANTINE_DIR, QuarantinedFile
from agent.recording.recovery import StoredSegment, delete_segment
from agent.recording.retention.active_holds import ActiveHolds
from agent.recording.retention.eviction_plan import (
    CameraStorage,
    Eviction,
    EvictionPlan,
    EvictionPreview,
    EvictionReason,
    QuarantineDeletion,
    RetentionLimits,
    build_preview,
    count_held_bytes,
    plan_eviction,
)
from agent.recording.retention.free_space import NO_SHORTFALL, SpaceShortfall, space_shortfall
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldStore
from agent.recording.retention.undeletable_files import RETRY_S, UndeletableFiles
from agent.recording.segment_age import (
    BootTimeline,
    ClockReading,
    SegmentAges,
    short_boot,
)
from agent.recording.segment_name import SegmentName
from agent.runtime.pause import Pause

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 1.0
HOLD_CHECK_INTERVAL_S = 10.0
"""Interval between counts of held footage."""

HOLD_FAULT_RATIO = 0.9
"""Held share of a camera's or the box's bytes at which STO-03 is raised."""

_NS_PER_MS = 1_000_000
_MS_PER_H = 3_600_000


class RetentionRules(msgspec.Struct, frozen=True):
    """Rules of a box's footage: those of its configuration, and those that keep more.

    `cameras` are the recorded ones, whose segment writers report; others only age. `policies` include those of removed
    cameras. `own` are the rules of the box's own file: held footage makes room for nothing less. While the
    configuration is on trial, the rules `before` count until `end_trial`.
    """

    confirmed: FootageRules
    cameras: Collection[str]
    policies: Mapping[str, InstitutionConfig] = MappingProxyType({})
    own: FootageRules | None = None
    before: FootageRules | None = None

    @property
    def before_confirmation(self) -> FootageRules:
        """The rules until `end_trial`."""
        return self.confirmed if self.before is None else self.confirmed.during_trial(self.before)


class RetentionStage:
    """Evicts footage by `plan_eviction`, and raises STO-03 if holds fill the disk.

    Each run reads the holds of other processes and checks ages and free space. Segment writers report
    each file and its growth; a limit that is exceeded is enforced before they continue. The holds are
    read again before any deletion.

    A file that cannot be deleted raises STO-02 and keeps no other one waiting. A folder that refuses each deletion stops
    its own segment writer alone, which would exceed the limits further.
    """

    name = "retention"

    def __init__(
        self,
        footage_dir: Path,
        rules: RetentionRules,
        clock: Clock,
        boot: str,
        faults: FaultRegistry,
        hold_store: HoldStore,
        receipt_queue: ReceiptQueue,
        on_hold_broken: Callable[[Hold], None],
    ) -> None:
        """`on_hold_broken` is called for each hold that could not be kept."""
        self._footage_dir = footage_dir
        self._rules = rules
        self._limits = self._make_limits(rules.before_confirmation)
        self._clock = clock
        self._boot = short_boot(boot)
        self._faults = faults
        self.receipt_queue = receipt_queue
        self._lock = threading.RLock()
        self._segments_by_camera: dict[str, CameraSegments] = {}
        self._total_bytes = 0
        self._holds = ActiveHolds(hold_store, receipt_queue, clock, faults, on_hold_broken)
        self._hold_check_pause, self._disk_check_pause = Pause(), Pause()
        self._retry_pause, self._exhausted_pause = Pause(), Pause()
        self._is_initialized = False
        self._removed_cameras = RemovedCameras(receipt_queue, clock, self.register_folder)

    def _make_limits(self, rules: FootageRules) -> RetentionLimits:
        settings, own = rules.record, (self._rules.own or self._rules.confirmed).record
        return RetentionLimits(
            camera_bytes=settings.max_bytes,
            box_bytes=settings.box_max_bytes,
            held_camera_bytes=max(settings.max_bytes, own.max_bytes),
            held_box_bytes=max(settings.box_max_bytes, own.box_max_bytes),
            reserve_bytes=settings.reserve_bytes,
            held_reserve_bytes=min(settings.reserve_bytes, own.reserve_bytes),
            max_age_ms=round(settings.max_age_h * _MS_PER_H),
            # Not of `segment_s`: files are older than the settings.
            max_segment_ms=MAX_SEGMENT_S * 1000 + MAX_GOP_NS // _NS_PER_MS,
            pre_roll_ms=round(rules.hold.pre_s * 1000),
            max_age_ms_by_camera={
                camera: round(policy.max_age_h * _MS_PER_H)
                for camera, policy in self._rules.policies.items()
                if policy.max_age_h is not None
            },
            files_per_segment=2 if settings.recipient else 1,  # the second has its keys
        )

    def end_trial(self) -> None:
        """Apply the settings that were on trial. Thread-safe."""
        with self._lock:
            self._limits = self._make_limits(self._rules.confirmed)

    def preview(self, rules: FootageRules) -> EvictionPreview:
        """Return the footage that other rules would evict now, and the held footage. Thread-safe."""
        limits = self._make_limits(rules)
        folders = list_camera_folders(self._footage_dir)
        with self._lock:
            self._holds.refresh()
            holds = self._holds.current
            # Copies: the recorders do not wait for the plan.
            storages = {
                name: msgspec.structs.replace(storage, segments=tuple(storage.segments))
                for name, storage in self._snapshots().items()
            }
        plan = self._plan(storages, holds, limits)
        unread = [name for name in folders if name not in storages]
        return build_preview(plan, storages, holds, limits.max_segment_ms, unread)

    def run_once(self, stopping: threading.Event) -> None:
        """Wait a second, then enforce the limits."""
        stopping.wait(POLL_INTERVAL_S)
        self.enforce()

    def enforce(self) -> None:
        """Write pending receipts, synchronise holds, and delete footage over the limits."""
        are_receipts_written = self.receipt_queue.flush()
        with self._lock:
            now_ns = self._clock.boottime_ns()
            if not self._retry_pause.is_over(now_ns):
                return
            try:
                if not self._is_initialized:
                    self._initialize()
                if are_receipts_written:
                    is_check_due = self._hold_check_pause.is_over(now_ns)
                    self._holds.sync(self._read_ages() if is_check_due else None)
                self._make_room()
                self._removed_cameras.take_over()
            except OSError as error:
                log.error("footage cannot be deleted: %s", error)
                self._faults.raise_fault("STO-02", "box", error)
                self._retry_pause.begin(now_ns, RETRY_S)
                return
            failure = self._deletion_failure()
            if failure is None:
                self._faults.clear("STO-02", "box")
            else:
                self._faults.raise_fault("STO-02", "box", failure)
            self._check_held_ratio()

    def close(self) -> None:
        """Write pending receipts."""
        self.receipt_queue.flush()

    def register_folder(self, camera: str, folder: Path, segments: Sequence[StoredSegment]) -> None:
        """Set the content of a camera's folder. Raises OSError if it refuses each deletion and a limit is exceeded."""
        with self._lock:
            previous = self._segments_by_camera.get(camera) or CameraSegments(folder)
            now_ms = self._clock.boottime_ns() // _NS_PER_MS
            camera_segments = CameraSegments(
                folder, segments, quarantine.scan(folder, now_ms, previous.quarantined)
            )
            camera_segments.undeletable = previous.undeletable
            camera_segments.undeletable_quarantined = previous.undeletable_quarantined
            self._segments_by_camera[camera] = camera_segments
            self._update_total_bytes()
            self._make_room()
            self._raise_refusal(camera)

    def on_segment_closed(self, camera: str, segment: StoredSegment) -> None:
        """Add a closed segment."""
        with self._lock:
            camera_segments = self._segments_by_camera[camera]
            camera_segments.segments.append(segment)
            camera_segments.boot_timeline.add(segment.name)
            camera_segments.closed_bytes += segment.size_bytes
            camera_segments.open_bytes, camera_segments.open_time = 0, None
            self._update_total_bytes()

    def on_bytes_written(self, camera: str, open_time: str, open_bytes: int) -> None:
        """Set the size of the open file, which began at `open_time`. Raises OSError as `register_folder`."""
        with self._lock:
            camera_segments = self._segments_by_camera[camera]
            self._total_bytes += open_bytes - camera_segments.open_bytes
            camera_segments.open_bytes, camera_segments.open_time = open_bytes, open_time
            now_ns = self._clock.boottime_ns()
            # Free space is checked once a second; age is checked by `run_once`.
            is_check_due = self._disk_check_pause.is_over(now_ns)
            if (self._is_over_limit(camera) and self._exhausted_pause.is_over(now_ns)) or (
                is_check_due and self._space_shortfall(self._limits.reserve_bytes)
            ):
                self._make_room()
                if self._is_over_limit(camera):
                    # The rest is held, open or undeletable: it is not planned again at each write.
                    self._exhausted_pause.begin(now_ns, POLL_INTERVAL_S)
                self._raise_refusal(camera)

    def _is_over_limit(self, camera: str) -> bool:
        return (
            self._segments_by_camera[camera].total_bytes > self._limits.camera_bytes
            or self._total_bytes > self._limits.box_bytes
        )

    def _raise_refusal(self, camera: str) -> None:
        """Raise the OSError of a folder that refuses each deletion, if a limit is exceeded: it must not grow."""
        undeletable = self._segments_by_camera[camera].undeletable
        if undeletable.error is None or not undeletable.is_whole_folder:
            return
        if self._is_over_limit(camera) or self._space_shortfall(self._limits.reserve_bytes):
            raise undeletable.error

    def _deletion_failure(self) -> OSError | None:
        """Return the first failure of a file that waits to be tried again, or None."""
        for camera_segments in self._segments_by_camera.values():
            for undeletable in (
                camera_segments.undeletable,
                camera_segments.undeletable_quarantined,
            ):
                if undeletable.error is not None:
                    return undeletable.error
        return None

    def footage_health(self, camera: str, gaps: int) -> FootageHealth:
        """Return the footage of a camera for the health report."""
        with self._lock:
            camera_segments = self._segments_by_camera.get(camera) or CameraSegments(
                self._footage_dir
            )
            oldest_utc = (
                rfc3339(camera_segments.segments[0].name.utc)
                if camera_segments.segments
                else camera_segments.open_time
            )
            return FootageHealth(
                camera=camera,
                segments=len(camera_segments.segments),
                bytes=camera_segments.closed_bytes + camera_segments.open_bytes,
                oldest_utc=oldest_utc,
                gaps=gaps,
                held_bytes=camera_segments.held_bytes,
                holds=camera_segments.hold_count,
                sealed=bool(self._rules.confirmed.record.recipient),
            )

    def _initialize(self) -> None:
        """Take over the holds and list the removed cameras of the previous agent, once."""
        self._holds.load()
        self._removed_cameras.list_folders(self._footage_dir, self._rules.cameras)
        self._is_initialized = True

    def _update_total_bytes(self) -> None:
        self._total_bytes = sum(
            camera_segments.total_bytes for camera_segments in self._segments_by_camera.values()
        )

    def _read_clock(self) -> ClockReading:
        t_ns = self._clock.boottime_ns()
        return ClockReading(
            boot=self._boot,
            boot_ms=t_ns // _NS_PER_MS,
            unix_ms=unix_ms(self._clock.utc(t_ns)),
            synced=self._clock.trust().synced,
        )

    def _read_ages(self) -> Callable[[str], SegmentAges]:
        """Return a function for the ages of a camera's footage now."""
        now = self._read_clock()
        ages = {
            name: camera_segments.boot_timeline.ages(now)
            for name, camera_segments in self._segments_by_camera.items()
        }
        ages_without_footage = BootTimeline().ages(now)
        return lambda camera: ages.get(camera, ages_without_footage)

    def _make_room(self) -> None:
        """Delete footage over the limits, and other footage in place of files that cannot be deleted."""
        if not self._segments_by_camera:
            return
        now_ns = self._clock.boottime_ns()
        for camera_segments in self._segments_by_camera.values():
            camera_segments.undeletable.forget_due(now_ns)
            camera_segments.undeletable_quarantined.forget_due(now_ns)
        while not self._execute(self._plan_now()):
            pass

    def _plan_now(self) -> EvictionPlan:
        storages, limits = self._snapshots(), self._limits
        if not self._holds.are_known:
            # A recorder may register its folder before the first run of this stage.
            self._holds.refresh()
            if not self._holds.are_known:
                limits = limits.before_holds_are_known()
        planned_holds = self._holds.current
        eviction_plan = self._plan(storages, planned_holds, limits)
        if eviction_plan.evictions:
            self._holds.refresh()
            if self._holds.current != planned_holds:
                eviction_plan = self._plan(storages, self._holds.current, limits)
        return eviction_plan

    def _snapshots(self) -> dict[str, CameraStorage]:
        ages_of = self._read_ages()
        return {
            name: camera_segments.snapshot(ages_of(name))
            for name, camera_segments in self._segments_by_camera.items()
        }

    def _plan(
        self,
        storages: Mapping[str, CameraStorage],
        holds: Sequence[Hold],
        limits: RetentionLimits,
    ) -> EvictionPlan:
        shortfall = held_shortfall = self._space_shortfall(limits.reserve_bytes)
        undeletable_bytes = sum(storage.undeletable_bytes for storage in storages.values())
        if undeletable_bytes or limits.held_reserve_bytes != limits.reserve_bytes:
            held_shortfall = self._space_shortfall(limits.held_reserve_bytes, undeletable_bytes)
        return plan_eviction(
            storages,
            holds,
            limits,
            shortfall.bytes,
            shortfall.files,
            held_shortfall.bytes,
        )

    def _execute(self, eviction_plan: EvictionPlan) -> bool:
        """Append the receipts, then delete: no file is deleted without a receipt.

        Return False if a file could not be deleted, which the next plan passes over.
        """
        try:
            # Without the bytes of a quarantined file a hold that is to break may not be the right one.
            return self._delete_quarantined(eviction_plan.quarantine_deletions) and self._evict(
                eviction_plan
            )
        finally:
            if eviction_plan.quarantine_deletions or eviction_plan.evictions:
                self._update_total_bytes()

    def _evict(self, eviction_plan: EvictionPlan) -> bool:
        """Return False if a segment could not be deleted."""
        now_ns = self._clock.boottime_ns()
        for hold in eviction_plan.broken_holds:
            self._holds.break_hold(hold)
        batches: dict[tuple[str, str], list[Eviction]] = {}
        for eviction in eviction_plan.evictions:
            batches.setdefault((eviction.camera, eviction.reason), []).append(eviction)
        is_all_deleted = True
        for (camera, _), batch in batches.items():
            camera_segments = self._segments_by_camera[camera]
            if camera_segments.undeletable.is_whole_folder:
                continue
            counters = {eviction.segment.name.counter for eviction in batch}
            oldest = next(
                (s for s in camera_segments.segments if s.name.counter not in counters), None
            )
            body = FootageEvicted(
                camera=camera,
                segments=tuple(str(eviction.segment.name) for eviction in batch),
                reason=batch[0].reason,
                oldest_time=rfc3339(oldest.name.utc) if oldest else camera_segments.open_time,
            )
            self.receipt_queue.append(body, now_ns)
            deleted = {
                eviction.segment.name.counter
                for eviction in batch
                if camera_segments.delete(eviction.segment, now_ns)
            }
            camera_segments.remove(deleted)
            is_all_deleted = is_all_deleted and deleted == counters
        return is_all_deleted

    def _delete_quarantined(self, deletions: Sequence[QuarantineDeletion]) -> bool:
        """Return False if a file could not be deleted."""
        now_ns = self._clock.boottime_ns()
        batches: dict[tuple[str, EvictionReason], list[QuarantinedFile]] = {}
        for deletion in deletions:
            batches.setdefault((deletion.camera, deletion.reason), []).append(deletion.file)
        is_all_deleted = True
        for (camera, reason), files in batches.items():
            camera_segments = self._segments_by_camera[camera]
            if camera_segments.undeletable_quarantined.is_whole_folder:
                continue
            body = FootageEvicted(
                camera=camera,
                segments=tuple(f"{QUARANTINE_DIR}/{file.name}" for file in files),
                reason=reason,
                oldest_time=rfc3339(camera_segments.segments[0].name.utc)
                if camera_segments.segments
                else camera_segments.open_time,
            )
            self.receipt_queue.append(body, now_ns)
            for file in files:
                if camera_segments.delete_quarantined(file, now_ns):
                    camera_segments.remove_quarantined(file.name)
                else:
                    is_all_deleted = False
        return is_all_deleted

    def _space_shortfall(self, reserve_bytes: int, undeletable_bytes: int = 0) -> SpaceShortfall:
        """Return how far the free space is below a reserve."""
        self._disk_check_pause.begin(self._clock.boottime_ns(), POLL_INTERVAL_S)
        if not reserve_bytes:
            return NO_SHORTFALL
        try:
            disk_stats = os.statvfs(self._footage_dir)
        except OSError:
            return NO_SHORTFALL  # the recorder reports a missing folder
        return space_shortfall(disk_stats, reserve_bytes, undeletable_bytes)

    def _check_held_ratio(self) -> None:
        """Count the held bytes periodically, and raise or clear STO-03."""
        now_ns = self._clock.boottime_ns()
        if not self._hold_check_pause.is_over(now_ns):
            return
        self._hold_check_pause.begin(now_ns, HOLD_CHECK_INTERVAL_S)
        ages_of = self._read_ages()
        for camera, camera_segments in self._segments_by_camera.items():
            holds = [hold for hold in self._holds.current if hold.camera == camera]
            storage = camera_segments.snapshot(ages_of(camera))
            camera_segments.hold_count = len(holds)
            camera_segments.held_bytes = (
                count_held_bytes(storage, holds, self._limits.max_segment_ms) if holds else 0
            )
            self._update_hold_fault(camera, camera_segments.held_bytes, self._limits.camera_bytes)
        box_held_bytes = sum(
            camera_segments.held_bytes for camera_segments in self._segments_by_camera.values()
        )
        self._update_hold_fault("box", box_held_bytes, self._limits.box_bytes)

    def _update_hold_fault(self, subject: str, held_bytes: int, budget_bytes: int) -> None:
        if held_bytes >= budget_bytes * HOLD_FAULT_RATIO:
            detail = Message(
                "{held_bytes} of {budget_bytes} bytes are held",
                held_bytes=held_bytes,
                budget_bytes=budget_bytes,
            )
            self._faults.raise_fault("STO-03", subject, detail)
        else:
            self._faults.clear("STO-03", subject)


RegisterFolder = Callable[[str, Path, Sequence[StoredSegment]], None]
"""Sets the content of a camera's folder, by the camera's name."""


def list_camera_folders(footage_dir: Path) -> list[str]:
    """Return the names of the cameras that have a folder. Raises OSError."""
    if not footage_dir.is_dir():
        return []
    return sorted(
        path.name for path in footage_dir.iterdir() if path.is_dir() and path.name != QUARANTINE_DIR
    )


class RemovedCameras:
    """Takes over the folders of the previous agent that no segment writer of this one has."""

    def __init__(
        self, receipt_queue: ReceiptQueue, clock: Clock, register_folder: RegisterFolder
    ) -> None:
        self._receipt_queue = receipt_queue
        self._clock = clock
        self._register_folder = register_folder
        self._pending: list[Path] = []

    def list_folders(self, footage_dir: Path, recorded_cameras: Collection[str]) -> None:
        """List the folders to be taken over. Raises OSError."""
        self._pending = [
            footage_dir / name
            for name in list_camera_folders(footage_dir)
            if name not in recorded_cameras
        ]

    def take_over(self) -> None:
        """Recover and register the folders.

        One that the disk refuses is tried again at the next call, and keeps no other one waiting.
        Raises: OSError, after all folders.
        """
        failure: OSError | None = None
        for folder in tuple(self._pending):
            try:
                find_provenance = partial(self._find_provenance, folder.name)
                segments = recover_camera(
                    folder.name, folder, self._receipt_queue, self._clock, find_provenance
                )
                self._register_folder(folder.name, folder, segments)
            except OSError as error:
                failure = error
            else:
                self._pending.remove(folder)
        if failure is not None:
            raise failure

    def _find_provenance(self, camera: str, name: SegmentName) -> SegmentProvenance:
        try:
            return logged_provenance(self._receipt_queue.read_lines_backwards(), camera, str(name))
        except OSError:
            return UNKNOWN_PROVENANCE


class CameraSegments:
    """Segments of a folder, the oldest first, its quarantine, and its open file.

    The open file began at `open_time`.
    """

    def __init__(
        self,
        folder: Path,
        segments: Sequence[StoredSegment] = (),
        quarantined: Mapping[str, QuarantinedFile] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        self.quarantined = dict(quarantined)
        self.quarantined_bytes = sum(file.size_bytes for file in quarantined.values())
        self.segments = deque(segments)
        self.closed_bytes = sum(segment.size_bytes for segment in segments)
        self.open_bytes = 0
        self.open_time: str | None = None
        self.held_bytes = 0
        self.hold_count = 0
        self.undeletable = UndeletableFiles()
        self.undeletable_quarantined = UndeletableFiles()
        torn = [file.segment for file in quarantined.values() if file.segment]
        # At equal counters the torn file is older: earlier versions did not count the quarantine.
        names = [*torn, *(segment.name for segment in segments)]
        self.boot_timeline = BootTimeline(sorted(names, key=lambda name: name.counter))

    @property
    def total_bytes(self) -> int:
        """All bytes of the camera on the disk."""
        return self.closed_bytes + self.open_bytes + self.quarantined_bytes

    def snapshot(self, ages: SegmentAges) -> CameraStorage:
        """Return the input of `plan_eviction`."""
        return CameraStorage(
            segments=self.segments,
            closed_bytes=self.closed_bytes,
            open_bytes=self.open_bytes,
            ages=ages,
            quarantined=tuple(self.quarantined.values()),
            undeletable=self.undeletable.snapshot(self.closed_bytes),
            undeletable_quarantined=self.undeletable_quarantined.snapshot(self.quarantined_bytes),
        )

    def delete(self, segment: StoredSegment, t_ns: int) -> bool:
        """Delete the files of a segment. Return False, and note it, if the disk does not."""
        return _try_to_delete(
            partial(delete_segment, self.folder, segment.name),
            self.undeletable,
            segment.name.counter,
            segment.size_bytes,
            t_ns,
        )

    def delete_quarantined(self, file: QuarantinedFile, t_ns: int) -> bool:
        """Delete a quarantined file. Return False, and note it, if the disk does not."""
        return _try_to_delete(
            partial(quarantine.delete, self.folder, file.name),
            self.undeletable_quarantined,
            file.name,
            file.size_bytes,
            t_ns,
        )

    def remove_quarantined(self, name: str) -> None:
        """Remove a quarantined file from the index."""
        self.quarantined_bytes -= self.quarantined.pop(name).size_bytes

    def remove(self, counters: set[int]) -> None:
        """Remove segments by counter.

        They are among the oldest, except for held ones in between.
        """
        kept: list[StoredSegment] = []
        remaining = len(counters)
        while remaining:
            segment = self.segments.popleft()
            if segment.name.counter in counters:
                self.closed_bytes -= segment.size_bytes
                remaining -= 1
            else:
                kept.append(segment)
        self.segments.extendleft(reversed(kept))


def _try_to_delete(
    delete: Callable[[], None],
    undeletable: UndeletableFiles,
    key: int | str,
    size_bytes: int,
    t_ns: int,
) -> bool:
    """Return True if a file is deleted; one in a folder that refuses each deletion is not tried."""
    if undeletable.is_whole_folder:
        return False
    try:
        delete()
    except OSError as error:
        log.error("footage cannot be deleted: %s", error)
        undeletable.add(key, size_bytes, error, t_ns)
        return False
    undeletable.on_deleted()
    return True
