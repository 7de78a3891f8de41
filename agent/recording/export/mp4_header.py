"""The head of a plain, progressive MP4 (ISO/IEC 14496-12): `ftyp`, `moov` and the start of `mdat`.

One video track, all samples listed before the first picture. It is the shape that every player
reads and seeks in: browsers, the players of Windows, QuickTime, phones. Pure.
"""

import struct

import msgspec
import numpy as np
import numpy.typing as npt

from agent.recording.export.mp4_boxes import Numbers

_MOVIE_HZ = 1000
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED = 0x55C4
"""The language "und" (14496-12, 8.4.2.3)."""

_U32 = 1 << 32


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Samples that lie one after another, the first of which is a keyframe. `entry` says which of
    the sample entries tells how to decode them, counted from 0.
    """

    samples: int
    size_bytes: int
    entry: int


class Mp4Track(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to say of the pictures. `durations`, `offsets` (composition) and `sizes` are
    those of the samples, in decoding order.
    """

    timescale: int
    width_px: int
    height_px: int
    entries: tuple[bytes, ...]
    chunks: tuple[Chunk, ...]
    sizes: Numbers
    durations: Numbers
    offsets: Numbers


def progressive_head(track: Mp4Track) -> bytes:
    """Everything that stands before the pictures, which follow chunk after chunk."""
    data_bytes = sum(chunk.size_bytes for chunk in track.chunks)
    ftyp = _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2mp41")
    # The places of the chunks do not change the length of what lists them.
    large = len(ftyp) + len(_moov(track, 0, large=True)) + 16 + data_bytes >= _U32
    mdat = struct.pack(">I4sQ", 1, b"mdat", 16 + data_bytes)
    if not large:
        mdat = struct.pack(">I4s", 8 + data_bytes, b"mdat")
    begin = len(ftyp) + len(_moov(track, 0, large=large)) + len(mdat)
    return ftyp + _moov(track, begin, large=large) + mdat


def _moov(track: Mp4Track, begin: int, *, large: bool) -> bytes:
    length = int(track.durations.sum())
    shown_ms = -(-length * _MOVIE_HZ // track.timescale)
    mvhd = _full(
        b"mvhd",
        _version(shown_ms),
        0,
        _times(_MOVIE_HZ, shown_ms),
        struct.pack(">IHxx8x", 0x10000, 0x100),
        _MATRIX,
        struct.pack(">24xI", 2),
    )
    return _box(b"moov", mvhd, _trak(track, begin, length, shown_ms, large=large))


def _trak(track: Mp4Track, begin: int, length: int, shown_ms: int, *, large: bool) -> bytes:
    numbers = (0, 0, 1, 0, shown_ms)
    tkhd = _full(
        b"tkhd",
        _version(shown_ms),
        3,
        struct.pack(">QQIIQ" if _version(shown_ms) else ">5I", *numbers),
        bytes(16),
        _MATRIX,
        struct.pack(">II", track.width_px << 16, track.height_px << 16),
    )
    language = struct.pack(">Hxx", _UNDETERMINED)
    mdhd = _full(b"mdhd", _version(length), 0, _times(track.timescale, length), language)
    hdlr = _full(b"hdlr", 0, 0, struct.pack(">4x4s12x", b"vide"), b"video\0")
    dinf = _box(b"dinf", _full(b"dref", 0, 0, struct.pack(">I", 1), _full(b"url ", 0, 1)))
    vmhd = _full(b"vmhd", 0, 1, bytes(8))
    minf = _box(b"minf", vmhd, dinf, _stbl(track, begin, large=large))
    return _box(b"trak", tkhd, _edits(track, shown_ms), _box(b"mdia", mdhd, hdlr, minf))


def _edits(track: Mp4Track, shown_ms: int) -> bytes:
    """The presentation begins with the first picture, however late it is after its decoding."""
    late = int(track.offsets[0])
    if late <= 0:
        return b""
    version = _version(shown_ms)
    entry = struct.pack(">QqI" if version else ">IiI", shown_ms, late, 0x10000)
    return _box(b"edts", _full(b"elst", version, 0, struct.pack(">I", 1), entry))


def _stbl(track: Mp4Track, begin: int, *, large: bool) -> bytes:
    samples = np.array([chunk.samples for chunk in track.chunks], np.int64)
    first = np.concatenate(([0], np.cumsum(samples)[:-1])) + 1
    sizes = np.array([chunk.size_bytes for chunk in track.chunks], np.int64)
    places = begin + np.concatenate(([0], np.cumsum(sizes)[:-1]))
    where = _table(b"co64", places.astype(">u8")) if large else _table(b"stco", _u32(places))
    sync = b"" if len(first) == len(track.sizes) else _table(b"stss", _u32(first))
    return _box(
        b"stbl",
        _full(b"stsd", 0, 0, struct.pack(">I", len(track.entries)), *track.entries),
        _table(b"stts", _u32(_runs(track.durations))),
        _composition(track.offsets),
        sync,
        _table(b"stsc", _u32(_to_chunks(track.chunks, samples))),
        _full(b"stsz", 0, 0, struct.pack(">II", 0, len(track.sizes)), _u32(track.sizes).tobytes()),
        where,
    )


def _composition(offsets: Numbers) -> bytes:
    if not offsets.any():
        return b""
    version = int(bool((offsets < 0).any()))
    return _table(b"ctts", _u32(_runs(offsets)), version)


def _runs(values: Numbers) -> Numbers:
    """Equal values in a row as (how many, value)."""
    changes = np.flatnonzero(np.diff(values)) + 1
    begins = np.concatenate(([0], changes))
    counts = np.diff(np.concatenate((begins, [len(values)])))
    return np.stack((counts, values[begins]), axis=1)


def _to_chunks(chunks: tuple[Chunk, ...], samples: Numbers) -> Numbers:
    """From which chunk on each has how many samples and which entry; both counted from 1."""
    entries = np.array([chunk.entry + 1 for chunk in chunks], np.int64)
    changed = (np.diff(samples) != 0) | (np.diff(entries) != 0)
    begins = np.concatenate(([0], np.flatnonzero(changed) + 1))
    return np.stack((begins + 1, samples[begins], entries[begins]), axis=1)


def _u32(values: Numbers) -> npt.NDArray[np.uint32]:
    return (values & (_U32 - 1)).astype(">u4")


def _table(kind: bytes, rows: npt.NDArray[np.generic], version: int = 0) -> bytes:
    return _full(kind, version, 0, struct.pack(">I", len(rows)), rows.tobytes())


def _times(timescale: int, length: int) -> bytes:
    """Never made, never changed, the scale and the length."""
    return struct.pack(">QQIQ" if _version(length) else ">IIII", 0, 0, timescale, length)


def _version(length: int) -> int:
    """Boxes that tell a length have 64 bits for it in version 1."""
    return int(length >= _U32)


def _full(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *content)


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body
