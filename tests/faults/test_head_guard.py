"""agent.failsafe: the agent dies while a head moves, and the head stops, whatever the cause of death."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.failsafe.guard_duties import STOP_REPEATS, execute_duties
from agent.failsafe.guard_stage import (
    PROCESS_FILE,
    Duties,
    GuardDiedError,
    GuardedStage,
    GuardStage,
    HeadDuty,
    PinsDuty,
)
from drivers.contracts import GpioLine
from simulation.gpio import fake as fake_gpio
from simulation.heads.head_simulator import HeadSimulator
from simulation.heads.pty_serial_line import PtySerialLine
from simulation.heads.visca_device import ViscaCameraChain
from tests.contracts.heads import MECHANICS, VISCA_OPTIONS, VISCA_SPECS
from tests.faults.head_scene import (
    TIMEOUT_S,
    HeadLine,
    is_still_moving,
    now_ns,
    wait_until_gone,
    wait_until_stopping,
)

ROOT = Path(__file__).parents[2]
MOVING_SHARE = "0.1"


class Scene(HeadLine):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        module, link = "tests.faults.head_child", str(self.line.link)
        self.start(module, link, str(folder / "heads"), MOVING_SHARE, log=folder / "log")
        assert self.receive() == "moving"
        assert self.body.wait_for(is_still_moving, TIMEOUT_S)

    def comes_to_rest(self) -> bool:
        return wait_until_stopping(self.body)

    def guard_is_gone(self) -> bool:
        return wait_until_gone(self.guard)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    try:
        yield scene
    finally:
        scene.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_the_head_stops_when_the_agent_dies(scene: Scene, number: signal.Signals) -> None:
    assert is_still_moving(scene.body)
    scene.child.send_signal(number)
    assert scene.comes_to_rest()
    assert scene.guard_is_gone()


def test_the_head_stops_when_the_agent_hangs_with_its_pipe_and_port_open(scene: Scene) -> None:
    """A killed process with a thread in uninterruptible sleep keeps both; here it is stopped."""
    scene.child.send_signal(signal.SIGSTOP)
    assert scene.comes_to_rest()
    assert scene.guard_is_gone()
    scene.child.send_signal(signal.SIGCONT)


def test_signals_to_a_service_or_terminal_do_not_end_the_guard(scene: Scene) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(scene.guard, number)
    os.killpg(scene.child.pid, signal.SIGINT)
    assert scene.child.wait(TIMEOUT_S) != 0
    assert scene.comes_to_rest()


def test_a_dead_guard_is_replaced_and_the_next_one_works(scene: Scene) -> None:
    first = scene.guard
    os.kill(first, signal.SIGKILL)
    looking = threading.Event()
    for _ in range(int(TIMEOUT_S / 0.1)):
        scene.tell("guard")
        scene.guard = scene.guard_pid()
        if scene.guard != first:
            break
        looking.wait(0.1)
    assert scene.guard != first
    assert is_still_moving(scene.body)
    scene.child.kill()
    assert scene.comes_to_rest()


def test_a_waiting_guard_holds_no_device_and_little_memory(scene: Scene) -> None:
    held = [str(link.readlink()) for link in Path(f"/proc/{scene.guard}/fd").iterdir()]
    assert str(scene.line.link.readlink()) not in held
    loaded = Path(f"/proc/{scene.guard}/maps").read_text()
    assert "msgspec" not in loaded


def test_an_orderly_stop_leaves_the_guard_nothing_to_do(scene: Scene) -> None:
    scene.tell("bye")
    assert scene.child.wait(TIMEOUT_S) == 0
    assert scene.comes_to_rest()
    assert scene.line.wait_until_idle(TIMEOUT_S)
    orders = scene.body.order_count
    assert scene.guard_is_gone()
    assert scene.line.wait_until_idle(TIMEOUT_S)
    assert scene.body.order_count == orders


def test_a_head_on_a_replugged_adapter_is_still_stopped(tmp_path: Path) -> None:
    body = HeadSimulator(MECHANICS, now_ns())
    line = PtySerialLine(tmp_path / "line", [ViscaCameraChain([body], VISCA_SPECS)], now_ns)
    line.unplug()
    options = {**VISCA_OPTIONS, "port": str(line.link)}
    duties = Duties(heads=(HeadDuty(name="mast", driver="visca", options=options),))
    coming = threading.Timer(0.3, line.plug_in)
    coming.start()
    assert execute_duties(msgspec.json.encode(duties), TIMEOUT_S)
    assert body.order_count >= STOP_REPEATS
    coming.join()
    line.close()


def test_every_output_becomes_inactive_even_if_one_fails() -> None:
    chip = fake_gpio.fake_chip("of the guard")
    lines = (
        GpioLine(name="siren", pin=5, direction="out"),
        GpioLine(name="heater", pin=6, direction="out", active_low=True),
        GpioLine(name="beyond", pin=99, direction="out"),
    )
    chip.set_level(5, high=True)
    pins = PinsDuty(driver="fake", options={"chip": "of the guard"}, lines=lines)
    broken = HeadDuty(name="mast", driver="visca", options={"baud": "fast"})
    done = execute_duties(msgspec.json.encode(Duties(heads=(broken,), pins=pins)), 1.0)
    assert not done, "one pin is not there"
    assert chip.read_level(5) is False
    assert chip.read_level(6) is True


def test_invalid_guard_duties_are_ignored() -> None:
    assert not execute_duties(b'{"heads": 5}', 1.0)


def test_a_stage_that_fails_at_its_close_has_not_released_its_device() -> None:
    class Broken:
        name = "pins"

        def run_once(self, stopping: threading.Event) -> None: ...

        def close(self) -> None:
            raise OSError("the chip is gone")

    guarded = GuardedStage(Broken())
    with pytest.raises(OSError, match="gone"):
        guarded.close()
    assert not guarded.is_released


def test_a_guard_without_duties_exits() -> None:
    stage = GuardStage(Duties(), lambda: True)
    stopping = threading.Event()
    stopping.set()
    stage.run_once(stopping)
    first = stage.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    with pytest.raises(GuardDiedError, match="-9"):
        stage.run_once(stopping)
    assert stage.pid not in (None, first)
    stage.close()
    assert stage.pid is None


@pytest.mark.parametrize(
    ("duties", "exit_code"),
    [
        (Duties(), 0),
        (Duties(heads=(HeadDuty(name="mast", driver="visca", options={"baud": "fast"}),)), 1),
    ],
)
def test_the_exit_code_shows_if_all_duties_were_executed(duties: Duties, exit_code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", PROCESS_FILE],
        input=msgspec.json.encode(duties) + b"\n",
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == exit_code, done.stderr
