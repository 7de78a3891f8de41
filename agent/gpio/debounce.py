"""A contact that bounces, made into one that does not. Pure: time is an argument."""


class Debounce:
    """Takes a contact for changed once its level has stood for `hold_s`.

    `active` is how it stands, None until it has stood for the first time; `since_ns` is when it
    came to stand so. A change counts from its last bounce.
    """

    def __init__(self, hold_s: float) -> None:
        self._hold_ns = round(hold_s * 1e9)
        self._raw: bool | None = None
        self._raw_ns = 0
        self.active: bool | None = None
        self.since_ns = 0

    @property
    def due_ns(self) -> int | None:
        """When to call `settle` next, None where nothing is on its way."""
        return None if self._raw == self.active else self._raw_ns + self._hold_ns

    def feed(self, t_ns: int, *, active: bool) -> bool:
        """Take a level, whether it has changed or not. True where `active` changed before it."""
        changed = self.settle(t_ns)
        if active != self._raw:
            self._raw, self._raw_ns = active, t_ns
        return changed

    def settle(self, t_ns: int) -> bool:
        """True where `active` has changed by now."""
        due_ns = self.due_ns
        if due_ns is None or t_ns < due_ns:
            return False
        self.active, self.since_ns = self._raw, self._raw_ns
        return True

    def forget(self) -> None:
        """Nobody knows any more how it stands."""
        self._raw = self.active = None
