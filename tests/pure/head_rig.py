"""A head, its stage and its body under one held clock: time passes only where a test lets it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from agent.commands.requester import Requester
from agent.config.heads import HeadConfig, Sector
from agent.faults.registry import FaultRegistry
from agent.ptz.automation.mover import AutoMover
from agent.ptz.head import PtzHead
from agent.ptz.head_stage import HeadStage
from agent.ptz.presets import Preset
from drivers.contracts import Pose, PtzAbilities, PtzPosition, Range
from drivers.errors import DriverError
from drivers.ptz.fake import FakeHead, Options
from tests.conftest import HeldClock

ANNA, BRAHIM = Requester(id="anna", role="operator"), Requester(id="brahim", role="operator")
INCIDENT = Requester(id="incident 7", role="incident")
TOUR = Requester(id="tour", role="tour")
TURN_S = 0.1
BODY = Options(pan_deg=Range(low=-170, high=170))
PLAIN = HeadConfig(name="mast", driver="fake", lease_s=30, longest_move_s=20, settle_s=1)


class RecklessHead(FakeHead):
    """The same body behind a driver that only reckons: it cannot be told where to go."""

    error_deg = 0.5

    @property
    def abilities(self) -> PtzAbilities:
        return msgspec.structs.replace(super().abilities, absolute=False)

    def goto(self, pose: Pose, speed: float) -> None:
        raise DriverError("unsupported", "it has no absolute position")

    def position(self) -> PtzPosition:
        return msgspec.structs.replace(super().position(), error_deg=self.error_deg)


class Heard:
    """The course of a command that may take a while: what it ended with."""

    def __init__(self) -> None:
        self.ends: list[Callable[[], object]] = []

    def progress(self, share: float, detail: str) -> None:
        pass

    def finish(self, work: Callable[[], object]) -> None:
        self.ends.append(work)


class Rig:
    """`heads` are the drivers that were opened, the newest last. `refuse` keeps the next from
    opening.
    """

    def __init__(
        self,
        folder: Path,
        config: HeadConfig = PLAIN,
        *,
        body: Options = BODY,
        kind: type[FakeHead] = FakeHead,
        movers: Sequence[AutoMover] = (),
        forbidden: Callable[[int], tuple[Sector, ...]] = lambda _t_ns: (),
        drawn: Mapping[str, str] | None = None,
    ) -> None:
        self.clock = HeldClock()
        self.faults = FaultRegistry(self.clock.boottime_ns)
        self.heads: list[FakeHead] = []
        self.refuse: DriverError | None = None
        self.rests: list[tuple[str | None, bool]] = []
        self.noise_bytes = 0
        self._body = body
        self._kind = kind
        self.head = PtzHead(
            config,
            self._open,
            folder,
            self.clock,
            self.faults,
            movers=movers,
            forbidden=forbidden,
            drawn=drawn or {},
            on_rest=lambda preset, settled, _leeway: self.rests.append((preset, settled)),
        )
        self.stage = HeadStage(self.head, self.clock, self.faults, lambda: self.noise_bytes)
        self._go_on = threading.Event()
        self._go_on.set()

    def _open(self) -> FakeHead:
        if self.refuse is not None:
            raise self.refuse
        head = self._kind("mast", self._body, self.clock.boottime_ns)
        if self.heads:
            head.motion = self.heads[-1].motion
        self.heads.append(head)
        return head

    @property
    def pose(self) -> Pose:
        """Where the body looks, in truth."""
        return self.heads[-1].motion.state(self.clock.now_ns).pose

    @property
    def speed(self) -> float:
        """How fast the body turns, in truth."""
        state = self.heads[-1].motion.state(self.clock.now_ns)
        return max(abs(state.pan_deg_s), abs(state.tilt_deg_s))

    def turn(self) -> None:
        """One turn of the stage, which does not wait."""
        self.stage.run_once(self._go_on)

    def pass_s(self, seconds: float) -> None:
        """Let time pass, with a turn every tenth of a second."""
        end_ns = self.clock.now_ns + int(seconds * 1e9)
        while self.clock.now_ns < end_ns:
            self.clock.pass_s(TURN_S)
            self.turn()

    def started(self) -> "Rig":
        """Open, stopped and at rest."""
        self.turn()
        self.pass_s(3)
        return self

    def active(self) -> set[str]:
        return {fault.code for fault in self.faults.active()}

    def store(self, name: str, pose: Pose) -> None:
        """A preset, without going there."""
        self.head._presets.put(
            Preset(name=name, pose=pose, number=None, stored_time="", stored_by="test")
        )
