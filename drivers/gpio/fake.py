"""Pins of no board, for tests and to try things out.

```toml
[gpio]
driver = "fake"
options = { chip = "fake" }
```

A chip has 28 pins, 0 to 27, and is known by its name in the whole process, as a board's is. What
lies outside is played by who asks for `chip(name)`: he puts a level on a pin, joins two of them by a
wire, or holds one as another process would. A pin keeps its level while nobody has it open.
"""

import threading
from collections.abc import Callable, Sequence

import msgspec

from drivers.contracts import Edge, Line
from drivers.edge_queue import EdgeQueue
from drivers.errors import DriverError

PINS = 28
"""As many as the 40-pin header of a Raspberry Pi has."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which chip; there is one for each name."""

    chip: str = "fake"


def open_gpio(options: Options, lines: Sequence[Line], clock_ns: Callable[[], int]) -> "FakePins":
    """Open lines of a chip. Raises DriverError: absent, busy."""
    return FakePins(chip(options.chip), lines, clock_ns)


class FakeChip:
    """The chip, seen from outside. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._levels = [False] * PINS
        self._set: dict[int, bool] = {}
        self._wires: dict[int, int] = {}
        self._held: set[int] = set()
        self._open: dict[int, tuple[FakePins, Line]] = {}

    def level(self, pin: int) -> bool:
        """The level that a pin has, True for high."""
        with self._lock:
            return self._levels[pin]

    def put(self, pin: int, *, high: bool) -> None:
        """Put a level on a pin that is an input. It stays, whatever its pull."""
        with self._lock:
            self._set[pin] = high
            self._change(pin, high=high)

    def join(self, output: int, contact: int) -> None:
        """A wire from an output to an input."""
        with self._lock:
            self._wires[output] = contact
            self.put(contact, high=self._levels[output])

    def hold(self, *pins: int) -> None:
        """Take pins as another process would; none lets go of them."""
        with self._lock:
            self._held = set(pins)

    def claim(self, line: Line, by: "FakePins") -> None:
        """Open a line. Raises DriverError."""
        what = f"pin {line.name!r} ({line.pin})"
        with self._lock:
            if not 0 <= line.pin < PINS:
                raise DriverError("absent", f"{what}: this chip has no such pin")
            if line.pin in self._held or line.pin in self._open:
                raise DriverError("busy", f"{what}: another process has it")
            self._open[line.pin] = by, line
            if line.direction == "out":
                self._change(line.pin, high=line.active_low)
            elif line.pin not in self._set and line.pull != "none":
                self._levels[line.pin] = line.pull == "up"

    def drive(self, line: Line, *, active: bool) -> None:
        """What an output does."""
        with self._lock:
            self._change(line.pin, high=active != line.active_low)

    def release(self, line: Line) -> None:
        """Close a line; its level stays."""
        with self._lock:
            del self._open[line.pin]

    def _change(self, pin: int, *, high: bool) -> None:
        if self._levels[pin] == high:
            return
        self._levels[pin] = high
        owner = self._open.get(pin)
        if owner is not None and owner[1].direction == "in":
            owner[0].told(owner[1], active=high != owner[1].active_low)
        if pin in self._wires:
            self.put(self._wires[pin], high=high)


_chips: dict[str, FakeChip] = {}
_chips_lock = threading.Lock()


def chip(name: str) -> FakeChip:
    """The chip of this name, the same one for all who ask."""
    with _chips_lock:
        return _chips.setdefault(name, FakeChip())


class FakePins:
    """Lines of a chip, open."""

    def __init__(self, chip: FakeChip, lines: Sequence[Line], clock_ns: Callable[[], int]) -> None:
        self._chip = chip
        self._clock_ns = clock_ns
        self._edges = EdgeQueue()
        self._lock = threading.Lock()
        self._lines: dict[str, Line] = {}
        self._closed = False
        try:
            for line in lines:
                chip.claim(line, self)
                self._lines[line.name] = line
        except DriverError:
            self.close()
            raise

    @property
    def dropped(self) -> int:
        """See `drivers.contracts.Gpio`, as for all that follows."""
        return self._edges.dropped

    def edge(self, timeout_s: float) -> Edge | None:
        """The next change of an input."""
        self._check()
        return self._edges.get(timeout_s)

    def wake(self) -> None:
        """Let the reader look up."""
        self._edges.wake()

    def is_active(self, name: str) -> bool:
        """How a line stands."""
        self._check()
        line = self._line(name)
        return self._chip.level(line.pin) != line.active_low

    def drive(self, name: str, *, active: bool) -> None:
        """Set an output."""
        with self._lock:
            self._check()
            line = self._line(name)
            if line.direction != "out":
                raise DriverError("unsupported", f"pin {name!r}: no output of this name")
            self._chip.drive(line, active=active)

    def close(self) -> None:
        """Set every output inactive and let go."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for line in self._lines.values():
                if line.direction == "out":
                    self._chip.drive(line, active=False)
                self._chip.release(line)
        self._edges.wake()

    def told(self, line: Line, *, active: bool) -> None:
        """The chip says that an input has changed."""
        self._edges.put(Edge(name=line.name, active=active, t_ns=self._clock_ns()))

    def _line(self, name: str) -> Line:
        if name not in self._lines:
            raise DriverError("unsupported", f"pin {name!r}: no output of this name")
        return self._lines[name]

    def _check(self) -> None:
        if self._closed:
            raise DriverError("absent", "pins: closed")
