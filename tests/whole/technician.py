"""A technician with a laptop at the end of a cable: types, and reads the screen."""

import codecs
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

from agent.base.secret_file import read_secret
from agent.console.login import compute_code, parse_challenge, write_secret
from tests.whole.rig import TIMEOUT_S

PAGER_PROMPT = "-- more -- (space: page, enter: line, q: stop) "
LOGGED_OUT_PROMPT = "(not logged in)> "
"""The end of the prompt before the login."""


class ConsoleTechnician:
    """`vigie console` at a pseudo-terminal. With `baud` the cable takes no more in a second than a
    serial line of that speed at 8N1, either way. With `stdio` its standard output and error are the terminal
    too; `local` needs that for its output.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        baud: int | None = None,
        local: bool = False,
        program: Sequence[str] = ("-m", "agent", "console"),
        stdio: bool = False,
    ) -> None:
        self.folder = folder
        self._bytes_per_s = None if baud is None else baud / 10
        self._pace_start_s = time.monotonic()
        self._paced_bytes = 0
        self.received_bytes = 0
        self._unread_text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.pty_master, pty_slave = pty.openpty()
        config = ["--config", "vigie.toml", *arguments]
        port_args: list[str] = [] if local else ["--port", os.ttyname(pty_slave)]
        self._log = (folder / "console.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, *program, *config, *port_args],
            cwd=folder,
            stdin=pty_slave if local else subprocess.DEVNULL,
            stdout=pty_slave if local or stdio else self._log,
            stderr=pty_slave if stdio else self._log,
        )
        self.pty_slave = pty_slave

    @property
    def log(self) -> str:
        return (self.folder / "console.log").read_text()

    def send(self, data: bytes) -> None:
        """Type it."""
        for begin in range(0, len(data), 16):
            piece = data[begin : begin + 16]
            self._pace(len(piece))
            os.write(self.pty_master, piece)

    def read_until(self, *endings: str) -> str:
        """The screen up to one of these, which is the last thing on it; pages are turned."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not self._unread_text.endswith(endings):
            if self._unread_text.endswith(PAGER_PROMPT):
                self._unread_text = self._unread_text.removesuffix(PAGER_PROMPT)
                self.send(b" ")
            assert time.monotonic() < deadline_s, f"no {endings}: {self._unread_text!r}; {self.log}"
            assert self.process.poll() is None, f"it has ended: {self._unread_text!r}; {self.log}"
            self._read_available()
        screen, self._unread_text = self._unread_text, ""
        return re.sub(r"\r +\r", "", screen).replace("\r\n", "\n")

    def read_until_seen(self, text: str) -> str:
        """The screen up to these words, of a command with continuous output."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while text not in self._unread_text:
            assert time.monotonic() < deadline_s, (
                f"no {text}: {self._unread_text[-2000:]!r}; {self.log}"
            )
            self._read_available()
        screen, _, self._unread_text = self._unread_text.partition(text)
        return screen + text

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Sit there until something has happened."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{self._unread_text!r}; {self.log}"
            self._read_available()

    def run_command(self, line: str, *endings: str) -> str:
        """Type a line, and read what comes of it, without the line and without the prompt."""
        self.send(line.encode() + b"\r")
        screen = self.read_until(*(endings or ("casa-0001> ", LOGGED_OUT_PROMPT)))
        return screen.partition("\n")[2].rpartition("\n")[0]

    def transfer(self, *program: str, cancel_after_bytes: int | None = None) -> int:
        """Have the terminal program start one of its own at the line, such as `rx`. Its exit code."""
        own_socket, program_socket = socket.socketpair()
        process = subprocess.Popen(
            program,
            cwd=self.folder,
            stdin=program_socket,
            stdout=program_socket,
            stderr=self._log,
        )
        transferred_bytes, deadline_s = 0, time.monotonic() + TIMEOUT_S
        # What the console has sent before the program was there.
        own_socket.sendall(self._unread_text.encode())
        self._unread_text = ""
        with own_socket, program_socket:
            while True:
                assert time.monotonic() < deadline_s, self.log
                has_ended = process.poll() is not None
                readable, _, _ = select.select([self.pty_master, own_socket], [], [], 0.2)
                if own_socket in readable:
                    data = own_socket.recv(4096)
                    transferred_bytes += len(data)
                    self.send(data)
                elif has_ended:
                    break
                if self.pty_master in readable and not has_ended:
                    data = self._read_bytes()
                    transferred_bytes += len(data)
                    own_socket.sendall(data)
                if cancel_after_bytes is not None and transferred_bytes > cancel_after_bytes:
                    process.send_signal(signal.SIGINT)
                    cancel_after_bytes = None
                    # The rest of the block that is on the line comes to the screen.
                    self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
            # What the program has left unread is on the screen.
            with suppress(BlockingIOError):
                while True:
                    data = program_socket.recv(4096, socket.MSG_DONTWAIT)
                    self._unread_text += self._decoder.decode(data)
        return process.wait(TIMEOUT_S)

    def log_in(self, name: str = "amina") -> str:
        """As the office answers it."""
        self.read_until(LOGGED_OUT_PROMPT)
        return self.answer_challenge(name)

    def answer_challenge(self, name: str = "amina") -> str:
        challenge = self.request_challenge(name)
        code = compute_code(read_secret(self.folder / "console.secret"), parse_challenge(challenge))
        return self.run_command(code)

    def request_challenge(self, name: str) -> str:
        screen = self.run_command(f"login {name}", "Answer: ")
        found = re.search(r"Challenge: +(.+)", screen)
        assert found, screen
        return found[1]

    def unplug(self) -> None:
        """Stop the console and pull the cable out; nothing is left behind."""
        self.process.terminate()
        os.close(self.pty_master)
        os.close(self.pty_slave)
        self.process.wait(TIMEOUT_S)
        self._log.close()

    def _read_available(self) -> None:
        if select.select([self.pty_master], [], [], 0.2)[0]:
            self._unread_text += self._decoder.decode(self._read_bytes())

    def _read_bytes(self) -> bytes:
        max_bytes = 4096 if self._bytes_per_s is None else max(1, int(self._bytes_per_s / 50))
        data = os.read(self.pty_master, max_bytes)
        self._pace(len(data))
        self.received_bytes += len(data)
        return data

    def _pace(self, count: int) -> None:
        """A byte that has passed has taken its time on the line."""
        if self._bytes_per_s is None:
            return
        self._paced_bytes += count
        ahead_s = self._paced_bytes / self._bytes_per_s - (time.monotonic() - self._pace_start_s)
        if ahead_s > 0:
            select.select([], [], [], ahead_s)
        else:
            self._pace_start_s, self._paced_bytes = time.monotonic(), 0


def make_box_folder(folder: Path, text: str, *, secret: bool = True) -> Path:
    """A folder with a configuration, and a secret for its console; no agent runs."""
    folder.mkdir(exist_ok=True)
    (folder / "state").mkdir(exist_ok=True)
    (folder / "vigie.toml").write_text(text)
    if secret:
        write_console_secret(folder)
    return folder


def write_console_secret(folder: Path) -> None:
    write_secret(folder / "console.secret", os.urandom)
