"""agent.recording.catalogue: the segments on the disk in a time range, by file names and receipts."""

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import accumulate, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.base.clock import rfc3339
from agent.recording.catalogue import find_missing, find_segments
from agent.recording.custody.receipts import (
    FootageEvicted,
    FootageGap,
    ReceiptBody,
    SegmentClosed,
    SegmentOpened,
    parse_line,
)
from agent.recording.segment_name import KEYS_SUFFIX, PART_SUFFIX, SegmentName
from tests.receipt_lines import closed_segment, unsigned_line

START = datetime(2026, 11, 25, tzinfo=UTC)

moments = st.integers(0, 40_000_000).map(lambda us: START + timedelta(microseconds=us))
"""Some lie between milliseconds: a span is given to the microsecond, a name to the millisecond."""

on_the_millisecond = st.integers(0, 40_000).map(lambda ms: START + timedelta(milliseconds=ms))

recordings = st.lists(
    st.tuples(
        st.sampled_from(("0000000a", "0000000b")),
        on_the_millisecond,
        st.booleans(),
        st.integers(0, 20_000),
    ),
    max_size=8,
)
"""The boot of each segment, its UTC, which may go back, whether the clock was trusted, and how many
milliseconds it begins after the one before.
"""

Recorded = list[tuple[str, datetime, bool, int]]

spans = st.tuples(*[st.none() | moments | on_the_millisecond] * 2)


def names_of(recorded: Recorded) -> list[SegmentName]:
    begins_ms = accumulate(after_ms for _, _, _, after_ms in recorded)
    return [
        SegmentName(counter=number, boot=boot, begin_ms=begin_ms, utc=utc, synced=synced)
        for number, ((boot, utc, synced, _), begin_ms) in enumerate(
            zip(recorded, begins_ms, strict=True), start=1
        )
    ]


def closed(name: SegmentName, duration_s: int, seq: int) -> bytes:
    """The line of its receipt."""
    body = closed_segment(
        str(name), duration_ns=duration_s * 1_000_000_000, begin_time=rfc3339(name.utc)
    )
    return unsigned_line(body, seq)


def touch(
    names: list[SegmentName],
    lengths_s: dict[str, int],
    begin: datetime | None,
    end: datetime | None,
) -> list[str]:
    """The same by the names' parts: segments that begin before the span's end, and end after its begin by
    their receipt, or else reach up to the next one of their boot, by UTC or by the boot's own time.
    """
    return [
        str(name)
        for name, after in zip_longest(names, names[1:])
        if (end is None or name.utc < end)
        and (begin is None or lasts_beyond(begin, name, after, lengths_s.get(str(name))))
    ]


def lasts_beyond(
    begin: datetime, name: SegmentName, after: SegmentName | None, length_s: int | None
) -> bool:
    if length_s is not None:
        return name.utc + timedelta(seconds=length_s) > begin
    if after is None or after.boot != name.boot or after.utc > begin:
        return True
    return name.utc + timedelta(milliseconds=after.begin_ms - name.begin_ms) > begin


@given(recordings, st.lists(st.integers(0, 20)), spans)
def test_a_time_range_combines_file_names_and_receipts(
    recorded: Recorded,
    lengths_s: list[int],
    span: tuple[datetime | None, datetime | None],
) -> None:
    names = names_of(recorded)
    known_s = dict(zip(map(str, names), lengths_s, strict=False))
    with TemporaryDirectory() as folder:
        camera, custody = Path(folder) / "footage" / "north", Path(folder) / "custody"
        camera.mkdir(parents=True)
        custody.mkdir()
        for name in names:
            (camera / str(name)).write_bytes(b"\0")
            (camera / (str(name) + KEYS_SUFFIX)).write_bytes(b"\0")
        (camera / "9999999999_no_segment.mp4").write_bytes(b"\0")
        lines = [
            closed(name, known_s[str(name)], seq)
            for seq, name in enumerate(names, start=1)
            if str(name) in known_s
        ]
        torn = closed(names[0], 1, len(lines) + 1)[:-20] if names else b""
        (custody / "0000000001.chain").write_bytes(b"".join(lines) + torn)
        found = find_segments(camera.parent, custody, ["north", "none"], *span)
    assert [entry.segment_name for entry in found] == touch(names, known_s, *span)
    for entry in found:
        length_s = known_s.get(entry.segment_name)
        duration_ns = None if entry.closed is None else entry.closed.duration_ns
        assert duration_ns == (None if length_s is None else length_s * 1_000_000_000)


NAMES = names_of([("0000000a", START, True, 10_000)] * 4)
cameras = st.sampled_from(("north", "south"))
segment_names = st.sampled_from(tuple(map(str, NAMES)))
receipt_like_texts = st.sampled_from(
    (
        "",
        '"kind":"closed"',
        f'"segment":"{NAMES[0]}"',
        f'{{"kind":"closed","segment":"{NAMES[1]}"}}',
    )
)
receipt_bodies = (
    st.builds(SegmentOpened, camera=cameras, segment=segment_names)
    | st.builds(
        closed_segment,
        segment_names,
        camera=cameras,
        size_bytes=st.integers(0, 9),
        software=receipt_like_texts,
    )
    | st.builds(
        FootageEvicted,
        camera=cameras,
        segments=st.lists(segment_names, max_size=3).map(tuple),
        reason=st.just("bytes"),
        oldest_time=st.none(),
    )
    | st.builds(
        FootageGap,
        camera=cameras,
        begin_ns=st.just(0),
        end_ns=st.just(1),
        reason=receipt_like_texts,
    )
)


@given(st.lists(receipt_bodies, max_size=20), st.sets(segment_names))
def test_the_search_finds_the_receipts_that_decoding_each_line_finds(
    bodies: list[ReceiptBody], on_disk: set[str]
) -> None:
    lines = [unsigned_line(body, seq) for seq, body in enumerate(bodies, start=1)]
    closed_bodies: dict[str, SegmentClosed] = {}
    evicted: set[str] = set()
    for line in lines:
        body = parse_line(line).receipt.body
        if isinstance(body, SegmentClosed) and body.camera == "north":
            closed_bodies[body.segment] = body
        if isinstance(body, FootageEvicted) and body.camera == "north":
            evicted.update(body.segments)
    with TemporaryDirectory() as folder:
        camera, custody = Path(folder) / "footage" / "north", Path(folder) / "custody"
        camera.mkdir(parents=True)
        custody.mkdir()
        for name in on_disk:
            (camera / name).write_bytes(b"12")
        (custody / "0000000001.chain").write_bytes(b"".join(lines))
        found = find_segments(camera.parent, custody, ["north"], None, None)
    assert {entry.segment_name: entry.closed for entry in found} == {
        name: closed_bodies.get(name) for name in on_disk
    }
    assert {entry.segment_name for entry in found if entry.evicted} == evicted & on_disk


def test_the_open_file_is_found_without_an_end(tmp_path: Path) -> None:
    (name,) = names_of([("0000000a", START, True, 0)])
    camera = tmp_path / "footage" / "north"
    camera.mkdir(parents=True)
    (camera / (str(name) + PART_SUFFIX)).write_bytes(b"12")
    (entry,) = find_segments(camera.parent, tmp_path / "custody", ["north"], START, None)
    assert entry.is_being_written
    assert entry.end is None
    assert entry.size_bytes == 2
    assert entry.path == camera / (str(name) + PART_SUFFIX)


def test_a_file_counts_as_closed_from_its_receipt_on(tmp_path: Path) -> None:
    (name,) = names_of([("0000000a", START, True, 0)])
    camera, custody = tmp_path / "footage" / "north", tmp_path / "custody"
    camera.mkdir(parents=True)
    custody.mkdir()
    (camera / (str(name) + PART_SUFFIX)).write_bytes(b"12")
    (custody / "0000000001.chain").write_bytes(closed(name, 10, 1))
    (entry,) = find_segments(camera.parent, custody, ["north"], START, None)
    assert not entry.is_being_written
    assert entry.end == START + timedelta(seconds=10)
    (camera / (str(name) + PART_SUFFIX)).rename(camera / str(name))
    assert [path.exists() for path in entry.candidate_paths] == [False, True]


def test_a_segment_across_a_clock_step_back_is_found(tmp_path: Path) -> None:
    recorded = [
        ("0000000a", START + timedelta(seconds=begin_s), True, 10_000) for begin_s in (0, 10, 18)
    ]
    names = names_of(recorded)  # at the third the clock went back by two seconds
    camera, custody = tmp_path / "footage" / "north", tmp_path / "custody"
    camera.mkdir(parents=True)
    custody.mkdir()
    for name in names:
        (camera / str(name)).write_bytes(b"12")
    begin = START + timedelta(seconds=19)
    for lines in (b"", b"".join(closed(name, 10, seq) for seq, name in enumerate(names, 1))):
        (custody / "0000000001.chain").write_bytes(lines)
        found = find_segments(camera.parent, custody, ["north"], begin, None)
        assert [entry.name for entry in found] == names[1:]


def test_a_file_closed_during_the_scan_is_found_under_its_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = names_of([("0000000a", START, True, 0)])
    camera = tmp_path / "footage" / "north"
    camera.mkdir(parents=True)
    part = camera / (str(name) + PART_SUFFIX)
    part.write_bytes(b"12")
    listdir = os.listdir

    def closed_meanwhile(folder: int) -> list[str]:
        files = listdir(folder)
        part.rename(camera / str(name))
        return files

    monkeypatch.setattr(os, "listdir", closed_meanwhile)
    (entry,) = find_segments(camera.parent, tmp_path / "custody", ["north"], START, None)
    assert (entry.path, entry.size_bytes) == (camera / str(name), 2)


@pytest.mark.parametrize("damage", [b"\xff", b"[" * 100_000])
def test_a_damaged_line_of_the_chain_hides_no_footage(tmp_path: Path, damage: bytes) -> None:
    (name,) = names_of([("0000000a", START, True, 0)])
    camera, custody = tmp_path / "footage" / "north", tmp_path / "custody"
    camera.mkdir(parents=True)
    custody.mkdir()
    (camera / str(name)).write_bytes(b"12")
    evicted = b"A" * 88 + b' {"seq":2,"body":{"kind":"evicted","camera":"' + damage + b'"}}\n'
    (custody / "0000000001.chain").write_bytes(closed(name, 10, 1) + evicted)
    (entry,) = find_segments(camera.parent, custody, ["north"], START, None)
    assert entry.closed is not None


def append_receipts(custody: Path, seq: int, time: datetime, bodies: Iterable[ReceiptBody]) -> None:
    """Write a file of the custody log. Its clock is synced."""
    lines = (
        unsigned_line(body, number, time=rfc3339(time)) for number, body in enumerate(bodies, seq)
    )
    (custody / f"{seq:010d}.chain").write_bytes(b"".join(lines))


def test_a_search_for_missing_files_reads_the_custody_log_to_a_day_before_its_span(
    tmp_path: Path,
) -> None:
    names = names_of([("0000000a", START + timedelta(hours=hour), True, 0) for hour in (-30, 0, 1)])
    custody, camera = tmp_path / "custody", tmp_path / "footage" / "north"
    custody.mkdir()
    camera.mkdir(parents=True)
    (camera / str(names[2])).write_bytes(b"12")
    for seq, name in enumerate(names, 2):
        body = closed_segment(str(name), begin_time=rfc3339(name.utc))
        append_receipts(custody, seq, name.utc, [body])
    earlier = custody / "0000000001.chain"
    earlier.symlink_to(earlier)
    begin, end = START, START + timedelta(hours=2)

    def missing(is_valid_line: Callable[[bytes], bool]) -> list[str]:
        entries = find_segments(camera.parent, custody, ["north"], begin, end)
        return find_missing(camera.parent, custody, "north", entries, begin, end, is_valid_line)

    assert missing(lambda _line: True) == [str(names[1])]
    with pytest.raises(
        OSError, match="symbolic links"
    ):  # a line that the box did not sign ends no search
        missing(lambda line: str(names[0]).encode() not in line)
