"""The pins of a Raspberry Pi, through gpiozero.

```toml
[gpio]
driver = "gpio"
```

Pins have the chip's numbers (BCM). An output is inactive when it is opened, and is set inactive
before it is released, also at the end of the process, except by SIGKILL. Once released it is an input
without pull: a device that must stay off then needs a resistor. gpiozero's own debouncing is not used.
"""

import atexit
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import gpiozero
import msgspec

from drivers.contracts import GpioEdge, GpioLine
from drivers.edge_queue import EdgeQueue
from drivers.errors import DriverError
from drivers.pin_factory import pin_errors

_PULL_UP = {"up": True, "down": False, "none": None}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No options: a board has one header."""


def open_gpio(
    options: Options,  # noqa: ARG001 - every driver takes some
    lines: Sequence[GpioLine],
    clock_ns: Callable[[], int],
) -> "GpiozeroPins":
    """Open the lines. Raises: DriverError as `drivers.contracts.Gpio`."""
    return GpiozeroPins(lines, clock_ns)


class GpiozeroPins:
    """Open pins of the board; see `drivers.contracts.Gpio`.

    References to gpiozero's devices are kept: a collected device releases its pin.
    """

    def __init__(self, lines: Sequence[GpioLine], clock_ns: Callable[[], int]) -> None:
        self._pid = os.getpid()
        self._clock_ns = clock_ns
        self._edges = EdgeQueue()
        self._lock = threading.Lock()
        self._inputs: dict[str, _Input] = {}
        self._outputs: dict[str, gpiozero.OutputDevice] = {}
        self._closed = False
        with ExitStack() as cleanup:
            cleanup.callback(self.close)
            for line in lines:
                with pin_errors(f"pin {line.name!r} ({line.pin})"):
                    self._open_line(line)
            cleanup.pop_all()
        # Registered after gpiozero's own, so it runs before: outputs are set while pins are open.
        atexit.register(self.close)

    @property
    def dropped_edges(self) -> int:
        """The number of edges that were dropped unread."""
        return self._edges.dropped

    def read_edge(self, timeout_s: float) -> GpioEdge | None:
        """Return the next change of an input."""
        self._check_usable()
        return self._edges.get(timeout_s)

    def wake(self) -> None:
        """Wake the reader."""
        self._edges.wake()

    def is_active(self, name: str) -> bool:
        """Return whether a line is active."""
        with self._lock, pin_errors(f"pin {name!r}"):
            self._check_usable()
            if name in self._inputs:
                return self._inputs[name].is_active
            return bool(self._find_output(name).is_active)

    def set_output(self, name: str, *, active: bool) -> None:
        """Set an output."""
        with self._lock, pin_errors(f"pin {name!r}"):
            self._check_usable()
            self._find_output(name).value = active

    def close(self) -> None:
        """Set every output inactive and release the pins. Does nothing in a forked child."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._closed = True
            for output in self._outputs.values():
                with ExitStack() as cleanup:
                    cleanup.callback(output.close)
                    output.off()
            for input_device in self._inputs.values():
                input_device.close()
            self._outputs.clear()
            self._inputs.clear()
        self._edges.wake()
        atexit.unregister(self.close)

    def _open_line(self, line: GpioLine) -> None:
        if line.direction == "in":
            self._inputs[line.name] = _Input(line, partial(self._on_change, line.name))
        else:
            self._outputs[line.name] = gpiozero.OutputDevice(
                line.pin, active_high=not line.active_low, initial_value=False
            )

    def _on_change(self, name: str, active: bool) -> None:  # noqa: FBT001 - bound by position
        """Queue an edge. Called on gpiozero's thread, which must not block."""
        self._edges.put(GpioEdge(name=name, active=active, t_ns=self._clock_ns()))

    def _find_output(self, name: str) -> gpiozero.OutputDevice:
        if name not in self._outputs:
            raise DriverError("unsupported", f"pin {name!r}: no output of this name")
        return self._outputs[name]

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise DriverError("unsupported", "pins: not usable in a fork of their process")
        if self._closed:
            raise DriverError("closed", "pins: closed")


class _Input:
    """An input. gpiozero derives its active level from the pull; it is inverted here if needed."""

    def __init__(self, line: GpioLine, on_change: Callable[[bool], None]) -> None:
        pull_up = _PULL_UP[line.pull]
        self._inverted = pull_up is not None and pull_up != line.active_low
        self._device = gpiozero.DigitalInputDevice(
            line.pin,
            pull_up=pull_up,
            active_state=not line.active_low if pull_up is None else None,
        )
        self._device.when_activated = partial(on_change, not self._inverted)
        self._device.when_deactivated = partial(on_change, self._inverted)

    @property
    def is_active(self) -> bool:
        return bool(self._device.is_active) != self._inverted

    def close(self) -> None:
        self._device.close()
