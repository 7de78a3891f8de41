"""agent.console.checks: no check calls good what it has not seen to be good."""

import re
from pathlib import Path

import msgspec
import pytest

from agent.health import health_file
from tests.conftest import ManualClock
from tests.parts.console_rig import ConsoleRig, make_health_report


@pytest.fixture
def rig(clock: ManualClock, tmp_path: Path) -> ConsoleRig:
    return ConsoleRig(clock, tmp_path)


def test_a_round_of_checks_names_what_is_unknown_instead_of_calling_it_good(
    rig: ConsoleRig,
) -> None:
    rig.clock.synced = False
    rig.centre_listening = False
    screen = " ".join(rig.run_logged_in("check 1 3 10 15").split())
    assert "No check failed. Unknown: 1 supply, 1 heat, 1 load, 3 clock, 15 centre." in screen


def test_checks_of_parts_that_the_box_does_not_have_are_not_unknown(rig: ConsoleRig) -> None:
    screen = rig.run_logged_in("check 10 16")
    assert "pins: none is configured" in screen
    assert "Unknown" not in screen


def test_failing_checks_come_before_the_others_and_keep_their_numbers(rig: ConsoleRig) -> None:
    rig.faults = ("CAM-01", "GPI-02")
    screen = rig.run_logged_in("check 1 6 8 10 16")
    found = re.findall(r"^ ?(\d+) (pass|FAIL| - )", screen.replace("\r", "\n"), re.MULTILINE)
    assert [number for number, _ in found] == ["6", "10", "1", "8", "16"]
    assert "Failed: check 6, 10." in screen


def test_a_round_of_checks_shows_which_check_runs(rig: ConsoleRig) -> None:
    assert "check 8, receipts ..." in rig.run_logged_in("check 8 16")
    assert "..." not in rig.run_logged_in("check 8")


def test_the_status_begins_with_the_faults(rig: ConsoleRig) -> None:
    rig.faults = ("CAM-01",)
    screen = rig.run_logged_in("status")
    assert screen.index("Faults: 1") < screen.index("CAM-01") < screen.index("Camera north")


def test_the_status_shows_volts_amperes_and_battery_time_also_of_a_dead_agent(
    rig: ConsoleRig,
) -> None:
    folder = rig.root / "sys/class/power_supply/ups"
    folder.mkdir(parents=True)
    for name, text in (("voltage_now", "12340000"), ("time_to_empty_now", "5400")):
        (folder / name).write_text(f"{text}\n")
    rig.kill_agent()
    screen = " ".join(rig.run_logged_in("status").split())
    assert "Supply ups 12.34 V, 1 h 30 min left" in screen


def run_with_footage(rig: ConsoleRig, *, oldest_utc: str | None, state: str) -> str:
    """Return the screen of check 7 for a report of one camera with this footage and state."""
    report = make_health_report()
    footage = msgspec.structs.replace(
        report.footage[0], oldest_utc=oldest_utc, bytes=12_000_000 if oldest_utc else 0
    )
    camera = msgspec.structs.replace(report.cameras[0], state=state)
    report = msgspec.structs.replace(report, footage=(footage,), cameras=(camera,))
    rig.is_alive = False
    health_file.write(rig.state_dir / "run", health_file.make_live(report, rig.clock, rig.boot))
    return rig.run_logged_in("check 7")


def test_a_camera_of_which_nothing_is_recorded_does_not_pass(rig: ConsoleRig) -> None:
    screen = run_with_footage(rig, oldest_utc=None, state="delivering")
    assert " -   recording north: nothing yet" in screen
    assert "pass" not in screen


def test_old_footage_of_a_silent_camera_does_not_pass(rig: ConsoleRig) -> None:
    screen = run_with_footage(rig, oldest_utc="2026-11-24T00:00:00.000Z", state="silent")
    assert "nothing new: see check 6" in " ".join(screen.split())
    assert "pass" not in screen


def test_the_status_of_a_dead_agent_claims_nothing_of_now(rig: ConsoleRig) -> None:
    assert "broker connected" in rig.run_logged_in("status")
    rig.kill_agent()
    screen = " ".join(rig.run_logged_in("status").split())
    assert "connected" not in screen
    assert "frames/s" not in screen
    assert (
        "Centre unknown: the agent reports nothing; in its last report 0 messages waited" in screen
    )
