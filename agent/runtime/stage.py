"""A stage and its thread: run once, beat, and on failure back off and retry."""

import logging
import random
import threading
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from agent.base.health_model import StageHealth, StageState
from agent.runtime.backoff import Backoff
from drivers.errors import DriverError

log = logging.getLogger(__name__)

INITIAL_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
LATE_AFTER_S = 30.0
IDLE_WAIT_S = 4.0
"""The longest wait of a stage that an event wakes: each wait that ends costs a wakeup of an idle box. Health calls
a stage late whose heart has not beaten for 5 s.
"""


class Stage(Protocol):
    """Work that one thread of the agent repeats."""

    @property
    def name(self) -> str:
        """Unique in the agent, such as `capture north`."""
        ...

    def run_once(self, stopping: threading.Event) -> None:
        """Do one turn of work.

        Returns within IDLE_WAIT_S if there is nothing to do, and waits on `stopping` instead of
        sleeping, or has `wake`. May raise anything: the loop reports it, waits and calls again, so a failed turn
        leaves the stage fit for the next one.
        """
        ...

    def close(self) -> None:
        """Release everything. Called after the last turn, in the stage's own thread."""
        ...


@runtime_checkable
class WakeableStage(Protocol):
    """A stage that waits for its own work and not on `stopping`: a stop wakes it up."""

    def wake(self) -> None:
        """End the wait of `run_once` if its `stopping` is set. Thread-safe; never blocks."""
        ...


class StageThread:
    """Runs a stage until it is stopped.

    Invariant: the loop beats at each turn, during backoff too. A missing heartbeat means that the
    stage's own code hangs.
    """

    def __init__(
        self, stage: Stage, clock_ns: Callable[[], int], rng: random.Random, *, vital: bool
    ) -> None:
        self.vital = vital
        self._stage = stage
        self._clock_ns = clock_ns
        self._rng = rng
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=stage.name, daemon=True)
        self._state: StageState = "starting"
        self._last_heartbeat_ns = clock_ns()
        self._failures = 0
        self._backoff = Backoff(INITIAL_BACKOFF_S, MAX_BACKOFF_S)
        self._last_error: str | None = None

    @property
    def name(self) -> str:
        """The stage's name."""
        return self._stage.name

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the loop to end after its current turn. Does not wait."""
        self._stopping.set()
        if isinstance(self._stage, WakeableStage):
            self._stage.wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread. Return False if it still runs after `timeout_s` seconds."""
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def is_late(self) -> bool:
        """Return True if the loop has not turned for LATE_AFTER_S."""
        age_s = (self._clock_ns() - self._last_heartbeat_ns) / 1e9
        return self._state != "stopped" and age_s > LATE_AFTER_S

    def health(self) -> StageHealth:
        """Return the stage's health. Thread-safe."""
        return StageHealth(
            name=self.name,
            state=self._state,
            heartbeat_age_s=(self._clock_ns() - self._last_heartbeat_ns) / 1e9,
            failures=self._failures,
            last_error=self._last_error,
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._last_heartbeat_ns = self._clock_ns()
            self._iterate()
        self._run_safely(self._stage.close)
        self._state = "stopped"

    def _iterate(self) -> None:
        if self._run_safely(lambda: self._stage.run_once(self._stopping)):
            self._state = "running"
            self._backoff.reset()
            return
        self._state = "failing"
        self._failures += 1
        # Full jitter: boxes that failed together do not come back together.
        left_s = self._rng.uniform(INITIAL_BACKOFF_S / 2, self._backoff.next_s())
        while left_s > 0:
            # A turn that took 10 s, as the try to open a camera that does not answer, and a backoff are late together.
            self._last_heartbeat_ns = self._clock_ns()
            if self._stopping.wait(min(left_s, IDLE_WAIT_S)):
                return
            left_s -= IDLE_WAIT_S

    def _run_safely(self, action: Callable[[], None]) -> bool:
        """Return False if `action` raised. The only place in the agent that catches everything."""
        try:
            action()
        except DriverError as error:
            self._last_error = f"{error.kind}: {error}"
            log.warning("stage %s: %s", self.name, self._last_error)
        except Exception as error:
            self._last_error = f"{type(error).__name__}: {error}"
            log.exception("stage %s: failed", self.name)
        else:
            return True
        return False
