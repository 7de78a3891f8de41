"""Heads for the contract suite: what moves them, what knows the truth, what breaks their line.

A driver on a serial line joins the suite with one line in `HEADS`: its name, what speaks its
protocol at the far end, and its options.
"""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import clock_gettime_ns
from typing import Any, Literal, Protocol

import msgspec

from drivers.catalog import load_ptz_driver
from drivers.contracts import Ptz, Range
from drivers.visca_options import Options as ViscaOptions
from simulation.heads.head_simulator import HeadMechanics, HeadSimulator, MotionState
from simulation.heads.pelco_device import PelcoDevice
from simulation.heads.pty_serial_line import PtySerialLine, SimulatedDevice
from simulation.heads.visca_device import ViscaCameraChain
from simulation.ptz.fake import FakeHead
from tests.conftest import ManualClock

IDLE_TIMEOUT_S = 60.0
MECHANICS = HeadMechanics(
    pan_deg=Range(low=-170, high=170),
    tilt_deg=Range(low=-30, high=90),
    pan_max_deg_s=60,
    tilt_max_deg_s=40,
)
"""The mechanics of every simulated head of the suite; the drivers' options describe the same ones."""


REPLY_TIMEOUT_S = 20.0
"""For a head on a line, whose device is a thread of the test: on a busy machine it replies late."""

MissingFeature = Literal["speed of goto", "answers to orders"]


class HeadRig(Protocol):
    """One head on the bench."""

    head: Ptz

    def advance_s(self, seconds: float) -> None:
        """Advance the head's time, after it has received everything that was sent to it."""
        ...

    def state(self) -> MotionState:
        """Return the true state of the head; a real head's report is taken as true."""
        ...


class HeadBench(Protocol):
    """A kind of head, which a test sets up as often as it likes."""

    driver: str
    missing_features: Sequence[MissingFeature]
    """The capabilities that the protocol lacks."""

    def set_up(self, folder: Path) -> AbstractContextManager[Any]:
        """An open head on a rig of its own."""
        ...


class SimulatedRig:
    """A head with a held clock and a body, which knows the truth."""

    head: Ptz
    simulator: HeadSimulator
    clock: ManualClock

    def wait_until_idle(self) -> None:
        """Wait until the head has received everything that was sent to it."""

    def advance_s(self, seconds: float) -> None:
        self.wait_until_idle()
        self.clock.advance_s(seconds)
        self.wait_until_idle()

    def state(self) -> MotionState:
        self.wait_until_idle()
        return self.simulator.state_at(self.clock.now_ns)

    def set_silent(self, *, on: bool) -> None:
        """Cut the head off, so that it neither receives nor answers."""
        injected_fault = msgspec.structs.replace(self.simulator.injected_fault, silent=on)
        self.simulator.inject_fault(self.clock.now_ns, injected_fault)


def open_head(
    driver: str,
    options: Mapping[str, Any],
    clock_ns: Callable[[], int],
    reply_timeout_s: float | None = None,
) -> Ptz:
    """A head as the agent opens it: options from a table, the module by its name. A reply may take longer than a table can say."""
    module = load_ptz_driver(driver)
    converted = msgspec.convert(options, module.Options)
    if reply_timeout_s is not None and "reply_timeout_s" in converted.__struct_fields__:
        converted = msgspec.structs.replace(converted, reply_timeout_s=reply_timeout_s)
    return module.open_ptz("test", converted, clock_ns)


class FakeHeadRig(SimulatedRig):
    """The head inside the process."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.clock = ManualClock()
        head = open_head("fake", options, self.clock.boottime_ns)
        assert isinstance(head, FakeHead)
        self.head, self.simulator = head, head.simulator


class FakeHeadBench:
    """The fake, with these options in addition to the mechanics."""

    driver = "fake"
    missing_features: Sequence[MissingFeature] = ()

    def __init__(self, **options: Any) -> None:
        self._options = options

    @contextmanager
    def set_up(self, folder: Path) -> Iterator[FakeHeadRig]:
        mechanics = {
            name: getattr(MECHANICS, name)
            for name in ("pan_deg", "tilt_deg", "pan_max_deg_s", "tilt_max_deg_s")
        }
        rig = FakeHeadRig(msgspec.to_builtins(mechanics) | self._options)
        try:
            yield rig
        finally:
            rig.head.close()


class NoiseSource:
    """A device on the line that sends unrequested bytes: `left` bytes of them."""

    def __init__(self) -> None:
        self.bytes_left = 0
        self._rng = random.Random(5)

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        size = min(self.bytes_left, 1024)
        self.bytes_left -= size
        return self._rng.randbytes(size)

    @property
    def has_pending_output(self) -> bool:
        return self.bytes_left > 0


class SerialHeadRig(SimulatedRig):
    """A head at the end of a serial line; `line` can be disturbed, pulled and plugged in, and
    `babbler` be made to talk on it.
    """

    def __init__(
        self,
        line: PtySerialLine,
        noise_source: NoiseSource,
        simulator: HeadSimulator,
        clock: ManualClock,
        head: Ptz,
    ) -> None:
        self.line, self.noise_source, self.simulator, self.clock = (
            line,
            noise_source,
            simulator,
            clock,
        )
        self.head = head

    def wait_until_idle(self) -> None:
        assert self.line.wait_until_idle(IDLE_TIMEOUT_S)


class SerialHeadBench:
    """A driver on a pseudo-terminal. `side` makes what speaks its protocol for a body, at its
    address; the driver's options are completed with the port.
    """

    def __init__(
        self,
        driver: str,
        make_device: Callable[[HeadSimulator], SimulatedDevice],
        options: Mapping[str, Any],
        mechanics: HeadMechanics = MECHANICS,
        missing_features: Sequence[MissingFeature] = (),
    ) -> None:
        self.driver, self.make_device, self._options, self.mechanics = (
            driver,
            make_device,
            options,
            mechanics,
        )
        self.missing_features = missing_features

    def options(self, port: Path) -> dict[str, Any]:
        return {**self._options, "port": str(port)}

    @contextmanager
    def set_up(self, folder: Path) -> Iterator[SerialHeadRig]:
        clock = ManualClock()
        simulator = HeadSimulator(self.mechanics, clock.now_ns)
        noise_source = NoiseSource()
        line = PtySerialLine(
            folder / "line", [self.make_device(simulator), noise_source], clock.boottime_ns
        )
        try:
            head = open_head(
                self.driver, self.options(line.link), clock.boottime_ns, REPLY_TIMEOUT_S
            )
            try:
                yield SerialHeadRig(line, noise_source, simulator, clock, head)
            finally:
                head.close()
        finally:
            line.close()


class HardwareRig:
    """A real head, which takes the time it takes and is believed."""

    def __init__(self, driver: str, options: Mapping[str, Any]) -> None:
        self._never_set = threading.Event()
        self.head = open_head(driver, options, lambda: clock_gettime_ns(7))  # CLOCK_BOOTTIME

    def advance_s(self, seconds: float) -> None:
        self._never_set.wait(seconds)

    def state(self) -> MotionState:
        position = self.head.read_position()
        return MotionState(
            pan_deg=position.pose.pan_deg,
            tilt_deg=position.pose.tilt_deg,
            zoom=position.pose.zoom,
            focus=0.0,
            pan_deg_s=0.0,
            tilt_deg_s=0.0,
            zoom_s=0.0,
            moving=position.moving,
        )


class HardwareBench:
    """A head that is there."""

    missing_features: Sequence[MissingFeature] = ()

    def __init__(self, driver: str, options: Mapping[str, Any]) -> None:
        self.driver, self._options = driver, options

    @contextmanager
    def set_up(self, folder: Path) -> Iterator[HardwareRig]:
        rig = HardwareRig(self.driver, self._options)
        try:
            yield rig
        finally:
            rig.head.close()


PELCO_OPTIONS: dict[str, Any] = {
    "baud": 115200,
    "pan_deg": {"low": -170, "high": 170},
    "tilt_deg": {"low": -30, "high": 90},
    "pan_max_deg_s": 60,
    "tilt_max_deg_s": 40,
    "zoom_ratio": 10,
    "focus": True,
    "presets": 32,
    "aux": {"wiper": 1, "heater": 2, "ir": 3},
}
RECKONED_OPTIONS = PELCO_OPTIONS | {"zoom_travel_s": 3, "preset_deg_s": 40}
QUERIED_OPTIONS = PELCO_OPTIONS | {
    "position": "query",
    "zoom_counts": {"low": 0, "high": 16384},
    "reply_timeout_s": 0.5,  # the longest that a table can say: a busy machine answers late
}
PELCO_MISSING: tuple[MissingFeature, ...] = ("speed of goto", "answers to orders")


VISCA_OPTIONS: dict[str, Any] = {
    "model": "ptzoptics",
    "baud": 38400,
    "pan_max_deg_s": 60,
    "tilt_max_deg_s": 40,
    "zoom_ratio": 20,
    "focus": True,
    "reply_timeout_s": 0.5,
}
VISCA_SPECS = msgspec.convert(VISCA_OPTIONS | {"port": "/dev/null"}, ViscaOptions).specs


HEADS: dict[str, HeadBench] = {
    "fake": FakeHeadBench(),
    "fake bare": FakeHeadBench(zoom_ratio=1, focus=False, presets=0, aux=[]),
    "pelco_d": SerialHeadBench("pelco_d", lambda body: PelcoDevice(body, "D"), RECKONED_OPTIONS),
    "pelco_d query": SerialHeadBench(
        "pelco_d",
        lambda body: PelcoDevice(body, "D", general_replies=True),
        QUERIED_OPTIONS,
        missing_features=PELCO_MISSING,
    ),
    "pelco_p": SerialHeadBench("pelco_p", lambda body: PelcoDevice(body, "P", 0), RECKONED_OPTIONS),
    "pelco_p query": SerialHeadBench(
        "pelco_p",
        lambda body: PelcoDevice(body, "P", 0, echoes=True),
        QUERIED_OPTIONS,
        missing_features=PELCO_MISSING,
    ),
    "visca": SerialHeadBench(
        "visca", lambda body: ViscaCameraChain([body], VISCA_SPECS), VISCA_OPTIONS
    ),
}
"""Every head of the suite: one line each."""
