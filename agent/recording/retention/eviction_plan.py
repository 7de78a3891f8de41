"""What of the footage goes, and why. Pure.

Footage goes by age, by the bytes of a camera, by those of the box, and by the room that must stay
free on the disk; the oldest first. What was set aside, and is no footage, goes by the same age, and
before all footage where room is short. What is held does not go by age. Where room is short and all
that is left is held or is the pre-roll of an event to come, promises are broken in this order, and
each is named in the plan:

1. Events' holds, the oldest first: the centre has known of those for the longest.
2. The pre-roll, which is for what may happen; the next are for what has.
3. Holds that a person asked for, the one made last first: whoever was promised first keeps it.

The file that is being written never goes: recording outlasts every hold.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from agent.recording.recovery import StoredSegment
from agent.recording.retention.hold import HeldRange, HeldSpans, Hold, made_ago
from agent.recording.retention.quarantine import QuarantinedFile
from agent.recording.retention.segment_age import SegmentAges

Why = Literal["age", "bytes", "space"]

SLACK_SHARE = 100
SLACK_MOST_BYTES = 64_000_000
"""Over a limit, a hundredth more than needed goes at once, so that one receipt tells of several."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the ring may have. `longest_ms` is how long a segment may be, `pre_ms` how much of each
    camera's newest footage is kept for the begin of an event. `camera_age_ms` is for cameras whose
    owner wants less than `max_age_ms`; more it never is. `segment_files` is how many files a segment is.
    """

    camera_bytes: int
    box_bytes: int
    max_age_ms: int
    longest_ms: int
    pre_ms: int
    camera_age_ms: Mapping[str, int] = {}
    segment_files: int = 1

    def age_ms(self, camera: str) -> int:
        """How old footage of a camera may be."""
        return min(self.max_age_ms, self.camera_age_ms.get(camera, self.max_age_ms))


class CameraStorage(msgspec.Struct, frozen=True, kw_only=True):
    """One camera's footage, the oldest first, with its bytes; `open_bytes` are of the file that is
    being written. `aside` is what lies beside it and is none.
    """

    segments: Iterable[StoredSegment]
    closed_bytes: int
    open_bytes: int
    ages: SegmentAges
    aside: Sequence[QuarantinedFile] = ()

    @property
    def total_bytes(self) -> int:
        """All that the camera has on the disk."""
        aside_bytes = sum(file.size_bytes for file in self.aside)
        return self.closed_bytes + self.open_bytes + aside_bytes


class Eviction(msgspec.Struct, frozen=True, kw_only=True):
    """One segment that goes."""

    camera: str
    segment: StoredSegment
    why: Why


class Discard(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was set aside, and goes."""

    camera: str
    file: QuarantinedFile
    why: Why


class EvictionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`evict` in the order in which it goes, `discard` before it; `broken` are the holds that could not
    be kept.
    """

    evict: tuple[Eviction, ...]
    discard: tuple[Discard, ...] = ()
    broken: tuple[Hold, ...]


def plan(
    shelves: Mapping[str, CameraStorage],
    holds: Sequence[Hold],
    limits: Limits,
    wanted_bytes: int = 0,
    wanted_files: int = 0,
) -> EvictionPlan:
    """What goes now. `wanted_bytes` and `wanted_files` are missing on the disk from the room that must
    stay free.
    """
    planner = _Planner(shelves, holds, limits)
    planner.by_age()
    for camera, shelf in shelves.items():
        planner.make_room([camera], "bytes", excess(shelf.total_bytes, limits.camera_bytes))
    total_bytes = sum(shelf.total_bytes for shelf in shelves.values())
    planner.make_room(list(shelves), "bytes", excess(total_bytes, limits.box_bytes))
    planner.make_room(list(shelves), "space", wanted_bytes, wanted_files)
    if planner.broken:
        planner.by_age()  # what only a hold had kept
    return EvictionPlan(
        evict=tuple(planner.evict),
        discard=tuple(planner.discard),
        broken=tuple(planner.broken),
    )


def excess(total_bytes: int, limit_bytes: int) -> int:
    """How many bytes go; 0 where the limit holds."""
    if total_bytes <= limit_bytes:
        return 0
    return total_bytes - limit_bytes + min(limit_bytes // SLACK_SHARE, SLACK_MOST_BYTES)


def stretches(
    segments: Iterable[StoredSegment], ages: SegmentAges, longest_ms: int
) -> Iterator[tuple[StoredSegment, HeldRange]]:
    """Each segment with its length, lazily."""
    before: StoredSegment | None = None
    for segment in segments:
        if before is not None:
            yield before, _stretch(before, segment, ages, longest_ms)
        before = segment
    if before is not None:
        yield before, _stretch(before, None, ages, longest_ms)


def held_bytes(shelf: CameraStorage, holds: Iterable[Hold], longest_ms: int) -> int:
    """How much of a camera's closed footage is held."""
    spans = HeldSpans(holds)
    if not spans:
        return 0
    each = stretches(shelf.segments, shelf.ages, longest_ms)
    return sum(segment.size_bytes for segment, stretch in each if spans.hold(stretch))


def _stretch(
    segment: StoredSegment, after: StoredSegment | None, ages: SegmentAges, longest_ms: int
) -> HeldRange:
    name = segment.name
    end_ms = name.begin_ms + longest_ms
    if after is not None and after.name.boot == name.boot and after.name.begin_ms >= name.begin_ms:
        end_ms = min(end_ms, after.name.begin_ms)
    return HeldRange(
        boot=name.boot, begin_ms=name.begin_ms, end_ms=end_ms, utc_ms=ages.utc_moments_ms(name)
    )


class _Camera:
    """A shelf while it is planned for."""

    def __init__(self, shelf: CameraStorage, holds: list[Hold]) -> None:
        self.shelf = shelf
        self.holds = holds
        self.evicted: set[int] = set()
        self.aside = sorted(shelf.aside, key=lambda file: -file.age_ms(shelf.ages))
        """What is left of it, the oldest first."""
        self.freed_bytes = 0
        self.freed_files = 0
        self._all_held: HeldSpans | None = None
        self._manual_held: HeldSpans | None = None

    @property
    def all_held(self) -> HeldSpans:
        if self._all_held is None:
            self._all_held = HeldSpans(self.holds)
        return self._all_held

    @property
    def manual_held(self) -> HeldSpans:
        if self._manual_held is None:
            self._manual_held = HeldSpans(hold for hold in self.holds if hold.kind == "manual")
        return self._manual_held

    def drop(self, hold: Hold) -> None:
        self.holds = [other for other in self.holds if other is not hold]
        self._all_held = self._manual_held = None


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    camera: str
    segment: StoredSegment
    stretch: HeldRange


class _Planner:
    def __init__(
        self, shelves: Mapping[str, CameraStorage], holds: Sequence[Hold], limits: Limits
    ) -> None:
        self._limits = limits
        self._cameras = {
            name: _Camera(shelf, [hold for hold in holds if hold.camera == name])
            for name, shelf in shelves.items()
        }
        self.evict: list[Eviction] = []
        self.discard: list[Discard] = []
        self.broken: list[Hold] = []

    def by_age(self) -> None:
        for name, camera in self._cameras.items():
            max_age_ms = self._limits.age_ms(name)
            while camera.aside and camera.aside[0].age_ms(camera.shelf.ages) >= max_age_ms:
                self._discard(name, "age")
            for candidate in self._of(name):
                if camera.shelf.ages.age_ms(candidate.segment.name) < max_age_ms:
                    break
                if not camera.all_held.hold(candidate.stretch):
                    self._go(candidate, "age")

    def make_room(
        self, names: list[str], why: Why, wanted_bytes: int, wanted_files: int = 0
    ) -> None:
        """Let at least so much of these cameras go, counting what goes already."""
        cameras = [self._cameras[name] for name in names]

        def is_enough() -> bool:
            return (
                sum(camera.freed_bytes for camera in cameras) >= wanted_bytes
                and sum(camera.freed_files for camera in cameras) >= wanted_files
            )

        while not is_enough() and (name := self._oldest_aside(names)):
            self._discard(name, why)
        for take in (self._free, self._of_events, self._not_of_people, self._of_people):
            if is_enough():
                return
            for candidate in take(names):
                self._go(candidate, why)
                if is_enough():
                    return

    def _oldest_aside(self, names: list[str]) -> str | None:
        """The camera whose set-aside file is the oldest of all."""
        left = [(name, self._cameras[name]) for name in names if self._cameras[name].aside]
        oldest = max(
            left, key=lambda each: each[1].aside[0].age_ms(each[1].shelf.ages), default=None
        )
        return oldest[0] if oldest else None

    def _discard(self, name: str, why: Why) -> None:
        camera = self._cameras[name]
        file = camera.aside.pop(0)
        camera.freed_bytes += file.size_bytes
        camera.freed_files += 1
        self.discard.append(Discard(camera=name, file=file, why=why))

    def _free(self, names: list[str]) -> Iterator[_Candidate]:
        for candidate in self._oldest_first(names):
            held = self._cameras[candidate.camera].all_held.hold(candidate.stretch)
            if not held and not self._is_pre_roll(candidate):
                yield candidate

    def _of_events(self, names: list[str]) -> Iterator[_Candidate]:
        return (each for each in self._not_of_people(names) if not self._is_pre_roll(each))

    def _not_of_people(self, names: list[str]) -> Iterator[_Candidate]:
        """What no person asked for; events' holds on it are broken as it goes."""
        for candidate in self._oldest_first(names):
            if not self._cameras[candidate.camera].manual_held.hold(candidate.stretch):
                yield candidate

    def _of_people(self, names: list[str]) -> Iterator[_Candidate]:
        cameras = [self._cameras[name] for name in names]
        holds = [(hold, camera) for camera in cameras for hold in camera.holds]
        manual = [(hold, camera) for hold, camera in holds if hold.kind == "manual"]
        for hold, _ in sorted(manual, key=lambda pair: made_ago(pair[0], pair[1].shelf.ages)):
            spans = HeldSpans([hold])
            if any(spans.hold(candidate.stretch) for candidate in self._of(hold.camera)):
                self._break(hold)
                yield from self._not_of_people(names)

    def _break(self, hold: Hold) -> None:
        self._cameras[hold.camera].drop(hold)
        self.broken.append(hold)

    def _go(self, candidate: _Candidate, why: Why) -> None:
        camera = self._cameras[candidate.camera]
        if camera.all_held.hold(candidate.stretch):
            for hold in camera.holds:
                if HeldSpans([hold]).hold(candidate.stretch):
                    self._break(hold)
        camera.evicted.add(candidate.segment.name.counter)
        camera.freed_bytes += candidate.segment.size_bytes
        camera.freed_files += self._limits.segment_files
        self.evict.append(Eviction(camera=candidate.camera, segment=candidate.segment, why=why))

    def _is_pre_roll(self, candidate: _Candidate) -> bool:
        now = self._cameras[candidate.camera].shelf.ages.now
        stretch = candidate.stretch
        return stretch.boot == now.boot and stretch.end_ms > now.ms - self._limits.pre_ms

    def _of(self, name: str) -> Iterator[_Candidate]:
        """What is left of a camera, oldest first."""
        camera = self._cameras[name]
        shelf = camera.shelf
        for segment, stretch in stretches(shelf.segments, shelf.ages, self._limits.longest_ms):
            if segment.name.counter not in camera.evicted:
                yield _Candidate(camera=name, segment=segment, stretch=stretch)

    def _oldest_first(self, names: list[str]) -> Iterator[_Candidate]:
        if len(names) == 1:
            return self._of(names[0])
        return heapq.merge(*map(self._of, names), key=self._youth)

    def _youth(self, candidate: _Candidate) -> int:
        return -self._cameras[candidate.camera].shelf.ages.age_ms(candidate.segment.name)
