"""Debounce a contact. Pure: time is an argument."""


class Debouncer:
    """Changes `active` once the level of a contact has been stable for `stable_s`.

    `active` is None until the level was stable for the first time; `since_ns` is when the present
    level began. A change counts from its last bounce.
    """

    def __init__(self, stable_s: float) -> None:
        self._stable_ns = round(stable_s * 1e9)
        self._raw_level: bool | None = None
        self._raw_since_ns = 0
        self.active: bool | None = None
        self.since_ns = 0

    @property
    def due_ns(self) -> int | None:
        """When to call `settle` next, None if no change is pending."""
        return None if self._raw_level == self.active else self._raw_since_ns + self._stable_ns

    def feed(self, t_ns: int, *, active: bool) -> bool:
        """Take a level, changed or not; return whether `active` changed before it."""
        changed = self.settle(t_ns)
        if active != self._raw_level:
            self._raw_level, self._raw_since_ns = active, t_ns
        return changed

    def settle(self, t_ns: int) -> bool:
        """Return whether `active` has changed by now."""
        due_ns = self.due_ns
        if due_ns is None or t_ns < due_ns:
            return False
        self.active, self.since_ns = self._raw_level, self._raw_since_ns
        return True

    def reset(self) -> None:
        """Forget the level: it is unknown."""
        self._raw_level = self.active = None
