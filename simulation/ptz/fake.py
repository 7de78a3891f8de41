"""A simulated head inside the process: it moves with time, has end stops, and faults on demand.

```toml
[[head]]
name = "mast"
driver = "fake"

[head.options]
pan_deg = { low = -170, high = 170 }
tilt_deg = { low = -30, high = 90 }
pan_max_deg_s = 60
tilt_max_deg_s = 40
ramp_s = 0.25
lag_s = 0.04
zoom_ratio = 10
zoom_travel_s = 3
focus = true
presets = 16
aux = ["wiper", "heater", "ir"]
```

Without `pan_deg` it turns without end. `stuck`, `slow`, `drift_deg_s` and `silent` inject faults: see
`simulation.heads.head_simulator.InjectedFault`.
"""

import threading
from collections.abc import Callable
from typing import Annotated

import msgspec

from drivers.contracts import Aux, Pose, PtzCapabilities, PtzPosition, Range, Velocity
from drivers.errors import DriverError
from drivers.ptz_checks import (
    check_aux,
    check_pose,
    check_preset,
    check_ranges,
    check_velocity,
)
from simulation.heads.head_simulator import (
    AxisName,
    HeadMechanics,
    HeadSimulator,
    InjectedFault,
    Seconds,
    Speed,
)

NO_ANSWER_TIMEOUT_S = 0.2
"""How long a call waits for a head that does not answer."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mechanics of the head, and its injected faults."""

    pan_deg: Range | None = None
    tilt_deg: Range = Range(low=-30, high=90)
    pan_max_deg_s: Speed = 60.0
    tilt_max_deg_s: Speed = 40.0
    ramp_s: Speed = 0.25
    lag_s: Seconds = 0.04
    zoom_ratio: Annotated[float, msgspec.Meta(ge=1, le=100)] = 10.0
    zoom_travel_s: Speed = 3.0
    focus: bool = True
    presets: Annotated[int, msgspec.Meta(ge=0, le=255)] = 16
    aux: tuple[Aux, ...] = ("wiper", "heater", "ir")
    stuck: tuple[AxisName, ...] = ()
    slow: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    drift_deg_s: float = 0.0
    silent: bool = False

    def __post_init__(self) -> None:
        """Refuse empty ranges."""
        check_ranges(self, "pan_deg", "tilt_deg")


def open_ptz(name: str, options: Options, clock_ns: Callable[[], int]) -> "FakeHead":
    """Return a new head, at rest at pan 0, tilt 0, wide."""
    return FakeHead(name, options, clock_ns)


class FakeHead:
    """The head. `simulator` is its mechanics, which has the true position and injects faults."""

    def __init__(self, name: str, options: Options, clock_ns: Callable[[], int]) -> None:
        self._display_name = f"head {name!r}: fake"
        self._clock_ns = clock_ns
        self._closed = threading.Event()
        self._capabilities = PtzCapabilities(
            absolute=True,
            pan_deg=options.pan_deg,
            tilt_deg=options.tilt_deg,
            pan_max_deg_s=options.pan_max_deg_s,
            tilt_max_deg_s=options.tilt_max_deg_s,
            zoom_ratio=options.zoom_ratio,
            focus=options.focus,
            presets=options.presets,
            aux=options.aux,
        )
        mechanics = HeadMechanics(
            pan_deg=options.pan_deg,
            tilt_deg=options.tilt_deg,
            pan_max_deg_s=options.pan_max_deg_s,
            tilt_max_deg_s=options.tilt_max_deg_s,
            ramp_s=options.ramp_s,
            lag_s=options.lag_s,
            zoom_travel_s=options.zoom_travel_s,
        )
        injected_fault = InjectedFault(
            stuck=options.stuck,
            slow=options.slow,
            drift_deg_s=options.drift_deg_s,
            silent=options.silent,
        )
        self.simulator = HeadSimulator(mechanics, clock_ns(), injected_fault)

    @property
    def capabilities(self) -> PtzCapabilities:
        """The capabilities that the options declare."""
        return self._capabilities

    def move(self, velocity: Velocity) -> None:
        """Move at this velocity from now on."""
        check_velocity(self._display_name, self._capabilities, velocity)
        self._check_answering()
        self.simulator.move(self._clock_ns(), velocity)

    def stop(self) -> None:
        """Stop all motion."""
        self._check_answering()
        self.simulator.stop(self._clock_ns())

    def goto(self, pose: Pose, speed: float) -> None:
        """Begin to go to a pose."""
        check_pose(self._display_name, self._capabilities, pose)
        self._check_answering()
        self.simulator.goto(self._clock_ns(), pose, speed)

    def read_position(self) -> PtzPosition:
        """Return the position, without error."""
        self._check_answering()
        t_ns = self._clock_ns()
        state = self.simulator.state_at(t_ns)
        return PtzPosition(pose=state.pose, error_deg=0.0, moving=state.moving, t_ns=t_ns)

    def store_preset(self, number: int) -> None:
        """Store the present position."""
        check_preset(self._display_name, self._capabilities, number)
        self._check_answering()
        self.simulator.store_preset(self._clock_ns(), number)

    def goto_preset(self, number: int) -> None:
        """Begin to go to a stored position; without one nothing happens."""
        check_preset(self._display_name, self._capabilities, number)
        self._check_answering()
        self.simulator.goto_preset(self._clock_ns(), number)

    def set_aux(self, aux: Aux, *, on: bool) -> None:
        """Switch the wiper, the heater or the lamp."""
        check_aux(self._display_name, self._capabilities, aux)
        self._check_answering()
        self.simulator.set_aux(aux, on=on)

    def close(self) -> None:
        """Stop. A second call does nothing."""
        if not self._closed.is_set():
            self._closed.set()
            if not self.simulator.injected_fault.silent:
                self.simulator.stop(self._clock_ns())

    def unplug(self) -> None:
        """Lose the line: the head keeps moving."""
        self._closed.set()

    def _check_answering(self) -> None:
        """Raises: DriverError `timeout` if the head is silent, `closed` after `close`."""
        if not self._closed.is_set() and self.simulator.injected_fault.silent:
            self._closed.wait(NO_ANSWER_TIMEOUT_S)
            if not self._closed.is_set():
                raise DriverError(
                    "timeout", f"{self._display_name}: no answer within {NO_ANSWER_TIMEOUT_S} s"
                )
        if self._closed.is_set():
            raise DriverError("closed", f"{self._display_name}: is closed")
