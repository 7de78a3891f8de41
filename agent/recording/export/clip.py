"""Clips out of footage: from segments to one plain MP4 that plays anywhere. Nothing is encoded.

A clip begins with the keyframe at or before the moment asked for and ends with the group that
holds the last one, so it is never shorter than asked. The pictures' bytes are copied as they
are, or decrypted on the way; only what says where they lie is written anew. The sources are
only read.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from agent.recording.encryption.keys import KeyFor, SegmentKey
from agent.recording.export.mp4_boxes import DamagedFootage, Mp4Header, Numbers, SampleRun
from agent.recording.export.mp4_header import Chunk, Mp4Track, progressive_head
from agent.recording.export.segment_reader import Fragment, SegmentReader, open_samples
from agent.recording.segment_name import KEYS, PART, SegmentName

_SECOND_NS = 1_000_000_000
_SEAM_NS = _SECOND_NS
"""Segments that are nearer than this go on without a pause: their begin is when a packet came in,
which the network delays, and not when it was due."""

_MAX_PAUSE_TICKS = (1 << 32) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CannotCut(Exception):
    """There is no clip to be had from these segments. One line says why."""


class NoKey(CannotCut):
    """A segment is sealed, and its key is not here."""


class ClipSource(msgspec.Struct, frozen=True, kw_only=True):
    """A segment's file, and when its first picture was, on the time line of the cut."""

    path: Path
    begin_ns: int


class ClipInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was cut. `begin_ns` is of the first picture, on the time line of the sources;
    `segments` names those that are in it.
    """

    begin_ns: int
    duration_ns: int
    pictures: int
    size_bytes: int
    segments: tuple[str, ...]


class Clip(ClipInfo, frozen=True, kw_only=True):
    """A clip that was cut, and where it lies."""

    path: Path


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    """A fragment that belongs into the clip. `shift` brings its times onto the clip's."""

    path: Path
    head: Mp4Header
    fragment: Fragment
    shift: int


def utc_source(path: Path, name: SegmentName) -> ClipSource:
    """A segment on that of UTC, in nanoseconds since 1970."""
    return ClipSource(path=path, begin_ns=utc_ns(name.utc))


def utc_ns(moment: datetime) -> int:
    """A moment in nanoseconds since 1970, to the microsecond."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * _SECOND_NS + since.microseconds * 1000


def write_clip(
    sources: Sequence[ClipSource], begin_ns: int, end_ns: int, out: Path, key_for: KeyFor
) -> Clip:
    """Cut the span from segments in the order of recording into the file `out`.

    `key_for` gives the keys of sealed segments. A file of an older clip is replaced once the new
    one is whole and durable. Where nothing was recorded for a second or more, the picture before
    stands for so long.

    Raises CannotCut where none of the span is there, a segment is damaged, or the stream became
    another, NoKey where one is sealed with a key that is not here, and OSError where the disk does
    not let us.
    """
    with _damage_told():
        groups, first_ns, keys = _select_groups(sources, begin_ns, end_ns, key_for)
        track = _track(groups)
        with _temp_file(out) as handle:
            size_bytes = _fill(handle, track, groups, keys, lambda: True)
            os.fsync(handle)
    return Clip(path=out, **msgspec.structs.asdict(_clip_info(groups, first_ns, track, size_bytes)))


def write_clip_to_fd(
    sources: Sequence[ClipSource],
    begin_ns: int,
    end_ns: int,
    handle: int,
    key_for: KeyFor,
    go_on: Callable[[], bool],
) -> ClipInfo:
    """Cut as `cut` does, into an empty file that is open for writing. To make it durable is the
    caller's. `go_on` is asked before each fragment; where it says no, CannotCut is raised.
    """
    with _damage_told():
        groups, first_ns, keys = _select_groups(sources, begin_ns, end_ns, key_for)
        track = _track(groups)
        size_bytes = _fill(handle, track, groups, keys, go_on)
    return _clip_info(groups, first_ns, track, size_bytes)


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except DamagedFootage as error:
        raise CannotCut(f"damaged footage: {error}") from error


def _select_groups(
    sources: Sequence[ClipSource], begin_ns: int, end_ns: int, key_for: KeyFor
) -> tuple[list[_Group], int, dict[bytes, SegmentKey]]:
    """The groups of the span, when the first one begins, and the keys of what is sealed."""
    if end_ns <= begin_ns:
        raise CannotCut("the clip's end is not after its begin")
    groups, first_ns = _select(sources, begin_ns, end_ns)
    return groups, first_ns, _keys(groups, key_for)


def _clip_info(groups: list[_Group], first_ns: int, track: Mp4Track, size_bytes: int) -> ClipInfo:
    return ClipInfo(
        begin_ns=first_ns,
        duration_ns=_ns(int(track.durations.sum()), track.timescale),
        pictures=len(track.sizes),
        size_bytes=size_bytes,
        segments=tuple(dict.fromkeys(group.path.name.removesuffix(PART) for group in groups)),
    )


def _select(sources: Sequence[ClipSource], begin_ns: int, end_ns: int) -> tuple[list[_Group], int]:
    """The groups of the span, and when the first one begins on the sources' time line."""
    groups: list[_Group] = []
    first_ns = clip_end = 0
    for source in sources:
        if source.begin_ns >= end_ns:
            continue
        shift: int | None = None
        with SegmentReader(source.path) as file:
            scale = file.head.timescale
            for fragment in file.fragments():
                run = fragment.run
                fragment_ns = source.begin_ns + _ns(run.begin, scale)
                if fragment_ns >= end_ns:
                    break
                if fragment_ns + _ns(int(run.durations.sum()), scale) <= begin_ns:
                    continue
                if not groups:
                    first_ns = fragment_ns
                if shift is None:
                    due = (fragment_ns - first_ns) * scale // _SECOND_NS
                    is_pause = due - clip_end >= _SEAM_NS * scale // _SECOND_NS
                    shift = (due if is_pause else clip_end) - run.begin
                group = _Group(path=source.path, head=file.head, fragment=fragment, shift=shift)
                _check_alike(groups, group)
                groups.append(group)
                clip_end = run.begin + shift + int(run.durations.sum())
    if not groups:
        raise CannotCut("nothing of this span was recorded, or it is no longer there")
    return groups, first_ns


def _check_alike(groups: list[_Group], group: _Group) -> None:
    """One clip has one kind of stream; its parameters may change within."""
    if not groups:
        return
    one, other = groups[0].head, group.head
    if (one.timescale, one.width_px, one.height_px, one.entry[4:8]) != (
        other.timescale,
        other.width_px,
        other.height_px,
        other.entry[4:8],
    ):
        raise CannotCut(
            f"{group.path.name}: the camera's stream became another here "
            f"({_shown(one)}, then {_shown(other)}): cut before and after it"
        )


def _shown(head: Mp4Header) -> str:
    return f"{head.entry[4:8].decode('latin-1')} {head.width_px}x{head.height_px}"


def _keys(groups: list[_Group], key_for: KeyFor) -> dict[bytes, SegmentKey]:
    """The keys of all that is sealed, before anything is written."""
    keys: dict[bytes, SegmentKey] = {}
    for group in groups:
        kid = group.head.kid
        if kid is None or kid in keys:
            continue
        key = key_for(kid)
        if key is None:
            raise NoKey(
                f"{group.path.name}: sealed, and its key is not here; a recipient's private key "
                f"opens {group.path.name.removesuffix(PART)}{KEYS}"
            )
        keys[kid] = key
    return keys


def _track(groups: list[_Group]) -> Mp4Track:
    entries: dict[bytes, int] = {}
    chunks = []
    for group in groups:
        fragment = group.fragment
        chunk = Chunk(
            samples=len(fragment.run.sizes),
            size_bytes=fragment.data_end - fragment.data_at,
            entry=entries.setdefault(_playable(group.head.entry), len(entries)),
        )
        chunks.append(chunk)
    head = groups[0].head
    return Mp4Track(
        timescale=head.timescale,
        width_px=head.width_px,
        height_px=head.height_px,
        entries=tuple(entries),
        chunks=tuple(chunks),
        sizes=np.concatenate([group.fragment.run.sizes for group in groups]),
        durations=_durations(groups),
        offsets=np.concatenate([group.fragment.run.offsets for group in groups]),
    )


def _durations(groups: list[_Group]) -> Numbers:
    """How long each sample lasts: until the next one, pauses included."""
    times = np.concatenate([_times(group.fragment.run, group.shift) for group in groups])
    last = max(int(groups[-1].fragment.run.durations[-1]), 1)
    durations = np.append(np.diff(times), last)
    if durations.max() > _MAX_PAUSE_TICKS:
        raise CannotCut("nothing was recorded for half a day in between: cut before and after it")
    lasting: Numbers = np.maximum(durations, 0)
    return lasting


def _times(run: SampleRun, shift: int) -> Numbers:
    ends: Numbers = np.cumsum(run.durations)
    begins: Numbers = ends - run.durations + (run.begin + shift)
    return begins


def _playable(entry: bytes) -> bytes:
    """Apple's players take HEVC by the name `hvc1` alone. The two differ in whether parameter sets
    may stand in band too; all are in the entry as well, in `hvcC`.
    """
    return entry[:4] + b"hvc1" + entry[8:] if entry[4:8] == b"hev1" else entry


@contextmanager
def _temp_file(out: Path) -> Iterator[int]:
    """A file beside, open for writing, which gets its name where all went well."""
    aside = out.with_name(out.name + PART)
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        try:
            yield handle
        finally:
            os.close(handle)
        aside.rename(out)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise


def _fill(
    handle: int,
    track: Mp4Track,
    groups: list[_Group],
    keys: dict[bytes, SegmentKey],
    go_on: Callable[[], bool],
) -> int:
    """Write the clip into an open file; its size."""
    _write_all(handle, progressive_head(track))
    at = 0
    while at < len(groups):
        path = groups[at].path
        with SegmentReader(path) as source:
            while at < len(groups) and groups[at].path == path:
                if not go_on():
                    raise CannotCut("the cut was given up before its end")
                _copy(source, groups[at], handle, keys)
                at += 1
    return os.fstat(handle).st_size


def _copy(source: SegmentReader, group: _Group, handle: int, keys: dict[bytes, SegmentKey]) -> None:
    fragment = group.fragment
    if group.head.kid is not None:
        data = source.read(fragment.data_at, fragment.data_end)
        open_samples(data, fragment.run, keys[group.head.kid])
        _write_all(handle, data)
        return
    at = fragment.data_at
    while at < fragment.data_end:
        count = os.sendfile(handle, source.fileno(), at, fragment.data_end - at)
        if count == 0:
            raise DamagedFootage(f"{source.path.name}: at byte {at}: the file ends")
        at += count


def _write_all(handle: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _ns(ticks: int, timescale: int) -> int:
    return ticks * _SECOND_NS // timescale
