"""agent.app.agent: faults of its own wiring are reported, and it continues."""

import os
import shutil
from pathlib import Path

import pytest

from agent.app.agent import Agent
from agent.base.device_identity import STATE_LOST_FLAG
from agent.base.lockout import FREE_ATTEMPTS, Lockout
from agent.capture.camera_source import BadScenePolicy
from agent.config_change import config_check
from agent.detection import model_card
from agent.faults.registry import FaultRegistry
from agent.health.flight_recorder import FlightRecorder
from agent.health.health_stage import AgentRun
from agent.health.monitor import HealthMonitor, LockoutFault
from agent.health.rates import CameraRates
from agent.health.stuck_cameras import StuckCameras
from agent.runtime.control_client import find_agent
from tests.conftest import ManualClock
from tests.whole.no_room import no_room
from tests.whole.rig import CLOCK, CONFIG, fake_camera_toml, make_agent

ENDS = 'fps = 10\npace = "fast"\nduration_s = 1\n'


def built(folder: Path, on_bad_scene: BadScenePolicy = "refuse") -> Agent:
    """An agent that was not started yet, on a machine of which nothing is known."""
    if not (folder / "vigie.toml").exists():
        (folder / "vigie.toml").write_text(
            CONFIG.format(url="mqtt://127.0.0.1:1", camera=fake_camera_toml(ENDS))
        )
        (folder / "scene.toml").touch()
    return make_agent(folder / "vigie.toml", folder, on_bad_scene=on_bad_scene)


def reported(agent: Agent) -> dict[str, str]:
    return {fault.code: fault.detail for fault in agent.faults.active()}


def test_an_agent_can_be_reached_before_a_thread_of_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY=1 is sent after that."""
    agent = built(tmp_path)
    start_threads = agent.supervisor.start
    found_pids = []

    def look_and_start() -> None:
        found = find_agent(tmp_path / "state")
        found_pids.append(None if found is None else found.pid)
        start_threads()

    monkeypatch.setattr(agent.supervisor, "start", look_and_start)
    agent.start()
    agent.stop()
    assert found_pids == [os.getpid()]


@pytest.mark.raises_fault("CUS-02")
def test_an_unreadable_key_is_replaced_and_reported(tmp_path: Path) -> None:
    first = built(tmp_path)
    first.start()
    first.stop()
    assert "CUS-02" not in reported(first)
    (tmp_path / "state" / "identity" / "box.key").write_bytes(b"\0" * 119)
    second = built(tmp_path)
    second.start()
    second.stop()
    assert "kept as" in reported(second)["CUS-02"]


@pytest.mark.raises_fault("STO-02")
def test_an_agent_that_starts_on_a_full_disk_captures_and_reports_it(tmp_path: Path) -> None:
    first = built(tmp_path)
    first.start()
    first.stop()
    with no_room():
        second = built(tmp_path)
        second.start()
        assert second.wait_until_ended(120)
        assert ("STO-02", "outbox") in [
            (fault.code, fault.subject) for fault in second.faults.active()
        ]
        second.stop()


@pytest.mark.raises_fault("CUS-02")
def test_a_key_lost_with_its_partition_is_reported(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / STATE_LOST_FLAG).write_text("it could not be repaired and was reformatted\n")
    agent = built(tmp_path)
    agent.start()
    agent.stop()
    assert "reformatted" in reported(agent)["CUS-02"]


@pytest.mark.raises_fault("DET-01")
def test_a_model_that_does_not_match_its_card_is_not_loaded_and_the_box_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "models"
    shutil.copytree(model_card.MODELS_FOLDER, installed)
    for model in installed.glob("*.tflite"):
        model.write_bytes(b"another model")
    monkeypatch.setattr(model_card, "MODELS_FOLDER", installed)
    agent = built(tmp_path)
    agent.start()
    agent.wait_until_ended(60)
    agent.stop()
    assert "not loaded" in reported(agent)["DET-01"]
    assert list((tmp_path / "state" / "footage").rglob("*.mp4"))


def own_model(folder: Path) -> Path:
    """Write a model of one's own, a copy of a shipped one, and a configuration with it. Return its card."""
    card = folder / "own.toml"
    shipped = model_card.MODELS_FOLDER / "nanodet.toml"
    card.write_text(shipped.read_text().replace('name = "nanodet"', 'name = "own"', 1))
    shutil.copy(shipped.with_suffix(".tflite"), card.with_suffix(".tflite"))
    config = CONFIG.format(url="mqtt://127.0.0.1:1", camera=fake_camera_toml(ENDS))
    (folder / "scene.toml").touch()
    (folder / "vigie.toml").write_text(f'{config}model = "own.toml"\n')
    return card


def test_a_model_of_one_s_own_is_named_by_the_path_of_its_card(tmp_path: Path) -> None:
    own_model(tmp_path)
    assert config_check.find_problems(tmp_path / "vigie.toml", CLOCK) == []
    agent = built(tmp_path)
    agent.start()
    agent.stop()
    assert "DET-01" not in reported(agent)
    assert models_of(agent) == ["own"]


def models_of(agent: Agent) -> list[str | None]:
    rates = CameraRates(stream_fps=0, detect_fps=0, inferences_per_s=0, inference_ms=None)
    detectors = [pipeline.detector_health(rates) for pipeline in agent.pipelines]
    return [detector.model for detector in detectors if detector is not None]


@pytest.mark.raises_fault("DET-01")
@pytest.mark.parametrize("damage", ["file", "card", "no file", "no card"])
def test_in_place_of_a_damaged_model_of_one_s_own_the_default_one_detects(
    damage: str, tmp_path: Path
) -> None:
    card = own_model(tmp_path)
    model = card.with_suffix(".tflite")
    match damage:
        case "file":
            model.write_bytes(model.read_bytes()[:-1])
        case "card":
            card.write_text("decoder = ")
        case "no file":
            model.unlink()
        case _:
            card.unlink()
    problems = config_check.find_problems(tmp_path / "vigie.toml", CLOCK)
    assert ["camera[0].detect.model: " in str(problem) for problem in problems] == [True]
    agent = built(tmp_path, on_bad_scene="close")
    agent.start()
    agent.stop()
    assert "own" in reported(agent)["DET-01"]
    assert models_of(agent) == ["nanodet_320"]


@pytest.mark.raises_fault("SYS-06")
def test_an_unrequested_end_is_reported_by_the_next_run(tmp_path: Path, clock: ManualClock) -> None:
    faults = FaultRegistry(clock.boottime_ns)

    def started(run: str) -> HealthMonitor:
        return HealthMonitor(
            AgentRun(id=run, boot="boot-1", state_dir=tmp_path, root=tmp_path / "machine"),
            clock,
            faults,
            read_report=lambda _machine: pytest.fail("no report is requested"),
            level_listeners=[],
            has_update_feed=False,
            on_clock_step=lambda _step, _t_ns: None,
            on_report=lambda _report, _t_ns: None,
        )

    cameras = StuckCameras(tmp_path, tmp_path / "run", clock, "boot-1")
    assert started("run-1").report_restart(cameras) is None
    FlightRecorder(tmp_path, clock, "boot-1", "run-1").write_begin()
    assert started("run-2").report_restart(cameras) is not None
    (fault,) = faults.active()
    assert (fault.code, fault.subject) == ("SYS-06", "board")


@pytest.mark.raises_fault("SVC-01")
def test_a_locked_console_is_reported_until_a_right_answer(
    tmp_path: Path, clock: ManualClock
) -> None:
    faults = FaultRegistry(clock.boottime_ns)
    fault_check = LockoutFault(tmp_path, clock, "boot-1", faults)
    console = Lockout(tmp_path, clock, "boot-1")
    for _ in range(FREE_ATTEMPTS):
        fault_check.check()
        assert faults.active() == ()
        console.record_attempt()
    fault_check.check()
    (fault,) = faults.active()
    assert (fault.code, fault.subject) == ("SVC-01", "console")
    console.reset()
    fault_check.check()
    assert faults.active() == ()


def test_a_lockout_from_before_a_reboot_is_reported_until_it_ends(
    tmp_path: Path, clock: ManualClock
) -> None:
    console = Lockout(tmp_path, clock, "boot-1")
    for _ in range(FREE_ATTEMPTS):
        console.record_attempt()
    clock.now_ns = 20_000_000_000
    faults = FaultRegistry(clock.boottime_ns)
    fault_check = LockoutFault(tmp_path, clock, "boot-2", faults)
    fault_check.check()
    (fault,) = faults.active()
    assert fault.detail == "3 wrong answers in a row, 10 s to wait"
    clock.advance_s(10)
    fault_check.check()
    assert faults.active() == ()
