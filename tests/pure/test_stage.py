"""The stage loop: it turns, beats, backs off, and outlives whatever its stage raises."""

import random
import threading
from collections.abc import Callable

from agent.base.clock import SystemClock
from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import StageThread
from agent.runtime.supervisor import ACTUATOR_DEADLINE_RATIO, Supervisor
from drivers.errors import DriverError
from tests.conftest import ManualClock


class Scripted:
    """A stage that does what it is told at each turn, and then waits for the stop."""

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


def test_a_stage_that_raises_is_called_again_and_says_why() -> None:
    stage = Scripted(fail(ValueError("odd")), fail(DriverError("absent", "no camera")))
    clock = ManualClock()
    thread = StageThread(stage, clock.boottime_ns, Swift(), vital=True)
    thread.start()
    assert stage.done.wait(10)
    health = thread.health()
    assert health.failures == 2
    assert health.last_error == "absent: no camera"
    thread.stop()
    assert thread.join(10)
    assert stage.closed
    assert thread.health().state == "stopped"


def test_a_loop_that_does_not_turn_is_late_and_one_that_ended_is_not() -> None:
    stage = Scripted()
    clock = ManualClock()
    thread = StageThread(stage, clock.boottime_ns, Swift(), vital=True, late_after_s=5)
    thread.start()
    assert stage.done.wait(10)
    assert not thread.is_late()
    clock.advance_s(6)
    assert thread.is_late()
    thread.stop()
    assert thread.join(10)
    assert not thread.is_late()


class Told(Notifier):
    """A notifier that remembers what it would have sent."""

    def __init__(self) -> None:
        super().__init__({"NOTIFY_SOCKET": "unused", "WATCHDOG_USEC": "30000000"})
        self.lines: list[str] = []

    def _send(self, line: str) -> None:
        self.lines.append(line)


def test_only_a_vital_loop_that_hangs_starves_the_watchdog() -> None:
    clock = ManualClock()
    told = Told()
    vital, other = Scripted(name="capture"), Scripted(name="report")
    threads = [
        StageThread(stage, clock.boottime_ns, Swift(), vital=stage is vital, late_after_s=5)
        for stage in (vital, other)
    ]
    supervisor = Supervisor([[thread] for thread in threads], told, clock.boottime_ns)
    supervisor.start()
    assert vital.done.wait(10)
    assert other.done.wait(10)
    threads[1].stop()
    assert threads[1].join(10)
    assert supervisor.check() == frozenset()
    assert told.lines == ["READY=1", "WATCHDOG=1", "STATUS=running"]
    told.lines.clear()
    clock.advance_s(6)
    assert supervisor.check() == {"capture"}
    assert told.lines == ["STATUS=late: capture"]
    assert supervisor.stop(10)
    assert told.lines[-1] == "STOPPING=1"


def test_a_stuck_device_starves_the_watchdog_and_the_loops_turn_on() -> None:
    told, held = Told(), ["north"]
    supervisor = Supervisor([], told, ManualClock().boottime_ns, stuck_devices=lambda: held)
    assert supervisor.check() == frozenset()
    assert told.lines == ["STATUS=stuck, and waits for a restart: north"]
    held.clear()
    supervisor.check()
    assert told.lines[1:] == ["WATCHDOG=1", "STATUS=running"]


def test_stopping_goes_in_data_order_and_starting_against_it() -> None:
    clock = ManualClock()
    order: list[str] = []

    class Noted(Scripted):
        def close(self) -> None:
            order.append(self.name)

    stages = [Noted(name=name) for name in ("capture", "record", "report")]
    threads = [StageThread(s, clock.boottime_ns, Swift(), vital=False) for s in stages]
    supervisor = Supervisor([[thread] for thread in threads], Told(), clock.boottime_ns)
    supervisor.start()
    assert supervisor.stop(10)
    assert order == ["capture", "record", "report"]


def test_what_moves_is_stopped_before_all_else_and_started_after_it() -> None:
    clock = ManualClock()
    order: list[str] = []

    class Noted(Scripted):
        def run_once(self, stopping: threading.Event) -> None:
            order.append(f"{self.name} begins")
            super().run_once(stopping)

        def close(self) -> None:
            order.append(f"{self.name} ends")

    class InTurn(StageThread):
        def start(self) -> None:
            super().start()
            assert stages[self.name].done.wait(10)

    stages = {name: Noted(name=name) for name in ("head", "capture", "report")}
    head, *others = (
        InTurn(stage, clock.boottime_ns, Swift(), vital=False) for stage in stages.values()
    )
    supervisor = Supervisor(
        [[other] for other in others], Told(), clock.boottime_ns, actuator_stages=[head]
    )
    supervisor.start()
    assert supervisor.stop(10)
    begun, ended = ["report begins", "capture begins", "head begins"], ["head", "capture", "report"]
    assert order == [*begun, *(f"{name} ends" for name in ended)]


def test_a_head_that_will_not_end_leaves_time_to_what_keeps_footage() -> None:
    release = threading.Event()
    stuck = Scripted(lambda: release.wait(30) and None, name="head")
    clock = SystemClock()
    recorder = Scripted(name="record")
    threads = [StageThread(s, clock.boottime_ns, Swift(), vital=True) for s in (stuck, recorder)]
    supervisor = Supervisor([threads[1:]], Told(), clock.boottime_ns, actuator_stages=threads[:1])
    supervisor.start()
    assert recorder.done.wait(10)
    began_ns = clock.boottime_ns()
    assert not supervisor.stop(3.0)
    assert recorder.closed
    took_s = (clock.boottime_ns() - began_ns) / 1e9
    assert took_s >= 3.0 * ACTUATOR_DEADLINE_RATIO
    release.set()
    assert threads[0].join(10)


def test_what_was_late_and_has_ended_meanwhile_counts_as_ended() -> None:
    release = threading.Event()
    late = Scripted(lambda: release.wait(30) and None, name="head")

    class Releasing(Scripted):
        def close(self) -> None:
            release.set()
            assert threads[0].join(10)

    clock = ManualClock()
    threads = [
        StageThread(s, clock.boottime_ns, Swift(), vital=True)
        for s in (late, Releasing(name="record"))
    ]
    supervisor = Supervisor([threads[1:]], Told(), clock.boottime_ns, actuator_stages=threads[:1])
    supervisor.start()
    assert supervisor.stop(0.3)


def test_a_thread_that_will_not_end_does_not_hold_the_others_for_ever() -> None:
    release = threading.Event()
    stuck = Scripted(lambda: release.wait(30) and None, name="stuck")
    fine = Scripted(name="fine")
    clock = ManualClock()
    threads = [StageThread(s, clock.boottime_ns, Swift(), vital=True) for s in (stuck, fine)]
    supervisor = Supervisor([[thread] for thread in threads], Told(), clock.boottime_ns)
    supervisor.start()
    assert fine.done.wait(10)
    assert not supervisor.stop(0.05)
    release.set()
    assert threads[0].join(10)
    assert threads[1].join(10)
    assert fine.closed
