"""A relay with a longest time on, however it is requested. Pure: time is an argument."""

MIN_PAUSE_S = 5.0
"""Off for less than this is no pause: the time on counts on from before it."""


class TimedRelay:
    """A relay that follows the latest request, and is never on beyond `max_on_s` without a pause."""

    def __init__(self, max_on_s: float) -> None:
        self._max_on_ns = round(max_on_s * 1e9)
        self._began_ns: int | None = None
        self._until_ns = 0

    def is_on(self, t_ns: int) -> bool:
        """Return whether it is on at `t_ns`."""
        return self._began_ns is not None and t_ns < self._until_ns

    def due_ns(self, t_ns: int) -> int | None:
        """Return when it goes off, or None if it is off."""
        return self._until_ns if self.is_on(t_ns) else None

    def switch_on(self, t_ns: int, for_s: float) -> int | None:
        """Switch on for `for_s`, or for the rest of the longest time.

        Returns None if that is done; otherwise, when the pause is over and it can be on again.
        """
        began_ns = self._began_ns
        pause_ends_ns = self._until_ns + round(MIN_PAUSE_S * 1e9)
        if began_ns is None or t_ns >= pause_ends_ns:
            began_ns = t_ns
        elif t_ns >= began_ns + self._max_on_ns:
            return pause_ends_ns
        self._began_ns = began_ns
        self._until_ns = min(t_ns + round(for_s * 1e9), began_ns + self._max_on_ns)
        return None

    def switch_off(self, t_ns: int) -> None:
        """Switch off."""
        if self.is_on(t_ns):
            self._until_ns = t_ns
