"""Parser of the MP4 boxes of our own segments (ISO/IEC 14496-12 and 23001-7).

Pure. It parses only the muxer's output, one video track in fragments, and raises DamagedFootage
for anything else. Each byte is read once, and each length is checked against the available bytes
before its use.
"""

import struct
from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

HEADER_BYTES = 8
LARGE_HEADER_BYTES = 16
MAX_SAMPLES = 100_000
"""Samples of one fragment: an hour between two keyframes. Bounds the effect of a damaged count."""

_MAX_DECODE_TIME_TICKS = 1 << 53
_MAX_OFFSET_TICKS = (1 << 31) - 1

Int64Array = npt.NDArray[np.int64]

_SAMPLE_ENTRY_HEADER_BYTES = 86
"""Length of a VisualSampleEntry up to its child boxes (14496-12, 12.1.3)."""

_TFHD_BASE_DATA_OFFSET, _TFHD_SAMPLE_ENTRY, _TFHD_DURATION, _TFHD_SIZE, _TFHD_FLAGS = (
    0x1,
    0x2,
    0x8,
    0x10,
    0x20,
)
_TFHD_DEFAULT_BASE_IS_MOOF = 0x20000
_TRUN_DATA_OFFSET, _TRUN_FIRST_FLAGS = 0x1, 0x4
_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_COMPOSITION_OFFSET = 0x100, 0x200, 0x400, 0x800
_SENC_SUBSAMPLES = 0x2
_TENC = struct.Struct(">6xBB16s")
_IV_BYTES = 8


class DamagedFootage(Exception):
    """The bytes are not the muxer's output. The message is one line with the location."""


class Mp4Box(msgspec.Struct, frozen=True):
    """An MP4 box: its type, and the offsets of its begin, content and end."""

    kind: bytes
    offset: int
    body_offset: int
    end: int


class Mp4Header(msgspec.Struct, frozen=True, kw_only=True):
    """Content of the `moov` box.

    `sample_entry` is the whole entry of the plain stream. `kid` is the id of the key that the
    frames are encrypted with, or None if they are plain.
    """

    timescale: int
    width_px: int
    height_px: int
    sample_entry: bytes
    kid: bytes | None


class EncryptionInfo(msgspec.Struct, frozen=True):
    """Encryption of one sample: its vector (8 bytes), and its subsample lengths.

    The lengths alternate between clear and encrypted bytes; without any all bytes are encrypted.
    """

    iv: bytes
    subsample_lengths: tuple[int, ...]


class SampleRun(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of a `moof` box.

    `base_decode_time`, durations and composition offsets are in the track's time scale. The samples
    are contiguous from `data_offset`, relative to the begin of the `moof`. `encryption` is empty if they
    are plain.
    """

    base_decode_time: int
    data_offset: int
    sizes: Int64Array
    durations: Int64Array
    composition_offsets: Int64Array
    encryption: tuple[EncryptionInfo, ...]


def read_box_header(data: bytes, offset: int, available_bytes: int) -> Mp4Box:
    """Parse the header of the box at `offset`. `data` has at least the header.

    `available_bytes` is the length of the file. Raises DamagedFootage if the box is not whole.
    """
    if offset + HEADER_BYTES > min(len(data), available_bytes):
        raise DamagedFootage(f"at byte {offset}: no whole box")
    length = int.from_bytes(data[offset : offset + 4], "big")
    kind = bytes(data[offset + 4 : offset + 8])
    body_offset = offset + HEADER_BYTES
    if length == 1:
        body_offset = offset + LARGE_HEADER_BYTES
        length = (
            int.from_bytes(data[offset + 8 : body_offset], "big") if body_offset <= len(data) else 0
        )
    if offset + length < body_offset or offset + length > available_bytes:
        raise DamagedFootage(f"at byte {offset}: a box {_quote_type(kind)} of {length} bytes")
    return Mp4Box(kind, offset, body_offset, offset + length)


def iter_boxes(data: bytes, offset: int, end: int) -> Iterator[Mp4Box]:
    """Yield the boxes from `offset` to `end`.

    Raises DamagedFootage if they do not fill it.
    """
    while offset < end:
        box = read_box_header(data, offset, end)
        yield box
        offset = box.end


def parse_moov(moov: bytes) -> Mp4Header:
    """Parse a whole `moov` box, including its header. Raises DamagedFootage."""
    tracks = [box for box in iter_boxes(moov, HEADER_BYTES, len(moov)) if box.kind == b"trak"]
    if len(tracks) != 1:
        raise DamagedFootage(f"{len(tracks)} tracks instead of one")
    mdia = _find_single_box(moov, tracks[0], b"mdia")
    timescale = _parse_mdhd(moov, _find_single_box(moov, mdia, b"mdhd"))
    stbl = _find_single_box(moov, _find_single_box(moov, mdia, b"minf"), b"stbl")
    stsd = _find_single_box(moov, stbl, b"stsd")
    sample_entries = list(iter_boxes(moov, stsd.body_offset + 8, stsd.end))
    if len(sample_entries) != 1:
        raise DamagedFootage(f"{len(sample_entries)} sample entries instead of one")
    sample_entry = sample_entries[0]
    if sample_entry.end - sample_entry.offset < _SAMPLE_ENTRY_HEADER_BYTES:
        raise DamagedFootage(f"at byte {sample_entry.offset}: a truncated sample entry")
    width, height = struct.unpack_from(">HH", moov, sample_entry.offset + 32)
    plain_entry, kid = _parse_sample_entry(moov, sample_entry)
    return Mp4Header(
        timescale=timescale, width_px=width, height_px=height, sample_entry=plain_entry, kid=kid
    )


def parse_moof(moof: bytes, *, encrypted: bool) -> SampleRun:
    """Parse a whole `moof` box, including its header. Raises DamagedFootage."""
    traf = _find_single_box(moof, Mp4Box(b"moof", 0, HEADER_BYTES, len(moof)), b"traf")
    traf_boxes = {box.kind: box for box in iter_boxes(moof, traf.body_offset, traf.end)}
    try:
        tfhd, tfdt, trun = traf_boxes[b"tfhd"], traf_boxes[b"tfdt"], traf_boxes[b"trun"]
    except KeyError as error:
        raise DamagedFootage(f"a fragment without {_quote_type(error.args[0])}") from None
    try:
        defaults = _parse_tfhd(moof, tfhd)
        version = moof[tfdt.body_offset]
        base_decode_time = struct.unpack_from(
            ">Q" if version else ">I", moof[: tfdt.end], tfdt.body_offset + 4
        )[0]
        run = _parse_trun(moof, trun, base_decode_time, defaults)
        if not encrypted:
            return run
        if b"senc" not in traf_boxes:
            raise DamagedFootage("an encrypted fragment without senc")
        encryption = _parse_senc(moof, traf_boxes[b"senc"], run.sizes)
    except (struct.error, IndexError) as error:
        raise DamagedFootage("a fragment with truncated boxes") from error
    return msgspec.structs.replace(run, encryption=encryption)


def strip_moov_encryption(moov: bytes) -> bytes:
    """Return the `moov` as that of a plain file of the same length.

    Raises DamagedFootage. The boxes that describe the encryption become free space.
    """
    moov_header = parse_moov(moov)
    patched = bytearray(moov)
    root = Mp4Box(b"moov", 0, HEADER_BYTES, len(moov))
    for stsd in find_boxes(moov, root, (b"trak", b"mdia", b"minf", b"stbl", b"stsd")):
        sample_entry = read_box_header(moov, stsd.body_offset + 8, stsd.end)
        patched[sample_entry.offset + 4 : sample_entry.offset + 8] = moov_header.sample_entry[4:8]
        for box in iter_sample_entry_boxes(moov, sample_entry):
            if box.kind == b"sinf":
                patched[box.offset + 4 : box.offset + 8] = b"free"
    return bytes(patched)


def strip_moof_encryption(moof: bytes) -> bytes:
    """Return the `moof` as that of a plain file of the same length.

    Raises DamagedFootage.
    """
    patched = bytearray(moof)
    root = Mp4Box(b"moof", 0, HEADER_BYTES, len(moof))
    for kind in (b"senc", b"saiz", b"saio"):
        for box in find_boxes(moof, root, (b"traf", kind)):
            patched[box.offset + 4 : box.offset + 8] = b"free"
    return bytes(patched)


def find_boxes(data: bytes, parent: Mp4Box, path: tuple[bytes, ...]) -> Iterator[Mp4Box]:
    """Yield the boxes below `parent` on a path of types. Raises DamagedFootage."""
    if not path:
        yield parent
        return
    for child in iter_boxes(data, parent.body_offset, parent.end):
        if child.kind == path[0]:
            yield from find_boxes(data, child, path[1:])


def iter_sample_entry_boxes(data: bytes, sample_entry: Mp4Box) -> Iterator[Mp4Box]:
    """Yield the child boxes of a sample entry. Raises DamagedFootage."""
    return iter_boxes(data, sample_entry.offset + _SAMPLE_ENTRY_HEADER_BYTES, sample_entry.end)


def _find_single_box(data: bytes, parent: Mp4Box, kind: bytes) -> Mp4Box:
    found = list(find_boxes(data, parent, (kind,)))
    if len(found) != 1:
        raise DamagedFootage(
            f"{len(found)} boxes {_quote_type(kind)} in {_quote_type(parent.kind)}"
        )
    return found[0]


def _parse_mdhd(moov: bytes, mdhd: Mp4Box) -> int:
    if mdhd.end - mdhd.body_offset < 24:  # noqa: PLR2004 - version 0 of the box, 14496-12, 8.4.2.2
        raise DamagedFootage("a truncated mdhd")
    offset = mdhd.body_offset + (20 if moov[mdhd.body_offset] else 12)
    timescale = int.from_bytes(moov[offset : offset + 4], "big")
    if timescale == 0:
        raise DamagedFootage("a time scale of 0")
    return timescale


def _parse_sample_entry(moov: bytes, sample_entry: Mp4Box) -> tuple[bytes, bytes | None]:
    """Return the sample entry of the plain stream, and the key id (14496-12, 8.12)."""
    child_boxes = list(iter_sample_entry_boxes(moov, sample_entry))
    if sample_entry.kind != b"encv":
        return moov[sample_entry.offset : sample_entry.end], None
    kind = kid = None
    parts = [moov[sample_entry.offset + 8 : sample_entry.offset + _SAMPLE_ENTRY_HEADER_BYTES]]
    for box in child_boxes:
        if box.kind != b"sinf":
            parts.append(moov[box.offset : box.end])
            continue
        for frma in find_boxes(moov, box, (b"frma",)):
            kind = moov[frma.body_offset : frma.end]
        for tenc in find_boxes(moov, box, (b"schi", b"tenc")):
            kid = _parse_tenc(moov, tenc)
    if kind is None or len(kind) != 4 or kid is None:  # noqa: PLR2004 - a type has 4 characters
        raise DamagedFootage("an encrypted stream without its scheme")
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body, kid


def _parse_tenc(moov: bytes, tenc: Mp4Box) -> bytes:
    """Return the key id; requires vectors of 8 bytes (23001-7, 8.2)."""
    payload = moov[tenc.body_offset : tenc.end]
    if len(payload) != _TENC.size:
        raise DamagedFootage("a truncated tenc")
    protected, iv_bytes, kid = _TENC.unpack(payload)
    if (protected, iv_bytes) != (1, _IV_BYTES):
        raise DamagedFootage("an unknown encryption")
    return bytes(kid)


def _parse_tfhd(moof: bytes, box: Mp4Box) -> tuple[int, int]:
    """Return the default duration and size of samples (14496-12, 8.8.7)."""
    flags, offset = _parse_full_box_flags(moof, box), box.body_offset + 8
    if flags & _TFHD_BASE_DATA_OFFSET or not flags & _TFHD_DEFAULT_BASE_IS_MOOF:
        raise DamagedFootage("a fragment whose offsets are not relative to itself")
    offset += 4 * bool(flags & _TFHD_SAMPLE_ENTRY)
    defaults = [0, 0]
    for index, flag in enumerate((_TFHD_DURATION, _TFHD_SIZE)):
        if flags & flag:
            (defaults[index],) = struct.unpack_from(">I", moof[: box.end], offset)
            offset += 4
    return defaults[0], defaults[1]


def _parse_trun(
    moof: bytes, box: Mp4Box, base_decode_time: int, defaults: tuple[int, int]
) -> SampleRun:
    """14496-12, 8.8.8."""
    flags, offset = _parse_full_box_flags(moof, box), box.body_offset + 8
    (count,) = struct.unpack_from(">I", moof[: box.end], box.body_offset + 4)
    if not 0 < count <= MAX_SAMPLES or not flags & _TRUN_DATA_OFFSET:
        raise DamagedFootage(f"a run of {count} samples")
    (data_offset,) = struct.unpack_from(">i", moof[: box.end], offset)
    offset += 4 + 4 * bool(flags & _TRUN_FIRST_FLAGS)
    columns = [
        f for f in (_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_COMPOSITION_OFFSET) if flags & f
    ]
    if box.end - offset != 4 * len(columns) * count or data_offset < len(moof):
        raise DamagedFootage(f"a run of {count} samples in {box.end - offset} bytes")
    table = np.frombuffer(moof, ">u4", len(columns) * count, offset).reshape(count, len(columns))

    def column(flag: int, default: int) -> Int64Array:
        if flag not in columns:
            return np.full(count, default, np.int64)
        return table[:, columns.index(flag)].astype(np.int64)

    composition_offsets = column(_TRUN_COMPOSITION_OFFSET, 0)
    if moof[box.body_offset]:  # version 1: signed
        composition_offsets = composition_offsets.astype(np.uint32).view(np.int32).astype(np.int64)
    sizes = column(_TRUN_SIZE, defaults[1])
    if not sizes.all():
        raise DamagedFootage("a sample without bytes")
    if (
        base_decode_time > _MAX_DECODE_TIME_TICKS
        or int(np.abs(composition_offsets).max()) > _MAX_OFFSET_TICKS
    ):
        raise DamagedFootage("a time out of range")
    return SampleRun(
        base_decode_time=base_decode_time,
        data_offset=data_offset,
        sizes=sizes,
        durations=column(_TRUN_DURATION, defaults[0]),
        composition_offsets=composition_offsets,
        encryption=(),
    )


def _parse_senc(moof: bytes, box: Mp4Box, sizes: Int64Array) -> tuple[EncryptionInfo, ...]:
    """Parse the encryption of each sample (23001-7, 7.2)."""
    data = moof[: box.end]
    has_subsamples = _parse_full_box_flags(moof, box) & _SENC_SUBSAMPLES
    (count,) = struct.unpack_from(">I", data, box.body_offset + 4)
    if count != len(sizes):
        raise DamagedFootage(f"vectors for {count} of {len(sizes)} samples")
    offset = box.body_offset + 8
    encryption = []
    for size in sizes.tolist():
        iv = data[offset : offset + _IV_BYTES]
        offset += _IV_BYTES
        subsample_lengths: tuple[int, ...] = ()
        if has_subsamples:
            (subsample_count,) = struct.unpack_from(">H", data, offset)
            subsample_lengths = struct.unpack_from(">" + "HI" * subsample_count, data, offset + 2)
            offset += 2 + 6 * subsample_count
            if sum(subsample_lengths) > size:
                raise DamagedFootage(
                    f"a sample of {size} bytes, with subsamples of {sum(subsample_lengths)}"
                )
        encryption.append(EncryptionInfo(iv, subsample_lengths))
    if offset != box.end:
        raise DamagedFootage("vectors that do not fill their box")
    return tuple(encryption)


def _parse_full_box_flags(data: bytes, box: Mp4Box) -> int:
    (word,) = struct.unpack_from(">I", data[: box.end], box.body_offset)
    return int(word & 0xFFFFFF)


def _quote_type(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))
