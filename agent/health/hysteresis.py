"""Yes or no out of a value that wavers: on at one mark, off at another, and neither at once. Pure."""


class Hysteresis:
    """Comes on when it was bad for `for_s` seconds on end, goes off when it was good for `calm_s`.

    Between the two marks, neither bad nor good, it stays as it is. What is unknown is good: a sensor
    that has gone must not hold a box down for ever.
    """

    def __init__(self, for_s: float, calm_s: float) -> None:
        self._for_ns = int(for_s * 1e9)
        self._calm_ns = int(calm_s * 1e9)
        self._on = False
        self._since_ns: int | None = None
        """Since when it says the other of what it is."""

    @property
    def on(self) -> bool:
        """Whether it is on."""
        return self._on

    def update(self, t_ns: int, *, bad: bool | None, good: bool | None) -> bool:
        """A look at `t_ns`. Whether it is on now."""
        turns = (bad is None or bool(good)) if self._on else bool(bad)
        if not turns:
            self._since_ns = None
            return self._on
        if self._since_ns is None:
            self._since_ns = t_ns
        if t_ns - self._since_ns >= (self._calm_ns if self._on else self._for_ns):
            self._on, self._since_ns = not self._on, None
        return self._on


def above(value: float | None, mark: float) -> bool | None:
    """Whether it is so much or more; None where nobody knows."""
    return None if value is None else value >= mark


def below(value: float | None, mark: float) -> bool | None:
    """Whether it is less; None where nobody knows."""
    return None if value is None else value < mark
