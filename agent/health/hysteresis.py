"""Yes or no out of a value that wavers: on at one mark, off at another, and neither at once. Pure."""


class Hysteresis:
    """Comes on when it was bad for `for_s` seconds on end, goes off when it was good for `calm_s`.

    Between the two marks, neither bad nor good, it stays as it is. What is unknown is good: a sensor
    that has gone must not hold a box down for ever.
    """

    def __init__(self, on_after_s: float, off_after_s: float) -> None:
        self._on_after_ns = int(on_after_s * 1e9)
        self._off_after_ns = int(off_after_s * 1e9)
        self._is_on = False
        self._since_ns: int | None = None
        """Since when it says the other of what it is."""

    @property
    def is_on(self) -> bool:
        """Whether it is on."""
        return self._is_on

    def update(self, t_ns: int, *, bad: bool | None, good: bool | None) -> bool:
        """A look at `t_ns`. Whether it is on now."""
        should_switch = (bad is None or bool(good)) if self._is_on else bool(bad)
        if not should_switch:
            self._since_ns = None
            return self._is_on
        if self._since_ns is None:
            self._since_ns = t_ns
        if t_ns - self._since_ns >= (self._off_after_ns if self._is_on else self._on_after_ns):
            self._is_on, self._since_ns = not self._is_on, None
        return self._is_on


def at_least(value: float | None, threshold: float) -> bool | None:
    """Whether it is so much or more; None where nobody knows."""
    return None if value is None else value >= threshold


def below(value: float | None, threshold: float) -> bool | None:
    """Whether it is less; None where nobody knows."""
    return None if value is None else value < threshold
