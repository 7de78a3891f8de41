"""agent.health.monitor: each second's readings reach the level, the faults, the file and the flight
recorder.
"""

import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.base.health_model import (
    CameraHealth,
    DegradationLevel,
    HealthReport,
    MachineHealth,
    OutboxHealth,
    StageHealth,
)
from agent.base.message import Message
from agent.base.model import ClockStep
from agent.faults.registry import FaultRegistry
from agent.health import health_file
from agent.health.flight_recorder import FILE_NAME, FlightRecorder, read_pages
from agent.health.health_stage import AgentRun
from agent.health.monitor import RESTART_FAULT_NS, HealthMonitor
from agent.health.stuck_cameras import StuckCameras
from agent.reporting.payloads import Restarted
from tests.conftest import ManualClock
from tests.machine_tree import FakeProcFs

S = 1_000_000_000
OUTBOX = OutboxHealth(
    depth=3, bytes=900, oldest_age_s=1.0, lost=0, connected=True, centre_listening=True
)


class Box:
    """The condition of a box whose other parts are set by a test."""

    def __init__(
        self, folder: Path, clock: ManualClock, boot: str = "boot-1", run: str = "1"
    ) -> None:
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.machine = FakeProcFs(folder / f"machine-{run}", self.state)
        self.clock = clock
        self._boot = boot
        self.board = FaultRegistry(clock.boottime_ns)
        self.levels: list[DegradationLevel] = []
        self.clock_steps: list[ClockStep] = []
        self.reports: list[HealthReport] = []
        self.condition = HealthMonitor(
            AgentRun(id=run, boot=boot, state_dir=self.state, root=self.machine.root),
            clock,
            self.board,
            read_report=self._report,
            level_listeners=[self.levels.append],
            has_update_feed=False,
            on_clock_step=lambda step, _t_ns: self.clock_steps.append(step),
            on_report=lambda report, _t_ns: self.reports.append(report),
        )
        self.pulse, self.flight = self.condition.stages

    def pass_s(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance_s(1)
            self.pulse.check()
            self.flight.flush_if_due()

    def report_restart(self) -> Restarted | None:
        cameras = StuckCameras(self.state, self.state / "run", self.clock, self._boot)
        return self.condition.report_restart(cameras)

    def codes(self) -> set[str]:
        return {fault.code for fault in self.board.active()}

    def _report(self, machine: MachineHealth) -> HealthReport:
        late = StageHealth(
            name="record north", state="running", heartbeat_age_s=7.0, failures=0, last_error=None
        )
        camera: dict[str, Any] = dict.fromkeys(CameraHealth.__struct_fields__, 0)
        camera |= {"name": "north", "open": True, "state": "delivering", "stream_fps": 14.96}
        camera |= {"detect_fps": 9.87, "age_s": 0.1, "last_error": None, "decoding": "motion"}
        return HealthReport(
            uptime_s=1.0,
            version="1",
            stages=(late,),
            cameras=(
                CameraHealth(
                    **{
                        **camera,
                        "readings": None,
                        "ground": None,
                        "view": None,
                        "target_detect_fps": 10.0,
                        "unsupported": (),
                    }
                ),
            ),
            detectors=(),
            footage=(),
            outbox=OUTBOX,
            faults=self.board.active(),
            vitals=machine.vitals,
            disk=machine.disk,
            clock=machine.clock,
            link=msgspec.structs.replace(machine.link, round_trip_ms=31.4),
            degradation=machine.degradation,
        )


@pytest.mark.raises_fault("SYS-02", "SYS-07")
def test_heat_lowers_the_level_and_is_in_the_faults_the_file_and_the_flight_recorder(
    tmp_path: Path, clock: ManualClock
) -> None:
    box = Box(tmp_path, clock)
    box.pass_s(5)
    box.machine.set_celsius(90.0)
    box.pass_s(15)
    assert box.levels == ["record_only"]
    assert box.codes() == {"SYS-02", "SYS-07"}
    live = health_file.read(box.state / "run", "boot-1")
    assert live is not None
    assert live.report.vitals.soc_celsius == 90.0
    assert live.report in box.reports
    assert live.report.degradation is not None
    assert live.report.degradation.level == "record_only"
    last = read_pages(box.state / FILE_NAME)[-1].samples[-1]
    assert (last.level, last.soc_celsius) == ("record_only", 90.0)
    box.machine.set_celsius(60.0)
    box.pass_s(130)
    assert box.levels == ["record_only", "full"]
    assert box.codes() == set()


def test_a_flight_sample_covers_one_second(tmp_path: Path, clock: ManualClock) -> None:
    box = Box(tmp_path, clock)
    box.pass_s(20)
    last = read_pages(box.state / FILE_NAME)[-1].samples[-1]
    assert (last.round_trip_ms, last.connected, last.outbox_depth) == (31.0, True, 3)
    assert (last.stream_fps, last.detect_fps) == ({"north": 15.0}, {"north": 9.9})
    assert last.stalled_stages == ("record north",)
    assert last.memory_available_bytes == 2_048_000_000


@pytest.mark.raises_fault("SYS-06")
def test_an_unrequested_restart_is_a_fault_for_an_hour(tmp_path: Path, clock: ManualClock) -> None:
    first = Box(tmp_path, clock)
    first.pass_s(40)
    second = Box(tmp_path, clock, boot="boot-2", run="2")
    reported = second.report_restart()
    assert reported is not None
    assert (reported.cause, reported.new_boot) == ("power_cut", True)
    assert reported.last_sample is not None
    assert second.codes() == {"SYS-06"}
    second.pass_s(10)
    clock.advance_s(RESTART_FAULT_NS / S - 12)
    second.pass_s(1)
    assert second.codes() == {"SYS-06"}
    second.pass_s(2)
    assert second.codes() == set()


def test_a_first_start_reports_no_restart(tmp_path: Path, clock: ManualClock) -> None:
    box = Box(tmp_path, clock)
    assert box.report_restart() is None
    assert box.codes() == set()


def test_an_unwritable_folder_does_not_stop_the_monitor(tmp_path: Path, clock: ManualClock) -> None:
    box = Box(tmp_path, clock)
    (box.state / "run").write_text("in the way")
    box.pass_s(20)
    assert read_pages(box.state / FILE_NAME)[-1].samples
    (box.state / "run").unlink()
    box.pass_s(1)
    assert health_file.read(box.state / "run", "boot-1") is not None


def test_a_fault_change_is_written_at_once(tmp_path: Path, clock: ManualClock) -> None:
    box = Box(tmp_path, clock)
    box.pass_s(3)
    assert read_pages(box.state / FILE_NAME) == []
    box.board.raise_fault("CAM-02", "north", Message("silent"))
    box.pass_s(1)
    last = read_pages(box.state / FILE_NAME)[-1].samples
    assert len(last) == 4
    assert last[-1].faults == ("CAM-02 north",)


def test_the_monitor_keeps_its_rate_and_skips_a_long_halt(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box(tmp_path, clock)
    looked: list[int] = []
    stopping = threading.Event()

    def look() -> None:
        looked.append(clock.now_ns // 10**8)
        clock.advance_s(0.3)

    monkeypatch.setattr(box.pulse, "check", look)
    begin = clock.now_ns // 10**8
    box.pulse.run_once(stopping)
    for now in (10, 20, 95, 105):
        clock.now_ns = (begin + now) * 10**8
        box.pulse.run_once(stopping)
    assert [when - begin for when in looked] == [0, 10, 20, 95, 105]


def test_the_faults_in_a_sample_are_bounded(tmp_path: Path, clock: ManualClock) -> None:
    box = Box(tmp_path, clock)
    for number in range(100):
        box.board.raise_fault("CAM-02", f"camera-{number}", Message("silent"))
    box.pass_s(16)
    faults = read_pages(box.state / FILE_NAME)[-1].samples[-1].faults
    assert 0 < len(faults) < 100


def test_earlier_runs_are_read_before_this_run_writes(tmp_path: Path, clock: ManualClock) -> None:
    Box(tmp_path, clock).pass_s(40)
    again = FlightRecorder(tmp_path / "state", clock, "boot-1", "2")
    again.write_begin()
    assert again.previous_flight is not None
    assert again.previous_flight.last_page.run == "1"
