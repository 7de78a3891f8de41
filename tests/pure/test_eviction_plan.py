"""agent.recording.retention.eviction_plan: the evicted segments, the broken holds, and their order."""

import os
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from agent.base.clock import rfc3339
from agent.recording.quarantine import QuarantinedFile
from agent.recording.recovery import StoredSegment
from agent.recording.retention.eviction_plan import (
    CameraStorage,
    EvictionPlan,
    RetentionLimits,
    Undeletable,
    count_held_bytes,
    plan_eviction,
)
from agent.recording.retention.free_space import RESERVE_FILES, SpaceShortfall, space_shortfall
from agent.recording.retention.hold import Hold, HoldKind
from agent.recording.segment_age import BootTimeline, ClockReading
from agent.recording.segment_name import SegmentName

BOOT_UTC = datetime(2026, 11, 25, tzinfo=UTC)
LENGTH_S = 10
LIMITS = RetentionLimits(
    camera_bytes=1000, box_bytes=10_000, max_age_ms=10**9, max_segment_ms=20_000, pre_roll_ms=0
)


def segment(number: int, size_bytes: int = 100, boot: str = "aaaaaaaa") -> StoredSegment:
    """The segment of ten seconds that begins `number * 10` seconds after the boot."""
    name = SegmentName(
        counter=number + 1,
        boot=boot,
        begin_ms=number * LENGTH_S * 1000,
        utc=BOOT_UTC + timedelta(seconds=number * LENGTH_S),
        synced=True,
    )
    return StoredSegment(name=name, size_bytes=size_bytes)


def shelf(
    segments: Sequence[StoredSegment], open_bytes: int = 0, now_s: float = 1000
) -> CameraStorage:
    unix_ms = round((BOOT_UTC.timestamp() + now_s) * 1000)
    now = ClockReading(boot="aaaaaaaa", boot_ms=round(now_s * 1000), unix_ms=unix_ms, synced=True)
    return CameraStorage(
        segments=deque(segments),
        closed_bytes=sum(each.size_bytes for each in segments),
        open_bytes=open_bytes,
        ages=BootTimeline(each.name for each in segments).ages(now),
    )


def hold(
    number: int,
    begin_s: float,
    end_s: float,
    kind: HoldKind = "event",
    camera: str = "north",
    **more: object,
) -> Hold:
    """Hold `number`, made that many seconds after the boot."""
    begin, end = (BOOT_UTC + timedelta(seconds=each) for each in (begin_s, end_s))
    plan = BOOT_UTC + timedelta(seconds=number)
    by_boot = kind == "event"
    given_hold = Hold(
        id=f"019a4901-3c62-7d2a-9f0e-{number:012d}",
        kind=kind,
        camera=camera,
        boot="aaaaaaaa-0000" if by_boot else None,
        begin_ns=round(begin_s * 1e9) if by_boot else None,
        end_ns=round(end_s * 1e9) if by_boot else None,
        begin_time=rfc3339(begin),
        end_time=rfc3339(end),
        owner="somebody",
        reason="something",
        created_boot="aaaaaaaa-0000",
        created_ns=round(number * 1e9),
        created_time=rfc3339(plan),
        created_synced=True,
        expires=rfc3339(plan + timedelta(days=7)),
    )
    return msgspec.structs.replace(given_hold, **more)


def evicted_numbers(plan: EvictionPlan, camera: str = "north") -> list[int]:
    return [each.segment.name.counter - 1 for each in plan.evictions if each.camera == camera]


def broken(plan: EvictionPlan) -> list[int]:
    return [int(each.id[-12:]) for each in plan.broken_holds]


RING = [segment(number) for number in range(10)]


@pytest.mark.parametrize(
    ("holds", "open_bytes", "evicted", "broken_holds"),
    [
        pytest.param([], 0, [], [], id="all fits"),
        pytest.param([], 90, [0], [], id="the oldest goes for the file being written"),
        pytest.param([], 95, [0, 1], [], id="a hundredth more goes at once"),
        pytest.param([hold(1, 0, 5)], 90, [1], [], id="what is held stays, the next goes"),
        pytest.param([hold(1, 15, 25)], 290, [0, 3, 4], [], id="every segment that a hold touches"),
        pytest.param(
            [hold(1, 0, 5, camera="south")], 90, [0], [], id="another camera's hold is no hold"
        ),
        pytest.param(
            [hold(1, 50, 60, ongoing=True)], 590, [0, 1, 2, 3, 4, 5], [1], id="and it breaks last"
        ),
        pytest.param([hold(1, 0, 99), hold(2, 0, 9)], 90, [0], [1, 2], id="all holds of a segment"),
        pytest.param(
            [hold(1, 0, 45), hold(2, 55, 99)], 190, [0, 1], [1], id="the oldest event's hold first"
        ),
        pytest.param(
            [hold(1, 0, 45, "manual"), hold(2, 55, 99)],
            190,
            [5, 6],
            [2],
            id="an event's hold before a person's, be it younger",
        ),
        pytest.param(
            [hold(1, 0, 45, "manual"), hold(2, 55, 99, "manual")],
            190,
            [5, 6],
            [2],
            id="of persons' holds the one made last",
        ),
        pytest.param(
            [hold(2, 0, 45, "manual"), hold(1, 55, 99, "manual")],
            190,
            [0, 1],
            [2],
            id="made last, not recorded last",
        ),
        pytest.param(
            [hold(1, 0, 99, "manual"), hold(9, 500, 600, "manual")],
            90,
            [0],
            [1],
            id="a hold that holds nothing is not broken for nothing",
        ),
        pytest.param([hold(1, 0, 99, "manual")], 5000, list(range(10)), [1], id="recording last"),
    ],
)
def test_the_oldest_segments_go_when_a_camera_exceeds_its_bytes(
    holds: list[Hold], open_bytes: int, evicted: list[int], broken_holds: list[int]
) -> None:
    plan = plan_eviction({"north": shelf(RING, open_bytes)}, holds, LIMITS)
    assert evicted_numbers(plan) == evicted
    assert broken(plan) == broken_holds
    assert {each.reason for each in plan.evictions} <= {"bytes"}


def test_the_newest_segment_is_kept_as_pre_roll() -> None:
    limits = msgspec.structs.replace(LIMITS, pre_roll_ms=25_000)
    ring = {"north": shelf(RING, 590, now_s=100)}
    event, person = hold(1, 0, 69), hold(2, 0, 9, "manual")
    assert evicted_numbers(plan_eviction(ring, [], limits)) == [0, 1, 2, 3, 4, 5]
    assert evicted_numbers(plan_eviction(ring, [event], limits)) == [0, 1, 2, 3, 4, 5], (
        "an event's hold goes first"
    )
    plan = plan_eviction({"north": shelf(RING, 990, now_s=100)}, [event, person], limits)
    assert evicted_numbers(plan)[-3:] == [8, 9, 0], (
        "then the pre-roll, and what a person holds last"
    )


def test_expired_footage_is_evicted_and_held_footage_stays() -> None:
    limits = msgspec.structs.replace(LIMITS, max_age_ms=50_000)
    plan = plan_eviction({"north": shelf(RING, now_s=100)}, [hold(1, 11, 12, "manual")], limits)
    assert evicted_numbers(plan) == [0, 2, 3, 4, 5]
    assert {each.reason for each in plan.evictions} == {"age"}


def test_an_owner_policy_shortens_retention_and_never_extends_it() -> None:
    limits = msgspec.structs.replace(
        LIMITS, max_age_ms=50_000, max_age_ms_by_camera={"tram": 20_000, "bank": 90_000}
    )
    cameras = {name: shelf(RING, now_s=100) for name in ("north", "tram", "bank")}
    plan = plan_eviction(cameras, [hold(1, 11, 12, "manual", camera="tram")], limits)
    assert evicted_numbers(plan, "tram") == [0, 2, 3, 4, 5, 6, 7, 8]
    assert evicted_numbers(plan, "north") == evicted_numbers(plan, "bank") == [0, 1, 2, 3, 4, 5]


def test_over_the_boxs_limit_the_oldest_segments_of_all_cameras_go() -> None:
    limits = msgspec.structs.replace(LIMITS, box_bytes=600)
    cameras = {"north": shelf(RING[:4]), "south": shelf(RING[2:6])}
    plan = plan_eviction(cameras, [hold(1, 0, 5)], limits)
    assert [(each.camera, each.segment.name.counter - 1) for each in plan.evictions] == [
        ("north", 1),
        ("north", 2),
        ("south", 2),
    ]


def test_free_space_is_made_from_the_oldest_and_counts_evictions_already_planned() -> None:
    plan = plan_eviction({"north": shelf(RING, 190)}, [], LIMITS, shortfall_bytes=350)
    assert [(each.segment.name.counter - 1, each.reason) for each in plan.evictions] == [
        (0, "bytes"),
        (1, "bytes"),
        (2, "space"),
        (3, "space"),
    ]


@pytest.mark.parametrize(
    ("wanted_bytes", "wanted_files", "segment_files", "evicted"),
    [
        pytest.param(0, 3, 1, [0, 1, 2], id="a segment is a file"),
        pytest.param(0, 3, 2, [0, 1], id="a sealed one is two"),
        pytest.param(350, 2, 1, [0, 1, 2, 3], id="bytes are more than the files"),
        pytest.param(150, 5, 1, [0, 1, 2, 3, 4], id="files are more than the bytes"),
    ],
)
def test_inodes_are_freed_however_small_the_files_are(
    wanted_bytes: int, wanted_files: int, segment_files: int, evicted: list[int]
) -> None:
    limits = msgspec.structs.replace(LIMITS, files_per_segment=segment_files)
    plan = plan_eviction({"north": shelf(RING)}, [], limits, wanted_bytes, wanted_files)
    assert evicted_numbers(plan) == evicted
    assert {each.reason for each in plan.evictions} == {"space"}


def aside(name: str, moved_s: float, size_bytes: int = 100) -> QuarantinedFile:
    """Something that was moved, and first seen, so many seconds after the boot."""
    return QuarantinedFile(
        name=name,
        size_bytes=size_bytes,
        segment=None,
        moved_unix_ms=round((BOOT_UTC.timestamp() + moved_s) * 1000),
        first_seen_ms=round(moved_s * 1000),
    )


def torn(number: int, size_bytes: int = 100) -> QuarantinedFile:
    """Return the quarantined rest of the segment that begins `number * 10` seconds after the boot."""
    name = segment(number).name
    return msgspec.structs.replace(aside(f"{name}.part", 100, size_bytes), segment=name)


def with_aside(of: CameraStorage, *files: QuarantinedFile) -> CameraStorage:
    return msgspec.structs.replace(of, quarantined=files)


def discarded(plan: EvictionPlan) -> list[tuple[str, str]]:
    return [(each.file.name[:10], each.reason) for each in plan.quarantine_deletions]


def test_quarantined_files_are_kept_no_longer_than_footage_despite_holds() -> None:
    limits = msgspec.structs.replace(LIMITS, max_age_ms=50_000)
    files = [aside("new", 60), aside("old", 50), torn(5), torn(6)]
    plan = plan_eviction(
        {"north": with_aside(shelf([], now_s=100), *files)}, [hold(1, 0, 99)], limits
    )
    assert discarded(plan) == [("old", "age"), ("0000000006", "age")]


@pytest.mark.parametrize(
    ("moved_s", "seen_s", "synced", "age_s"),
    [
        pytest.param(-900, 70, True, 1000, id="since it was moved"),
        pytest.param(-900, 70, False, 30, id="but by no clock that cannot be trusted"),
        pytest.param(9000, 70, True, 30, id="nor one that had gone ahead"),
    ],
)
def test_a_file_of_unknown_origin_has_the_age_that_the_clocks_guarantee(
    *, moved_s: float, seen_s: float, synced: bool, age_s: float
) -> None:
    unix_ms = round((BOOT_UTC.timestamp() + 100) * 1000)
    now = ClockReading(boot="aaaaaaaa", boot_ms=100_000, unix_ms=unix_ms, synced=synced)
    file = msgspec.structs.replace(aside("notes.txt", moved_s), first_seen_ms=round(seen_s * 1000))
    assert file.age_ms(BootTimeline().ages(now)) == age_s * 1000


def test_quarantined_files_count_and_are_evicted_before_footage() -> None:
    north = with_aside(shelf(RING), aside("b", 9), aside("a", 2))
    plan = plan_eviction({"north": north}, [], LIMITS)
    assert (discarded(plan), evicted_numbers(plan)) == ([("a", "bytes"), ("b", "bytes")], [0]), (
        "and a bit more"
    )
    south = with_aside(shelf(RING[:2]), aside("c", 5))
    room = msgspec.structs.replace(LIMITS, camera_bytes=10_000)
    plan = plan_eviction({"north": north, "south": south}, [], room, shortfall_bytes=150)
    assert discarded(plan) == [("a", "space"), ("c", "space")]
    plan = plan_eviction({"north": north, "south": south}, [], room, shortfall_files=4)
    assert discarded(plan) == [("a", "space"), ("c", "space"), ("b", "space")]
    assert (evicted_numbers(plan), evicted_numbers(plan, "south")) == ([0], [])


def test_a_span_in_utc_finds_footage_that_was_recorded_before_the_clock_was_set() -> None:
    """The name has 1970; a later segment of its boot has the right time. Either way of lookup works."""
    wrong = datetime(1970, 1, 1, tzinfo=UTC)
    early = StoredSegment(
        name=msgspec.structs.replace(RING[0].name, utc=wrong, synced=False), size_bytes=100
    )
    ring = {"north": shelf([early, *RING[1:]], 90)}
    assert evicted_numbers(plan_eviction(ring, [hold(1, 1, 2, "manual")], LIMITS)) == [1]
    as_named = hold(
        1,
        1,
        2,
        "manual",
        begin_time=rfc3339(wrong),
        end_time=rfc3339(wrong + timedelta(seconds=2)),
    )
    assert evicted_numbers(plan_eviction(ring, [as_named], LIMITS)) == [1]


def test_an_event_open_at_a_power_cut_holds_until_the_end_of_its_boot() -> None:
    later = [segment(0, boot="bbbbbbbb"), segment(1, boot="bbbbbbbb")]
    going_on = hold(1, 51, 60, ongoing=True)
    plan = plan_eviction({"north": shelf([*RING[4:], *later], 400)}, [going_on], LIMITS)
    assert [str(each.segment.name)[11] for each in plan.evictions] == ["a", "b", "b"]


@pytest.mark.parametrize(
    ("created_synced", "now_h", "boot", "now_synced", "over"),
    [
        (True, 7 * 24 - 1, "aaaaaaaa", True, False),
        (True, 7 * 24 + 1, "aaaaaaaa", True, True),
        (True, 7 * 24 + 1, "aaaaaaaa", False, True),
        (True, 100_000, "bbbbbbbb", True, True),
        (True, 100_000, "bbbbbbbb", False, False),
        (False, 100_000, "bbbbbbbb", True, False),
    ],
)
def test_a_holds_term_is_measured_like_the_age_of_footage(
    *, created_synced: bool, now_h: float, boot: str, now_synced: bool, over: bool
) -> None:
    at_ms = round(now_h * 3_600_000) if boot == "aaaaaaaa" else 1000
    unix_ms = round(BOOT_UTC.timestamp() * 1000) + round(now_h * 3_600_000)
    now = ClockReading(boot=boot, boot_ms=at_ms, unix_ms=unix_ms, synced=now_synced)
    each = hold(0, 0, 9, created_synced=created_synced)
    assert each.is_expired(BootTimeline().ages(now)) is over


@given(
    sizes=st.lists(st.lists(st.integers(1, 60), max_size=12), min_size=1, max_size=3),
    holds=st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(0, 120), st.integers(1, 40), st.sampled_from("em")
        ),
        max_size=5,
    ),
    camera_bytes=st.integers(1, 400),
    box_bytes=st.integers(1, 700),
    wanted_bytes=st.integers(0, 300),
    max_age_s=st.integers(1, 200),
)
def test_any_ring_keeps_every_limit_and_reports_each_broken_hold(
    sizes: list[list[int]],
    holds: list[tuple[int, int, int, str]],
    camera_bytes: int,
    box_bytes: int,
    wanted_bytes: int,
    max_age_s: int,
) -> None:
    shelves = {
        f"cam{index}": shelf([segment(at, size) for at, size in enumerate(each)], now_s=130)
        for index, each in enumerate(sizes)
    }
    made_holds = [
        hold(at, begin, begin + length, "event" if kind == "e" else "manual", f"cam{camera}")
        for at, (camera, begin, length, kind) in enumerate(holds)
    ]
    limits = RetentionLimits(
        camera_bytes=camera_bytes,
        box_bytes=box_bytes,
        max_age_ms=max_age_s * 1000,
        max_segment_ms=20_000,
        pre_roll_ms=15_000,
    )
    plan = plan_eviction(shelves, made_holds, limits, wanted_bytes)
    evicted = [(each.camera, each.segment.name.counter) for each in plan.evictions]
    assert len(set(evicted)) == len(evicted), "nothing goes twice"
    left = {
        camera: [each for each in of.segments if (camera, each.name.counter) not in evicted]
        for camera, of in shelves.items()
    }
    left_bytes = {camera: sum(each.size_bytes for each in of) for camera, of in left.items()}
    assert all(each <= camera_bytes for each in left_bytes.values())
    assert sum(left_bytes.values()) <= box_bytes
    evicted_bytes = sum(each.segment.size_bytes for each in plan.evictions)
    assert evicted_bytes >= wanted_bytes or not any(left.values())
    kept_holds = [each for each in made_holds if each not in plan.broken_holds]
    for each in plan.evictions:
        alone = shelf([each.segment])
        begin_s = each.segment.name.begin_ms / 1000
        after = [*shelves[each.camera].segments]
        length_s = LENGTH_S if each.segment is not after[-1] else LENGTH_S * 2
        for promise in kept_holds:
            apart = promise.camera != each.camera or (
                count_held_bytes(alone, [promise], round(length_s * 1000)) == 0
            )
            assert apart, f"{begin_s} s is held by {promise}"
    for camera, of in left.items():
        for each in of:
            old = shelves[camera].ages.age_ms(each.name) >= max_age_s * 1000
            assert not old or count_held_bytes(shelf([each]), kept_holds, 20_000), (
                "old and not held"
            )


def test_an_undeletable_segment_is_passed_over_and_no_hold_breaks_in_its_place() -> None:
    undeletable = Undeletable(keys=frozenset({RING[0].name.counter}), size_bytes=100)
    north = msgspec.structs.replace(shelf(RING, open_bytes=90), undeletable=undeletable)
    assert evicted_numbers(plan_eviction({"north": north}, [], LIMITS)) == [1]
    held = hold(1, 15, 99)
    plan = plan_eviction({"north": north}, [held], LIMITS)
    assert (plan.evictions, plan.broken_holds) == ((), ())
    plan = plan_eviction({"north": msgspec.structs.replace(north, open_bytes=190)}, [held], LIMITS)
    assert broken(plan) == [1]


def test_a_folder_that_refuses_each_deletion_is_left_out_and_others_make_room() -> None:
    refusing = Undeletable(size_bytes=1000, is_whole_folder=True)
    storages = {
        "north": msgspec.structs.replace(shelf(RING), undeletable=refusing),
        "south": shelf(RING),
    }
    limits = msgspec.structs.replace(LIMITS, box_bytes=1900)
    plan = plan_eviction(storages, [hold(1, 0, 25), hold(2, 0, 99, camera="south")], limits)
    assert (plan.evictions, plan.broken_holds) == ((), ())
    plan = plan_eviction(storages, [hold(1, 0, 25)], limits)
    assert evicted_numbers(plan, "north") == []
    assert evicted_numbers(plan, "south") == [0, 1]


GB = 10**9
BLOCK = 4096


def disk(free_bytes: int, files: int, free_files: int) -> os.statvfs_result:
    """Of 100 GB."""
    blocks, free = 100 * GB // BLOCK, free_bytes // BLOCK
    return os.statvfs_result(
        (BLOCK, BLOCK, blocks, free, free, files, free_files, free_files, 0, 255)
    )


@pytest.mark.parametrize(
    ("free_bytes", "files", "free_files", "lacks"),
    [
        pytest.param(50 * GB, 400_000, 300_000, SpaceShortfall(), id="room for all"),
        pytest.param(0, 400_000, 300_000, SpaceShortfall(bytes=GB), id="no bytes"),
        pytest.param(50 * GB, 400_000, 0, SpaceShortfall(files=RESERVE_FILES), id="no inodes"),
        pytest.param(50 * GB, 400_000, RESERVE_FILES - 7, SpaceShortfall(files=7), id="few inodes"),
        pytest.param(50 * GB, 400_000, RESERVE_FILES, SpaceShortfall(), id="just enough inodes"),
        pytest.param(50 * GB, 200, 4, SpaceShortfall(files=6), id="a twentieth of few"),
        pytest.param(
            50 * GB, 0, 0, SpaceShortfall(), id="a file system without a number of inodes"
        ),
        pytest.param(
            0, 400_000, 0, SpaceShortfall(bytes=GB, files=RESERVE_FILES), id="nothing at all"
        ),
    ],
)
def test_bytes_and_inodes_are_limited_separately(
    free_bytes: int, files: int, free_files: int, lacks: SpaceShortfall
) -> None:
    assert space_shortfall(disk(free_bytes, files, free_files), GB) == lacks
    assert bool(lacks) == (lacks != SpaceShortfall())


@pytest.mark.parametrize(
    ("undeletable_bytes", "missing_bytes"), [(0, GB), (GB // 4, GB * 3 // 4), (GB, GB // 2)]
)
def test_undeletable_bytes_count_as_free_up_to_half_of_the_reserve(
    undeletable_bytes: int, missing_bytes: int
) -> None:
    shortfall = space_shortfall(disk(0, 0, 0), GB, undeletable_bytes)
    assert shortfall == SpaceShortfall(bytes=missing_bytes)
