"""agent.reporting.mqtt.mqtt_stage: the first broker that answers, and the first of all when it is back."""

import pytest

from agent.base.errors import UserError
from agent.config.broker import BrokerConfig, check_broker
from agent.reporting.mqtt.mqtt_stage import (
    MAX_RETURN_AFTER_S,
    RETURN_AFTER_S,
    BrokerChoice,
)

A, B, C = "mqtts://a", "mqtts://b", "mqtts://c"


def ns(seconds: float) -> int:
    return int(seconds * 1e9)


def test_each_failure_moves_on_and_comes_around() -> None:
    choice = BrokerChoice((A, B, C))
    tried = []
    for _ in range(5):
        tried.append(choice.url)
        choice.note_ended()
    assert tried == [A, B, C, A, B]


def test_after_a_connection_that_was_accepted_the_first_broker_is_next() -> None:
    choice = BrokerChoice((A, B, C))
    choice.note_ended()
    assert choice.url == B
    choice.note_online(0)
    choice.note_ended()
    assert choice.url == A


def test_the_first_broker_is_probed_after_a_while_and_ever_more_rarely() -> None:
    choice = BrokerChoice((A, B))
    choice.note_ended()
    now_s, waits = 0.0, []
    choice.note_online(0)
    for _ in range(8):
        wait_s = RETURN_AFTER_S
        while not choice.should_probe_first(ns(now_s + wait_s)):
            wait_s += 1
        assert not choice.should_probe_first(ns(now_s + wait_s - 1))
        waits.append(wait_s)
        now_s += wait_s
        choice.note_first_is_away(ns(now_s))
    assert waits[:3] == [300, 600, 1200]
    assert waits[-1] == MAX_RETURN_AFTER_S


def test_the_wait_is_short_again_once_the_first_broker_has_accepted() -> None:
    choice = BrokerChoice((A, B))
    for _ in range(3):
        choice.note_ended()
        choice.note_online(0)
        choice.note_first_is_away(0)
        choice.note_ended()
    choice.note_online(0)
    choice.note_ended()
    choice.note_ended()
    choice.note_online(0)
    assert choice.url == B
    assert choice.should_probe_first(ns(RETURN_AFTER_S))


def test_with_one_broker_there_is_nothing_to_probe() -> None:
    choice = BrokerChoice((A,))
    for _ in range(2):
        choice.note_ended()
        assert choice.url == A
    choice.note_online(0)
    assert not choice.should_probe_first(ns(1e6))


@pytest.mark.parametrize(
    ("urls", "why"),
    [
        (
            ("mqtts://a", "mqtt://b"),
            "broker.standby_urls[0] = 'mqtt://b': allowed: mqtts://, as in",
        ),
        (("mqtts://a", "mqtts://a"), "broker.standby_urls[0] = 'mqtts://a': named before"),
        (
            ("mqtts://a", "mqtts://b", "http://c"),
            "broker.standby_urls[1] = 'http://c': not a broker",
        ),
        (
            ("mqtt://127.0.0.1", "mqtt://centre"),
            "broker.url = 'mqtt://centre': neither encrypted nor authenticated",
        ),
    ],
)
def test_a_standby_is_never_less_protected(urls: tuple[str, ...], why: str) -> None:
    first, *standby = urls
    with pytest.raises(UserError) as error:
        check_broker(BrokerConfig(url=first, standby_urls=tuple(standby)), "vigie.toml")
    assert why in str(error.value)
