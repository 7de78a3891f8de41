"""The centres that a box knows, and what each of the named ones has acknowledged.

Without names in the configuration all centres share one acknowledgement: a message that one of them has
stored is free. With names each centre has its own: a message is free once each named centre has acknowledged
it, and *settled*, so not sent for now, once each of them that is expected to acknowledge has. A centre that
has retired is not awaited.
"""

import threading
from collections.abc import Iterable
from functools import reduce

from agent.config.broker import MAX_CENTRES
from agent.reporting.outbox.schema import CentreRow
from agent.reporting.payloads import SeqRange
from agent.reporting.seq_ranges import find_range, intersect_ranges, merge_ranges

MAX_ACKED_RANGES = 1000
"""Of one centre. Beyond it the highest are forgotten: these messages are sent again."""
_Ranges = tuple[SeqRange, ...]


class Centres:
    """The rows of the outbox's table of centres. `named` are those of the configuration.

    Thread-safe. `lock` is that of the in-flight table, so that a message is settled and not sent as one step.
    """

    def __init__(self, named: tuple[str, ...], lock: threading.RLock) -> None:
        self.named = named
        self._lock = lock
        self._expected: frozenset[str] = frozenset()
        self._acked: dict[str, _Ranges] = {}
        self._retired: set[str] = set()

    @property
    def awaited(self) -> tuple[str, ...]:
        """The centres that will listen, now or later: those that are named, or else those that were heard."""
        with self._lock:
            return tuple(name for name in self.named or self._acked if name not in self._retired)

    def load(self, rows: Iterable[CentreRow]) -> _Ranges:
        """Take the rows of a database. Return the messages that are free, by this configuration."""
        with self._lock:
            self._acked, self._retired = {}, set()
            shared: _Ranges = ()
            for row in rows:
                self._acked[row.name] = row.acked if self.named else ()
                shared = merge_ranges((*shared, *row.acked))
                if row.is_retired:
                    self._retired.add(row.name)
            return self.free() if self.named else shared

    def rows(self) -> tuple[CentreRow, ...]:
        """Return the rows to store, the centre that was heard longest ago first."""
        with self._lock:
            return tuple(
                CentreRow(name=name, is_retired=name in self._retired, acked=acked)
                for name, acked in self._acked.items()
            )

    def remember(self, name: str, *, is_retired: bool) -> bool:
        """Note that a centre has announced its state. Return True if that has to be stored.

        Beyond MAX_CENTRES that are not named, one that has retired is forgotten for a new one, or the one heard
        longest ago: a broker can make up any number of them.
        """
        with self._lock:
            is_changed = name not in self._acked or is_retired != (name in self._retired)
            self._acked[name] = self._acked.pop(name, ())
            (self._retired.add if is_retired else self._retired.discard)(name)
            others = [other for other in self._acked if other not in self.named]
            if len(others) > MAX_CENTRES:
                forgotten = next((other for other in others if other in self._retired), others[0])
                del self._acked[forgotten]
                self._retired.discard(forgotten)
            return is_changed

    def may_acknowledge(self, name: str) -> bool:
        """Return True if a centre's acknowledgement counts."""
        return not self.named or name in self.named

    def acknowledge(self, name: str, ranges: _Ranges) -> _Ranges:
        """Note what a centre has acknowledged. Return the messages that are free, if there are more of them."""
        if not self.named:
            return ranges
        with self._lock:
            before = self.free()
            acked = merge_ranges((*self._acked.get(name, ()), *ranges))
            self._acked[name] = acked[:MAX_ACKED_RANGES]
            free = self.free()
            return free if free != before else ()

    def expect(self, names: frozenset[str]) -> None:
        """Set the centres that are expected to acknowledge now."""
        with self._lock:
            self._expected = names

    def acked_by(self, name: str) -> _Ranges:
        """Return the messages that a named centre has acknowledged."""
        with self._lock:
            return self._acked.get(name, ())

    def has_acked(self, name: str, seq: int) -> bool:
        """Return True if a named centre has acknowledged a message."""
        return find_range(self.acked_by(name), seq) is not None

    def free(self) -> _Ranges:
        """Return the messages that each named centre has acknowledged, except those that have retired."""
        with self._lock:
            return self._common(name for name in self.named if name not in self._retired)

    def settled(self) -> _Ranges:
        """Return the messages that each named centre has acknowledged that is expected to."""
        with self._lock:
            return self._common(name for name in self.named if name in self._expected)

    def _common(self, names: Iterable[str]) -> _Ranges:
        sets = [self._acked.get(name, ()) for name in names]
        return reduce(intersect_ranges, sets) if sets else ()
