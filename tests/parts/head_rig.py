"""A head, its stage and its body under one held clock: time passes only where a test lets it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from agent.base.model import ShiftTolerance
from agent.commands.command import CommandProgressSink
from agent.commands.requester import Requester
from agent.config.heads import ForbiddenSector, HeadConfig
from agent.faults.registry import FaultRegistry
from agent.ptz.connection import HeadConnection
from agent.ptz.head import MountedCamera, PtzHead
from agent.ptz.head_stage import HeadStage
from agent.ptz.movers import AutoMover
from agent.ptz.preset_store import Preset
from drivers.contracts import Pose, Ptz, PtzCapabilities, PtzPosition, Range
from drivers.errors import DriverError
from simulation.ptz.fake import FakeHead, Options
from tests.conftest import ManualClock

ANNA, BRAHIM = Requester(id="anna", role="operator"), Requester(id="brahim", role="operator")
INCIDENT = Requester(id="incident 7", role="incident")
TOUR = Requester(id="tour", role="tour")
STAGE_INTERVAL_S = 0.1
HEAD_OPTIONS = Options(pan_deg=Range(low=-170, high=170))
PLAIN_CONFIG = HeadConfig(name="mast", driver="fake", lease_s=30, max_move_s=20, settle_s=1)


class ReckoningHead(FakeHead):
    """The same body behind a driver with dead reckoning only: it has no absolute moves."""

    error_deg = 0.5

    @property
    def capabilities(self) -> PtzCapabilities:
        return msgspec.structs.replace(super().capabilities, absolute=False)

    def goto(self, pose: Pose, speed: float) -> None:
        raise DriverError("unsupported", "it has no absolute position")

    def read_position(self) -> PtzPosition:
        return msgspec.structs.replace(super().read_position(), error_deg=self.error_deg)


class RecordingProgressSink(CommandProgressSink):
    """The course of a command that may take a while: what it ended with."""

    def __init__(self) -> None:
        self.finishers: list[Callable[[], object]] = []

    def report_progress(self, fraction: float, detail: str) -> None:
        pass

    def finish(self, make_result: Callable[[], object]) -> None:
        self.finishers.append(make_result)


class HeadRig:
    """`opened_heads` are the drivers that were opened, the newest last. `open_error` keeps the next from
    opening. `open_driver` opens another driver, which has no simulated body here.
    """

    def __init__(
        self,
        folder: Path,
        config: HeadConfig = PLAIN_CONFIG,
        *,
        head_options: Options = HEAD_OPTIONS,
        head_class: type[FakeHead] = FakeHead,
        movers: Sequence[AutoMover] = (),
        forbidden: Callable[[int], tuple[ForbiddenSector, ...]] = lambda _t_ns: (),
        masked_presets: Mapping[str, str] | None = None,
        open_driver: Callable[[Callable[[], int]], Ptz] | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.faults = FaultRegistry(self.clock.boottime_ns)
        self.opened_heads: list[FakeHead] = []
        self.open_error: DriverError | None = None
        self.rest_reports: list[tuple[str | None, bool]] = []
        self.orders_at_rest_reports: list[int] = []
        self.noise_bytes = 0
        self._head_options = head_options
        self._head_class = head_class
        self._open_driver = open_driver
        self.head = PtzHead(
            config,
            HeadConnection(config.name, self._open, self.faults),
            folder,
            self.clock,
            camera=MountedCamera(
                masked_scenes=masked_presets or {},
                on_rest_change=self.on_rest_change,
            ),
            dynamic_sectors=forbidden,
        )
        for mover in movers:
            self.head.movers.add(mover)
        self.stage = HeadStage(self.head, self.clock, self.faults, lambda: self.noise_bytes)
        self._stopping = threading.Event()
        self._stopping.set()

    def on_rest_change(
        self, preset: str | None, settled: bool, _tolerance: ShiftTolerance | None
    ) -> None:
        self.rest_reports.append((preset, settled))
        heads = self.opened_heads[-1:]
        self.orders_at_rest_reports.append(sum(head.simulator.order_count for head in heads))

    def _open(self) -> Ptz:
        if self.open_error is not None:
            raise self.open_error
        if self._open_driver is not None:
            return self._open_driver(self.clock.boottime_ns)
        head = self._head_class("mast", self._head_options, self.clock.boottime_ns)
        if self.opened_heads:
            head.simulator = self.opened_heads[-1].simulator
        self.opened_heads.append(head)
        return head

    @property
    def pose(self) -> Pose:
        """Return the true pose of the simulated body."""
        return self.opened_heads[-1].simulator.state_at(self.clock.now_ns).pose

    @property
    def speed(self) -> float:
        """How fast the body turns, in truth."""
        state = self.opened_heads[-1].simulator.state_at(self.clock.now_ns)
        return max(abs(state.pan_deg_s), abs(state.tilt_deg_s))

    def run_stage(self) -> None:
        """One turn of the stage, which does not wait."""
        self.stage.run_once(self._stopping)

    def advance_s(self, seconds: float) -> None:
        """Let time pass, with a turn every tenth of a second."""
        end_ns = self.clock.now_ns + int(seconds * 1e9)
        while self.clock.now_ns < end_ns:
            self.clock.advance_s(STAGE_INTERVAL_S)
            self.run_stage()

    def start(self) -> "HeadRig":
        """Open, stopped and at rest."""
        self.run_stage()
        self.advance_s(3)
        return self

    def active_fault_codes(self) -> set[str]:
        return {fault.code for fault in self.faults.active()}

    def store_preset(self, name: str, pose: Pose, number: int | None = None) -> None:
        """A preset, without going there."""
        self.head._preset_store.save(
            Preset(name=name, pose=pose, number=number, stored_time="", stored_by="test")
        )
