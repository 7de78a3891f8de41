"""Choice of the pair of key and certificate to connect with. Pure."""

from collections.abc import Sequence

import msgspec

from agent.config.broker import BrokerConfig

MAX_TRIAL_FAILURES = 3
"""Of a pair on trial at each broker, whatever the failure is, until the next pair is tried once."""


class ClientPair(msgspec.Struct, frozen=True, kw_only=True):
    """`[broker]` with one pair of key and certificate. One on trial has not connected yet."""

    broker: BrokerConfig
    is_on_trial: bool = False


class PairChoice:
    """Chooses the first pair that was not given up. Used by one thread."""

    def __init__(self, broker_count: int) -> None:
        self._max_trial_failures = MAX_TRIAL_FAILURES * broker_count
        self._pairs: Sequence[ClientPair] = ()
        self._given_up: tuple[ClientPair, ...] = ()
        self._trial_failures = 0

    def choose(self, pairs: Sequence[ClientPair]) -> ClientPair:
        """Return the pair to connect with. `pairs` has at least one, the one to try first at first."""
        self._pairs = pairs
        return next((pair for pair in pairs if pair not in self._given_up), pairs[0])

    def note_failed(self, pair: ClientPair, *, is_refused: bool) -> bool:
        """Note that a connection with a pair has failed. Return True if the same broker may accept the next pair."""
        if not is_refused:
            if not pair.is_on_trial:
                self._begin_again()
                return False
            self._trial_failures += 1
            if self._trial_failures < self._max_trial_failures:
                return False
        self._trial_failures = 0
        self._given_up = (*self._given_up, pair)
        if all(known in self._given_up for known in self._pairs):
            self._begin_again()
            return False
        return is_refused

    def note_online(self) -> tuple[ClientPair, ...]:
        """Note that the broker has accepted the pair, and return those that were given up before it."""
        given_up = self._given_up
        self._begin_again()
        return given_up

    def _begin_again(self) -> None:
        self._given_up, self._trial_failures = (), 0
