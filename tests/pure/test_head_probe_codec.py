"""Queries that find heads on a serial line. The bytes are from the makers' documents: Pelco-D's
queries and answers from BenQ DVY23 and MinRay UV950A, its acknowledgement from C466M-E (5.2.4), VISCA's from
Sony's EVI-D70 technical manual (pages 33 to 40).
"""

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import head_probe_codec as questions
from drivers import visca_codec as visca
from drivers.pelco_codec import PelcoDecoder, PositionQuery
from drivers.visca_codec import PacketFramer

EVERYBODY = range(1, 256)


def every_question(addresses: Iterable[int]) -> tuple[bytes, ...]:
    """All that `head_search` sends while it looks for heads of these addresses."""
    found = [visca.ADDRESS_SET]
    for address in questions.VISCA_ADDRESSES:
        found += [visca.pan_tilt_inquiry(address), questions.version_inquiry(address)]
    for address in addresses:
        found += [questions.pelco_query(address, "pan"), questions.pelco_query(address, "tilt")]
    return tuple(found)


def test_the_questions_are_the_makers() -> None:
    assert questions.pelco_query(1, "pan") == bytes.fromhex("FF 01 00 51 00 00 52")
    assert questions.pelco_query(1, "tilt") == bytes.fromhex("FF 01 00 53 00 00 54")
    assert questions.version_inquiry(1) == bytes.fromhex("81 09 00 02 FF")
    asked = every_question([1])
    assert bytes.fromhex("88 30 01 FF") in asked
    assert bytes.fromhex("87 09 06 12 FF") in asked


def test_no_head_of_pelco_hears_anything_but_questions() -> None:
    for dialect in ("D", "P"):
        heard = PelcoDecoder(dialect).feed(b"".join(every_question(EVERYBODY)))
        assert all(isinstance(telegram.message, PositionQuery) for telegram in heard)
        assert bool(heard) == (dialect == "D")


@pytest.mark.parametrize("dialect", ["D", "P"])
def test_no_two_questions_in_a_row_are_an_order(dialect: str) -> None:
    for pair in itertools.permutations(every_question(range(1, 9)), 2):
        heard = PelcoDecoder(dialect).feed(b"".join(pair))  # type: ignore[arg-type]
        assert all(isinstance(telegram.message, PositionQuery) for telegram in heard)


def test_no_camera_of_visca_hears_anything_but_inquiries_and_the_broadcast() -> None:
    heard = PacketFramer().feed(b"".join(every_question(EVERYBODY)))
    for_cameras = [frame for frame in heard if 0x81 <= frame[0] <= 0x88]
    assert len(for_cameras) == 1 + 2 * 7
    for frame in for_cameras:
        assert frame[1] == 0x09 or frame == bytes.fromhex("88 30 01 FF")


def test_a_head_of_pelco_tells_its_place_in_hundredths() -> None:
    answer = bytes.fromhex("FF 01 00 59 75 2F FE")
    assert questions.find_pelco_counts(1, "pan", answer) == 29_999
    assert questions.find_pelco_counts(1, "tilt", answer) is None, "it was the pan's"
    assert questions.find_pelco_counts(2, "pan", answer) is None, "it was another head's"


def test_a_receipt_shows_a_head_that_does_not_tell_its_place() -> None:
    question = questions.pelco_query(1, "pan")
    assert questions.is_general_reply(1, question, bytes.fromhex("FF 01 00 52"))
    assert questions.is_general_reply(1, question, bytes.fromhex("FF 01 04 56")), "an alarm"
    for other in ("", "FF 02 00 52", "FF 01 00 53", "FF 01 00 52 00", "41 01 00 52"):
        assert not questions.is_general_reply(1, question, bytes.fromhex(other))


def test_a_chain_says_how_many_cameras_it_has() -> None:
    assert questions.parse_chain_length(bytes.fromhex("88 30 03 FF")) == 2
    assert questions.parse_chain_length(bytes.fromhex("88 30 01 FF")) is None, "the question itself"
    assert questions.parse_chain_length(b"") is None


def test_a_camera_of_visca_tells_its_place_and_its_maker() -> None:
    place = questions.find_visca_answer(1, bytes.fromhex("90 50 0F 0E 06 00 00 00 0C 08 FF"))
    version = questions.find_visca_answer(1, bytes.fromhex("90 50 00 20 04 0E 01 00 02 FF"))
    assert place is not None
    found = questions.to_visca_head(1, place, version)
    assert (found.tells_place, found.pan_counts, found.tilt_counts) == (True, -0x1A0, 0xC8)
    assert (found.vendor_id, found.model_id) == (0x0020, 0x040E)


def test_a_camera_without_a_head_refuses_and_is_a_camera_all_the_same() -> None:
    place = questions.find_visca_answer(1, bytes.fromhex("90 60 02 FF"))
    assert place == "refused"
    found = questions.to_visca_head(1, place, None)
    assert (found.tells_place, found.pan_counts, found.vendor_id) == (False, None, None)
    assert questions.find_visca_answer(2, bytes.fromhex("90 60 02 FF")) is None, "another camera's"


@given(st.binary(max_size=40))
def test_an_adapter_that_hears_itself_changes_nothing(answer: bytes) -> None:
    question = questions.pelco_query(7, "pan")
    assert questions.strip_echo(question + answer, question) == answer


@given(st.binary(max_size=64))
def test_whatever_comes_is_taken(noise: bytes) -> None:
    question = questions.pelco_query(1, "pan")
    questions.parse_chain_length(noise)
    questions.is_general_reply(1, question, noise)
    questions.find_pelco_counts(1, "pan", noise)
    answer = questions.find_visca_answer(1, noise)
    if answer is not None:
        questions.to_visca_head(1, answer, answer)
