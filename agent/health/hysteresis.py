"""Hysteresis: on beyond one threshold, off beyond another, each after a delay. Pure."""


class Hysteresis:
    """Switches on after `on_after_s` of bad readings, and off after `off_after_s` of good ones.

    Neither bad nor good keeps the state. An unknown reading counts as good: a sensor that failed must
    not degrade a box for ever.
    """

    def __init__(self, on_after_s: float, off_after_s: float) -> None:
        self._on_after_ns = int(on_after_s * 1e9)
        self._off_after_ns = int(off_after_s * 1e9)
        self._is_on = False
        self._since_ns: int | None = None
        """The first of the readings in a row that ask for the other state."""

    @property
    def is_on(self) -> bool:
        """The state after the last update."""
        return self._is_on

    def update(self, t_ns: int, *, bad: bool | None, good: bool | None) -> bool:
        """Evaluate a reading at `t_ns`. Return True if the state is on."""
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
    """Return `value >= threshold`, or None if the value is unknown."""
    return None if value is None else value >= threshold


def below(value: float | None, threshold: float) -> bool | None:
    """Return `value < threshold`, or None if the value is unknown."""
    return None if value is None else value < threshold
