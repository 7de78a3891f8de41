"""A fleet's messages at a real broker, published by one client, and `vigie watch` in a terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec

from agent.config.broker import BrokerConfig
from agent.reporting import topics
from agent.reporting.payloads import Message, StatusMessage
from tests.fleet_messages import fault, status
from tests.whole.report.broker import Mosquitto
from tests.whole.report.reporting_box import BareClient

CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_])")
PROJECT = Path(__file__).parents[3]


def fleet_statuses(boxes: int, lost: int) -> Iterable[StatusMessage]:
    """The births of boxes, every tenth with a fault, and the wills of the last ones."""
    for number in range(1, boxes + 1):
        box, site = f"casa-{number:04}", f"Bd Mohammed V {number}"
        if number > boxes - lost:
            yield status("lost", box=box)
        else:
            yield status(box=box, site=site, faults=(fault(),) if number % 10 == 0 else ())


class FleetPublisher:
    """Publishes messages of any box."""

    def __init__(self, broker: Mosquitto) -> None:
        self._client = BareClient(BrokerConfig(url=broker.url), "fleet")

    def publish(self, messages: Iterable[Message]) -> None:
        """Publish messages; a status is retained, as boxes publish it."""
        for message in messages:
            kind = type(message).__struct_config__.tag
            suffix = str(kind) if kind != "event" else "event/north/dwell"
            self._client.publish(
                topics.up_topic(message.box, suffix),
                msgspec.json.encode(message),
                retained=kind == "status",
            )

    def close(self) -> None:
        self._client.link.close()


class WatchTerminal:
    """`vigie watch` in a terminal of its own, and what it has drawn."""

    def __init__(self, *arguments: str, rows: int = 40, columns: int = 160) -> None:
        self._screen, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent", "watch", *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=PROJECT,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(terminal)
        self.raw = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)

    @property
    def text(self) -> str:
        """All that was drawn, without control sequences."""
        return CONTROL.sub("", self.raw.decode(errors="replace"))

    def read_until(self, words: str) -> None:
        """Read until it draws these words, which it had not yet drawn since the last call."""
        self.raw = b""
        while words not in self.text:
            self.raw += os.read(self._screen, 65_536)

    def close_screen(self) -> None:
        """Let the terminal end, as a lost connection does; no signal reaches the command."""
        os.dup2(os.open(os.devnull, os.O_RDWR), self._screen)

    def press(self, keys: bytes) -> None:
        os.write(self._screen, keys)

    def wait_for_end(self) -> tuple[int, bytes]:
        """Return the exit code, and what is drawn until then."""
        rest = b""
        while True:
            try:
                data = os.read(self._screen, 65_536)
            except OSError:  # Linux's end of a pseudo-terminal
                break
            if not data:
                break
            rest += data
        return self.process.wait(60), rest

    def cpu_s(self) -> float:
        """CPU time of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
