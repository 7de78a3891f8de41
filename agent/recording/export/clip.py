"""Clip writer: cuts segments into one plain MP4, without re-encoding.

A clip begins with the keyframe at or before the requested begin and ends with the group of pictures at
the requested end, so it is never shorter than requested. The bytes of the frames are copied, or
decrypted; only the index is new. The sources are only read.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from agent.base.atomic_file import open_replacement, write_all
from agent.base.clock import unix_ns
from agent.recording.encryption.keys import KeyLookup, SegmentKey
from agent.recording.export.mp4_writer import Chunk, Mp4Track, build_progressive_header
from agent.recording.export.segment_reader import Fragment, SegmentReader, decrypt_samples
from agent.recording.mp4_reader import DamagedFootage, Int64Array, Mp4Header, SampleRun
from agent.recording.segment_name import KEYS_SUFFIX, PART_SUFFIX, SegmentName
from drivers.media import NS_PER_S, Polygon

_MIN_PAUSE_NS = NS_PER_S
"""Shorter gaps between segments get no pause: a segment begins when its first packet arrived, which
the network delays."""

_MAX_PAUSE_TICKS = (1 << 32) - 1


class ClipError(Exception):
    """No clip can be cut from these segments. The message is one line."""


class KeyUnavailable(ClipError):
    """A segment is sealed, and its key is not available."""


class ClipSource(msgspec.Struct, frozen=True, kw_only=True):
    """File of a segment, and the time of its first frame on the clip's time line."""

    path: Path
    begin_ns: int


class ClipInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Description of a clip.

    `begin_ns` is of its first frame; `segments` are the names of its sources.
    """

    begin_ns: int
    duration_ns: int
    frame_count: int
    size_bytes: int
    segments: tuple[str, ...]


class Clip(ClipInfo, frozen=True, kw_only=True):
    """A clip and its path."""

    path: Path


class _ClipGop(msgspec.Struct, frozen=True, kw_only=True):
    """A fragment of the clip. `time_shift_ticks` converts its times to the clip's."""

    path: Path
    header: Mp4Header
    fragment: Fragment
    time_shift_ticks: int


def clip_source(path: Path, name: SegmentName) -> ClipSource:
    """Return a segment as a source on the UTC time line, in nanoseconds since 1970."""
    return ClipSource(path=path, begin_ns=unix_ns(name.utc))


def write_clip(
    sources: Sequence[ClipSource], begin_ns: int, end_ns: int, out: Path, find_key: KeyLookup
) -> Clip:
    """Cut the span from segments, in the order of recording, into `out`, atomically.

    `find_key` returns the keys of sealed segments. Across a gap of a second or more the last frame
    before it is shown.

    Raises: ClipError if the span has no footage, a segment is damaged, or the stream changes;
    KeyUnavailable if a key is missing; OSError.
    """
    with _damage_as_clip_error():
        gops, clip_begin_ns, keys = _select_gops_and_keys(sources, begin_ns, end_ns, find_key)
        track = _build_track(gops)
        with open_replacement(out, 0o640) as file:
            size_bytes = _write_clip_data(file.fileno(), track, gops, keys, lambda: True)
    return Clip(
        path=out, **msgspec.structs.asdict(_clip_info(gops, clip_begin_ns, track, size_bytes))
    )


def write_clip_to_fd(
    sources: Sequence[ClipSource],
    begin_ns: int,
    end_ns: int,
    fd: int,
    find_key: KeyLookup,
    should_continue: Callable[[], bool],
) -> ClipInfo:
    """Cut like `write_clip` into an empty open file, without a sync.

    Raises ClipError before the next fragment if `should_continue` returns False.
    """
    with _damage_as_clip_error():
        gops, clip_begin_ns, keys = _select_gops_and_keys(sources, begin_ns, end_ns, find_key)
        track = _build_track(gops)
        size_bytes = _write_clip_data(fd, track, gops, keys, should_continue)
    return _clip_info(gops, clip_begin_ns, track, size_bytes)


@contextmanager
def painted(
    masks: Sequence[Polygon], out: Path, progress: Callable[[float], None]
) -> Iterator[Path]:
    """Yield the path for a clip without masks; it becomes `out`, painted, when the block ends well.

    The clip without masks is deleted in any case. Without masks the path is `out` itself. Raises
    MaskingError.
    """
    if not masks:
        yield out
        return
    # PyAV and OpenCV: a quarter of the start of `vigie footage export`, which needs neither without masks.
    from agent.recording.export.clip_masking import write_masked_clip  # noqa: PLC0415

    unmasked = out.with_name(f".{out.name}.without-masks")
    try:
        yield unmasked
        write_masked_clip(unmasked, out, masks, progress)
    finally:
        unmasked.unlink(missing_ok=True)


@contextmanager
def _damage_as_clip_error() -> Iterator[None]:
    try:
        yield
    except DamagedFootage as error:
        raise ClipError(f"damaged footage: {error}") from error


def _select_gops_and_keys(
    sources: Sequence[ClipSource], begin_ns: int, end_ns: int, find_key: KeyLookup
) -> tuple[list[_ClipGop], int, dict[bytes, SegmentKey]]:
    """Select the groups of the span; return them, the clip's begin, and the keys."""
    if end_ns <= begin_ns:
        raise ClipError("the clip's end must be after its begin")
    gops, clip_begin_ns = _select_gops(sources, begin_ns, end_ns)
    return gops, clip_begin_ns, _find_keys(gops, find_key)


def _clip_info(
    gops: list[_ClipGop], clip_begin_ns: int, track: Mp4Track, size_bytes: int
) -> ClipInfo:
    return ClipInfo(
        begin_ns=clip_begin_ns,
        duration_ns=_ticks_to_ns(int(track.durations.sum()), track.timescale),
        frame_count=len(track.sizes),
        size_bytes=size_bytes,
        segments=tuple(dict.fromkeys(gop.path.name.removesuffix(PART_SUFFIX) for gop in gops)),
    )


def _select_gops(
    sources: Sequence[ClipSource], begin_ns: int, end_ns: int
) -> tuple[list[_ClipGop], int]:
    """Select the groups of the span; return them and the begin of the first one."""
    gops: list[_ClipGop] = []
    clip_begin_ns = clip_end_ticks = 0
    for source in sources:
        if source.begin_ns >= end_ns:
            continue
        time_shift_ticks: int | None = None
        with SegmentReader(source.path) as reader:
            timescale = reader.header.timescale
            for fragment in reader.iter_fragments():
                run = fragment.run
                fragment_begin_ns = source.begin_ns + _ticks_to_ns(run.base_decode_time, timescale)
                if fragment_begin_ns >= end_ns:
                    break
                if (
                    fragment_begin_ns + _ticks_to_ns(int(run.durations.sum()), timescale)
                    <= begin_ns
                ):
                    continue
                if not gops:
                    clip_begin_ns = fragment_begin_ns
                if time_shift_ticks is None:
                    due_ticks = (fragment_begin_ns - clip_begin_ns) * timescale // NS_PER_S
                    is_pause = due_ticks - clip_end_ticks >= _MIN_PAUSE_NS * timescale // NS_PER_S
                    time_shift_ticks = (
                        due_ticks if is_pause else clip_end_ticks
                    ) - run.base_decode_time
                gop = _ClipGop(
                    path=source.path,
                    header=reader.header,
                    fragment=fragment,
                    time_shift_ticks=time_shift_ticks,
                )
                _check_same_stream(gops, gop)
                gops.append(gop)
                clip_end_ticks = run.base_decode_time + time_shift_ticks + int(run.durations.sum())
    if not gops:
        raise ClipError("no footage of this span exists")
    return gops, clip_begin_ns


def _check_same_stream(gops: list[_ClipGop], gop: _ClipGop) -> None:
    """Raise ClipError if a group is of another kind of stream.

    Parameter sets may change.
    """
    if not gops:
        return
    first, current = gops[0].header, gop.header
    if (first.timescale, first.width_px, first.height_px, first.sample_entry[4:8]) != (
        current.timescale,
        current.width_px,
        current.height_px,
        current.sample_entry[4:8],
    ):
        raise ClipError(
            f"{gop.path.name}: the camera's stream changes here "
            f"({_describe_stream(first)}, then {_describe_stream(current)}): export before and after it"
        )


def _describe_stream(header: Mp4Header) -> str:
    return f"{header.sample_entry[4:8].decode('latin-1')} {header.width_px}x{header.height_px}"


def _find_keys(gops: list[_ClipGop], find_key: KeyLookup) -> dict[bytes, SegmentKey]:
    """Find the keys of all sealed groups, before anything is written."""
    keys: dict[bytes, SegmentKey] = {}
    for gop in gops:
        kid = gop.header.kid
        if kid is None or kid in keys:
            continue
        key = find_key(kid)
        if key is None:
            raise KeyUnavailable(
                f"{gop.path.name}: sealed, and its key is not available; a recipient's private key "
                f"opens {gop.path.name.removesuffix(PART_SUFFIX)}{KEYS_SUFFIX}"
            )
        keys[kid] = key
    return keys


def _build_track(gops: list[_ClipGop]) -> Mp4Track:
    sample_entries: dict[bytes, int] = {}
    chunks = []
    for gop in gops:
        fragment = gop.fragment
        chunk = Chunk(
            sample_count=len(fragment.run.sizes),
            size_bytes=fragment.data_end - fragment.data_offset,
            entry_index=sample_entries.setdefault(
                _as_hvc1(gop.header.sample_entry), len(sample_entries)
            ),
        )
        chunks.append(chunk)
    header = gops[0].header
    return Mp4Track(
        timescale=header.timescale,
        width_px=header.width_px,
        height_px=header.height_px,
        sample_entries=tuple(sample_entries),
        chunks=tuple(chunks),
        sizes=np.concatenate([gop.fragment.run.sizes for gop in gops]),
        durations=_sample_durations(gops),
        composition_offsets=np.concatenate([gop.fragment.run.composition_offsets for gop in gops]),
    )


def _sample_durations(gops: list[_ClipGop]) -> Int64Array:
    """Return the duration of each sample: until the next one, pauses included."""
    times = np.concatenate([_decode_times(gop.fragment.run, gop.time_shift_ticks) for gop in gops])
    last_duration = max(int(gops[-1].fragment.run.durations[-1]), 1)
    durations = np.append(np.diff(times), last_duration)
    if durations.max() > _MAX_PAUSE_TICKS:
        raise ClipError("a gap of half a day is too long for one clip: export before and after it")
    non_negative: Int64Array = np.maximum(durations, 0)
    return non_negative


def _decode_times(run: SampleRun, time_shift_ticks: int) -> Int64Array:
    ends: Int64Array = np.cumsum(run.durations)
    begins: Int64Array = ends - run.durations + (run.base_decode_time + time_shift_ticks)
    return begins


def _as_hvc1(sample_entry: bytes) -> bytes:
    """Rename `hev1` to `hvc1`, the only HEVC name that Apple's players accept.

    `hev1` allows parameter sets in band too; all of them are in the entry as well, in `hvcC`.
    """
    return (
        sample_entry[:4] + b"hvc1" + sample_entry[8:]
        if sample_entry[4:8] == b"hev1"
        else sample_entry
    )


def _write_clip_data(
    fd: int,
    track: Mp4Track,
    gops: list[_ClipGop],
    keys: dict[bytes, SegmentKey],
    should_continue: Callable[[], bool],
) -> int:
    """Write the clip into an open file and return its size."""
    write_all(fd, build_progressive_header(track))
    index = 0
    while index < len(gops):
        path = gops[index].path
        with SegmentReader(path) as reader:
            while index < len(gops) and gops[index].path == path:
                if not should_continue():
                    raise ClipError("the cut was cancelled, or took too long")
                _copy_gop(reader, gops[index], fd, keys)
                index += 1
    return os.fstat(fd).st_size


def _copy_gop(reader: SegmentReader, gop: _ClipGop, fd: int, keys: dict[bytes, SegmentKey]) -> None:
    fragment = gop.fragment
    if gop.header.kid is not None:
        data = reader.read(fragment.data_offset, fragment.data_end)
        decrypt_samples(data, fragment.run, keys[gop.header.kid])
        write_all(fd, data)
        return
    offset = fragment.data_offset
    while offset < fragment.data_end:
        count = os.sendfile(fd, reader.fileno(), offset, fragment.data_end - offset)
        if count == 0:
            raise DamagedFootage(f"{reader.path.name}: at byte {offset}: the file ends")
        offset += count


def _ticks_to_ns(ticks: int, timescale: int) -> int:
    return ticks * NS_PER_S // timescale
