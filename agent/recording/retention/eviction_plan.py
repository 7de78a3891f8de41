"""Eviction planner: selects the footage to delete. Pure.

Limits are age, bytes per camera, bytes of the box, and the free space of the disk; the oldest footage
is deleted first. Quarantined files have the same age limit, and are deleted before all footage if
space is short. Held footage is not deleted by age. If space is short and only held footage and the
pre-roll of a future event are left, they are sacrificed in this order, and the plan lists each broken
hold:

1. Holds of events, the oldest first: the centre has known about those for the longest time.
2. The pre-roll: it serves an event that may happen; the holds below serve one that did.
3. Holds placed by operators, the newest first: the earliest promise is kept for the longest.

The open file is never deleted: recording outlasts every hold. Files that the disk did not delete are passed over until
they are tried again, and other footage makes room in their place, unless it is held. Held footage and the pre-roll are sacrificed to the limits of the
box's own file (`held_...`), never to those of a version of the centre.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from agent.base.clock import rfc3339
from agent.recording.quarantine import QuarantinedFile
from agent.recording.recovery import StoredSegment
from agent.recording.retention.hold import Hold, HoldIndex, SegmentInterval, hold_age_ms
from agent.recording.segment_age import SegmentAges
from agent.recording.segment_name import max_length_ms

EvictionReason = Literal["age", "bytes", "space"]

SLACK_DIVISOR = 100
MAX_SLACK_BYTES = 64_000_000
"""Over a limit, a hundredth more than needed is deleted at once: one receipt then covers several."""

_NO_LIMIT = 1 << 62


class RetentionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the footage.

    `pre_roll_ms` of each camera's newest footage is kept for a future event.
    `max_age_ms_by_camera` is for cameras whose owner allows less than `max_age_ms`, never more.
    Held footage goes above `held_camera_bytes` and `held_box_bytes`, by default above the same bytes as other footage.
    `reserve_bytes` stay free on the disk, and `held_reserve_bytes` even if held footage goes.
    """

    camera_bytes: int
    box_bytes: int
    max_age_ms: int
    max_segment_ms: int
    pre_roll_ms: int
    max_age_ms_by_camera: Mapping[str, int] = {}
    files_per_segment: int = 1
    held_camera_bytes: int | None = None
    held_box_bytes: int | None = None
    reserve_bytes: int = 0
    held_reserve_bytes: int = 0

    def max_age_ms_of(self, camera: str) -> int:
        """Return the maximum age of a camera's footage."""
        return min(self.max_age_ms, self.max_age_ms_by_camera.get(camera, self.max_age_ms))

    def before_holds_are_known(self) -> "RetentionLimits":
        """Return the limits as long as any footage may be held: it makes room on a full disk alone, and does not expire."""
        return msgspec.structs.replace(
            self,
            camera_bytes=_NO_LIMIT,
            box_bytes=_NO_LIMIT,
            held_camera_bytes=None,
            held_box_bytes=None,
            max_age_ms=_NO_LIMIT,
            max_age_ms_by_camera={},
            reserve_bytes=self.held_reserve_bytes,
        )


class Undeletable(msgspec.Struct, frozen=True, kw_only=True):
    """Files that could not be deleted lately, by counter or name, and their bytes: they are not planned for now.

    `is_whole_folder`: their folder refuses each deletion.
    """

    keys: frozenset[int | str] = frozenset()
    size_bytes: int = 0
    is_whole_folder: bool = False


class CameraStorage(msgspec.Struct, frozen=True, kw_only=True):
    """One camera's footage, the oldest first, and its quarantined files.

    `open_bytes` are those of the file that is being written.
    """

    segments: Iterable[StoredSegment]
    closed_bytes: int
    open_bytes: int
    ages: SegmentAges
    quarantined: Sequence[QuarantinedFile] = ()
    undeletable: Undeletable = Undeletable()
    undeletable_quarantined: Undeletable = Undeletable()

    @property
    def total_bytes(self) -> int:
        """All bytes of the camera on the disk."""
        quarantined_bytes = sum(file.size_bytes for file in self.quarantined)
        return self.closed_bytes + self.open_bytes + quarantined_bytes

    @property
    def undeletable_bytes(self) -> int:
        """The bytes that cannot be deleted for now."""
        return self.undeletable.size_bytes + self.undeletable_quarantined.size_bytes


class Eviction(msgspec.Struct, frozen=True, kw_only=True):
    """One segment to delete."""

    camera: str
    segment: StoredSegment
    reason: EvictionReason


class QuarantineDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """One quarantined file to delete."""

    camera: str
    file: QuarantinedFile
    reason: EvictionReason


class EvictionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Segments and quarantined files to delete, in order; and the broken holds."""

    evictions: tuple[Eviction, ...]
    quarantine_deletions: tuple[QuarantineDeletion, ...] = ()
    broken_holds: tuple[Hold, ...]


def plan_eviction(
    storages: Mapping[str, CameraStorage],
    holds: Sequence[Hold],
    limits: RetentionLimits,
    shortfall_bytes: int = 0,
    shortfall_files: int = 0,
    held_shortfall_bytes: int | None = None,
) -> EvictionPlan:
    """Plan the deletions that the limits require now.

    The shortfall is that of the disk's free space; held footage makes room for the held one, by default for the same.
    """
    planner = _Planner(storages, holds, limits)
    planner.evict_by_age()
    for camera, storage in storages.items():
        excess = _excess([storage], limits.camera_bytes, limits.held_camera_bytes)
        planner.free_space([camera], "bytes", *excess)
    excess = _excess(list(storages.values()), limits.box_bytes, limits.held_box_bytes)
    planner.free_space(list(storages), "bytes", *excess)
    if held_shortfall_bytes is None:
        held_shortfall_bytes = shortfall_bytes
    planner.free_space(
        list(storages), "space", shortfall_bytes, held_shortfall_bytes, shortfall_files
    )
    if planner.broken_holds:
        planner.evict_by_age()  # footage that only a broken hold had kept
    return EvictionPlan(
        evictions=tuple(planner.evictions),
        quarantine_deletions=tuple(planner.quarantine_deletions),
        broken_holds=tuple(planner.broken_holds),
    )


def excess_bytes(total_bytes: int, limit_bytes: int) -> int:
    """Return the bytes to delete; 0 if the limit holds."""
    if total_bytes <= limit_bytes:
        return 0
    return total_bytes - limit_bytes + min(limit_bytes // SLACK_DIVISOR, MAX_SLACK_BYTES)


def _excess(
    storages: Sequence[CameraStorage], limit_bytes: int, held_limit_bytes: int | None
) -> tuple[int, int]:
    """Return the bytes to delete, and those that held footage makes room for: not for files that cannot be deleted."""
    held_limit_bytes = limit_bytes if held_limit_bytes is None else held_limit_bytes
    total_bytes = sum(storage.total_bytes for storage in storages)
    deletable_bytes = total_bytes - sum(storage.undeletable_bytes for storage in storages)
    return excess_bytes(total_bytes, limit_bytes), excess_bytes(deletable_bytes, held_limit_bytes)


def iter_segment_intervals(
    segments: Iterable[StoredSegment], ages: SegmentAges, max_segment_ms: int
) -> Iterator[tuple[StoredSegment, SegmentInterval]]:
    """Yield each segment with its interval, lazily."""
    previous: StoredSegment | None = None
    for segment in segments:
        if previous is not None:
            yield previous, _segment_interval(previous, segment, ages, max_segment_ms)
        previous = segment
    if previous is not None:
        yield previous, _segment_interval(previous, None, ages, max_segment_ms)


def count_held_bytes(storage: CameraStorage, holds: Iterable[Hold], max_segment_ms: int) -> int:
    """Return the held bytes of a camera's closed footage."""
    hold_index = HoldIndex(holds)
    if not hold_index:
        return 0
    segments_with_intervals = iter_segment_intervals(storage.segments, storage.ages, max_segment_ms)
    return sum(
        segment.size_bytes
        for segment, interval in segments_with_intervals
        if hold_index.covers(interval)
    )


def _segment_interval(
    segment: StoredSegment,
    next_segment: StoredSegment | None,
    ages: SegmentAges,
    max_segment_ms: int,
) -> SegmentInterval:
    name, next_name = segment.name, None if next_segment is None else next_segment.name
    return SegmentInterval(
        boot=name.boot,
        begin_ms=name.begin_ms,
        end_ms=name.begin_ms + max_length_ms(name, next_name, max_segment_ms),
        possible_begin_unix_ms=ages.possible_begin_unix_ms(name),
    )


class _CameraState:
    """Planning state of one camera."""

    def __init__(self, storage: CameraStorage, holds: list[Hold]) -> None:
        self.storage = storage
        self.holds = holds
        self.passed_counters: set[int | str] = set(storage.undeletable.keys)
        """Selected for eviction, or undeletable."""
        undeletable = storage.undeletable_quarantined
        self.quarantined = sorted(
            (
                file
                for file in storage.quarantined
                if not undeletable.is_whole_folder and file.name not in undeletable.keys
            ),
            key=lambda file: -file.age_ms(storage.ages),
        )
        """Not yet selected for deletion, the oldest first."""
        self.freed_bytes = 0
        self.freed_files = 0
        self._hold_index: HoldIndex | None = None
        self._manual_hold_index: HoldIndex | None = None

    @property
    def hold_index(self) -> HoldIndex:
        if self._hold_index is None:
            self._hold_index = HoldIndex(self.holds)
        return self._hold_index

    @property
    def manual_hold_index(self) -> HoldIndex:
        if self._manual_hold_index is None:
            self._manual_hold_index = HoldIndex(
                hold for hold in self.holds if hold.kind == "manual"
            )
        return self._manual_hold_index

    def remove_hold(self, hold: Hold) -> None:
        self.holds = [other for other in self.holds if other is not hold]
        self._hold_index = self._manual_hold_index = None


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    camera: str
    segment: StoredSegment
    interval: SegmentInterval


class _Planner:
    def __init__(
        self, storages: Mapping[str, CameraStorage], holds: Sequence[Hold], limits: RetentionLimits
    ) -> None:
        self._limits = limits
        self._cameras = {
            name: _CameraState(storage, [hold for hold in holds if hold.camera == name])
            for name, storage in storages.items()
        }
        self.evictions: list[Eviction] = []
        self.quarantine_deletions: list[QuarantineDeletion] = []
        self.broken_holds: list[Hold] = []

    def evict_by_age(self) -> None:
        for name, camera in self._cameras.items():
            max_age_ms = self._limits.max_age_ms_of(name)
            while (
                camera.quarantined
                and camera.quarantined[0].age_ms(camera.storage.ages) >= max_age_ms
            ):
                self._delete_oldest_quarantined(name, "age")
            for candidate in self._iter_remaining(name):
                if camera.storage.ages.age_ms(candidate.segment.name) < max_age_ms:
                    break
                if not camera.hold_index.covers(candidate.interval):
                    self._evict(candidate, "age")

    def free_space(
        self,
        camera_names: list[str],
        reason: EvictionReason,
        required_bytes: int,
        held_required_bytes: int,
        required_files: int = 0,
    ) -> None:
        """Select at least so much for deletion, counting earlier selections; held footage only for the held bytes."""
        cameras = [self._cameras[name] for name in camera_names]

        def is_enough(wanted_bytes: int) -> bool:
            return (
                sum(camera.freed_bytes for camera in cameras) >= wanted_bytes
                and sum(camera.freed_files for camera in cameras) >= required_files
            )

        while not is_enough(required_bytes) and (
            name := self._camera_with_oldest_quarantined(camera_names)
        ):
            self._delete_oldest_quarantined(name, reason)
        for iter_candidates, wanted_bytes in (
            (self._iter_unprotected, required_bytes),
            (self._iter_event_held, held_required_bytes),
            (self._iter_not_manually_held, held_required_bytes),
            (self._iter_manually_held, held_required_bytes),
        ):
            if is_enough(wanted_bytes):
                continue
            for candidate in iter_candidates(camera_names):
                self._evict(candidate, reason)
                if is_enough(wanted_bytes):
                    break

    def _camera_with_oldest_quarantined(self, camera_names: list[str]) -> str | None:
        candidates = [
            (name, self._cameras[name]) for name in camera_names if self._cameras[name].quarantined
        ]
        oldest = max(
            candidates,
            key=lambda each: each[1].quarantined[0].age_ms(each[1].storage.ages),
            default=None,
        )
        return oldest[0] if oldest else None

    def _delete_oldest_quarantined(self, camera_name: str, reason: EvictionReason) -> None:
        camera = self._cameras[camera_name]
        file = camera.quarantined.pop(0)
        camera.freed_bytes += file.size_bytes
        camera.freed_files += 1
        self.quarantine_deletions.append(
            QuarantineDeletion(camera=camera_name, file=file, reason=reason)
        )

    def _iter_unprotected(self, camera_names: list[str]) -> Iterator[_Candidate]:
        for candidate in self._iter_oldest_first(camera_names):
            is_held = self._cameras[candidate.camera].hold_index.covers(candidate.interval)
            if not is_held and not self._is_pre_roll(candidate):
                yield candidate

    def _iter_event_held(self, camera_names: list[str]) -> Iterator[_Candidate]:
        return (
            each
            for each in self._iter_not_manually_held(camera_names)
            if not self._is_pre_roll(each)
        )

    def _iter_not_manually_held(self, camera_names: list[str]) -> Iterator[_Candidate]:
        """Yield footage that no operator holds; its deletion breaks events' holds."""
        for candidate in self._iter_oldest_first(camera_names):
            if not self._cameras[candidate.camera].manual_hold_index.covers(candidate.interval):
                yield candidate

    def _iter_manually_held(self, camera_names: list[str]) -> Iterator[_Candidate]:
        cameras = [self._cameras[name] for name in camera_names]
        holds = [(hold, camera) for camera in cameras for hold in camera.holds]
        manual = [(hold, camera) for hold, camera in holds if hold.kind == "manual"]
        for hold, _ in sorted(manual, key=lambda pair: hold_age_ms(pair[0], pair[1].storage.ages)):
            hold_index = HoldIndex([hold])
            if any(
                hold_index.covers(candidate.interval)
                for candidate in self._iter_remaining(hold.camera)
            ):
                self._break_hold(hold)
                yield from self._iter_not_manually_held(camera_names)

    def _break_hold(self, hold: Hold) -> None:
        self._cameras[hold.camera].remove_hold(hold)
        self.broken_holds.append(hold)

    def _evict(self, candidate: _Candidate, reason: EvictionReason) -> None:
        camera = self._cameras[candidate.camera]
        if camera.hold_index.covers(candidate.interval):
            for hold in camera.holds:
                if HoldIndex([hold]).covers(candidate.interval):
                    self._break_hold(hold)
        camera.passed_counters.add(candidate.segment.name.counter)
        camera.freed_bytes += candidate.segment.size_bytes
        camera.freed_files += self._limits.files_per_segment
        self.evictions.append(
            Eviction(camera=candidate.camera, segment=candidate.segment, reason=reason)
        )

    def _is_pre_roll(self, candidate: _Candidate) -> bool:
        now = self._cameras[candidate.camera].storage.ages.now
        interval = candidate.interval
        return (
            interval.boot == now.boot and interval.end_ms > now.boot_ms - self._limits.pre_roll_ms
        )

    def _iter_remaining(self, camera_name: str) -> Iterator[_Candidate]:
        """Yield the segments not yet selected, the oldest first."""
        camera = self._cameras[camera_name]
        storage = camera.storage
        if storage.undeletable.is_whole_folder:
            return
        for segment, interval in iter_segment_intervals(
            storage.segments, storage.ages, self._limits.max_segment_ms
        ):
            if segment.name.counter not in camera.passed_counters:
                yield _Candidate(camera=camera_name, segment=segment, interval=interval)

    def _iter_oldest_first(self, camera_names: list[str]) -> Iterator[_Candidate]:
        if len(camera_names) == 1:
            return self._iter_remaining(camera_names[0])
        return heapq.merge(*map(self._iter_remaining, camera_names), key=self._negated_age_ms)

    def _negated_age_ms(self, candidate: _Candidate) -> int:
        return -self._cameras[candidate.camera].storage.ages.age_ms(candidate.segment.name)


class EvictedSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Files of a camera that would be evicted. The times are those at which the first and the last begin, in RFC 3339."""

    camera: str
    files: int
    size_bytes: int
    first_time: str
    last_time: str


class HeldFootage(msgspec.Struct, frozen=True, kw_only=True):
    """Held bytes of a camera, and its holds: the case of each, or its reason if it has none."""

    camera: str
    size_bytes: int
    holds: tuple[str, ...]


class EvictionPreview(msgspec.Struct, frozen=True, kw_only=True):
    """Footage that other limits would evict now, and footage that is held.

    `unread` are cameras whose footage has not been listed since the agent's start.
    """

    evicted: tuple[EvictedSpan, ...] = ()
    held: tuple[HeldFootage, ...] = ()
    unread: tuple[str, ...] = ()


def build_preview(
    plan: EvictionPlan,
    storages: Mapping[str, CameraStorage],
    holds: Sequence[Hold],
    max_segment_ms: int,
    unread: Sequence[str],
) -> EvictionPreview:
    """Return the preview of a plan."""
    spans, held = list[EvictedSpan](), list[HeldFootage]()
    for camera, storage in storages.items():
        segments = [each.segment for each in plan.evictions if each.camera == camera]
        if segments:
            segments.sort(key=lambda segment: segment.name.counter)
            spans.append(
                EvictedSpan(
                    camera=camera,
                    files=len(segments),
                    size_bytes=sum(segment.size_bytes for segment in segments),
                    first_time=rfc3339(segments[0].name.utc),
                    last_time=rfc3339(segments[-1].name.utc),
                )
            )
        own_holds = [hold for hold in holds if hold.camera == camera]
        held_bytes = count_held_bytes(storage, own_holds, max_segment_ms)
        if held_bytes:
            names = tuple(dict.fromkeys(hold.case or hold.reason for hold in own_holds))
            held.append(HeldFootage(camera=camera, size_bytes=held_bytes, holds=names))
    return EvictionPreview(evicted=tuple(spans), held=tuple(held), unread=tuple(unread))
