"""The technician at the end of the cable: he types at the guest's second serial port, and reads."""

import re
from pathlib import Path

from agent.console.login import code_of, read_challenge, read_secret
from tests.image.line import Line

ANSWER_S = 240.0
"""A command at the console may open cameras and load a detector, on an emulated processor."""
PROMPT = r"casa-0001(?: \(not logged in\))?> $"
PRESS_S = 2.0


class Cable:
    """One end of it."""

    def __init__(self, line: Line, secret: Path) -> None:
        self._line = line
        self._secret = secret

    def press_enter(self, within_s: float) -> str:
        """Again and again until somebody answers, as one does at a line that is silent."""
        begin = len(self._line.text)
        for _ in range(int(within_s / PRESS_S)):
            self._line.send("\r")
            try:
                found = self._line.until(PROMPT, PRESS_S, begin)
            except AssertionError:
                continue
            return self._line.text[begin : found.end()]
        raise AssertionError(f"nobody answers: {self._line.text[begin:]!r}")

    def send(self, text: str) -> None:
        """A line that nobody answers any more."""
        self._line.send(text + "\r")

    def type(self, text: str, until: str = PROMPT) -> str:
        """A line, and what comes of it up to the next prompt."""
        begin = len(self._line.text)
        self._line.send(text + "\r")
        found = self._line.until(until, ANSWER_S, begin + 1)
        return self._line.text[begin : found.end()]

    def log_in(self, name: str = "amina") -> str:
        """As the office answers it."""
        screen = self.type(f"login {name}", r"Answer: $")
        challenge = re.search(r"Challenge: +(.+)", screen)
        assert challenge, screen
        welcome = self.type(code_of(read_secret(self._secret), read_challenge(challenge[1])))
        assert "Welcome" in welcome, welcome
        self.type("pages off")
        return welcome
