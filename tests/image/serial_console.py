"""The technician at the end of the cable: types at the guest's second serial port, and reads."""

import re
from pathlib import Path

from agent.base.secret_file import read_secret
from agent.console.login import compute_code, parse_challenge
from tests.image.guest_line import GuestLine

ANSWER_TIMEOUT_S = 900.0
"""A command at the console may open cameras and load a detector, on an emulated processor."""
PROMPT = r"casa-0001(?: \(not logged in\))?> $"
ENTER_INTERVAL_S = 2.0


class ConsoleCable:
    """One end of it."""

    def __init__(self, line: GuestLine, secret: Path) -> None:
        self._line = line
        self._secret = secret

    def press_enter(self, timeout_s: float) -> str:
        """Press enter again and again until the console answers."""
        begin = len(self._line.text)
        for _ in range(int(timeout_s / ENTER_INTERVAL_S)):
            self._line.send("\r")
            try:
                found = self._line.wait_for(PROMPT, ENTER_INTERVAL_S, begin)
            except AssertionError:
                continue
            return self._line.text[begin : found.end()]
        raise AssertionError(f"no answer from the console: {self._line.text[begin:]!r}")

    def send(self, text: str) -> None:
        """Detach the line."""
        self._line.send(text + "\r")

    def type_line(self, text: str, until: str = PROMPT) -> str:
        """A line, and what comes of it up to the next prompt."""
        begin = len(self._line.text)
        self._line.send(text + "\r")
        found = self._line.wait_for(until, ANSWER_TIMEOUT_S, begin + 1)
        return self._line.text[begin : found.end()]

    def log_in(self, name: str = "amina") -> str:
        """As the office answers it."""
        screen = self.type_line(f"login {name}", r"Answer: $")
        challenge = re.search(r"Challenge: +(.+)", screen)
        assert challenge, screen
        welcome = self.type_line(
            compute_code(read_secret(self._secret), parse_challenge(challenge[1]))
        )
        assert "Welcome" in welcome, welcome
        self.type_line("pages off")
        return welcome
