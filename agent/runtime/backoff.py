"""Exponential backoff of retries. Pure; the caller adds the jitter."""


class Backoff:
    """A wait that doubles with each failure, from `first_s` up to `max_s`."""

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the wait after this failure, and double the next one."""
        wait_s = self._next_s
        self._next_s = min(self._max_s, 2 * wait_s)
        return wait_s

    def reset(self) -> None:
        """Start again from `first_s`: the work succeeded."""
        self._next_s = self._first_s
