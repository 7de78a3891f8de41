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

from drivers.catalog import ptz_module
from drivers.contracts import Ptz, Range
from drivers.ptz.fake import FakeHead
from drivers.simulated.motion import HeadMotion, Mechanics, MotionState
from drivers.simulated.pelco_device import PelcoSide
from drivers.simulated.pty_head import PtyHead, Side
from drivers.simulated.visca_device import ViscaSide
from drivers.visca_options import Options as ViscaOptions
from tests.conftest import HeldClock

PATIENCE_S = 10.0
MECHANICS = Mechanics(
    pan_deg=Range(low=-170, high=170),
    tilt_deg=Range(low=-30, high=90),
    pan_max_deg_s=60,
    tilt_max_deg_s=40,
)
"""What every simulated head of the suite is built like; the drivers' options say the same."""


Lack = Literal["speed of goto", "answers to orders"]


class Rig(Protocol):
    """One head on the bench."""

    head: Ptz

    def pass_s(self, seconds: float) -> None:
        """Let this time go by for the head, after it has heard all that was said to it."""
        ...

    def state(self) -> MotionState:
        """Where the head is in truth; a real one is believed."""
        ...


class Bench(Protocol):
    """A kind of head, which a test sets up as often as it likes."""

    driver: str
    lacks: Sequence[Lack]
    """What its protocol has no words for."""

    def set_up(self, folder: Path) -> AbstractContextManager[Any]:
        """An open head on a rig of its own."""
        ...


class SimulatedRig:
    """A head with a held clock and a body, which knows the truth."""

    head: Ptz
    body: HeadMotion
    clock: HeldClock

    def settle(self) -> None:
        """Wait until the head has heard all that was said to it."""

    def pass_s(self, seconds: float) -> None:
        self.settle()
        self.clock.pass_s(seconds)
        self.settle()

    def state(self) -> MotionState:
        self.settle()
        return self.body.state(self.clock.now_ns)

    def silence(self, *, on: bool) -> None:
        """Whether the head is cut off, so that it neither hears nor answers."""
        wrong = msgspec.structs.replace(self.body.misbehaviour, silent=on)
        self.body.misbehave(self.clock.now_ns, wrong)


def open_head(driver: str, options: Mapping[str, Any], clock_ns: Callable[[], int]) -> Ptz:
    """A head as the agent opens it: options from a table, the module by its name."""
    module = ptz_module(driver)
    return module.open_ptz("test", msgspec.convert(options, module.Options), clock_ns)


class FakeRig(SimulatedRig):
    """The head inside the process."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.clock = HeldClock()
        head = open_head("fake", options, self.clock.boottime_ns)
        assert isinstance(head, FakeHead)
        self.head, self.body = head, head.motion


class FakeBench:
    """The fake, with these options beside the mechanics."""

    driver = "fake"
    lacks: Sequence[Lack] = ()

    def __init__(self, **options: Any) -> None:
        self._options = options

    @contextmanager
    def set_up(self, folder: Path) -> Iterator[FakeRig]:
        mechanics = {
            name: getattr(MECHANICS, name)
            for name in ("pan_deg", "tilt_deg", "pan_max_deg_s", "tilt_max_deg_s")
        }
        rig = FakeRig(msgspec.to_builtins(mechanics) | self._options)
        try:
            yield rig
        finally:
            rig.head.close()


class Babbler:
    """Something on a line that says what nobody has asked for: `left` bytes of it."""

    def __init__(self) -> None:
        self.left = 0
        self._chance = random.Random(5)

    def exchange(self, data: bytes, t_ns: int) -> bytes:
        size = min(self.left, 1024)
        self.left -= size
        return self._chance.randbytes(size)

    @property
    def owes(self) -> bool:
        return self.left > 0


class LineRig(SimulatedRig):
    """A head at the end of a serial line; `line` can be disturbed, pulled and plugged in, and
    `babbler` be made to talk on it.
    """

    def __init__(
        self, line: PtyHead, babbler: Babbler, body: HeadMotion, clock: HeldClock, head: Ptz
    ) -> None:
        self.line, self.babbler, self.body, self.clock = line, babbler, body, clock
        self.head = head

    def settle(self) -> None:
        assert self.line.settle(PATIENCE_S)


class LineBench:
    """A driver on a pseudo-terminal. `side` makes what speaks its protocol for a body, at its
    address; the driver's options are completed with the port.
    """

    def __init__(
        self,
        driver: str,
        side: Callable[[HeadMotion], Side],
        options: Mapping[str, Any],
        mechanics: Mechanics = MECHANICS,
        lacks: Sequence[Lack] = (),
    ) -> None:
        self.driver, self.side, self._options, self.mechanics = driver, side, options, mechanics
        self.lacks = lacks

    def options(self, port: Path) -> dict[str, Any]:
        return {**self._options, "port": str(port)}

    @contextmanager
    def set_up(self, folder: Path) -> Iterator[LineRig]:
        clock = HeldClock()
        body = HeadMotion(self.mechanics, clock.now_ns)
        babbler = Babbler()
        line = PtyHead(folder / "line", [self.side(body), babbler], clock.boottime_ns)
        try:
            head = open_head(self.driver, self.options(line.link), clock.boottime_ns)
            try:
                yield LineRig(line, babbler, body, clock, head)
            finally:
                head.close()
        finally:
            line.close()


class HardwareRig:
    """A real head, which takes the time it takes and is believed."""

    def __init__(self, driver: str, options: Mapping[str, Any]) -> None:
        self._passing = threading.Event()
        self.head = open_head(driver, options, lambda: clock_gettime_ns(7))  # CLOCK_BOOTTIME

    def pass_s(self, seconds: float) -> None:
        self._passing.wait(seconds)

    def state(self) -> MotionState:
        here = self.head.position()
        return MotionState(
            pan_deg=here.pose.pan_deg,
            tilt_deg=here.pose.tilt_deg,
            zoom=here.pose.zoom,
            focus=0.0,
            pan_deg_s=0.0,
            tilt_deg_s=0.0,
            zoom_s=0.0,
            moving=here.moving,
        )


class HardwareBench:
    """A head that is there."""

    lacks: Sequence[Lack] = ()

    def __init__(self, driver: str, options: Mapping[str, Any]) -> None:
        self.driver, self._options = driver, options

    @contextmanager
    def set_up(self, folder: Path) -> Iterator[HardwareRig]:
        rig = HardwareRig(self.driver, self._options)
        try:
            yield rig
        finally:
            rig.head.close()


PELCO: dict[str, Any] = {
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
RECKONED = PELCO | {"zoom_travel_s": 3, "preset_deg_s": 40}
QUERIED = PELCO | {"position": "query", "zoom_counts": {"low": 0, "high": 16384}}
UNANSWERED: tuple[Lack, ...] = ("speed of goto", "answers to orders")


VISCA: dict[str, Any] = {
    "model": "ptzoptics",
    "baud": 38400,
    "pan_max_deg_s": 60,
    "tilt_max_deg_s": 40,
    "zoom_ratio": 20,
    "focus": True,
}
VISCA_BUILD = msgspec.convert(VISCA | {"port": "/dev/null"}, ViscaOptions).build


HEADS: dict[str, Bench] = {
    "fake": FakeBench(),
    "fake bare": FakeBench(zoom_ratio=1, focus=False, presets=0, aux=[]),
    "pelco_d": LineBench("pelco_d", lambda body: PelcoSide(body, "D"), RECKONED),
    "pelco_d query": LineBench(
        "pelco_d", lambda body: PelcoSide(body, "D", receipts=True), QUERIED, lacks=UNANSWERED
    ),
    "pelco_p": LineBench("pelco_p", lambda body: PelcoSide(body, "P", 0), RECKONED),
    "pelco_p query": LineBench(
        "pelco_p", lambda body: PelcoSide(body, "P", 0, echo=True), QUERIED, lacks=UNANSWERED
    ),
    "visca": LineBench("visca", lambda body: ViscaSide([body], VISCA_BUILD), VISCA),
}
"""Every head of the suite: one line each."""
