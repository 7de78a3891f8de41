"""agent.pole_page.bounded_http: a flood of connections does not keep other phones out."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pole_page.bounded_http import (
    MAX_CONNECTIONS,
    MAX_OF_SESSION,
    MAX_OF_STRANGER,
    ConnectionLimit,
)

PHONE, NEW_PHONE = "192.168.4.20", "192.168.4.21"


class Port:
    """A port with connections that are numbered, of senders of which PHONE has a session."""

    def __init__(self) -> None:
        self.open: dict[int, str] = {}
        self.limit: ConnectionLimit[int] = ConnectionLimit(
            lambda sender: sender == PHONE, self.close
        )
        self._next = 0

    def close(self, connection: int) -> None:
        del self.open[connection]

    def connect(self, sender: str, count: int = 1) -> int:
        """Return how many connections are accepted."""
        accepted = 0
        for _ in range(count):
            self._next += 1
            if self.limit.enter(sender, self._next):
                self.open[self._next] = sender
                accepted += 1
        return accepted

    def count(self, sender: str) -> int:
        return Counter(self.open.values())[sender]


@pytest.fixture
def port() -> Port:
    return Port()


def test_a_sender_has_a_quarter_of_the_places_and_a_stranger_fewer(port: Port) -> None:
    assert port.connect(PHONE, MAX_CONNECTIONS) == MAX_OF_SESSION == MAX_CONNECTIONS // 4
    assert port.connect("10.0.0.1", MAX_CONNECTIONS) == MAX_OF_STRANGER < MAX_OF_SESSION


def test_a_phone_with_a_session_gets_all_of_its_places_however_many_strangers_flood(
    port: Port,
) -> None:
    for number in range(100):
        port.connect(f"10.0.0.{number}", MAX_OF_STRANGER)
    assert port.connect(PHONE, MAX_OF_SESSION) == MAX_OF_SESSION
    for number in range(100):
        port.connect(f"10.0.1.{number}", MAX_OF_STRANGER)
    assert port.count(PHONE) == MAX_OF_SESSION


def test_a_new_phone_gets_as_many_places_as_each_of_the_flooding_strangers(port: Port) -> None:
    for number in range(6):
        port.connect(f"10.0.0.{number}", MAX_OF_STRANGER)
    assert len(port.open) == MAX_CONNECTIONS
    assert port.connect(NEW_PHONE, MAX_OF_STRANGER) >= MAX_OF_STRANGER - 2
    first = min(port.open)
    assert first > 1, "the oldest connection was closed"


def test_a_stranger_displaces_none_that_has_as_few(port: Port) -> None:
    for number in range(MAX_CONNECTIONS):
        assert port.connect(f"10.0.0.{number}") == 1
    assert port.connect(NEW_PHONE) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", PHONE)), st.booleans()
        ),
        max_size=120,
    )
)
def test_its_count_is_that_of_the_open_connections(steps: list[tuple[str, bool]]) -> None:
    port = Port()
    for sender, is_begin in steps:
        if is_begin:
            port.connect(sender)
            continue
        mine = [connection for connection, owner in port.open.items() if owner == sender]
        if mine:
            port.close(mine[0])
            port.limit.leave(sender, mine[0])
        # One that was closed for another one ends later, and does not count again.
        port.limit.leave(sender, -1)
        assert len(port.open) <= MAX_CONNECTIONS
        assert port.count(sender) <= (MAX_OF_SESSION if sender == PHONE else MAX_OF_STRANGER)
    for connection, sender in list(port.open.items()):
        port.limit.leave(sender, connection)
    assert port.limit._by_sender == {}
