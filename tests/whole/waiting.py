"""Wait for something that an agent in this process does, and that no event reports."""

import threading
import time
from collections.abc import Callable

WAIT_S = 40.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds. Fails after WAIT_S."""
    deadline_s, pause = time.monotonic() + WAIT_S, threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        pause.wait(0.1)
