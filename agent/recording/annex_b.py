"""Conversion of H.264 and HEVC to Annex B, the byte stream with start codes. Pure.

A live camera sends Annex B (ISO/IEC 14496-10 and 23008-2): NAL units after start codes, parameter
sets in band or out of band. MP4 has NAL units after lengths and the parameter sets in a configuration
record (ISO/IEC 14496-15, 5.3.3 and 8.3.3). The muxer accepts only Annex B, with the parameter sets in
a segment's first packet.
"""

from collections.abc import Iterator

import msgspec

from drivers.media import Packet, StreamInfo

START_CODE = b"\x00\x00\x00\x01"
_SHORT_START_CODE = START_CODE[1:]

_SEQUENCE_SET_TYPES = {"h264": 7, "hevc": 33}
_PARAMETER_SET_TYPES = {"h264": {7, 8}, "hevc": {32, 33, 34}}
_SLICE_TYPES = {"h264": range(1, 6), "hevc": range(32)}
"""Types of NAL units (ISO/IEC 14496-10, table 7-1, and 23008-2, table 7-1)."""

_CONFIG_RECORD_VERSION = 1
_AVC_CONFIG_HEADER_BYTES = 5
_HEVC_CONFIG_HEADER_BYTES = 22


class PacketFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Packet format of a stream. `parameter_sets` precede a segment's first packet.

    NAL units follow lengths of `length_bytes`, or start codes if that is None.
    """

    parameter_sets: bytes
    length_bytes: int | None


def parse_extradata(codec: str, extradata: bytes) -> PacketFormat:
    """Parse the packet format from a stream's extradata.

    The extradata of codecs other than H.264, HEVC and MPEG-4 part 2 is not part of the stream and is
    ignored. Raises ValueError if a configuration record is truncated.
    """
    is_config_record = extradata[:1] == bytes([_CONFIG_RECORD_VERSION])
    if codec == "h264" and is_config_record:
        return _parse_avc_config(extradata)
    if codec == "hevc" and is_config_record:
        return _parse_hevc_config(extradata)
    in_band = extradata if codec in ("h264", "hevc", "mpeg4") else b""
    return PacketFormat(parameter_sets=in_band, length_bytes=None)


def to_annex_b(data: bytes, length_bytes: int) -> bytes:
    """Convert a packet with length-prefixed NAL units to Annex B.

    Raises ValueError if the lengths do not add up to the packet.
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
    """Return one NAL unit and the offset of the next."""
    begin = offset + length_bytes
    end = begin + int.from_bytes(data[offset:begin], "big")
    if end > len(data):
        raise ValueError(f"a NAL unit ends at byte {end} of {len(data)}")
    return data[begin:end], end


def _parse_avc_config(record: bytes) -> PacketFormat:
    """AVCDecoderConfigurationRecord: sequence sets (5-bit count), then picture sets."""
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
    """HEVCDecoderConfigurationRecord: arrays of parameter sets of one type each."""
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


def sequence_set(codec: str, data: bytes) -> bytes | None:
    """Return the sequence parameter set of an access unit in Annex B, or None if it has none."""
    wanted = _SEQUENCE_SET_TYPES.get(codec)
    return next(
        (unit for unit_type, unit in _leading_units(codec, data) if unit_type == wanted), None
    )


def has_parameter_sets(codec: str, data: bytes) -> bool:
    """Return True if an access unit of H.264 or HEVC has all sets that a decoder needs to begin with it."""
    wanted = _PARAMETER_SET_TYPES.get(codec)
    return wanted is not None and wanted <= {
        unit_type for unit_type, _ in _leading_units(codec, data)
    }


def _leading_units(codec: str, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and bytes of the NAL units before the first slice."""
    begin = data.find(_SHORT_START_CODE) + len(_SHORT_START_CODE)
    while len(_SHORT_START_CODE) <= begin < len(data):
        header = data[begin]
        unit_type = header & 0x1F if codec == "h264" else header >> 1 & 0x3F
        if unit_type in _SLICE_TYPES.get(codec, ()):
            return
        next_code = data.find(_SHORT_START_CODE, begin)
        end = next_code if next_code >= 0 else len(data)
        yield unit_type, data[begin:end].rstrip(b"\0")
        begin = end + len(_SHORT_START_CODE)


class AnnexBConverter:
    """Converts the packets of a stream to Annex B, with the parameter sets before each keyframe.

    A player that connects to the server later begins at a keyframe.
    """

    def __init__(self, info: StreamInfo) -> None:
        """Raises: ValueError if the stream's parameter sets are damaged."""
        self._codec = info.codec
        self._format = parse_extradata(info.codec, info.extradata)

    def convert(self, packet: Packet) -> Packet:
        """Return the packet in Annex B. Raises: ValueError if it is damaged."""
        data = packet.data
        if self._format.length_bytes is not None:
            data = to_annex_b(data, self._format.length_bytes)
        if packet.is_key and not has_parameter_sets(self._codec, data):
            data = self._format.parameter_sets + data
        return msgspec.structs.replace(packet, data=data)
