"""One loop in one thread: run once, beat, and on failure back off and try again."""

import logging
import random
import threading
from collections.abc import Callable
from typing import Protocol

from agent.base.health_model import StageHealth, StageState
from drivers.errors import DriverError

log = logging.getLogger(__name__)

INITIAL_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0


class Stage(Protocol):
    """What a thread of the agent does, again and again."""

    @property
    def name(self) -> str:
        """Unique in the agent, such as `capture north`."""
        ...

    def run_once(self, stopping: threading.Event) -> None:
        """One turn of work. It returns within a second or two when there is nothing to do, and
        waits on `stopping` rather than sleep. It may raise anything: the loop reports it, waits
        and calls again, so a failed turn leaves the stage fit for the next one.
        """
        ...

    def close(self) -> None:
        """Let go of everything, after the last turn, in the stage's own thread."""
        ...


class StageThread:
    """Runs a stage until it is told to stop.

    Invariant: the loop beats at each turn, in back-off too; a beat that stays away means that the
    stage's own code hangs.
    """

    def __init__(
        self,
        stage: Stage,
        clock_ns: Callable[[], int],
        rng: random.Random,
        *,
        vital: bool,
        late_after_s: float = 30.0,
    ) -> None:
        self.vital = vital
        self._late_after_s = late_after_s
        self._stage = stage
        self._clock_ns = clock_ns
        self._rng = rng
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=stage.name, daemon=True)
        self._state: StageState = "starting"
        self._last_beat_ns = clock_ns()
        self._failures = 0
        self._consecutive_failures = 0
        self._last_error: str | None = None

    @property
    def name(self) -> str:
        """The stage's name."""
        return self._stage.name

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the loop to end after its turn. Does not wait."""
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False where it still runs after `timeout_s` seconds."""
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def is_late(self) -> bool:
        """Whether the loop has not turned for too long."""
        age_s = (self._clock_ns() - self._last_beat_ns) / 1e9
        return self._state != "stopped" and age_s > self._late_after_s

    def health(self) -> StageHealth:
        """The stage as it is now."""
        return StageHealth(
            name=self.name,
            state=self._state,
            heartbeat_age_s=(self._clock_ns() - self._last_beat_ns) / 1e9,
            failures=self._failures,
            last_error=self._last_error,
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._last_beat_ns = self._clock_ns()
            self._iterate()
        self._run_safely(self._stage.close)
        self._state = "stopped"

    def _iterate(self) -> None:
        if self._run_safely(lambda: self._stage.run_once(self._stopping)):
            self._state = "running"
            self._consecutive_failures = 0
            return
        self._state = "failing"
        self._failures += 1
        max_backoff_s = min(MAX_BACKOFF_S, INITIAL_BACKOFF_S * 2**self._consecutive_failures)
        self._consecutive_failures = min(self._consecutive_failures + 1, 16)
        # Full jitter: boxes that failed together do not come back together.
        wait_s = self._rng.uniform(INITIAL_BACKOFF_S / 2, max_backoff_s)
        self._stopping.wait(wait_s)

    def _run_safely(self, action: Callable[[], None]) -> bool:
        """The one place in the agent that catches everything; False where `work` raised."""
        try:
            action()
        except DriverError as error:
            self._last_error = f"{error.kind}: {error}"
            log.warning("%s: %s", self.name, self._last_error)
        except Exception as error:
            self._last_error = f"{type(error).__name__}: {error}"
            log.exception("%s: failed", self.name)
        else:
            return True
        return False
