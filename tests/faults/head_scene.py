"""Helpers of tests of a simulated head and of the guard that stops it."""

import threading
from pathlib import Path
from time import clock_gettime_ns

from simulation.heads.head_simulator import HeadSimulator

TIMEOUT_S = 60.0


def now_ns() -> int:
    return clock_gettime_ns(7)  # CLOCK_BOOTTIME


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
    except FileNotFoundError:
        return "Z"
