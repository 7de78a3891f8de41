"""H.264 and HEVC as a byte stream with start codes, whatever shape they came in.

A live camera gives Annex B (ISO/IEC 14496-10 and 23008-2): units behind start codes, parameter
sets in band or beside. A film in MP4 has units behind lengths and its parameter sets in a
configuration record (ISO/IEC 14496-15, 5.3.3 and 8.3.3). The muxer takes the first kind, and
finds the parameter sets in a segment's first packet.
"""

import msgspec

START_CODE = b"\x00\x00\x00\x01"

_RECORD_VERSION = 1
_AVC_HEADER_BYTES = 5
_HEVC_HEADER_BYTES = 22


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream's packets look: `parameter_sets` goes before a segment's first packet, and
    units are behind lengths of `length_bytes`, or behind start codes where that is None.
    """

    parameter_sets: bytes
    length_bytes: int | None


def shape_of(codec: str, extradata: bytes) -> Shape:
    """What a stream's extradata says of its packets.

    Raises ValueError for a configuration record that is cut short. Of codecs that are neither
    H.264 nor HEVC nor MPEG-4 part 2 the extradata is no part of the stream, and left out.
    """
    is_record = extradata[:1] == bytes([_RECORD_VERSION])
    if codec == "h264" and is_record:
        return _avc(extradata)
    if codec == "hevc" and is_record:
        return _hevc(extradata)
    in_band = extradata if codec in ("h264", "hevc", "mpeg4") else b""
    return Shape(parameter_sets=in_band, length_bytes=None)


def with_start_codes(data: bytes, length_bytes: int) -> bytes:
    """A packet whose units are behind lengths, as Annex B.

    Raises ValueError where the lengths do not add up to the packet.
    """
    return b"".join(START_CODE + unit for unit in _units(data, length_bytes))


def _units(data: bytes, length_bytes: int) -> list[bytes]:
    units = []
    at = 0
    while at < len(data):
        unit, at = _take(data, at, length_bytes)
        units.append(unit)
    return units


def _take(data: bytes, at: int, length_bytes: int) -> tuple[bytes, int]:
    """One unit behind its length, and where the next begins."""
    begin = at + length_bytes
    end = begin + int.from_bytes(data[at:begin], "big")
    if end > len(data):
        raise ValueError(f"a unit ends at byte {end} of {len(data)}")
    return data[begin:end], end


def _avc(record: bytes) -> Shape:
    """AVCDecoderConfigurationRecord: sequence sets (their number in 5 bits), picture sets."""
    if len(record) <= _AVC_HEADER_BYTES:
        raise ValueError(f"an AVC configuration record of {len(record)} bytes")
    sets = []
    at = _AVC_HEADER_BYTES
    for mask in (0x1F, 0xFF):
        count = record[at] & mask if at < len(record) else 0
        at += 1
        for _ in range(count):
            unit, at = _take(record, at, 2)
            sets.append(START_CODE + unit)
    return Shape(parameter_sets=b"".join(sets), length_bytes=(record[4] & 3) + 1)


def _hevc(record: bytes) -> Shape:
    """HEVCDecoderConfigurationRecord: arrays of parameter sets, each with type and number."""
    if len(record) <= _HEVC_HEADER_BYTES:
        raise ValueError(f"an HEVC configuration record of {len(record)} bytes")
    sets = []
    at = _HEVC_HEADER_BYTES + 1
    for _ in range(record[_HEVC_HEADER_BYTES]):
        count = int.from_bytes(record[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            unit, at = _take(record, at, 2)
            sets.append(START_CODE + unit)
    return Shape(parameter_sets=b"".join(sets), length_bytes=(record[21] & 3) + 1)
