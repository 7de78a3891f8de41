"""agent.runtime.stage: the loop turns, beats, backs off, and survives any exception of its stage."""

import random
import threading
from collections.abc import Callable

from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import LATE_AFTER_S, StageThread
from drivers.errors import DriverError
from tests.conftest import ManualClock


class Scripted:
    """A stage with a script for each turn, which then waits for the stop."""

    def __init__(self, *turns: Callable[[], None], name: str = "scripted") -> None:
        self.name = name
        self._turns = list(turns)
        self.done = threading.Event()
        self.closed = False

    def run_once(self, stopping: threading.Event) -> None:
        if self._turns:
            self._turns.pop(0)()
            return
        self.done.set()
        stopping.wait()

    def close(self) -> None:
        self.closed = True


def fail(error: Exception) -> Callable[[], None]:
    def turn() -> None:
        raise error

    return turn


class Swift(random.Random):
    """Randomness that always draws the shortest wait."""

    def uniform(self, a: float, b: float) -> float:
        assert a < b or a == b
        return 0.0


def test_a_stage_that_raises_is_called_again_and_reports_the_error() -> None:
    stage = Scripted(fail(ValueError("odd")), fail(DriverError("absent", "no camera")))
    clock = ManualClock()
    thread = StageThread(stage, clock.boottime_ns, Swift(), vital=True)
    thread.start()
    assert stage.done.wait(60)
    health = thread.health()
    assert health.failures == 2
    assert health.last_error == "absent: no camera"
    thread.stop()
    assert thread.join(60)
    assert stage.closed
    assert thread.health().state == "stopped"


def test_a_loop_that_does_not_turn_is_late_and_one_that_ended_is_not() -> None:
    stage = Scripted()
    clock = ManualClock()
    thread = StageThread(stage, clock.boottime_ns, Swift(), vital=True)
    thread.start()
    assert stage.done.wait(60)
    assert not thread.is_late()
    clock.advance_s(LATE_AFTER_S + 1)
    assert thread.is_late()
    thread.stop()
    assert thread.join(60)
    assert not thread.is_late()


class Longest(random.Random):
    """Randomness that always draws the longest wait."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Unanswered:
    """A stage that fails after a while, as the try to open a camera that does not answer. Its waits take the clock's time."""

    name = "unanswered"

    def __init__(self, clock: ManualClock, turn_s: float) -> None:
        self.thread: StageThread | None = None
        self.ages_s: list[float] = []
        self._clock = clock
        self._turn_s = turn_s
        self._turns = 0

    def run_once(self, stopping: threading.Event) -> None:
        stopping.wait = self._wait  # type: ignore[method-assign]
        self._take(self._turn_s)
        self._turns += 1
        if self._turns == 20:
            stopping.set()
        raise DriverError("timeout", "did not open")

    def _wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._take(timeout)
        return False

    def _take(self, duration_s: float) -> None:
        assert self.thread is not None
        self._clock.advance_s(duration_s)
        self.ages_s.append(self.thread.health().heartbeat_age_s)

    def close(self) -> None: ...


def test_the_loop_beats_during_the_longest_backoff_too() -> None:
    """A vital stage that is late has systemd kill the agent, with all its other cameras."""
    clock = ManualClock()
    stage = Unanswered(clock, turn_s=20.0)
    stage.thread = StageThread(stage, clock.boottime_ns, Longest(), vital=True)
    stage.thread.start()
    assert stage.thread.join(60)
    assert stage.thread.health().failures == 20
    assert max(stage.ages_s) == 20.0 < LATE_AFTER_S


class RecordingNotifier(Notifier):
    """A notifier that remembers what it would have sent."""

    def __init__(self) -> None:
        super().__init__({"NOTIFY_SOCKET": "unused", "WATCHDOG_USEC": "30000000"})
        self.lines: list[str] = []

    def _send(self, line: str) -> None:
        self.lines.append(line)


class WaitsForWork:
    """A stage that waits for work which never comes."""

    name = "waits"

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def run_once(self, stopping: threading.Event) -> None:
        with self._changed:
            self._changed.wait_for(stopping.is_set)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def close(self) -> None: ...


def test_a_stop_wakes_a_stage_that_waits_for_work() -> None:
    thread = StageThread(WaitsForWork(), ManualClock().boottime_ns, Swift(), vital=False)
    thread.start()
    thread.stop()
    assert thread.join(60)
