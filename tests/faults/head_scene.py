"""What tests ask of a simulated head, and of the guard that is to stop it."""

import threading
from pathlib import Path
from time import clock_gettime_ns

from drivers.simulated.motion import HeadMotion

PATIENCE_S = 20.0


def now_ns() -> int:
    return clock_gettime_ns(7)  # CLOCK_BOOTTIME


def goes_on(body: HeadMotion) -> bool:
    """Whether it is on its way to its end stop, which is some ten seconds away."""
    rests_ns = body.rests_ns()
    return rests_ns is None or rests_ns > now_ns() + 2_000_000_000


def comes_to_rest(body: HeadMotion) -> bool:
    """Whether an order comes that ends its motion."""
    return body.wait_for(lambda body: not goes_on(body), PATIENCE_S)


def goes_away(pid: int) -> bool:
    """Whether a process ends in time: it need not be our child, so it is looked for."""
    looking = threading.Event()
    for _ in range(int(PATIENCE_S / 0.02)):
        if not Path(f"/proc/{pid}").exists() or state_of(pid) == "Z":
            return True
        looking.wait(0.02)
    return False


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
