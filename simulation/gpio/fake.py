"""Simulated pins, for tests and trials without a board.

```toml
[gpio]
driver = "fake"
options = { chip = "fake" }
```

A chip has 28 pins, 0 to 27, and is known by its name in the whole process, as a board's is. A test
uses `fake_chip(name)` as the outside world: it puts a level on a pin, connects two of them by a wire,
or reserves one as another process would. A pin that is not open keeps its level.
"""

import threading
from collections.abc import Callable, Sequence

import msgspec

from drivers.contracts import GpioEdge, GpioLine
from drivers.edge_queue import EdgeQueue
from drivers.errors import DriverError

PIN_COUNT = 28
"""As many as the 40-pin header of a Raspberry Pi has."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The name of the chip; there is one for each name."""

    chip: str = "fake"


def open_gpio(
    options: Options, lines: Sequence[GpioLine], clock_ns: Callable[[], int]
) -> "FakePins":
    """Open lines of a chip. Raises: DriverError `absent`, `busy`."""
    return FakePins(fake_chip(options.chip), lines, clock_ns)


class FakeChip:
    """The chip, seen from outside. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._levels = [False] * PIN_COUNT
        self._external_levels: dict[int, bool] = {}
        self._wires: dict[int, int] = {}
        self._reserved: set[int] = set()
        self._claims: dict[int, tuple[FakePins, GpioLine]] = {}

    def read_level(self, pin: int) -> bool:
        """Return the level of a pin, True for high."""
        with self._lock:
            return self._levels[pin]

    def set_level(self, pin: int, *, high: bool) -> None:
        """Put a level on an input pin. It stays, whatever its pull."""
        with self._lock:
            self._external_levels[pin] = high
            self._apply_level(pin, high=high)

    def connect(self, output: int, input_pin: int) -> None:
        """Connect an output to an input."""
        with self._lock:
            self._wires[output] = input_pin
            self.set_level(input_pin, high=self._levels[output])

    def reserve(self, *pins: int) -> None:
        """Reserve these pins, as another process would, and free all others; none frees all."""
        with self._lock:
            self._reserved = set(pins)

    def claim(self, line: GpioLine, pins: "FakePins") -> None:
        """Open a line. Raises: DriverError."""
        display_name = f"pin {line.name!r} ({line.pin})"
        with self._lock:
            if not 0 <= line.pin < PIN_COUNT:
                raise DriverError("absent", f"{display_name}: this chip has no such pin")
            if line.pin in self._reserved or line.pin in self._claims:
                raise DriverError("busy", f"{display_name}: another process has it")
            self._claims[line.pin] = pins, line
            if line.direction == "out":
                self._apply_level(line.pin, high=line.active_low)
            elif line.pin not in self._external_levels and line.pull != "none":
                self._levels[line.pin] = line.pull == "up"

    def set_output(self, line: GpioLine, *, active: bool) -> None:
        """Set an output."""
        with self._lock:
            self._apply_level(line.pin, high=active != line.active_low)

    def release(self, line: GpioLine) -> None:
        """Close a line; its level stays."""
        with self._lock:
            del self._claims[line.pin]

    def _apply_level(self, pin: int, *, high: bool) -> None:
        if self._levels[pin] == high:
            return
        self._levels[pin] = high
        owner = self._claims.get(pin)
        if owner is not None and owner[1].direction == "in":
            owner[0].on_change(owner[1], active=high != owner[1].active_low)
        if pin in self._wires:
            self.set_level(self._wires[pin], high=high)


_chips: dict[str, FakeChip] = {}
_chips_lock = threading.Lock()


def fake_chip(name: str) -> FakeChip:
    """Return the chip of a name, the same one for each call."""
    with _chips_lock:
        return _chips.setdefault(name, FakeChip())


class FakePins:
    """Open lines of a chip; see `drivers.contracts.Gpio`."""

    def __init__(
        self, chip: FakeChip, lines: Sequence[GpioLine], clock_ns: Callable[[], int]
    ) -> None:
        self._chip = chip
        self._clock_ns = clock_ns
        self._edges = EdgeQueue()
        self._lock = threading.Lock()
        self._lines: dict[str, GpioLine] = {}
        self._closed = False
        try:
            for line in lines:
                chip.claim(line, self)
                self._lines[line.name] = line
        except DriverError:
            self.close()
            raise

    @property
    def dropped_edges(self) -> int:
        """The number of edges that were dropped unread."""
        return self._edges.dropped

    def read_edge(self, timeout_s: float) -> GpioEdge | None:
        """Return the next change of an input."""
        self._check_open()
        return self._edges.get(timeout_s)

    def wake(self) -> None:
        """Wake the reader."""
        self._edges.wake()

    def is_active(self, name: str) -> bool:
        """Return whether a line is active."""
        self._check_open()
        line = self._find_line(name)
        return self._chip.read_level(line.pin) != line.active_low

    def set_output(self, name: str, *, active: bool) -> None:
        """Set an output."""
        with self._lock:
            self._check_open()
            line = self._find_line(name)
            if line.direction != "out":
                raise DriverError("unsupported", f"pin {name!r}: no output of this name")
            self._chip.set_output(line, active=active)

    def close(self) -> None:
        """Set every output inactive and release the lines."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for line in self._lines.values():
                if line.direction == "out":
                    self._chip.set_output(line, active=False)
                self._chip.release(line)
        self._edges.wake()

    def on_change(self, line: GpioLine, *, active: bool) -> None:
        """Queue a change of an input. Called by the chip."""
        self._edges.put(GpioEdge(name=line.name, active=active, t_ns=self._clock_ns()))

    def _find_line(self, name: str) -> GpioLine:
        if name not in self._lines:
            raise DriverError("unsupported", f"pin {name!r}: no output of this name")
        return self._lines[name]

    def _check_open(self) -> None:
        if self._closed:
            raise DriverError("closed", "pins: closed")
