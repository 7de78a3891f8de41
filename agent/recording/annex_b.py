"""H.264 and HEVC as a byte stream with start codes, whatever shape they came in.

A live camera gives Annex B (ISO/IEC 14496-10 and 23008-2): units behind start codes, parameter
sets in band or beside. A film in MP4 has units behind lengths and its parameter sets in a
configuration record (ISO/IEC 14496-15, 5.3.3 and 8.3.3). The muxer takes the first kind, and
finds the parameter sets in a segment's first packet.
"""

import msgspec

START_CODE = b"\x00\x00\x00\x01"

_CONFIG_RECORD_VERSION = 1
_AVC_CONFIG_HEADER_BYTES = 5
_HEVC_CONFIG_HEADER_BYTES = 22


class PacketFormat(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream's packets look: `parameter_sets` goes before a segment's first packet, and
    units are behind lengths of `length_bytes`, or behind start codes where that is None.
    """

    parameter_sets: bytes
    length_bytes: int | None


def parse_extradata(codec: str, extradata: bytes) -> PacketFormat:
    """What a stream's extradata says of its packets.

    Raises ValueError for a configuration record that is cut short. Of codecs that are neither
    H.264 nor HEVC nor MPEG-4 part 2 the extradata is no part of the stream, and left out.
    """
    is_config_record = extradata[:1] == bytes([_CONFIG_RECORD_VERSION])
    if codec == "h264" and is_config_record:
        return _parse_avc_config(extradata)
    if codec == "hevc" and is_config_record:
        return _parse_hevc_config(extradata)
    in_band = extradata if codec in ("h264", "hevc", "mpeg4") else b""
    return PacketFormat(parameter_sets=in_band, length_bytes=None)


def to_annex_b(data: bytes, length_bytes: int) -> bytes:
    """A packet whose units are behind lengths, as Annex B.

    Raises ValueError where the lengths do not add up to the packet.
    """
    return b"".join(START_CODE + unit for unit in _split_units(data, length_bytes))


def _split_units(data: bytes, length_bytes: int) -> list[bytes]:
    units = []
    offset = 0
    while offset < len(data):
        unit, offset = _read_unit(data, offset, length_bytes)
        units.append(unit)
    return units


def _read_unit(data: bytes, offset: int, length_bytes: int) -> tuple[bytes, int]:
    """One unit behind its length, and where the next begins."""
    begin = offset + length_bytes
    end = begin + int.from_bytes(data[offset:begin], "big")
    if end > len(data):
        raise ValueError(f"a unit ends at byte {end} of {len(data)}")
    return data[begin:end], end


def _parse_avc_config(record: bytes) -> PacketFormat:
    """AVCDecoderConfigurationRecord: sequence sets (their number in 5 bits), picture sets."""
    if len(record) <= _AVC_CONFIG_HEADER_BYTES:
        raise ValueError(f"an AVC configuration record of {len(record)} bytes")
    parameter_sets = []
    offset = _AVC_CONFIG_HEADER_BYTES
    for count_mask in (0x1F, 0xFF):
        count = record[offset] & count_mask if offset < len(record) else 0
        offset += 1
        for _ in range(count):
            unit, offset = _read_unit(record, offset, 2)
            parameter_sets.append(START_CODE + unit)
    return PacketFormat(parameter_sets=b"".join(parameter_sets), length_bytes=(record[4] & 3) + 1)


def _parse_hevc_config(record: bytes) -> PacketFormat:
    """HEVCDecoderConfigurationRecord: arrays of parameter sets, each with type and number."""
    if len(record) <= _HEVC_CONFIG_HEADER_BYTES:
        raise ValueError(f"an HEVC configuration record of {len(record)} bytes")
    parameter_sets = []
    offset = _HEVC_CONFIG_HEADER_BYTES + 1
    for _ in range(record[_HEVC_CONFIG_HEADER_BYTES]):
        count = int.from_bytes(record[offset + 1 : offset + 3], "big")
        offset += 3
        for _ in range(count):
            unit, offset = _read_unit(record, offset, 2)
            parameter_sets.append(START_CODE + unit)
    return PacketFormat(parameter_sets=b"".join(parameter_sets), length_bytes=(record[21] & 3) + 1)
