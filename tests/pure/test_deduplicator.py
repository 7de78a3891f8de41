"""centre.deduplicator: repeats, gaps and acknowledgements, checked against plain sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.reporting.centre_payloads import Ack
from agent.reporting.payloads import SeqRange
from centre.deduplicator import MAX_ACK_RANGES, Deduplicator, SeqSet


def test_consecutive_numbers_advance_the_acknowledgement() -> None:
    ledger = Deduplicator("e")
    assert ledger.build_ack() == Ack(epoch="e", upto=0)
    for seq in (1, 2, 3):
        assert ledger.add(seq)
    assert ledger.build_ack() == Ack(epoch="e", upto=3)


def test_a_gap_holds_the_acknowledgement_and_later_numbers_are_listed() -> None:
    ledger = Deduplicator("e")
    for seq in (1, 2, 5, 6, 9):
        ledger.add(seq)
    assert ledger.build_ack() == Ack(epoch="e", upto=2, also=(SeqRange(5, 6), SeqRange(9, 9)))
    assert ledger.missing_ranges() == (SeqRange(3, 4), SeqRange(7, 8))


def test_a_receipt_for_lost_messages_closes_the_gap() -> None:
    ledger = Deduplicator("e")
    for seq in (1, 2, 5):
        ledger.add(seq)
    ledger.mark_lost((SeqRange(3, 4),))
    assert ledger.build_ack() == Ack(epoch="e", upto=5)
    assert ledger.missing_ranges() == ()


def test_a_birth_sets_the_first_number() -> None:
    ledger = Deduplicator("e")
    ledger.add(101)
    ledger.set_floor(100)
    assert ledger.build_ack() == Ack(epoch="e", upto=101)


def test_a_late_message_below_the_floor_still_counts_as_new() -> None:
    ledger = Deduplicator("e")
    ledger.set_floor(100)
    assert ledger.add(50)
    assert not ledger.add(50)


def test_a_repeat_is_not_stored_twice() -> None:
    ledger = Deduplicator("e")
    assert ledger.add(1)
    assert not ledger.add(1)


@pytest.mark.parametrize("order", [1, -1], ids=["oldest first", "newest first"])
def test_an_acknowledgement_is_of_a_bounded_size_and_names_what_arrived_last(order: int) -> None:
    ledger = Deduplicator("e")
    seqs = range(2, 2000, 2)[::order]
    for begin in range(0, len(seqs), MAX_ACK_RANGES):
        batch = seqs[begin : begin + MAX_ACK_RANGES]
        for seq in batch:
            ledger.add(seq)
        also = ledger.build_ack().also
        assert len(also) <= MAX_ACK_RANGES
        assert set(batch) <= {span.first for span in also}


def test_what_is_sent_again_is_acknowledged_again() -> None:
    ledger = Deduplicator("e")
    for seq in (*range(2, 2000, 2), 2):
        ledger.add(seq)
    assert SeqRange(2, 2) in ledger.build_ack().also


def test_numbers_that_have_just_come_again_are_named_below_the_highest_ones() -> None:
    """A box whose older state was put back refuses an acknowledgement beyond the last number that it has given."""
    ledger = Deduplicator("e")
    for seq in (*range(1, 500), 7, 8, 20):
        ledger.add(seq)
    assert ledger.build_ack() == Ack(epoch="e", upto=499, also=(SeqRange(7, 8), SeqRange(20, 20)))
    for seq in range(500, 500 + MAX_ACK_RANGES):
        ledger.add(seq)
    assert ledger.build_ack() == Ack(epoch="e", upto=499 + MAX_ACK_RANGES)


def test_numbers_that_come_again_do_not_exceed_the_ranges_of_an_acknowledgement() -> None:
    """They are named after those above the highest contiguous one, which the box needs more."""
    ledger = Deduplicator("e")
    for seq in (*range(1, 2 * MAX_ACK_RANGES), *range(2000, 2000 + 2 * MAX_ACK_RANGES, 2)):
        ledger.add(seq)
    for seq in range(1, 2 * MAX_ACK_RANGES, 2):
        ledger.add(seq)
    assert len(ledger.build_ack().also) <= MAX_ACK_RANGES


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(-2, 9)), max_size=30))
def test_a_range_set_equals_a_set_of_numbers(spans: list[tuple[int, int]]) -> None:
    ranges, plain = SeqSet(), set[int]()
    for first, length in spans:
        ranges.add(first, first + length)
        plain |= set(range(first, first + length + 1))
    held = [seq for span in ranges for seq in range(span.first, span.last + 1)]
    assert held == sorted(plain)
    assert all((seq in ranges) == (seq in plain) for seq in range(80))
    prefix = ranges.contiguous_end()
    assert prefix == next(seq for seq in range(100) if seq + 1 not in plain)
    above = [
        seq for span in ranges.ranges_above(prefix) for seq in range(span.first, span.last + 1)
    ]
    assert above == sorted(seq for seq in plain if seq > prefix)


@given(st.lists(st.tuples(st.sampled_from("tlf"), st.integers(1, 25)), max_size=40))
def test_an_acknowledgement_never_covers_messages_that_may_still_arrive(
    steps: list[tuple[str, int]],
) -> None:
    ledger, seen, gone = Deduplicator("e"), set[int](), set[int]()
    for what, seq in steps:
        if what == "t":
            assert ledger.add(seq) == (seq not in seen)
            seen.add(seq)
        elif what == "l":
            ledger.mark_lost((SeqRange(seq, seq + 1),))
            gone |= {seq, seq + 1}
        else:
            ledger.set_floor(seq)
            gone |= set(range(1, seq + 1))
        ack = ledger.build_ack()
        covered = set(range(1, ack.upto + 1))
        for span in ack.also:
            covered |= set(range(span.first, span.last + 1))
        assert covered == seen | gone
