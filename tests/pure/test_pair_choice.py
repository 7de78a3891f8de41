"""agent.reporting.mqtt.pair_choice: a pair that the broker refuses gives way, and so does one on trial that never connects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.broker import BrokerConfig
from agent.reporting.mqtt.pair_choice import MAX_TRIAL_FAILURES, ClientPair, PairChoice


def make_pair(name: str, *, is_on_trial: bool = False) -> ClientPair:
    broker = BrokerConfig(url="mqtts://broker", certificate=f"{name}.pem", key=f"{name}.pem")
    return ClientPair(broker=broker, is_on_trial=is_on_trial)


TRIAL, RENEWED, CONFIGURED = make_pair("trial", is_on_trial=True), make_pair("a"), make_pair("b")
PAIRS = (TRIAL, RENEWED, CONFIGURED)


def fail(choice: PairChoice, *, is_refused: bool) -> bool:
    return choice.note_failed(choice.choose(PAIRS), is_refused=is_refused)


def test_a_refused_pair_gives_way_to_the_next_at_the_same_broker() -> None:
    choice = PairChoice(broker_count=1)
    assert fail(choice, is_refused=True)
    assert choice.choose(PAIRS) == RENEWED
    assert fail(choice, is_refused=True)
    assert choice.choose(PAIRS) == CONFIGURED
    assert choice.note_online() == (TRIAL, RENEWED)
    assert choice.choose(PAIRS) == TRIAL


def test_after_the_last_pair_the_first_is_tried_again_at_the_next_broker() -> None:
    choice = PairChoice(broker_count=2)
    assert fail(choice, is_refused=True)
    assert fail(choice, is_refused=True)
    assert not fail(choice, is_refused=True)
    assert choice.choose(PAIRS) == TRIAL
    assert choice.note_online() == ()


@pytest.mark.parametrize("brokers", [1, 3])
def test_a_pair_on_trial_that_does_not_connect_gives_way_within_a_bound(brokers: int) -> None:
    choice = PairChoice(broker_count=brokers)
    for _ in range(MAX_TRIAL_FAILURES * brokers):
        assert choice.choose(PAIRS) == TRIAL
        assert not fail(choice, is_refused=False)
    assert choice.choose(PAIRS) == RENEWED
    assert choice.note_online() == (TRIAL,)


def test_while_no_broker_can_be_reached_a_pair_on_trial_is_not_given_up() -> None:
    choice = PairChoice(broker_count=1)
    for _ in range(MAX_TRIAL_FAILURES + 1):
        fail(choice, is_refused=False)
    assert choice.choose(PAIRS) == TRIAL
    assert choice.note_online() == ()


def test_a_pair_that_has_connected_before_does_not_give_way_to_an_older_one() -> None:
    choice = PairChoice(broker_count=1)
    for _ in range(50):
        pair = choice.choose((RENEWED, CONFIGURED))
        assert pair == RENEWED
        assert not choice.note_failed(pair, is_refused=False)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4))
def test_every_pair_is_tried_again_after_any_failures(failures: list[bool], brokers: int) -> None:
    choice = PairChoice(brokers)
    for is_refused in failures:
        fail(choice, is_refused=is_refused)
    tried = set()
    for _ in range(2 * (MAX_TRIAL_FAILURES * brokers + len(PAIRS))):
        pair = choice.choose(PAIRS)
        tried.add(pair.broker.certificate)
        choice.note_failed(pair, is_refused=True)
    assert len(tried) == len(PAIRS)
