"""A technician who has never seen the box, with a cable and the first screen's help only: finds out why a
camera is dark, aims another, proves the link and takes a support bundle away.

The test allows only words that an earlier screen has shown.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator

import pytest

from agent.__main__ import main
from tests.whole.rig import AgentBox, RunningCentre
from tests.whole.technician import LOGGED_OUT_PROMPT, ConsoleTechnician, write_console_secret

pytestmark = pytest.mark.skipif(shutil.which("rx") is None, reason="needs rx: lrzsz")

PROMPT = "casa-0001> "
DARK = """
[[camera]]
name = "yard"
driver = "v4l2"
options = { device = "/dev/v4l/by-id/yard" }
detect = { enabled = false }
"""


class NewTechnician:
    """Types only words that have been on the screen, except the technician's own: the name, the office's
    answer, and single keys.
    """

    def __init__(self, seat: ConsoleTechnician) -> None:
        self.seat = seat
        self.read = seat.read_until(LOGGED_OUT_PROMPT)

    def type(self, line: str) -> str:
        for word in line.split():
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", self.read), (word, self.read)
        screen = self.seat.run_command(line)
        self.read += screen
        return screen

    def log_in(self) -> None:
        assert "login" in self.read
        self.read += self.seat.answer_challenge()

    def start(self, line: str, words: str) -> str:
        """Begin a command that runs until a key ends it."""
        assert all(word in self.read for word in line.split()), self.read
        self.seat.send(line.encode() + b"\r")
        screen = self.seat.read_until_seen(words)
        self.read += screen
        return screen

    def press(self, key: str) -> None:
        assert re.search(rf"\b{key} ends", self.read)
        self.seat.send(key.encode())
        self.read += self.seat.read_until(PROMPT)


@pytest.fixture
def technician(box: AgentBox, centre: RunningCentre) -> Iterator[NewTechnician]:
    """At a cable of 115200 to a box that runs, with one camera that is not plugged in."""
    assert centre
    toml = box.folder / "vigie.toml"
    toml.write_text(toml.read_text() + DARK)
    write_console_secret(box.folder)
    box.start()
    seat = ConsoleTechnician(box.folder, baud=115_200)
    yield NewTechnician(seat)
    seat.unplug()


def test_a_new_technician_completes_every_console_task(
    technician: NewTechnician, box: AgentBox
) -> None:
    technician.type("help")
    technician.log_in()
    technician.type("help")

    while "not open yet" in (checked := technician.type("check")) or "no frame yet" in checked:
        assert "camera yard" in checked
    assert "pass camera north" in checked
    assert "FAIL CAM-01 camera yard" in checked
    assert "/dev/v4l/by-id/yard" in checked
    assert "Check the camera's cable" in technician.type("faults CAM-01")

    technician.type("help camera")
    assert "shown by the agent" in technician.type("camera north")
    assert "[" in technician.start("camera north focus", "turn on past the sharpest")
    technician.press("q")
    technician.start("camera north level", "level ")
    technician.press("q")

    assert "pass TCP to" in technician.type("net")
    assert "pass connection" in technician.type("mqtt ping")
    assert "listens" in technician.type("status")

    technician.type("help bundle")
    screen = technician.start("bundle xmodem", "Ctrl-C cancels.\r\n")
    name = re.search(r"vigie-bundle-\S+\.tar\.gz", screen)
    summed = re.search(r"sha256 ([0-9a-f]{64})", screen)
    assert name
    assert summed
    assert technician.seat.transfer("rx", "-c", "-q", name[0]) == 0
    technician.read += technician.seat.read_until(PROMPT)
    taken = box.folder / name[0]
    assert hashlib.sha256(taken.read_bytes()).hexdigest() == summed[1]
    assert main(["bundle", "verify", str(taken)]) == 0

    assert "You are logged out." in technician.type("logout")
