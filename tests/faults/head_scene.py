"""A simulated head in this process, a process that drives it, and the guard that stops it."""

import contextlib
import subprocess
import sys
import threading
from pathlib import Path
from time import clock_gettime_ns

from simulation.heads.head_simulator import HeadSimulator
from simulation.heads.pty_serial_line import PtySerialLine
from simulation.heads.visca_device import ViscaCameraChain
from tests.contracts.heads import MECHANICS, VISCA_SPECS

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60.0


def now_ns() -> int:
    return clock_gettime_ns(7)  # CLOCK_BOOTTIME


class HeadLine:
    """A simulated head at the end of a line, and a process that drives it: it prints the pid of its guard first."""

    def __init__(self, folder: Path) -> None:
        self.body = HeadSimulator(MECHANICS, now_ns())
        self.line = PtySerialLine(
            folder / "line", [ViscaCameraChain([self.body], VISCA_SPECS)], now_ns
        )

    def start(self, module: str, *arguments: str, log: Path) -> None:
        with log.open("wb") as file:
            self.child = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,
            )
        self.guard = self.guard_pid()

    def guard_pid(self) -> int:
        word, pid = self.receive().split()
        assert word == "guard"
        return int(pid)

    def receive(self) -> str:
        assert self.child.stdout is not None
        return self.child.stdout.readline().strip()

    def tell(self, line: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(TIMEOUT_S)
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        assert wait_until_gone(self.guard)
        self.line.close()


def is_still_moving(simulator: HeadSimulator) -> bool:
    """Whether it is on its way to its end stop, which is some ten seconds away."""
    rest_time_ns = simulator.rest_time_ns()
    return rest_time_ns is None or rest_time_ns > now_ns() + 2_000_000_000


def wait_until_stopping(simulator: HeadSimulator) -> bool:
    """Whether an order comes that ends its motion."""
    return simulator.wait_for(lambda body: not is_still_moving(body), TIMEOUT_S)


def wait_until_gone(pid: int) -> bool:
    """Whether a process ends in time: it need not be our child, so it is looked for."""
    never_set = threading.Event()
    for _ in range(int(TIMEOUT_S / 0.02)):
        if not Path(f"/proc/{pid}").exists() or process_state(pid) == "Z":
            return True
        never_set.wait(0.02)
    return False


def process_state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"
