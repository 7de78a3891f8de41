"""The keeper of a box's footage: knows what lies on the disk, and lets go of what must go."""

import logging
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from agent.base.clock import Clock, boot_id
from agent.base.health_model import FootageHealth
from agent.base.uuid7 import uuid7_maker
from agent.config.configuration import HoldConfig, InstitutionConfig, RecordConfig
from agent.faults.registry import FaultRegistry
from agent.recording.custody.receipt_queue import ReceiptQueue
from agent.recording.custody.receipts import Evicted, Held, Released, SetAside
from agent.recording.gop import LONGEST_NS
from agent.recording.recovery import SET_ASIDE, StoredSegment, recover, remove_segment
from agent.recording.retention import quarantine
from agent.recording.retention.camera_segments import CameraSegments
from agent.recording.retention.eviction_plan import (
    Discard,
    Eviction,
    EvictionPlan,
    Limits,
    Why,
    held_bytes,
    plan,
)
from agent.recording.retention.hold import Hold
from agent.recording.retention.hold_store import HoldRelease, HoldStore
from agent.recording.retention.reserve import NOTHING, SpaceShortfall, missing
from agent.recording.retention.segment_age import BootTimeline, ClockReading, short_boot
from agent.recording.segment_name import rfc3339

log = logging.getLogger(__name__)

TURN_S = 1.0
RETRY_S = 30.0
"""After a failure of the disk, so long until the next try: each tells a receipt."""

LOOK_NS = 10_000_000_000
"""How often the share of held footage is counted."""

FULL_SHARE = 0.9
"""When so much of a camera's or the box's budget is held, the ring is full of holds."""

_NS_PER_MS = 1_000_000
_MS_PER_H = 3_600_000


class RetentionStage:
    """Evicts by `retention.plan`, notes holds and receipts, and says when the ring is full of holds.

    A stage: its turn takes in the holds that another process has added, and looks at ages and at
    the disk. Rings tell it of each file; whatever goes over a limit is put right before they go
    on. Before anything goes, the folder of holds is looked at again.
    """

    name = "keep"

    def __init__(  # noqa: PLR0913 - everything that a box's footage touches
        self,
        folder: Path,
        settings: RecordConfig,
        hold_settings: HoldConfig,
        clock: Clock,
        boot: str,
        faults: FaultRegistry,
        holds: HoldStore,
        notary: ReceiptQueue,
        *,
        cameras: Sequence[str],
        on_broken: Callable[[Hold], None],
        terms: Mapping[str, InstitutionConfig] = MappingProxyType({}),
    ) -> None:
        """`cameras` are those of the configuration, whose rings tell of themselves; footage of
        others in `folder` only grows old. `on_broken` is told of each hold that could not be kept.
        `terms` are those of cameras that are an institution's, of removed ones too.
        """
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._boot = short_boot(boot)
        self._faults = faults
        self._holds = holds
        self.notary = notary
        self._cameras = frozenset(cameras)
        self._on_broken = on_broken
        self._limits = Limits(
            camera_bytes=settings.max_bytes,
            box_bytes=settings.box_max_bytes,
            max_age_ms=round(settings.max_age_h * _MS_PER_H),
            longest_ms=round(settings.segment_s * 1000) + LONGEST_NS // _NS_PER_MS,
            pre_ms=round(hold_settings.pre_s * 1000),
            camera_age_ms={
                camera: round(of_camera.max_age_h * _MS_PER_H)
                for camera, of_camera in terms.items()
                if of_camera.max_age_h is not None
            },
            segment_files=2 if settings.recipient else 1,  # its keys lie beside it
        )
        self._lock = threading.RLock()
        self._racks: dict[str, CameraSegments] = {}
        self._total_bytes = 0
        self._held: tuple[Hold, ...] = ()
        self._looked_ns: int | None = None
        self._disk_ns: int | None = None
        self._retry_ns: int | None = None
        self._begun = False

    @classmethod
    def alone(
        cls, camera: str, folder: Path, settings: RecordConfig, clock: Clock, faults: FaultRegistry
    ) -> "RetentionStage":
        """Of a single recorder that no box is around: no holds of events, and no chain."""
        boot = boot_id()
        new_id = uuid7_maker(lambda t_ns: t_ns, random.Random())  # noqa: S311 - names, no secrets
        return cls(
            folder,
            settings,
            HoldConfig(),
            clock,
            boot,
            faults,
            HoldStore(folder.parent / "holds", clock, boot, new_id),
            ReceiptQueue(None, faults),
            cameras=[camera],
            on_broken=lambda _hold: None,
        )

    def run_once(self, stopping: threading.Event) -> None:
        """A turn, after a second's wait."""
        stopping.wait(TURN_S)
        self.enforce()

    def enforce(self) -> None:
        """Note holds and receipts, and let go of what must go."""
        writes = self.notary.flush()
        with self._lock:
            now_ns = self._clock.boottime_ns()
            if self._retry_ns is not None and now_ns < self._retry_ns:
                return
            try:
                if not self._begun:
                    self._begin()
                if writes:
                    self._sync_holds()
                self._make_room()
            except OSError as error:
                log.error("the disk lets nothing go: %s", error)
                self._faults.raise_fault("STO-02", "box", str(error))
                self._retry_ns = now_ns + round(RETRY_S * 1e9)
                return
            self._faults.clear("STO-02", "box")
            self._retry_ns = None
            self._look_at_holds()

    def close(self) -> None:
        """What can be told still is."""
        self.notary.flush()

    def register_folder(self, camera: str, folder: Path, segments: Sequence[StoredSegment]) -> None:
        """What lies in a camera's folder; the same camera's before is forgotten."""
        with self._lock:
            known = self._racks[camera].aside if camera in self._racks else {}
            now_ms = self._clock.boottime_ns() // _NS_PER_MS
            self._racks[camera] = CameraSegments(
                folder, segments, quarantine.look(folder, now_ms, known)
            )
            self._recount()
            self._make_room()

    def on_segment_closed(self, camera: str, segment: StoredSegment) -> None:
        """A file was closed."""
        with self._lock:
            rack = self._racks[camera]
            rack.segments.append(segment)
            rack.boots.add(segment.name)
            rack.closed_bytes += segment.size_bytes
            rack.open_bytes, rack.open_time = 0, None
            self._recount()

    def on_bytes_written(self, camera: str, open_time: str, open_bytes: int) -> None:
        """The file that is being written, since `open_time`, is this large now."""
        with self._lock:
            rack = self._racks[camera]
            self._total_bytes += open_bytes - rack.open_bytes
            rack.open_bytes, rack.open_time = open_bytes, open_time
            over = (
                rack.total_bytes > self._limits.camera_bytes
                or self._total_bytes > self._limits.box_bytes
            )
            # The disk is asked once a second; what grows old is let go of at a turn.
            if over or (self._disk_is_due() and self._missing()):
                self._make_room()

    def health(self, camera: str, gaps: int) -> FootageHealth:
        """What lies on the disk of a camera now."""
        with self._lock:
            rack = self._racks.get(camera) or CameraSegments(self._folder)
            oldest = rfc3339(rack.segments[0].name.utc) if rack.segments else rack.open_time
            return FootageHealth(
                camera=camera,
                segments=len(rack.segments),
                bytes=rack.closed_bytes + rack.open_bytes,
                oldest_utc=oldest,
                gaps=gaps,
                held_bytes=rack.held_bytes,
                holds=rack.holds,
                sealed=bool(self._settings.recipient),
            )

    def _begin(self) -> None:
        """Once: what the agent before this one left open, and cameras that are no more."""
        self._holds.reset_for_boot()
        self._held = self._holds.active()
        if self._folder.is_dir():
            for path in sorted(self._folder.iterdir()):
                if path.is_dir() and path.name not in self._cameras and path.name != SET_ASIDE:
                    self.register_folder(path.name, path, recover(path))
        self._begun = True

    def _recount(self) -> None:
        self._total_bytes = sum(rack.total_bytes for rack in self._racks.values())

    def _now(self) -> ClockReading:
        t_ns = self._clock.boottime_ns()
        return ClockReading(
            boot=self._boot,
            ms=t_ns // _NS_PER_MS,
            unix_ms=_unix_ms(self._clock.utc(t_ns)),
            synced=self._clock.trust().synced,
        )

    def _sync_holds(self) -> None:
        """Each hold's begin and end into the chain; what has ended goes."""
        try:
            self._holds.retry()
            self._holds.refresh()
            for release in self._holds.pending_releases():
                self._release(release)
            now_ns = self._clock.boottime_ns()
            for hold in self._holds.all():
                if not hold.noted and self.notary.append(_held(hold), now_ns):
                    self._holds.mark_recorded(hold)
            if self._counting_is_due():
                self._end_expired()
        except OSError as error:
            log.error("holds: %s", error)
            self._faults.raise_fault("STO-04", "holds", str(error))
        else:
            self._faults.clear("STO-04", "holds")
        self._held = self._holds.all()

    def _end_expired(self) -> None:
        now = self._now()
        ages = {name: rack.boots.ages(now) for name, rack in self._racks.items()}
        unknown = BootTimeline().ages(now)
        for hold in self._holds.all():
            if hold.is_expired(ages.get(hold.camera, unknown)):
                self._release(HoldRelease(hold=hold.id, by="vigie", reason="expired"))

    def _release(self, release: HoldRelease) -> None:
        body = Released(hold=release.hold, by=release.by, reason=release.reason)
        if self.notary.append(body, self._clock.boottime_ns()):
            self._holds.drop(release.hold)

    def _make_room(self) -> None:
        if not self._racks:
            return
        short = self._missing()
        now = self._now()
        shelves = {name: rack.snapshot(rack.boots.ages(now)) for name, rack in self._racks.items()}
        made = plan(shelves, self._held, self._limits, short.bytes, short.files)
        if made.evict:
            before, self._held = self._held, self._newest_holds()
            if before != self._held:
                made = plan(shelves, self._held, self._limits, short.bytes, short.files)
        self._execute(made)

    def _newest_holds(self) -> tuple[Hold, ...]:
        """As they stand on the disk, or as last known where it cannot be read."""
        try:
            return self._holds.active()
        except OSError as error:
            log.error("holds: %s", error)
            return self._held

    def _execute(self, made: EvictionPlan) -> None:
        """Say it, then do it: a file that is gone has a receipt, whenever the power goes."""
        now_ns = self._clock.boottime_ns()
        self._delete_quarantined(made.discard)
        for hold in made.broken:
            self._break_hold(hold)
        batches: dict[tuple[str, str], list[Eviction]] = {}
        for eviction in made.evict:
            batches.setdefault((eviction.camera, eviction.why), []).append(eviction)
        for (camera, _), batch in batches.items():
            rack = self._racks[camera]
            gone = {eviction.segment.name.counter for eviction in batch}
            left = next((s for s in rack.segments if s.name.counter not in gone), None)
            body = Evicted(
                camera=camera,
                segments=tuple(str(eviction.segment.name) for eviction in batch),
                why=batch[0].why,
                oldest_time=rfc3339(left.name.utc) if left else rack.open_time,
            )
            self.notary.append(body, now_ns)
            for eviction in batch:
                remove_segment(rack.folder, eviction.segment.name)
            rack.remove(gone)
        if made.discard or made.evict:
            self._recount()

    def _delete_quarantined(self, discarded: Sequence[Discard]) -> None:
        batches: dict[tuple[str, Why], list[str]] = {}
        for each in discarded:
            batches.setdefault((each.camera, each.why), []).append(each.file.name)
        for (camera, why), names in batches.items():
            rack = self._racks[camera]
            body = Evicted(
                camera=camera,
                segments=tuple(f"{SET_ASIDE}/{name}" for name in names),
                why=why,
                oldest_time=rfc3339(rack.segments[0].name.utc) if rack.segments else rack.open_time,
            )
            self.notary.append(body, self._clock.boottime_ns())
            for name in names:
                quarantine.remove(rack.folder, name)
                rack.remove_quarantined(name)

    def _break_hold(self, hold: Hold) -> None:
        log.error("hold %s of %s cannot be kept: no room", hold.id, hold.camera)
        self._held = tuple(other for other in self._held if other.id != hold.id)
        self._faults.raise_fault("STO-03", hold.camera, f"hold {hold.id} could not be kept")
        self._on_broken(hold)
        body = Released(hold=hold.id, by="vigie", reason="the ring cannot carry it")
        self.notary.append(body, self._clock.boottime_ns())
        try:
            self._holds.drop(hold.id)
        except OSError as error:
            log.error("hold %s cannot be deleted: %s", hold.id, error)

    def _disk_is_due(self) -> bool:
        now_ns = self._clock.boottime_ns()
        return self._disk_ns is None or not 0 <= now_ns - self._disk_ns < TURN_S * 1e9

    def _missing(self) -> SpaceShortfall:
        """What the disk has less than what must stay free."""
        self._disk_ns = self._clock.boottime_ns()
        if not self._settings.reserve_bytes:
            return NOTHING
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return NOTHING  # the recorder tells of a folder that is not there
        return missing(disk, self._settings.reserve_bytes)

    def _counting_is_due(self) -> bool:
        now_ns = self._clock.boottime_ns()
        return self._looked_ns is None or now_ns - self._looked_ns >= LOOK_NS

    def _look_at_holds(self) -> None:
        """Count what is held, now and then, and say when it is too much."""
        if not self._counting_is_due():
            return
        self._looked_ns = self._clock.boottime_ns()
        now = self._now()
        for camera, rack in self._racks.items():
            holds = [hold for hold in self._held if hold.camera == camera]
            shelf = rack.snapshot(rack.boots.ages(now))
            rack.holds = len(holds)
            rack.held_bytes = held_bytes(shelf, holds, self._limits.longest_ms) if holds else 0
            self._update_hold_fault(camera, rack.held_bytes, self._limits.camera_bytes)
        box_bytes = sum(rack.held_bytes for rack in self._racks.values())
        self._update_hold_fault("box", box_bytes, self._limits.box_bytes)

    def _update_hold_fault(self, subject: str, held: int, budget_bytes: int) -> None:
        if held >= budget_bytes * FULL_SHARE:
            detail = f"{held} of {budget_bytes} bytes are held"
            self._faults.raise_fault("STO-03", subject, detail)
        else:
            self._faults.clear("STO-03", subject)

    def record_quarantine(self, camera: str, names: Sequence[str]) -> None:
        """Files of a camera's folder were no footage, and were moved out of the way."""
        for name in names:
            self.notary.append(SetAside(camera=camera, name=name), self._clock.boottime_ns())


def _held(hold: Hold) -> Held:
    return Held(
        hold=hold.id,
        camera=hold.camera,
        begin_time=hold.begin_time,
        end_time=hold.end_time,
        owner=hold.owner,
        reason=hold.reason,
        expires=hold.expires,
    )


def _unix_ms(utc: datetime) -> int:
    return round(utc.astimezone(UTC).timestamp() * 1000)
