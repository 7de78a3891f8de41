"""Wait before the next attempt to connect to the broker. Pure; randomness is passed in."""

import random

from agent.runtime.backoff import Backoff

INITIAL_DELAY_S = 1.0
MAX_DELAY_S = 15.0
RESET_AFTER_S = 30.0
"""A connection of this length resets the backoff. Two boxes with one id disconnect each other at once:
an accepted connection alone is no success."""


class ReconnectBackoff:
    """Full jitter: boxes that lost their broker together do not come back together."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._backoff = Backoff(INITIAL_DELAY_S, MAX_DELAY_S)

    def next_delay_s(self, connected_s: float) -> float:
        """Return the wait after a connection that lasted `connected_s` seconds, 0 if there was none."""
        if connected_s >= RESET_AFTER_S:
            self._backoff.reset()
        return self._rng.uniform(0, self._backoff.next_s())
