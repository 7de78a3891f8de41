"""agent.reporting.outbox.centres: when a message is free, by what each centre has acknowledged."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.broker import MAX_CENTRES
from agent.reporting.outbox.centres import MAX_ACKED_RANGES, Centres
from agent.reporting.payloads import SeqRange


def centres(*named: str) -> Centres:
    return Centres(named, threading.RLock())


def upto(last: int) -> tuple[SeqRange, ...]:
    return (SeqRange(1, last),)


def test_without_names_any_acknowledgement_frees_a_message() -> None:
    shared = centres()
    assert shared.acknowledge("anybody", upto(3)) == upto(3)
    assert shared.may_acknowledge("anybody")
    assert shared.awaited == ()
    assert shared.rows() == ()


def test_with_names_a_message_is_free_once_each_has_acknowledged_it() -> None:
    two = centres("city", "police")
    assert two.awaited == ("city", "police")
    assert two.acknowledge("city", upto(9)) == ()
    assert two.acknowledge("police", (SeqRange(1, 4), SeqRange(7, 12))) == (
        SeqRange(1, 4),
        SeqRange(7, 9),
    )
    assert two.acknowledge("police", upto(4)) == ()
    assert not two.may_acknowledge("province")


def test_a_message_is_settled_if_those_that_listen_have_it() -> None:
    two = centres("city", "police")
    two.acknowledge("city", upto(9))
    assert two.settled() == ()
    two.expect(frozenset({"city"}))
    assert two.settled() == upto(9)
    two.expect(frozenset({"city", "police"}))
    assert two.settled() == ()
    assert two.has_acked("city", 9)
    assert not two.has_acked("police", 9)


def test_a_centre_that_has_retired_is_not_awaited_until_it_is_back() -> None:
    two = centres("city", "police")
    two.acknowledge("city", upto(9))
    assert two.remember("police", is_retired=True)
    assert (two.awaited, two.free()) == (("city",), upto(9))
    assert not two.remember("police", is_retired=True)
    assert two.remember("police", is_retired=False)
    assert (two.awaited, two.free()) == (("city", "police"), ())


@pytest.mark.parametrize(
    ("named", "free"),
    [
        (("city", "police"), upto(4)),
        (("city",), upto(9)),
        (("city", "province"), ()),
        # They share one acknowledgement from now on.
        ((), upto(9)),
    ],
)
def test_a_changed_configuration_frees_what_nobody_lacks_any_more(
    named: tuple[str, ...], free: tuple[SeqRange, ...]
) -> None:
    before = centres("city", "police")
    before.acknowledge("city", upto(9))
    before.acknowledge("police", upto(4))
    assert centres(*named).load(before.rows()) == free


def test_the_stored_rows_give_the_same_centres() -> None:
    before = centres("city", "police")
    before.acknowledge("city", upto(9))
    before.remember("police", is_retired=True)
    after = centres("city", "police")
    after.load(before.rows())
    assert after.rows() == before.rows()
    assert (after.awaited, after.acked_by("city")) == (("city",), upto(9))


def test_the_number_of_centres_is_bounded_and_the_newest_are_remembered() -> None:
    heard = centres()
    heard.remember("retired", is_retired=True)
    for number in range(MAX_CENTRES):
        heard.remember(f"centre-{number}", is_retired=False)
    assert len(heard.rows()) == MAX_CENTRES
    assert "retired" not in {row.name for row in heard.rows()}
    heard.remember("centre-0", is_retired=False)
    heard.remember("newest", is_retired=False)
    assert len(heard.rows()) == MAX_CENTRES
    assert {"centre-0", "newest"} <= set(heard.awaited)
    assert "centre-1" not in heard.awaited


def test_a_named_centre_is_never_forgotten_for_another() -> None:
    named = centres("city")
    named.remember("city", is_retired=False)
    for number in range(2 * MAX_CENTRES):
        named.remember(f"centre-{number}", is_retired=False)
    assert named.rows()[0].name == "city"


def test_the_ranges_of_a_centre_are_bounded_and_the_lowest_are_kept() -> None:
    one = centres("city")
    every_second = tuple(SeqRange(n, n) for n in range(1, 4 * MAX_ACKED_RANGES, 2))
    free = one.acknowledge("city", every_second)
    assert len(free) == MAX_ACKED_RANGES
    assert free[0] == SeqRange(1, 1)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 30), st.integers(0, 5)),
        max_size=20,
    )
)
def test_a_message_is_free_exactly_if_all_have_it(acks: list[tuple[str, int, int]]) -> None:
    three = centres("a", "b", "c")
    sets: dict[str, set[int]] = {"a": set(), "b": set(), "c": set()}
    for name, first, length in acks:
        three.acknowledge(name, (SeqRange(first, first + length),))
        sets[name] |= set(range(first, first + length + 1))
    free = {seq for span in three.free() for seq in range(span.first, span.last + 1)}
    assert free == sets["a"] & sets["b"] & sets["c"]
