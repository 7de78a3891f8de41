"""How long to wait before the next try to connect. Pure but for the random numbers it is given."""

import random

INITIAL_DELAY_S = 1.0
MAX_DELAY_S = 15.0
RESET_AFTER_S = 30.0
"""A connection that lasted so long ends the count of failures. Two boxes that share an id throw
each other out at once: that a broker accepts is not yet success."""


class Backoff:
    """Full jitter: each wait is uniform between zero and a limit that doubles up to LONGEST_S, so
    that boxes which lost their broker together do not come back together.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def next_delay_s(self, connected_s: float) -> float:
        """The wait after a connection that lasted `lasted_s` seconds, 0 where there was none."""
        if connected_s >= RESET_AFTER_S:
            self._failures = 0
        limit_s = min(MAX_DELAY_S, INITIAL_DELAY_S * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        return self._rng.uniform(0, limit_s)
