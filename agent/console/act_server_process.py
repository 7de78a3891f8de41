"""The console's child that does the acts of the page at the pole, as the agent's user, under the technician's name."""

import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.base.errors import UserError
from agent.base.message import Message
from agent.console import page_wire
from agent.faults.texts import Language

MODULE = "agent.console.act_server"
START_TIMEOUT_S = 120.0
"""On a slow board a child takes seconds to start, on one with all processors busy more than 30."""
STOP_TIMEOUT_S = 5.0


class ActServerStart(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of the act server's standard input. At its end the act server ends."""

    technician: str
    language: Language


class ActServerFailed(UserError):
    """The act server does not serve."""


class ActServerProcess:
    """A running act server. `root` is the folder that contains `run`."""

    def __init__(self, root: Path, config_path: Path, start: ActServerStart) -> None:
        """Start it, and wait until it serves. Raises ActServerFailed."""
        folder = root / page_wire.ACTS_DIR
        if not folder.is_dir():
            raise ActServerFailed(Message("{folder} is not there", folder=str(folder)))
        self._process = subprocess.Popen(  # noqa: S603 - fixed words, and paths of the box
            (
                *(sys.executable, "-P", "-m", MODULE),
                *("--config", str(config_path), "--root", str(root)),
                *("--socket", str(folder / page_wire.ACTS_SOCKET_NAME)),
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # At the box's own terminal its log would be in the middle of the technician's screen.
            stderr=subprocess.DEVNULL if sys.stderr.isatty() else None,
        )
        try:
            self._wait_until_ready(start)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def _wait_until_ready(self, start: ActServerStart) -> None:
        assert self._process.stdin is not None  # noqa: S101 - for mypy
        assert self._process.stdout is not None  # noqa: S101 - for mypy
        # If it has ended already, its last line has the reason.
        with suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(start) + b"\n")
            self._process.stdin.flush()
        is_readable, _, _ = select.select((self._process.stdout,), (), (), START_TIMEOUT_S)
        line = self._process.stdout.readline(page_wire.MAX_MESSAGE_BYTES) if is_readable else b""
        if line != b"ready\n":
            reason = line.decode("utf-8", "replace").strip()
            raise ActServerFailed(reason or Message("the process of its acts does not start"))

    def stop(self) -> None:
        """Close its standard input, which ends it. One that waits for a camera or a disk is killed."""
        with self._process:
            assert self._process.stdin is not None  # noqa: S101 - for mypy
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
