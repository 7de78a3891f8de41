"""Reading the boxes of our own segments (ISO/IEC 14496-12 and 23001-7). Bytes in, values out. Pure.

This is no parser of MP4 at large: it knows what the muxer writes, one video track in fragments,
and says DamagedFootage for anything else. Each byte is looked at once, and no number that it
reads is believed before it is known to fit into the bytes that are there.
"""

import struct
from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

HEADER_BYTES = 8
LARGE_HEADER_BYTES = 16
MAX_SAMPLES = 100_000
"""In one fragment: an hour between two keyframes, and no more than a damaged number can ask for."""

_MAX_TICKS = 1 << 53
_MAX_OFFSET_TICKS = (1 << 31) - 1

Numbers = npt.NDArray[np.int64]

_ENTRY_FIELDS_BYTES = 86
"""A VisualSampleEntry up to the boxes in it (14496-12, 12.1.3)."""

_TFHD_BASE, _TFHD_ENTRY, _TFHD_DURATION, _TFHD_SIZE, _TFHD_FLAGS = 0x1, 0x2, 0x8, 0x10, 0x20
_TFHD_FROM_MOOF = 0x20000
_TRUN_AT, _TRUN_FIRST_FLAGS = 0x1, 0x4
_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_OFFSET = 0x100, 0x200, 0x400, 0x800
_SENC_SUBSAMPLES = 0x2
_TENC = struct.Struct(">6xBB16s")
_IV_BYTES = 8


class DamagedFootage(Exception):
    """These bytes are not what the muxer wrote. One line says where."""


class Mp4Box(msgspec.Struct, frozen=True):
    """A box within some bytes: its type, its first byte, that of its content, and its end."""

    kind: bytes
    at: int
    body: int
    end: int


class Mp4Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the `moov` says. `entry` is the sample entry of the plain stream, whole; `kid` the id of
    the key that the pictures are sealed with, None where they lie plain.
    """

    timescale: int
    width_px: int
    height_px: int
    entry: bytes
    kid: bytes | None


class EncryptionInfo(msgspec.Struct, frozen=True):
    """How one sample is sealed: its initialisation vector, 8 bytes, and lengths in turns: so many
    bytes in the clear, so many sealed. Without lengths it is sealed whole.
    """

    iv: bytes
    lengths: tuple[int, ...]


class SampleRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a `moof` says of its samples.

    `begin` is the first one's decoding time; durations and composition offsets are in the track's
    time scale. The samples lie one after another from `data_at` on, counted from the `moof`'s
    first byte. `seals` is empty where they lie plain.
    """

    begin: int
    data_at: int
    sizes: Numbers
    durations: Numbers
    offsets: Numbers
    seals: tuple[EncryptionInfo, ...]


def header(data: bytes, at: int, room: int) -> Mp4Box:
    """The box that begins at `at`, of whose file `room` bytes are there; `data` holds its header
    at least. Raises DamagedFootage where there is no whole one.
    """
    if at + HEADER_BYTES > min(len(data), room):
        raise DamagedFootage(f"at byte {at}: no whole box")
    length = int.from_bytes(data[at : at + 4], "big")
    kind = bytes(data[at + 4 : at + 8])
    body = at + HEADER_BYTES
    if length == 1:
        body = at + LARGE_HEADER_BYTES
        length = int.from_bytes(data[at + 8 : body], "big") if body <= len(data) else 0
    if at + length < body or at + length > room:
        raise DamagedFootage(f"at byte {at}: a box {_shown(kind)} of {length} bytes")
    return Mp4Box(kind, at, body, at + length)


def boxes(data: bytes, at: int, end: int) -> Iterator[Mp4Box]:
    """The boxes that fill `data` from `at` to `end`. Raises DamagedFootage where they do not."""
    while at < end:
        box = header(data, at, end)
        yield box
        at = box.end


def read_head(moov: bytes) -> Mp4Header:
    """What a whole `moov` box says, its header included. Raises DamagedFootage."""
    tracks = [box for box in boxes(moov, HEADER_BYTES, len(moov)) if box.kind == b"trak"]
    if len(tracks) != 1:
        raise DamagedFootage(f"{len(tracks)} tracks instead of one")
    mdia = _only(moov, tracks[0], b"mdia")
    timescale = _timescale(moov, _only(moov, mdia, b"mdhd"))
    stbl = _only(moov, _only(moov, mdia, b"minf"), b"stbl")
    stsd = _only(moov, stbl, b"stsd")
    entries = list(boxes(moov, stsd.body + 8, stsd.end))
    if len(entries) != 1:
        raise DamagedFootage(f"{len(entries)} sample entries instead of one")
    entry = entries[0]
    if entry.end - entry.at < _ENTRY_FIELDS_BYTES:
        raise DamagedFootage(f"at byte {entry.at}: a sample entry that is cut short")
    width, height = struct.unpack_from(">HH", moov, entry.at + 32)
    plain, kid = _plain_entry(moov, entry)
    return Mp4Header(timescale=timescale, width_px=width, height_px=height, entry=plain, kid=kid)


def read_run(moof: bytes, *, sealed: bool) -> SampleRun:
    """What a whole `moof` box says, its header included. Raises DamagedFootage."""
    traf = _only(moof, Mp4Box(b"moof", 0, HEADER_BYTES, len(moof)), b"traf")
    inner = {box.kind: box for box in boxes(moof, traf.body, traf.end)}
    try:
        tfhd, tfdt, trun = inner[b"tfhd"], inner[b"tfdt"], inner[b"trun"]
    except KeyError as error:
        raise DamagedFootage(f"a fragment without {_shown(error.args[0])}") from None
    try:
        defaults = _tfhd(moof, tfhd)
        version = moof[tfdt.body]
        begin = struct.unpack_from(">Q" if version else ">I", moof[: tfdt.end], tfdt.body + 4)[0]
        run = _trun(moof, trun, begin, defaults)
        if not sealed:
            return run
        if b"senc" not in inner:
            raise DamagedFootage("a sealed fragment without senc")
        seals = _senc(moof, inner[b"senc"], run.sizes)
    except (struct.error, IndexError) as error:
        raise DamagedFootage("a fragment whose boxes are cut short") from error
    return msgspec.structs.replace(run, seals=seals)


def plain_moov(moov: bytes) -> bytes:
    """A sealed file's `moov` as that of a plain one of the same length: what told of the sealing is
    free space. Raises DamagedFootage.
    """
    head = read_head(moov)
    made = bytearray(moov)
    whole = Mp4Box(b"moov", 0, HEADER_BYTES, len(moov))
    for stsd in find_all(moov, whole, (b"trak", b"mdia", b"minf", b"stbl", b"stsd")):
        entry = header(moov, stsd.body + 8, stsd.end)
        made[entry.at + 4 : entry.at + 8] = head.entry[4:8]
        for box in entry_boxes(moov, entry):
            if box.kind == b"sinf":
                made[box.at + 4 : box.at + 8] = b"free"
    return bytes(made)


def plain_moof(moof: bytes) -> bytes:
    """The same of a `moof`. Raises DamagedFootage."""
    made = bytearray(moof)
    whole = Mp4Box(b"moof", 0, HEADER_BYTES, len(moof))
    for kind in (b"senc", b"saiz", b"saio"):
        for box in find_all(moof, whole, (b"traf", kind)):
            made[box.at + 4 : box.at + 8] = b"free"
    return bytes(made)


def find_all(data: bytes, box: Mp4Box, path: tuple[bytes, ...]) -> Iterator[Mp4Box]:
    """The boxes under `box` on a path of types. Raises DamagedFootage."""
    if not path:
        yield box
        return
    for inner in boxes(data, box.body, box.end):
        if inner.kind == path[0]:
            yield from find_all(data, inner, path[1:])


def entry_boxes(data: bytes, entry: Mp4Box) -> Iterator[Mp4Box]:
    """The boxes in a sample entry. Raises DamagedFootage."""
    return boxes(data, entry.at + _ENTRY_FIELDS_BYTES, entry.end)


def _only(data: bytes, parent: Mp4Box, kind: bytes) -> Mp4Box:
    found = list(find_all(data, parent, (kind,)))
    if len(found) != 1:
        raise DamagedFootage(f"{len(found)} boxes {_shown(kind)} in {_shown(parent.kind)}")
    return found[0]


def _timescale(moov: bytes, mdhd: Mp4Box) -> int:
    if mdhd.end - mdhd.body < 24:  # noqa: PLR2004 - version 0 of the box, 14496-12, 8.4.2.2
        raise DamagedFootage("an mdhd that is cut short")
    at = mdhd.body + (20 if moov[mdhd.body] else 12)
    timescale = int.from_bytes(moov[at : at + 4], "big")
    if timescale == 0:
        raise DamagedFootage("a time scale of 0")
    return timescale


def _plain_entry(moov: bytes, entry: Mp4Box) -> tuple[bytes, bytes | None]:
    """The sample entry as it is without sealing, and the key's id (14496-12, 8.12)."""
    inner = list(entry_boxes(moov, entry))
    if entry.kind != b"encv":
        return moov[entry.at : entry.end], None
    kind = kid = None
    kept = [moov[entry.at + 8 : entry.at + _ENTRY_FIELDS_BYTES]]
    for box in inner:
        if box.kind != b"sinf":
            kept.append(moov[box.at : box.end])
            continue
        for frma in find_all(moov, box, (b"frma",)):
            kind = moov[frma.body : frma.end]
        for tenc in find_all(moov, box, (b"schi", b"tenc")):
            kid = _tenc(moov, tenc)
    if kind is None or len(kind) != 4 or kid is None:  # noqa: PLR2004 - a type has 4 characters
        raise DamagedFootage("a sealed stream that does not say how")
    body = b"".join(kept)
    return struct.pack(">I", 8 + len(body)) + kind + body, kid


def _tenc(moov: bytes, tenc: Mp4Box) -> bytes:
    """The key's id, where all is sealed with it and vectors have 8 bytes (23001-7, 8.2)."""
    said = moov[tenc.body : tenc.end]
    if len(said) != _TENC.size:
        raise DamagedFootage("a tenc that is cut short")
    protected, iv_bytes, kid = _TENC.unpack(said)
    if (protected, iv_bytes) != (1, _IV_BYTES):
        raise DamagedFootage("a sealing that is not ours")
    return bytes(kid)


def _tfhd(moof: bytes, box: Mp4Box) -> tuple[int, int]:
    """The samples' duration and size where they are all alike (14496-12, 8.8.7)."""
    flags, at = _flags(moof, box), box.body + 8
    if flags & _TFHD_BASE or not flags & _TFHD_FROM_MOOF:
        raise DamagedFootage("a fragment whose data are not counted from itself")
    at += 4 * bool(flags & _TFHD_ENTRY)
    found = [0, 0]
    for index, flag in enumerate((_TFHD_DURATION, _TFHD_SIZE)):
        if flags & flag:
            (found[index],) = struct.unpack_from(">I", moof[: box.end], at)
            at += 4
    return found[0], found[1]


def _trun(moof: bytes, box: Mp4Box, begin: int, defaults: tuple[int, int]) -> SampleRun:
    """14496-12, 8.8.8."""
    flags, at = _flags(moof, box), box.body + 8
    (count,) = struct.unpack_from(">I", moof[: box.end], box.body + 4)
    if not 0 < count <= MAX_SAMPLES or not flags & _TRUN_AT:
        raise DamagedFootage(f"a run of {count} samples")
    (data_at,) = struct.unpack_from(">i", moof[: box.end], at)
    at += 4 + 4 * bool(flags & _TRUN_FIRST_FLAGS)
    columns = [f for f in (_TRUN_DURATION, _TRUN_SIZE, _TRUN_FLAGS, _TRUN_OFFSET) if flags & f]
    if box.end - at != 4 * len(columns) * count or data_at < len(moof):
        raise DamagedFootage(f"a run of {count} samples in {box.end - at} bytes")
    table = np.frombuffer(moof, ">u4", len(columns) * count, at).reshape(count, len(columns))

    def column(flag: int, default: int) -> Numbers:
        if flag not in columns:
            return np.full(count, default, np.int64)
        return table[:, columns.index(flag)].astype(np.int64)

    offsets = column(_TRUN_OFFSET, 0)
    if moof[box.body]:  # version 1: signed
        offsets = offsets.astype(np.uint32).view(np.int32).astype(np.int64)
    sizes = column(_TRUN_SIZE, defaults[1])
    if not sizes.all():
        raise DamagedFootage("a sample of no bytes")
    if begin > _MAX_TICKS or int(np.abs(offsets).max()) > _MAX_OFFSET_TICKS:
        raise DamagedFootage("a time that no clock of ours has shown")
    return SampleRun(
        begin=begin,
        data_at=data_at,
        sizes=sizes,
        durations=column(_TRUN_DURATION, defaults[0]),
        offsets=offsets,
        seals=(),
    )


def _senc(moof: bytes, box: Mp4Box, sizes: Numbers) -> tuple[EncryptionInfo, ...]:
    """How each sample is sealed (23001-7, 7.2)."""
    data = moof[: box.end]
    has_lengths = _flags(moof, box) & _SENC_SUBSAMPLES
    (count,) = struct.unpack_from(">I", data, box.body + 4)
    if count != len(sizes):
        raise DamagedFootage(f"vectors for {count} of {len(sizes)} samples")
    at = box.body + 8
    seals = []
    for size in sizes.tolist():
        iv = data[at : at + _IV_BYTES]
        at += _IV_BYTES
        lengths: tuple[int, ...] = ()
        if has_lengths:
            (pairs,) = struct.unpack_from(">H", data, at)
            lengths = struct.unpack_from(">" + "HI" * pairs, data, at + 2)
            at += 2 + 6 * pairs
            if sum(lengths) > size:
                raise DamagedFootage(f"a sample of {size} bytes, {sum(lengths)} of them sealed")
        seals.append(EncryptionInfo(iv, lengths))
    if at != box.end:
        raise DamagedFootage("vectors that do not fill their box")
    return tuple(seals)


def _flags(data: bytes, box: Mp4Box) -> int:
    (word,) = struct.unpack_from(">I", data[: box.end], box.body)
    return int(word & 0xFFFFFF)


def _shown(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))
