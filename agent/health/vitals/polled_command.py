"""Periodic runs of a board's program that may hang for ever."""

import logging
import os
import shutil
import subprocess
from collections.abc import Sequence

log = logging.getLogger(__name__)

INTERVAL_NS = 10_000_000_000
TIMEOUT_NS = 3_000_000_000


class PolledCommand:
    """Runs a program every ten seconds and never waits for it.

    A program that the kernel holds cannot be killed: no second one is started next to it.
    """

    def __init__(self, command: Sequence[str], search_path: str | None = None) -> None:
        """`search_path` lists the folders of programs, as PATH does."""
        self._command = tuple(command)
        self._search_path = search_path
        self._started_ns: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._output: bytes | None = None

    def read(self, t_ns: int) -> bytes | None:
        """Return the newest output, or None if the program is missing, failed or timed out."""
        if self._process is not None:
            self._collect(self._process, t_ns)
        elif self._started_ns is None or t_ns - self._started_ns >= INTERVAL_NS:
            self._started_ns = t_ns
            self._start()
        return self._output

    def close(self) -> None:
        """Kill the program if it is running."""
        process, self._process = self._process, None
        if process is not None:
            _kill(process)

    def _start(self) -> None:
        program = shutil.which(self._command[0], path=self._search_path)
        if program is None:
            self._output = None
            return
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a program of the system, fixed arguments
                [program, *self._command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PATH": os.defpath, "LC_ALL": "C"},
            )
        except OSError as error:
            self._output = None
            log.debug("%s: %s", program, error)

    def _collect(self, process: subprocess.Popen[bytes], t_ns: int) -> None:
        """Take the output of a program that has ended. One that overfills its pipe never ends."""
        code = process.poll()
        if code is None:
            if t_ns - (self._started_ns or 0) >= TIMEOUT_NS:
                self._output = None
                process.kill()
            return
        if process.stdout is not None:
            self._output = process.stdout.read() if code == 0 else None
            process.stdout.close()
        self._process = None


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    if process.stdout is not None:
        process.stdout.close()
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        log.warning("%s: cannot be killed", process.args)
