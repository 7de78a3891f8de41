"""A technician with a laptop at the end of a cable: he reads the screen, and types."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from agent.console.login import code_of, read_challenge, read_secret, write_secret
from tests.whole.rig import WAIT_S

MORE = "-- more -- (space: page, enter: line, q: stop) "
OUT = "(not logged in)> "
"""The end of the prompt before the login."""


class Technician:
    """`vigie console` at a pseudo-terminal. With `baud` the cable takes no more in a second than a
    serial line of that speed at 8N1, either way.
    """

    def __init__(
        self, folder: Path, *words: str, baud: int | None = None, local: bool = False
    ) -> None:
        self.folder = folder
        self._rate = None if baud is None else baud / 10
        self._begun_s = time.monotonic()
        self._passed = 0
        self.received = 0
        self._unread = ""
        self.end, far = pty.openpty()
        config = ["--config", "vigie.toml", *words]
        place: list[str] = [] if local else ["--port", os.ttyname(far)]
        self._log = (folder / "console.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent", "console", *config, *place],
            cwd=folder,
            stdin=far if local else subprocess.DEVNULL,
            stdout=far if local else self._log,
            stderr=self._log,
        )
        self._far = far

    @property
    def log(self) -> str:
        return (self.folder / "console.log").read_text()

    def send(self, data: bytes) -> None:
        """Type it."""
        for begin in range(0, len(data), 16):
            piece = data[begin : begin + 16]
            self._pace(len(piece))
            os.write(self.end, piece)

    def until(self, *ends: str) -> str:
        """The screen up to one of these, which is the last thing on it; pages are turned."""
        end_s = time.monotonic() + WAIT_S
        while not self._unread.endswith(ends):
            if self._unread.endswith(MORE):
                self._unread = self._unread.removesuffix(MORE)
                self.send(b" ")
            assert time.monotonic() < end_s, f"no {ends}: {self._unread!r}; {self.log}"
            assert self.process.poll() is None, f"it has ended: {self._unread!r}; {self.log}"
            self._listen()
        screen, self._unread = self._unread, ""
        return re.sub(r"\r +\r", "", screen).replace("\r\n", "\n")

    def until_seen(self, words: str) -> str:
        """The screen up to these words, of what goes on by itself."""
        end_s = time.monotonic() + WAIT_S
        while words not in self._unread:
            assert time.monotonic() < end_s, f"no {words}: {self._unread[-2000:]!r}; {self.log}"
            self._listen()
        screen, _, self._unread = self._unread.partition(words)
        return screen + words

    def wait_for(self, look: Callable[[], bool]) -> None:
        """Sit there until something has happened."""
        end_s = time.monotonic() + WAIT_S
        while not look():
            assert time.monotonic() < end_s, f"{self._unread!r}; {self.log}"
            self._listen()

    def do(self, line: str, *ends: str) -> str:
        """Type a line, and read what comes of it, without the line and without the prompt."""
        self.send(line.encode() + b"\r")
        screen = self.until(*(ends or ("casa-0001> ", OUT)))
        return screen.partition("\n")[2].rpartition("\n")[0]

    def transfer(self, *program: str, cancel_after_bytes: int | None = None) -> int:
        """Have the terminal program start one of its own at the line, such as `rx`. Its exit code."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                program, cwd=self.folder, stdin=theirs, stdout=theirs, stderr=self._log
            )
        passed, end_s = 0, time.monotonic() + WAIT_S
        # What the console has sent before the program was there.
        ours.sendall(self._unread.encode())
        self._unread = ""
        with ours:
            while True:
                assert time.monotonic() < end_s, self.log
                readable, _, _ = select.select([self.end, ours], [], [], 0.2)
                if self.end in readable and process.poll() is None:
                    data = self._take()
                    passed += len(data)
                    with suppress(BrokenPipeError, ConnectionResetError):
                        ours.sendall(data)
                if ours in readable:
                    data = _received(ours)
                    if not data:
                        break
                    passed += len(data)
                    self.send(data)
                if cancel_after_bytes is not None and passed > cancel_after_bytes:
                    process.send_signal(signal.SIGINT)
                    cancel_after_bytes = None
        return process.wait(WAIT_S)

    def log_in(self, name: str = "amina") -> str:
        """As the office answers it."""
        self.until(OUT)
        return self.answer(name)

    def answer(self, name: str = "amina") -> str:
        challenge = self.challenge(name)
        code = code_of(read_secret(self.folder / "console.secret"), read_challenge(challenge))
        return self.do(code)

    def challenge(self, name: str) -> str:
        screen = self.do(f"login {name}", "Answer: ")
        found = re.search(r"Challenge: +(.+)", screen)
        assert found, screen
        return found[1]

    def leave(self) -> None:
        """Pull the cable out; nothing is left behind."""
        os.close(self.end)
        os.close(self._far)
        self.process.terminate()
        self.process.wait(WAIT_S)
        self._log.close()

    def _listen(self) -> None:
        if select.select([self.end], [], [], 0.2)[0]:
            self._unread += self._take().decode("ascii")

    def _take(self) -> bytes:
        most = 4096 if self._rate is None else max(1, int(self._rate / 50))
        data = os.read(self.end, most)
        self._pace(len(data))
        self.received += len(data)
        return data

    def _pace(self, count: int) -> None:
        """A byte that has passed has taken its time on the line."""
        if self._rate is None:
            return
        self._passed += count
        ahead_s = self._passed / self._rate - (time.monotonic() - self._begun_s)
        if ahead_s > 0:
            select.select([], [], [], ahead_s)
        else:
            self._begun_s, self._passed = time.monotonic(), 0


def _received(ours: socket.socket) -> bytes:
    try:
        return ours.recv(4096)
    except ConnectionResetError:
        return b""


def make_box(folder: Path, text: str, *, secret: bool = True) -> Path:
    """A folder with a configuration, and a secret for its console; no agent runs."""
    folder.mkdir(exist_ok=True)
    (folder / "state").mkdir(exist_ok=True)
    (folder / "vigie.toml").write_text(text)
    if secret:
        give_secret(folder)
    return folder


def give_secret(folder: Path) -> None:
    write_secret(folder / "console.secret", os.urandom)


def children_of(pid: int) -> Sequence[str]:
    """The programs that a process has started and that are still there."""
    return [
        Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text().split()
    ]
