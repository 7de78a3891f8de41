"""A relay that is on for so long at the most, whoever asks for what. Pure: time is an argument."""

MIN_PAUSE_S = 5.0
"""Off for less than this is no pause: the time on goes on counting from before it."""


class TimedRelay:
    """The latest request counts. Nothing is on beyond `max_on_s` without a pause."""

    def __init__(self, max_on_s: float) -> None:
        self._max_on_ns = round(max_on_s * 1e9)
        self._began_ns: int | None = None
        self._until_ns = 0

    def is_on(self, t_ns: int) -> bool:
        """Whether it is on at `t_ns`."""
        return self._began_ns is not None and t_ns < self._until_ns

    def due_ns(self, t_ns: int) -> int | None:
        """When it goes off, None where it is off."""
        return self._until_ns if self.is_on(t_ns) else None

    def switch_on(self, t_ns: int, for_s: float) -> int | None:
        """On from now, for `for_s` or what is left of the longest time. None where that is done,
        and where nothing is left when a pause is over, so that it can be on again.
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
        """Off from now."""
        if self.is_on(t_ns):
            self._until_ns = t_ns
