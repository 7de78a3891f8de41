"""drivers.pelco_codec: frames that arrive whole, split, damaged and late are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.pelco_codec import (
    AddressedMessage,
    AuxSwitch,
    PelcoDecoder,
    PelcoDialect,
    PelcoMessage,
    PelcoMotion,
    PositionCommand,
    PositionQuery,
    PositionReport,
    PresetAction,
    encode_frame,
    parse_frame,
)

DIALECTS: tuple[PelcoDialect, ...] = ("D", "P")
NUMBERS = st.integers(1, 255)
DIRECTIONS = st.integers(-1, 1)
AXES = st.sampled_from(("pan", "tilt"))
ANGLES = st.integers(0, 36000)
MESSAGES: st.SearchStrategy[PelcoMessage] = st.one_of(
    st.builds(
        PelcoMotion,
        pan=st.integers(-64, 64),
        tilt=st.integers(-63, 63),
        zoom=DIRECTIONS,
        focus=DIRECTIONS,
    ),
    st.builds(PresetAction, action=st.sampled_from(("set", "clear", "call")), number=NUMBERS),
    st.builds(AuxSwitch, number=NUMBERS, on=st.booleans()),
    st.builds(PositionQuery, axis=st.sampled_from(("pan", "tilt", "zoom"))),
    st.builds(PositionReport, axis=AXES, value=ANGLES),
    st.builds(PositionCommand, axis=AXES, value=ANGLES),
    st.builds(PositionReport, axis=st.just("zoom"), value=st.integers(0, 65535)),
    st.builds(PositionCommand, axis=st.just("zoom"), value=st.integers(0, 65535)),
)
TELEGRAMS = st.builds(AddressedMessage, address=st.integers(0, 255), message=MESSAGES)
both = pytest.mark.parametrize("dialect", DIALECTS)


@both
@given(telegram=TELEGRAMS)
def test_encoded_frames_decode_to_the_same_values(
    dialect: PelcoDialect, telegram: AddressedMessage
) -> None:
    frame = encode_frame(dialect, telegram)
    assert len(frame) == {"D": 7, "P": 8}[dialect]
    assert parse_frame(dialect, frame) == telegram


@both
@given(telegrams=st.lists(TELEGRAMS, max_size=6), data=st.data())
def test_frames_may_come_in_any_pieces(
    dialect: PelcoDialect, telegrams: list[AddressedMessage], data: st.DataObject
) -> None:
    sent = b"".join(encode_frame(dialect, telegram) for telegram in telegrams)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sent)))))
    decoder = PelcoDecoder(dialect)
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        found += decoder.feed(sent[begin:end])
    assert found == telegrams
    assert decoder.noise_bytes == 0


@both
@given(telegram=TELEGRAMS, bit=st.integers(0, 63))
def test_a_single_flipped_bit_is_never_taken_for_a_frame(
    dialect: PelcoDialect, telegram: AddressedMessage, bit: int
) -> None:
    frame = bytearray(encode_frame(dialect, telegram))
    frame[bit // 8 % len(frame)] ^= 1 << bit % 8
    assert parse_frame(dialect, bytes(frame)) is None


@both
@given(noise=st.binary(max_size=40), telegrams=st.lists(TELEGRAMS, min_size=2, max_size=2))
def test_after_noise_the_second_frame_is_found_at_the_latest(
    dialect: PelcoDialect, noise: bytes, telegrams: list[AddressedMessage]
) -> None:
    decoder = PelcoDecoder(dialect)
    decoder.feed(noise)
    first, second = (decoder.feed(encode_frame(dialect, telegram)) for telegram in telegrams)
    assert telegrams[1] in [*first, *second]


@both
@given(pieces=st.lists(st.binary(max_size=30)))
def test_every_byte_belongs_to_a_frame_to_noise_or_to_an_incomplete_frame(
    dialect: PelcoDialect, pieces: list[bytes]
) -> None:
    decoder = PelcoDecoder(dialect)
    frames = sum(len(decoder.feed(piece)) for piece in pieces)
    size = {"D": 7, "P": 8}[dialect]
    kept = sum(map(len, pieces)) - frames * size - decoder.noise_bytes
    assert 0 <= kept < size


@pytest.mark.parametrize("gap", [False, True])
def test_a_frame_that_lost_its_end_is_not_completed_by_the_next_one(gap: bool) -> None:
    # FF 01 00 5B 57 4C has the sum FF, which was lost; the next frame begins with FF.
    decoder = PelcoDecoder("D")
    assert decoder.feed(bytes.fromhex("FF 01 00 5B 57 4C")) == []
    if gap:
        decoder.flush()
    found = decoder.feed(bytes.fromhex("FF 01 00 59 00 00 5A"))
    pan = AddressedMessage(address=1, message=PositionReport(axis="pan", value=0))
    assert (found == [pan]) is gap


def test_answers_without_data_do_not_count_as_noise() -> None:
    # Pelco's C466M-E, 5.2.4 and 5.3.5.
    receipt, answer = bytes.fromhex("FF 01 00 05"), bytes.fromhex("FF 01 00 59 23 28 A5")
    knowing, foreign = PelcoDecoder("D", replies_from=1), PelcoDecoder("D", replies_from=2)
    for decoder in (knowing, foreign):
        assert len(decoder.feed(receipt + answer)) == 1
        decoder.feed(receipt)
        decoder.flush()
    assert (knowing.noise_bytes, foreign.noise_bytes) == (0, 8)
    knowing = PelcoDecoder("P", replies_from=0)
    assert len(knowing.feed(bytes.fromhex("A2 A0 00 00 59 23 28 AF 5D A2"))) == 1
    assert knowing.noise_bytes == 0


@pytest.mark.parametrize(
    "message",
    [
        PelcoMotion(pan=65),
        PelcoMotion(tilt=64),
        PresetAction(action="set", number=256),
        PositionCommand(axis="pan", value=65536),
    ],
)
def test_a_value_beyond_one_byte_is_an_error(message: PelcoMessage) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_frame("D", AddressedMessage(address=1, message=message))
