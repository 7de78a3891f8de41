"""agent.recording.annex_b: length-prefixed units become Annex B start codes; damage raises an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.recording.annex_b import START_CODE, parse_extradata, to_annex_b

AVCC = b"\x01\x64\x00\x1f\xff\xe1\x00\x03SPS\x01\x00\x02PP"
HVCC = bytes([1]) + bytes(20) + b"\xff\x02" + b"\x20\x00\x01\x00\x03VPS" + b"\x21\x00\x01\x00\x01S"
ANNEX_B = START_CODE + b"SPS" + START_CODE + b"PP"


@pytest.mark.parametrize(
    ("codec", "extradata", "parameter_sets", "length_bytes"),
    [
        ("h264", AVCC, ANNEX_B, 4),
        ("h264", ANNEX_B, ANNEX_B, None),
        ("h264", b"", b"", None),
        ("hevc", HVCC, START_CODE + b"VPS" + START_CODE + b"S", 4),
        ("hevc", ANNEX_B, ANNEX_B, None),
        ("mpeg4", b"\x00\x00\x01\xb0", b"\x00\x00\x01\xb0", None),
        ("mjpeg", b"anything", b"", None),
    ],
)
def test_the_parameter_sets_are_found_in_either_shape(
    codec: str, extradata: bytes, parameter_sets: bytes, length_bytes: int | None
) -> None:
    shape = parse_extradata(codec, extradata)
    assert (shape.parameter_sets, shape.length_bytes) == (parameter_sets, length_bytes)


@pytest.mark.parametrize("cut", [1, 5, 8, 10])
def test_a_truncated_decoder_configuration_is_reported(cut: int) -> None:
    with pytest.raises(ValueError, match=r"bytes|ends at"):
        parse_extradata("h264", AVCC[:cut])


@given(
    units=st.lists(st.binary(min_size=1, max_size=200), max_size=8),
    length_bytes=st.sampled_from([1, 2, 4]),
)
def test_every_unit_gets_a_start_code(units: list[bytes], length_bytes: int) -> None:
    packet = b"".join(len(unit).to_bytes(length_bytes, "big") + unit for unit in units)
    assert to_annex_b(packet, length_bytes) == b"".join(START_CODE + u for u in units)
    if units:
        with pytest.raises(ValueError, match="ends at byte"):
            to_annex_b(packet[:-1], length_bytes)
