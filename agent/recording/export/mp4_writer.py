"""Writer of a progressive MP4's header (ISO/IEC 14496-12). Pure.

One video track, with all samples listed before the first frame: the form that every player reads and
seeks in, such as browsers, Windows' players, QuickTime and phones.
"""

import struct

import msgspec
import numpy as np
import numpy.typing as npt

from agent.recording.mp4_reader import Int64Array

_MOVIE_TIMESCALE_HZ = 1000
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_LANGUAGE_UND = 0x55C4
"""The language "und" (14496-12, 8.4.2.3)."""

_U32_RANGE = 1 << 32


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Contiguous samples, the first of which is a keyframe.

    `entry_index` selects the sample entry.
    """

    sample_count: int
    size_bytes: int
    entry_index: int


class Mp4Track(msgspec.Struct, frozen=True, kw_only=True):
    """Video track.

    `sizes`, `durations` and `composition_offsets` are in decoding order.
    """

    timescale: int
    width_px: int
    height_px: int
    sample_entries: tuple[bytes, ...]
    chunks: tuple[Chunk, ...]
    sizes: Int64Array
    durations: Int64Array
    composition_offsets: Int64Array


def build_progressive_header(track: Mp4Track) -> bytes:
    """Build all bytes before the frames, which follow chunk by chunk."""
    data_bytes = sum(chunk.size_bytes for chunk in track.chunks)
    ftyp = _build_box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2mp41")
    # The offsets of the chunks do not change the length of the moov.
    use_64_bit = (
        len(ftyp) + len(_build_moov(track, 0, use_64_bit=True)) + 16 + data_bytes >= _U32_RANGE
    )
    mdat = struct.pack(">I4sQ", 1, b"mdat", 16 + data_bytes)
    if not use_64_bit:
        mdat = struct.pack(">I4s", 8 + data_bytes, b"mdat")
    data_offset = len(ftyp) + len(_build_moov(track, 0, use_64_bit=use_64_bit)) + len(mdat)
    return ftyp + _build_moov(track, data_offset, use_64_bit=use_64_bit) + mdat


def _build_moov(track: Mp4Track, data_offset: int, *, use_64_bit: bool) -> bytes:
    duration_ticks = int(track.durations.sum())
    duration_ms = -(-duration_ticks * _MOVIE_TIMESCALE_HZ // track.timescale)
    mvhd = _build_full_box(
        b"mvhd",
        _full_box_version(duration_ms),
        0,
        _build_times(_MOVIE_TIMESCALE_HZ, duration_ms),
        struct.pack(">IHxx8x", 0x10000, 0x100),
        _MATRIX,
        struct.pack(">24xI", 2),
    )
    return _build_box(
        b"moov",
        mvhd,
        _build_trak(track, data_offset, duration_ticks, duration_ms, use_64_bit=use_64_bit),
    )


def _build_trak(
    track: Mp4Track, data_offset: int, duration_ticks: int, duration_ms: int, *, use_64_bit: bool
) -> bytes:
    tkhd_fields = (0, 0, 1, 0, duration_ms)
    tkhd = _build_full_box(
        b"tkhd",
        _full_box_version(duration_ms),
        3,
        struct.pack(">QQIIQ" if _full_box_version(duration_ms) else ">5I", *tkhd_fields),
        bytes(16),
        _MATRIX,
        struct.pack(">II", track.width_px << 16, track.height_px << 16),
    )
    language = struct.pack(">Hxx", _LANGUAGE_UND)
    mdhd = _build_full_box(
        b"mdhd",
        _full_box_version(duration_ticks),
        0,
        _build_times(track.timescale, duration_ticks),
        language,
    )
    hdlr = _build_full_box(b"hdlr", 0, 0, struct.pack(">4x4s12x", b"vide"), b"video\0")
    dinf = _build_box(
        b"dinf",
        _build_full_box(b"dref", 0, 0, struct.pack(">I", 1), _build_full_box(b"url ", 0, 1)),
    )
    vmhd = _build_full_box(b"vmhd", 0, 1, bytes(8))
    minf = _build_box(b"minf", vmhd, dinf, _build_stbl(track, data_offset, use_64_bit=use_64_bit))
    return _build_box(
        b"trak", tkhd, _build_edts(track, duration_ms), _build_box(b"mdia", mdhd, hdlr, minf)
    )


def _build_edts(track: Mp4Track, duration_ms: int) -> bytes:
    """Start the presentation at the first frame, whatever its composition offset."""
    delay_ticks = int(track.composition_offsets[0])
    if delay_ticks <= 0:
        return b""
    version = _full_box_version(duration_ms)
    entry = struct.pack(">QqI" if version else ">IiI", duration_ms, delay_ticks, 0x10000)
    return _build_box(b"edts", _build_full_box(b"elst", version, 0, struct.pack(">I", 1), entry))


def _build_stbl(track: Mp4Track, data_offset: int, *, use_64_bit: bool) -> bytes:
    sample_counts = np.array([chunk.sample_count for chunk in track.chunks], np.int64)
    first_sample_numbers = np.concatenate(([0], np.cumsum(sample_counts)[:-1])) + 1
    chunk_sizes = np.array([chunk.size_bytes for chunk in track.chunks], np.int64)
    chunk_offsets = data_offset + np.concatenate(([0], np.cumsum(chunk_sizes)[:-1]))
    chunk_offset_box = (
        _build_table_box(b"co64", chunk_offsets.astype(">u8"))
        if use_64_bit
        else _build_table_box(b"stco", _to_u32(chunk_offsets))
    )
    sync_sample_box = (
        b""
        if len(first_sample_numbers) == len(track.sizes)
        else _build_table_box(b"stss", _to_u32(first_sample_numbers))
    )
    return _build_box(
        b"stbl",
        _build_full_box(
            b"stsd", 0, 0, struct.pack(">I", len(track.sample_entries)), *track.sample_entries
        ),
        _build_table_box(b"stts", _to_u32(_run_length_encode(track.durations))),
        _build_ctts(track.composition_offsets),
        sync_sample_box,
        _build_table_box(b"stsc", _to_u32(_build_stsc_rows(track.chunks, sample_counts))),
        _build_full_box(
            b"stsz", 0, 0, struct.pack(">II", 0, len(track.sizes)), _to_u32(track.sizes).tobytes()
        ),
        chunk_offset_box,
    )


def _build_ctts(composition_offsets: Int64Array) -> bytes:
    if not composition_offsets.any():
        return b""
    version = int(bool((composition_offsets < 0).any()))
    return _build_table_box(b"ctts", _to_u32(_run_length_encode(composition_offsets)), version)


def _run_length_encode(values: Int64Array) -> Int64Array:
    """Encode runs of equal values as (count, value)."""
    changes = np.flatnonzero(np.diff(values)) + 1
    begins = np.concatenate(([0], changes))
    counts = np.diff(np.concatenate((begins, [len(values)])))
    return np.stack((counts, values[begins]), axis=1)


def _build_stsc_rows(chunks: tuple[Chunk, ...], sample_counts: Int64Array) -> Int64Array:
    """Return rows of (first chunk, samples per chunk, sample entry), from 1."""
    entry_numbers = np.array([chunk.entry_index + 1 for chunk in chunks], np.int64)
    changed = (np.diff(sample_counts) != 0) | (np.diff(entry_numbers) != 0)
    begins = np.concatenate(([0], np.flatnonzero(changed) + 1))
    return np.stack((begins + 1, sample_counts[begins], entry_numbers[begins]), axis=1)


def _to_u32(values: Int64Array) -> npt.NDArray[np.uint32]:
    return (values & (_U32_RANGE - 1)).astype(">u4")


def _build_table_box(kind: bytes, rows: npt.NDArray[np.generic], version: int = 0) -> bytes:
    return _build_full_box(kind, version, 0, struct.pack(">I", len(rows)), rows.tobytes())


def _build_times(timescale: int, duration: int) -> bytes:
    """Creation and modification time 0, time scale and duration."""
    return struct.pack(
        ">QQIQ" if _full_box_version(duration) else ">IIII", 0, 0, timescale, duration
    )


def _full_box_version(duration: int) -> int:
    """Return version 1, which has 64-bit durations, if the duration needs it."""
    return int(duration >= _U32_RANGE)


def _build_full_box(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return _build_box(kind, struct.pack(">I", version << 24 | flags), *content)


def _build_box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body
