"""Pauses between attempts, and between actions that repeat. Pure."""


class Pause:
    """A time before which something is not done again. It is over until it begins."""

    def __init__(self) -> None:
        self._until_ns = 0

    def begin(self, t_ns: int, duration_s: float) -> None:
        """Begin a pause, in place of one that is not over."""
        self._until_ns = t_ns + int(duration_s * 1e9)

    def end(self) -> None:
        """End the pause."""
        self._until_ns = 0

    def is_over(self, t_ns: int) -> bool:
        """Return whether the pause is over."""
        return t_ns >= self._until_ns

    def remaining_s(self, t_ns: int) -> float:
        """Return the seconds until it is over, at least 0."""
        return max(0.0, (self._until_ns - t_ns) / 1e9)
