"""agent.failsafe: the agent stops while a head moves and a stage hangs, and the head stops."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.__main__ import main
from agent.cli.run import EXIT_HUNG
from agent.runtime.supervisor import ACTUATOR_DEADLINE_RATIO
from tests.contracts.heads import VISCA_OPTIONS
from tests.faults.head_scene import (
    TIMEOUT_S,
    HeadLine,
    is_still_moving,
    wait_until_gone,
    wait_until_stopping,
)
from tests.whole.report.reporting_box import wait_until

ROOT = Path(__file__).parents[2]
SHORT_S = 15.0
"""A deadline that is waited out: a third of it for the actuators."""
LONG_S = 600.0
"""One that is not."""
CONFIG = """
[box]
id = "casa-0001"
site = "Bd Mohammed V / Rue Chaouia"
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "north"
driver = "fake"
options = {{ width_px = 320, height_px = 240 }}
[camera.detect]
enabled = false
[[head]]
name = "mast"
driver = "visca"
max_move_s = 60
options = {head}
[gpio]
driver = "fake"
[[pin]]
name = "siren"
kind = "siren"
pin = 25
"""


class Pole(HeadLine):
    """A line whose head an agent drives."""

    def __init__(self, folder: Path, part: str, deadline_s: float) -> None:
        super().__init__(folder)
        self.footage = folder / "state" / "footage" / "north"
        self._file, self._log = folder / "vigie.toml", folder / "log"
        options = {**VISCA_OPTIONS, "port": str(self.line.link)}
        self._file.write_text(CONFIG.format(head=inline(options)))
        module = "tests.faults.actuators_child"
        self.start(module, str(self._file), part, str(deadline_s), log=self._log)
        wait_until(lambda: self.footage.is_dir() and any(self.footage.iterdir()))
        wait_until(lambda: self._run_command("move", "left", "--speed", "0.06", "--for", "60"))
        assert self.body.wait_for(is_still_moving, TIMEOUT_S)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def _run_command(self, *words: str) -> bool:
        return main(["ptz", "--config", str(self._file), *words]) == 0


def inline(options: dict[str, object]) -> str:
    """A table of TOML, of strings, numbers and truths, in one line."""
    return "{ " + ", ".join(f"{key} = {json.dumps(one)}" for key, one in options.items()) + " }"


Stand = Callable[[str, float], Pole]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with contextlib.ExitStack() as poles:

        def make_pole(part: str, deadline_s: float) -> Pole:
            return poles.enter_context(contextlib.closing(Pole(tmp_path, part, deadline_s)))

        yield make_pole


def test_the_guard_stops_the_head_of_a_hung_stage_and_footage_is_closed_whole(
    stand: Stand,
) -> None:
    pole = stand("head", SHORT_S)
    pole.tell("hang")
    assert pole.receive() == "hangs"
    assert is_still_moving(pole.body)
    pole.tell("bye")
    assert pole.child.wait(TIMEOUT_S) == EXIT_HUNG
    assert wait_until_stopping(pole.body)
    assert wait_until_gone(pole.guard)
    assert "guard: head mast: stopped" in pole.log
    assert f"stage head mast: still runs after {SHORT_S * ACTUATOR_DEADLINE_RATIO:g} s" in pole.log
    kept = [path.name for path in pole.footage.iterdir()]
    assert kept
    assert not [name for name in kept if name.endswith(".part")]


def test_the_guard_sets_hung_pins_inactive(stand: Stand) -> None:
    pole = stand("pins", SHORT_S)
    pole.tell("hang")
    assert pole.receive() == "hangs"
    pole.tell("bye")
    assert pole.child.wait(TIMEOUT_S) == EXIT_HUNG
    assert wait_until_stopping(pole.body)
    assert wait_until_gone(pole.guard)
    assert "guard: pin siren: inactive" in pole.log


def test_a_hung_camera_delays_neither_the_head_nor_the_end_of_the_guard(stand: Stand) -> None:
    pole = stand("camera", LONG_S)
    pole.tell("hang")
    assert pole.receive() == "hangs"
    pole.tell("bye")
    assert wait_until_stopping(pole.body)
    assert wait_until_gone(pole.guard)
    assert pole.child.poll() is None, "it still waits for its camera"
    assert "guard: the agent is gone" not in pole.log


def test_a_head_unreachable_at_the_stop_is_stopped_when_it_returns(stand: Stand) -> None:
    pole = stand("nothing", LONG_S)
    pole.line.unplug()
    pole.tell("bye")
    assert pole.child.wait(TIMEOUT_S) == 0
    assert is_still_moving(pole.body)
    pole.line.plug_in()
    assert wait_until_stopping(pole.body)
    assert wait_until_gone(pole.guard)
    assert "guard: head mast: stopped" in pole.log


def test_without_a_hang_the_guard_has_nothing_to_do(stand: Stand) -> None:
    pole = stand("nothing", LONG_S)
    pole.tell("bye")
    assert pole.child.wait(TIMEOUT_S) == 0
    assert wait_until_stopping(pole.body)
    assert wait_until_gone(pole.guard)
    assert "guard: the agent is gone" not in pole.log
