"""Nothing that a library prints is on the screen of a console session, in whatever way it prints."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole import noisy_console
from tests.whole.noisy_console import AFTERWARDS, LEAK
from tests.whole.rig import TIMEOUT_S
from tests.whole.technician import ConsoleTechnician, make_box_folder

CONFIG = """
[box]
id = "casa-0001"
site = "Bd Mohammed V"
state = "state"
[broker]
url = "mqtt://127.0.0.1:1"
[[camera]]
name = "north"
driver = "fake"
"""


@pytest.fixture(params=["at its own terminal", "at a port"])
def seat(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ConsoleTechnician]:
    technician = ConsoleTechnician(
        make_box_folder(tmp_path / "box", CONFIG),
        local=request.param == "at its own terminal",
        program=[noisy_console.__file__, str(tmp_path / "noises")],
        stdio=True,
    )
    yield technician
    technician.unplug()


def test_nothing_that_a_library_prints_is_on_the_screen(
    seat: ConsoleTechnician, tmp_path: Path
) -> None:
    noises = tmp_path / "noises"

    def wait_for_noise() -> None:
        count = int(noises.read_text() or "0") if noises.exists() else 0
        seat.wait_for(lambda: noises.exists() and int(noises.read_text() or "0") > count + 2)

    screen = seat.log_in()
    wait_for_noise()
    screen += seat.run_command("mqtt ping")
    screen += seat.run_command("camera north")
    wait_for_noise()
    screen += seat.run_command("status")
    assert LEAK not in screen
    assert "Agent" in screen


def test_output_after_the_session_is_the_terminals_again(tmp_path: Path) -> None:
    seat = ConsoleTechnician(
        make_box_folder(tmp_path / "box", CONFIG),
        local=True,
        program=[noisy_console.__file__, str(tmp_path / "noises")],
        stdio=True,
    )
    seat.log_in()
    seat.send(b"logout\r")
    assert LEAK not in seat.read_until_seen(AFTERWARDS)
    assert seat.process.wait(TIMEOUT_S) == 0
    seat.unplug()
