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


def test_queries_match_the_makers_documents() -> None:
    assert questions.pelco_query(1, "pan") == bytes.fromhex("FF 01 00 51 00 00 52")
    assert questions.pelco_query(1, "tilt") == bytes.fromhex("FF 01 00 53 00 00 54")
    assert questions.version_inquiry(1) == bytes.fromhex("81 09 00 02 FF")
    requested = every_question([1])
    assert bytes.fromhex("88 30 01 FF") in requested
    assert bytes.fromhex("87 09 06 12 FF") in requested


def test_a_pelco_head_receives_queries_only() -> None:
    for dialect in ("D", "P"):
        received = PelcoDecoder(dialect).feed(b"".join(every_question(EVERYBODY)))
        assert all(isinstance(telegram.message, PositionQuery) for telegram in received)
        assert bool(received) == (dialect == "D")


@pytest.mark.parametrize("dialect", ["D", "P"])
def test_no_two_consecutive_queries_form_an_order(dialect: str) -> None:
    for pair in itertools.permutations(every_question(range(1, 9)), 2):
        received = PelcoDecoder(dialect).feed(b"".join(pair))  # type: ignore[arg-type]
        assert all(isinstance(telegram.message, PositionQuery) for telegram in received)


def test_a_visca_camera_receives_inquiries_and_the_broadcast_only() -> None:
    received = PacketFramer().feed(b"".join(every_question(EVERYBODY)))
    for_cameras = [frame for frame in received if 0x81 <= frame[0] <= 0x88]
    assert len(for_cameras) == 1 + 2 * 7
    for frame in for_cameras:
        assert frame[1] == 0x09 or frame == bytes.fromhex("88 30 01 FF")


def test_a_pelco_head_reports_its_position_in_hundredths() -> None:
    answer = bytes.fromhex("FF 01 00 59 75 2F FE")
    assert questions.find_pelco_counts(1, "pan", answer) == 29_999
    assert questions.find_pelco_counts(1, "tilt", answer) is None, "it was the pan's"
    assert questions.find_pelco_counts(2, "pan", answer) is None, "it was another head's"


def test_a_general_response_shows_a_head_without_position_reports() -> None:
    question = questions.pelco_query(1, "pan")
    assert questions.is_general_reply(1, question, bytes.fromhex("FF 01 00 52"))
    assert questions.is_general_reply(1, question, bytes.fromhex("FF 01 04 56")), "an alarm"
    for other in ("", "FF 02 00 52", "FF 01 00 53", "FF 01 00 52 00", "41 01 00 52"):
        assert not questions.is_general_reply(1, question, bytes.fromhex(other))


def test_a_visca_chain_reports_its_number_of_cameras() -> None:
    assert questions.parse_chain_length(bytes.fromhex("88 30 03 FF")) == 2
    assert questions.parse_chain_length(bytes.fromhex("88 30 01 FF")) is None, "the question itself"
    assert questions.parse_chain_length(b"") is None


def test_a_visca_camera_reports_its_position_and_maker() -> None:
    place = questions.find_visca_answer(1, bytes.fromhex("90 50 0F 0E 06 00 00 00 0C 08 FF"))
    version = questions.find_visca_answer(1, bytes.fromhex("90 50 00 20 04 0E 01 00 02 FF"))
    assert place is not None
    found = questions.to_visca_head(1, place, version)
    assert (found.reports_position, found.pan_counts, found.tilt_counts) == (True, -0x1A0, 0xC8)
    assert (found.vendor_id, found.model_id) == (0x0020, 0x040E)


def test_a_visca_camera_without_a_head_rejects_and_is_still_found() -> None:
    place = questions.find_visca_answer(1, bytes.fromhex("90 60 02 FF"))
    assert place == "refused"
    found = questions.to_visca_head(1, place, None)
    assert (found.reports_position, found.pan_counts, found.vendor_id) == (False, None, None)
    assert questions.find_visca_answer(2, bytes.fromhex("90 60 02 FF")) is None, "another camera's"


@given(st.binary(max_size=40))
def test_an_echoing_adapter_changes_nothing(answer: bytes) -> None:
    question = questions.pelco_query(7, "pan")
    assert questions.strip_echo(question + answer, question) == answer


@given(st.binary(max_size=64))
def test_any_bytes_are_accepted(noise: bytes) -> None:
    question = questions.pelco_query(1, "pan")
    questions.parse_chain_length(noise)
    questions.is_general_reply(1, question, noise)
    questions.find_pelco_counts(1, "pan", noise)
    answer = questions.find_visca_answer(1, noise)
    if answer is not None:
        questions.to_visca_head(1, answer, answer)
