"""agent.health.stuck_cameras: after a few restarts of the agent one reboot of the board, and never an
endless series.
"""

import argparse
import random
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.capture_stage import CaptureCounts
from agent.cli import boot_good
from agent.faults.registry import FaultRegistry
from agent.health.camera_condition import LOST_AFTER_S, CameraMonitor
from agent.health.camera_watchdog import CameraWatchdog, WatchedCamera
from agent.health.flight_recorder import FlightRecorder
from agent.health.reboot_request import REBOOT_FILE
from agent.health.restart_report import build_restart_receipt, collect_evidence
from agent.health.stuck_cameras import (
    FILE_NAME,
    MAX_AWAY_S,
    MAX_RUNS,
    MIN_REBOOT_INTERVAL_S,
    MIN_UPTIME_S,
    REBOOT_WITHIN,
    StuckCameras,
)
from agent.health.vitals.procfs import ProcFs
from agent.runtime.sd_notify import Notifier
from agent.runtime.supervisor import Supervisor
from tests.conftest import ManualClock

OFF_S = 40.0
"""The duration of a board's restart."""


class Pole:
    """A box with a camera whose state is set by a test. Its agent is started, ended and rebooted."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.state, self.runtime = folder / "state", folder / "run"
        self.state.mkdir()
        self.clock = clock
        self.boot = 1
        self.stuck = False
        self.last_ns: int | None = None
        self.start()

    def start(self) -> None:
        """A new run of the agent."""
        self.last_ns = None
        self.faults = FaultRegistry(self.clock.boottime_ns)
        self.cameras = StuckCameras(self.state, self.runtime, self.clock, f"boot-{self.boot}")
        self.rounds = CameraWatchdog(
            [
                WatchedCamera(
                    name="north",
                    monitor=CameraMonitor(self.clock.now_ns),
                    counts=self._counts,
                    on_check=lambda _t_ns, _last_ns: None,
                )
            ],
            self.faults,
            self.clock,
            self.cameras,
        )

    def live_s(self, seconds: float, step_s: float = 1.0) -> None:
        """Rounds go on."""
        for _ in range(int(seconds / step_s)):
            self.clock.advance_s(step_s)
            self.rounds.check()

    def reboot(self, off_s: float = OFF_S) -> None:
        self.clock.boot_utc = self.clock.utc(self.clock.now_ns) + timedelta(seconds=off_s)
        self.clock.now_ns = 0
        self.boot += 1
        (self.runtime / REBOOT_FILE).unlink(missing_ok=True)
        self.start()

    @property
    def requests_reboot(self) -> bool:
        """Return True if it has requested a reboot."""
        return (self.runtime / REBOOT_FILE).exists()

    def reported(self) -> str | None:
        """The detail of CAM-03."""
        found = [fault.detail for fault in self.faults.active() if fault.code == "CAM-03"]
        return found[0] if found else None

    def _counts(self) -> CaptureCounts:
        return CaptureCounts(
            is_open=not self.stuck and self.last_ns is not None,
            could_open=not self.stuck and self.last_ns is not None,
            packets=0,
            frames=0,
            reconnects=0,
            last_media_ns=self.last_ns,
            last_error="process 812 is still there after SIGKILL" if self.stuck else None,
            is_stuck=self.stuck,
        )


@pytest.fixture
def pole(tmp_path: Path, clock: ManualClock) -> Pole:
    new_pole = Pole(tmp_path, clock)
    new_pole.clock.advance_s(MIN_UPTIME_S)
    return new_pole


@pytest.mark.raises_fault("CAM-03")
def test_after_some_agent_runs_a_reboot_is_requested_and_reported(
    pole: Pole,
) -> None:
    pole.stuck = True
    for run in range(1, MAX_RUNS + 1):
        pole.live_s(3)
        assert pole.cameras.wants_restart("north")
        assert pole.reported() == (
            f"process 812 is still there after SIGKILL; the agent restarts, {run} of 3"
        )
        assert not pole.requests_reboot
        pole.start()
    pole.live_s(2)
    assert pole.requests_reboot
    assert not pole.cameras.wants_restart("north")
    assert str(pole.reported()).endswith("; a reboot of the board was requested 0 min ago")


def test_an_agent_that_is_not_restarted_requests_a_reboot_later(pole: Pole) -> None:
    pole.stuck = True
    pole.live_s(MAX_AWAY_S)
    assert not pole.requests_reboot
    pole.live_s(1)
    assert pole.requests_reboot


def test_a_camera_refused_after_being_stuck_keeps_its_fault(pole: Pole) -> None:
    """The next run's process cannot open the device that the old one, in the kernel, still holds."""
    pole.stuck = True
    pole.live_s(2)
    pole.stuck = False
    pole.start()
    pole.live_s(LOST_AFTER_S + 1)
    assert {fault.code for fault in pole.faults.active()} == {"CAM-03"}
    assert "a reboot of the board will be requested in 10 min" in str(pole.reported())
    pole.live_s(MAX_AWAY_S)
    assert pole.requests_reboot


def test_a_recovered_camera_resets_the_count(pole: Pole) -> None:
    for _ in range(3 * MAX_RUNS):
        pole.stuck = True
        pole.live_s(2)
        pole.stuck = False
        pole.start()
        pole.last_ns = pole.clock.now_ns
        pole.live_s(2)
        assert pole.reported() is None
        assert pole.cameras.wants_restart("north")
    assert not pole.requests_reboot


def test_a_recent_boot_is_not_rebooted_before_its_update_trial_ends(
    tmp_path: Path, clock: ManualClock
) -> None:
    pole = Pole(tmp_path, clock)
    pole.stuck = True
    for _ in range(MAX_RUNS + 1):
        pole.live_s(2)
        pole.start()
    pole.live_s(MIN_UPTIME_S - clock.now_ns / 1e9 - 1)
    assert not pole.requests_reboot
    assert "a reboot of the board will be requested in 0 min" in str(pole.reported())
    pole.live_s(1)
    assert pole.requests_reboot


def test_the_boot_check_has_ended_by_then() -> None:
    parser = argparse.ArgumentParser()
    boot_good.add_arguments(parser)
    waits_s = parser.parse_args(["--config", "vigie.toml"]).within
    assert 2 * waits_s <= MIN_UPTIME_S


def test_the_watchdog_is_notified_again_after_enough_runs(pole: Pole) -> None:
    lines: list[str] = []

    class RecordingNotifier(Notifier):
        def _send(self, line: str) -> None:
            lines.append(line)

    def supervised() -> list[str]:
        def stuck() -> list[str]:
            return ["north"] if pole.cameras.wants_restart("north") else []

        lines.clear()
        Supervisor(
            RecordingNotifier({}), pole.clock.boottime_ns, random.Random(1), stuck_devices=stuck
        ).check()
        return lines

    pole.stuck = True
    for _ in range(MAX_RUNS):
        pole.live_s(2)
        assert supervised() == ["STATUS=stuck, waiting for a restart: north"]
        pole.start()
    pole.live_s(2)
    assert supervised() == ["WATCHDOG=1", "STATUS=running"]


def test_without_a_written_record_no_reboot_is_requested(
    pole: Pole, caplog: pytest.LogCaptureFixture
) -> None:
    (pole.state / f".{FILE_NAME}.making").mkdir()
    pole.stuck = True
    pole.live_s(2 * MAX_AWAY_S)
    assert not pole.requests_reboot
    assert "cannot be requested: the disk cannot be written" in str(pole.reported())
    assert len(caplog.records) == 1


def test_a_restart_that_cannot_be_counted_is_not_wanted(pole: Pole) -> None:
    """The next run would want it again: on a full disk the agent would restart without end."""
    obstacle = pole.state / f".{FILE_NAME}.making"
    obstacle.mkdir()
    pole.stuck = True
    for _ in range(2 * MAX_RUNS):
        pole.live_s(2)
        assert not pole.cameras.wants_restart("north")
        pole.start()
    obstacle.rmdir()
    for _ in range(MAX_RUNS):
        pole.live_s(3)
        assert pole.cameras.wants_restart("north")
        pole.start()
    pole.live_s(2)
    assert not pole.cameras.wants_restart("north")


def test_an_unreadable_state_file_is_set_aside(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / FILE_NAME).write_text('{"boot": 7}')
    cameras = StuckCameras(tmp_path, tmp_path, clock, "boot-1")
    assert cameras.wants_restart("north")
    assert (tmp_path / f"{FILE_NAME}.unreadable").exists()


def test_the_next_boot_reports_the_cause_of_the_reboot(pole: Pole, tmp_path: Path) -> None:
    flight = FlightRecorder(pole.state, pole.clock, "boot-1", "run-1")
    flight.write_begin()
    pole.stuck = True
    pole.live_s(MAX_AWAY_S + 1)
    for ended_in_order in (False, True):
        if ended_in_order:
            flight.close()
        before = FlightRecorder(pole.state, pole.clock, "boot-2", "run-2").previous_flight
        assert before is not None
        after = StuckCameras(pole.state, pole.runtime, pole.clock, "boot-2")
        requested = after.previous_reboot_reason(before.last_page.boot, before.last_page.time)
        evidence = collect_evidence(
            before, "boot-2", pole.runtime, ProcFs(tmp_path / "none"), requested
        )
        reported = build_restart_receipt(before, evidence)
        assert (reported.cause, reported.new_boot) == ("camera_stuck", True)
        assert (
            reported.detail == "the agent requested a reboot: camera north was stuck in the kernel"
        )


def test_a_much_later_reboot_has_another_cause(pole: Pole) -> None:
    pole.stuck = True
    pole.live_s(MAX_AWAY_S + 1)
    ended = (pole.clock.utc(pole.clock.now_ns) + REBOOT_WITHIN + timedelta(seconds=2)).isoformat()
    now = pole.clock.utc(pole.clock.now_ns).isoformat()
    after = StuckCameras(pole.state, pole.runtime, pole.clock, "boot-2")
    assert after.previous_reboot_reason("boot-1", ended) is None
    assert after.previous_reboot_reason("boot-0", now) is None
    assert after.previous_reboot_reason("boot-1", now) is not None
    assert pole.cameras.previous_reboot_reason("boot-1", now) is None, "it is this boot"


@pytest.mark.parametrize("synced", [True, False])
def test_a_permanently_broken_camera_reboots_a_box_once_in_six_hours(
    pole: Pole, synced: bool
) -> None:
    pole.clock.synced = synced
    pole.stuck = True
    requested_s: list[float] = []
    passed_s = 0.0
    while passed_s < 86_400:
        pole.live_s(10, step_s=10)
        passed_s += 10
        if pole.requests_reboot:
            requested_s.append(passed_s)
            pole.reboot()
            passed_s += OFF_S
        elif pole.cameras.wants_restart("north"):
            pole.start()
    assert 4 <= len(requested_s) <= 5
    assert all(later - one >= MIN_REBOOT_INTERVAL_S for one, later in pairwise(requested_s))


@given(
    moments=st.lists(
        st.tuples(
            st.sampled_from(["stuck", "well", "restart", "power cut"]),
            st.sampled_from([5.0, 60.0, 700.0, 4000.0, 20_000.0]),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_reboots_are_always_hours_apart(
    moments: list[tuple[str, float, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pole = Pole(tmp_path_factory.mktemp("pole"), ManualClock())
    passed_s, requested_s = 0.0, -MIN_REBOOT_INTERVAL_S
    for what, lasts_s, pole.clock.synced in moments:
        if what in ("stuck", "well"):
            pole.stuck = what == "stuck"
        elif what == "restart":
            pole.start()
        else:
            pole.reboot(off_s=0.0)
        for _ in range(3):
            if not pole.stuck:
                pole.last_ns = pole.clock.now_ns
            pole.live_s(lasts_s / 3, step_s=lasts_s / 3)
            passed_s += lasts_s / 3
            if pole.requests_reboot:
                assert (
                    passed_s - requested_s >= MIN_REBOOT_INTERVAL_S - 0.01
                )  # UTC is kept in milliseconds
                assert pole.clock.now_ns / 1e9 >= MIN_UPTIME_S
                requested_s = passed_s
                pole.reboot(off_s=0.0)
