"""The whole agent and a camera that the kernel holds: a few restarts, a requested reboot, and the
report of the next boot.
"""

import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from agent.app import box_context
from agent.app.agent import Agent
from agent.base.clock import ClockTrust, SystemClock
from agent.base.health_model import Fault
from agent.capture import camera_source
from agent.config_change.start_config import StartConfig
from agent.health.reboot_request import REBOOT_FILE
from agent.health.stuck_cameras import MAX_RUNS, MIN_UPTIME_S
from agent.runtime.sd_notify import Notifier
from drivers.contracts import Camera, StreamRequest
from drivers.errors import DriverError
from tests.machine_tree import FakeProcFs
from tests.whole.report.reporting_box import wait_until
from tests.whole.rig import CONFIG, SCENE, fake_camera_toml

MESSAGE = "process 812 is still there after SIGKILL"


class OldBoot:
    """The machine's clock, of a boot that is old enough to be ended."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._older_ns = int(MIN_UPTIME_S * 1e9)

    def boottime_ns(self) -> int:
        return self._clock.boottime_ns() + self._older_ns

    def unsteered_ns(self) -> int:
        return self._clock.unsteered_ns()

    def utc(self, t_ns: int) -> datetime:
        return self._clock.utc(t_ns - self._older_ns)

    def trust(self) -> ClockTrust:
        return self._clock.trust()


class Watchdog(Notifier):
    """systemd's end, which records the watchdog notifications."""

    def __init__(self) -> None:
        super().__init__({})
        self.lines: list[str] = []

    def _send(self, line: str) -> None:
        self.lines.append(line)


def held(_wanted: StreamRequest) -> Camera:
    """Raise the error of the driver `csi` for a child that SIGKILL does not end.

    tests/contracts/test_camera_csi.py tests how it gets there.
    """
    raise DriverError("stuck", f"camera 'north': csi 0: {MESSAGE}")


class Box:
    """The agent, as often as it starts."""

    def __init__(self, folder: Path) -> None:
        text = CONFIG.format(url="mqtt://127.0.0.1:1", camera=fake_camera_toml())
        (folder / "vigie.toml").write_text(text)
        (folder / "scene.toml").write_text(SCENE)
        self.runtime, self.state = folder / "run", folder / "state"
        self.state.mkdir()
        self._file = folder / "vigie.toml"
        self._machine = FakeProcFs(folder / "machine", self.state)

    def live(self, until: Callable[[Agent], bool]) -> tuple[tuple[Fault, ...], list[str]]:
        """One run: its faults once `until` is true for it, and its notifications to systemd."""
        clock, watchdog = OldBoot(), Watchdog()
        config, cameras = camera_source.load_sources(self._file, clock)
        agent = Agent(
            StartConfig(
                config=config, sources=(msgspec.structs.replace(cameras[0], open_main=held),)
            ),
            clock,
            random.Random(1),
            notifier=watchdog,
            machine_root=self._machine.root,
        )
        agent.start()
        try:
            wait_until(lambda: until(agent))
            watchdog.lines.clear()
            agent.supervisor.check()
            return agent.faults.active(), list(watchdog.lines)
        finally:
            assert agent.stop()


def reported(faults: tuple[Fault, ...], code: str) -> str:
    return " / ".join(fault.detail for fault in faults if fault.code == code)


def is_reported(agent: Agent) -> bool:
    return any(fault.code == "CAM-03" for fault in agent.faults.active())


@pytest.mark.raises_fault("CAM-03", "SYS-06")
def test_a_camera_stuck_in_the_kernel_costs_three_runs_and_then_a_reported_reboot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    box = Box(tmp_path)
    for number in range(1, MAX_RUNS + 1):
        faults, lines = box.live(is_reported)
        assert reported(faults, "CAM-03").endswith(
            f"{MESSAGE}; the agent restarts, {number} of {MAX_RUNS}"
        )
        assert lines == ["STATUS=stuck, waiting for a restart: north"]
        assert not (box.runtime / REBOOT_FILE).exists()
    faults, lines = box.live(is_reported)
    assert "a reboot of the board was requested" in reported(faults, "CAM-03")
    assert lines == ["WATCHDOG=1", "STATUS=running"]
    assert (box.runtime / REBOOT_FILE).exists()

    monkeypatch.setattr(box_context, "boot_id", lambda: "the next boot")
    faults, _ = box.live(is_reported)
    cause = "camera_stuck: the agent requested a reboot: camera north was stuck in the kernel"
    assert reported(faults, "SYS-06") == cause
    assert "the agent restarts, 1 of" in reported(faults, "CAM-03")
