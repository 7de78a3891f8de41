"""A camera that the kernel holds: a few new starts of the agent, then a reboot of the board, and never a
box that reboots for ever.
"""

import argparse
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.capture_stage import CaptureCounts
from agent.cli import boot_good
from agent.faults.registry import FaultRegistry
from agent.health.camera_watchdog import LOST_AFTER_S, CameraWatchdog, WatchedCamera
from agent.health.flight_recorder import FlightRecorder
from agent.health.restart_report import collect_evidence, restarted
from agent.health.stuck_cameras import (
    AWAY_S,
    BOOT_AT_LEAST_S,
    ENDS_WITHIN,
    EVERY_S,
    NAME,
    REBOOT,
    RUNS_MOST,
    StuckCameras,
)
from agent.health.vitals.procfs import ProcFs
from agent.runtime.sd_notify import Notifier
from agent.runtime.supervisor import Supervisor
from tests.conftest import HeldClock

OFF_S = 40.0
"""What a restart of a board takes."""


class Pole:
    """A box with a camera, of which a test says how it is. Its agent is started, ended and rebooted."""

    def __init__(self, folder: Path, clock: HeldClock) -> None:
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
                    name="north", counts=self._counts, on_look=lambda _t_ns, _last_ns: None
                )
            ],
            self.faults,
            self.clock,
            lambda: None,
            30,
            self.cameras,
        )

    def live_s(self, seconds: float, step_s: float = 1.0) -> None:
        """Rounds go on."""
        for _ in range(int(seconds / step_s)):
            self.clock.pass_s(step_s)
            self.rounds.check()

    def reboot(self, off_s: float = OFF_S) -> None:
        self.clock.boot_utc = self.clock.utc(self.clock.now_ns) + timedelta(seconds=off_s)
        self.clock.now_ns = 0
        self.boot += 1
        (self.runtime / REBOOT).unlink(missing_ok=True)
        self.start()

    @property
    def asks(self) -> bool:
        """Whether it has asked for a reboot."""
        return (self.runtime / REBOOT).exists()

    def told(self) -> str | None:
        """The detail of CAM-03."""
        found = [fault.detail for fault in self.faults.active() if fault.code == "CAM-03"]
        return found[0] if found else None

    def _counts(self) -> CaptureCounts:
        return CaptureCounts(
            open=not self.stuck and self.last_ns is not None,
            packets=0,
            frames=0,
            reopened=0,
            last_ns=self.last_ns,
            last_error="process 812 is still there after SIGKILL" if self.stuck else None,
            stuck=self.stuck,
        )


@pytest.fixture
def pole(tmp_path: Path, clock: HeldClock) -> Pole:
    made = Pole(tmp_path, clock)
    made.clock.pass_s(BOOT_AT_LEAST_S)
    return made


@pytest.mark.raises_fault("CAM-03")
def test_some_runs_of_the_agent_are_given_up_then_a_reboot_is_asked_for_and_said(
    pole: Pole,
) -> None:
    pole.stuck = True
    for run in range(1, RUNS_MOST + 1):
        pole.live_s(3)
        assert pole.cameras.wants_restart("north")
        assert pole.told() == (
            f"process 812 is still there after SIGKILL; the agent is to start anew, {run} of 3"
        )
        assert not pole.asks
        pole.start()
    pole.live_s(2)
    assert pole.asks
    assert not pole.cameras.wants_restart("north")
    assert str(pole.told()).endswith("; a reboot of the board was asked for 0 min ago")


def test_an_agent_that_nobody_restarts_asks_after_a_while(pole: Pole) -> None:
    pole.stuck = True
    pole.live_s(AWAY_S)
    assert not pole.asks
    pole.live_s(1)
    assert pole.asks


def test_a_camera_that_is_refused_after_it_was_stuck_is_still_that_fault(pole: Pole) -> None:
    """The next run's process cannot have what the old one, in the kernel, does not let go of."""
    pole.stuck = True
    pole.live_s(2)
    pole.stuck = False
    pole.start()
    pole.live_s(LOST_AFTER_S + 1)
    assert {fault.code for fault in pole.faults.active()} == {"CAM-01", "CAM-03"}
    assert "a reboot of the board is asked for in 10 min" in str(pole.told())
    pole.live_s(AWAY_S)
    assert pole.asks


def test_a_camera_that_comes_back_is_forgiven(pole: Pole) -> None:
    for _ in range(3 * RUNS_MOST):
        pole.stuck = True
        pole.live_s(2)
        pole.stuck = False
        pole.start()
        pole.last_ns = pole.clock.now_ns
        pole.live_s(2)
        assert pole.told() is None
        assert pole.cameras.wants_restart("north")
    assert not pole.asks


def test_a_young_boot_is_not_ended_so_that_an_update_on_trial_is_decided_first(
    tmp_path: Path, clock: HeldClock
) -> None:
    pole = Pole(tmp_path, clock)
    pole.stuck = True
    for _ in range(RUNS_MOST + 1):
        pole.live_s(2)
        pole.start()
    pole.live_s(BOOT_AT_LEAST_S - clock.now_ns / 1e9 - 1)
    assert not pole.asks
    assert "a reboot of the board is asked for in 0 min" in str(pole.told())
    pole.live_s(1)
    assert pole.asks


def test_boot_good_has_judged_by_then() -> None:
    parser = argparse.ArgumentParser()
    boot_good.add_parser(parser.add_subparsers())
    waits_s = parser.parse_args(["boot-good", "--config", "vigie.toml"]).within
    assert 2 * waits_s <= BOOT_AT_LEAST_S


def test_the_watchdog_is_fed_again_once_enough_runs_were_given_up(pole: Pole) -> None:
    lines: list[str] = []

    class Told(Notifier):
        def _send(self, line: str) -> None:
            lines.append(line)

    def supervised() -> list[str]:
        def stuck() -> list[str]:
            return ["north"] if pole.cameras.wants_restart("north") else []

        lines.clear()
        Supervisor([], Told({}), pole.clock.boottime_ns, stuck=stuck).check()
        return lines

    pole.stuck = True
    for _ in range(RUNS_MOST):
        pole.live_s(2)
        assert supervised() == ["STATUS=stuck, and waits for a restart: north"]
        pole.start()
    pole.live_s(2)
    assert supervised() == ["WATCHDOG=1", "STATUS=running"]


def test_where_it_cannot_be_written_down_no_reboot_is_asked_for(
    pole: Pole, caplog: pytest.LogCaptureFixture
) -> None:
    (pole.state / f".{NAME}.making").mkdir()
    pole.stuck = True
    pole.live_s(2 * AWAY_S)
    assert not pole.asks
    assert "cannot be asked for: the disk takes nothing" in str(pole.told())
    assert len(caplog.records) == 1


def test_a_file_that_cannot_be_read_is_set_aside(tmp_path: Path, clock: HeldClock) -> None:
    (tmp_path / NAME).write_text('{"boot": 7}')
    cameras = StuckCameras(tmp_path, tmp_path, clock, "boot-1")
    assert cameras.wants_restart("north")
    assert (tmp_path / f"{NAME}.unreadable").exists()


def test_the_next_boot_tells_why_however_the_last_one_ended(pole: Pole, tmp_path: Path) -> None:
    flight = FlightRecorder(pole.state, pole.clock, "boot-1", "run-1")
    flight.begin()
    pole.stuck = True
    pole.live_s(AWAY_S + 1)
    for ended_in_order in (False, True):
        if ended_in_order:
            flight.close()
        before = FlightRecorder(pole.state, pole.clock, "boot-2", "run-2").before
        assert before is not None
        after = StuckCameras(pole.state, pole.runtime, pole.clock, "boot-2")
        asked = after.reboot_before(before.last.boot, before.last.time)
        evidence = collect_evidence(
            before, "boot-2", pole.runtime, ProcFs(tmp_path / "none"), asked
        )
        told = restarted(before, evidence)
        assert (told.cause, told.new_boot) == ("camera_stuck", True)
        assert told.detail == "the agent asked for a reboot: the kernel held camera north"


def test_a_reboot_that_came_much_later_or_never_had_another_cause(pole: Pole) -> None:
    pole.stuck = True
    pole.live_s(AWAY_S + 1)
    ended = (pole.clock.utc(pole.clock.now_ns) + ENDS_WITHIN + timedelta(seconds=2)).isoformat()
    now = pole.clock.utc(pole.clock.now_ns).isoformat()
    after = StuckCameras(pole.state, pole.runtime, pole.clock, "boot-2")
    assert after.reboot_before("boot-1", ended) is None
    assert after.reboot_before("boot-0", now) is None
    assert after.reboot_before("boot-1", now) is not None
    assert pole.cameras.reboot_before("boot-1", now) is None, "it is this boot"


@pytest.mark.parametrize("synced", [True, False])
def test_a_camera_that_is_broken_for_good_reboots_a_box_once_in_six_hours(
    pole: Pole, synced: bool
) -> None:
    pole.clock.synced = synced
    pole.stuck = True
    asked_s: list[float] = []
    passed_s = 0.0
    while passed_s < 86_400:
        pole.live_s(10, step_s=10)
        passed_s += 10
        if pole.asks:
            asked_s.append(passed_s)
            pole.reboot()
            passed_s += OFF_S
        elif pole.cameras.wants_restart("north"):
            pole.start()
    assert 4 <= len(asked_s) <= 5
    assert all(later - one >= EVERY_S for one, later in pairwise(asked_s))


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
def test_whatever_happens_two_reboots_are_hours_apart(
    moments: list[tuple[str, float, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pole = Pole(tmp_path_factory.mktemp("pole"), HeldClock())
    passed_s, asked_s = 0.0, -EVERY_S
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
            if pole.asks:
                assert passed_s - asked_s >= EVERY_S - 0.01  # UTC is kept in milliseconds
                assert pole.clock.now_ns / 1e9 >= BOOT_AT_LEAST_S
                asked_s = passed_s
                pole.reboot(off_s=0.0)
