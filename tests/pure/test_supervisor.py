"""agent.runtime.supervisor: one table of stop order, a deadline that footage survives, and the watchdog."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.base.clock import SystemClock
from agent.runtime.stage import LATE_AFTER_S, StageThread
from agent.runtime.supervisor import ACTUATOR_DEADLINE_RATIO, VITAL, Order, Supervisor
from tests.conftest import ManualClock
from tests.pure.test_stage import RecordingNotifier, Scripted, Swift


def test_actuators_stop_first_then_the_guard_then_stages_in_data_order() -> None:
    assert [order.name for order in Order] == [
        "ACTUATORS",
        "GUARD",
        "CAPTURE",
        "RECORD",
        "DETECT",
        "ONVIF_EVENTS",
        "RETENTION",
        "CLIPS",
        "FOOTAGE",
        "INCIDENTS",
        "UPLOADS",
        "REHEARSAL",
        "PREVIEW",
        "LIVE",
        "CARE",
        "CONFIGURATION",
        "CAMERA_WATCHDOG",
        "HEALTH",
        "CUSTODY",
        "MQTT",
    ]
    assert {Order.CAPTURE, Order.RECORD} == VITAL


def test_the_architecture_page_shows_the_tables_order() -> None:
    page = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = page.partition("| Order | Stage")[2].partition("\n\n")[0].splitlines()[2:]
    orders = [row.split("|")[1].strip() for row in rows]
    assert [order for order in orders if order] == [
        order.name.lower().replace("_", " ") for order in Order
    ]


def supervised(
    stages: dict[Order, Scripted],
    clock: ManualClock | SystemClock,
    reported: RecordingNotifier | None = None,
) -> Supervisor:
    supervisor = Supervisor(reported or RecordingNotifier(), clock.boottime_ns, Swift())
    supervisor.add({order: [stage] for order, stage in stages.items()})
    return supervisor


def wait_until_ended(name: str) -> None:
    """Wait for the thread of a stage, which a supervisor may have given up."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(60)
            assert not thread.is_alive()


def test_only_a_vital_loop_that_hangs_starves_the_watchdog() -> None:
    clock, reported = ManualClock(), RecordingNotifier()
    vital, other = Scripted(name="capture"), Scripted(name="mqtt")
    supervisor = supervised({Order.CAPTURE: vital, Order.MQTT: other}, clock, reported)
    supervisor.start()
    assert vital.done.wait(60)
    assert other.done.wait(60)
    (thread,) = supervisor._threads[Order.MQTT]
    thread.stop()
    assert thread.join(60)
    assert supervisor.check() == frozenset()
    assert reported.lines == ["READY=1", "WATCHDOG=1", "STATUS=running"]
    reported.lines.clear()
    clock.advance_s(LATE_AFTER_S + 1)
    assert supervisor.check() == {"capture"}
    assert reported.lines == ["STATUS=late: capture"]
    assert supervisor.stop(10)
    assert reported.lines[-1] == "STOPPING=1"


def test_a_late_non_vital_stage_is_named_and_the_watchdog_still_notified() -> None:
    clock, reported = ManualClock(), RecordingNotifier()
    other = Scripted(name="mqtt")
    supervisor = supervised({Order.MQTT: other}, clock, reported)
    supervisor.start()
    assert other.done.wait(60)
    clock.advance_s(LATE_AFTER_S + 1)
    assert supervisor.check() == {"mqtt"}
    assert reported.lines[1:] == ["WATCHDOG=1", "STATUS=late: mqtt"]
    assert supervisor.stop(10)


def test_a_stuck_device_starves_the_watchdog_while_the_loops_keep_running() -> None:
    reported, held = RecordingNotifier(), ["north"]
    supervisor = Supervisor(
        reported, ManualClock().boottime_ns, random.Random(1), stuck_devices=lambda: held
    )
    assert supervisor.check() == frozenset()
    assert reported.lines == ["STATUS=stuck, waiting for a restart: north"]
    held.clear()
    supervisor.check()
    assert reported.lines[1:] == ["WATCHDOG=1", "STATUS=running"]


def test_stages_stop_in_the_tables_order_and_start_in_reverse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []
    closed: list[str] = []

    class Noted(Scripted):
        def close(self) -> None:
            closed.append(self.name)

    start: Callable[[StageThread], None] = StageThread.start

    def noted_start(thread: StageThread) -> None:
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(StageThread, "start", noted_start)
    # Given in any order: the table decides.
    stages = {
        order: Noted(name=order.name) for order in random.Random(3).sample([*Order], len(Order))
    }
    supervisor = supervised(stages, ManualClock())
    supervisor.start()
    assert supervisor.stop(10)
    assert closed == [order.name for order in Order]
    assert started == closed[::-1]
    assert [stage.name for stage in supervisor.health()] == closed


def test_a_hanging_actuator_leaves_time_for_the_recording_stages() -> None:
    release = threading.Event()
    stuck = Scripted(lambda: release.wait(60) and None, name="head")
    clock, recorder = SystemClock(), Scripted(name="record")
    supervisor = supervised({Order.ACTUATORS: stuck, Order.RECORD: recorder}, clock)
    supervisor.start()
    assert recorder.done.wait(60)
    began_ns = clock.boottime_ns()
    assert not supervisor.stop(3.0)
    assert recorder.closed
    took_s = (clock.boottime_ns() - began_ns) / 1e9
    assert took_s >= 3.0 * ACTUATOR_DEADLINE_RATIO
    release.set()
    wait_until_ended("head")


def test_a_late_stage_that_has_ended_meanwhile_counts_as_ended() -> None:
    release = threading.Event()
    late = Scripted(lambda: release.wait(60) and None, name="head")

    class Releasing(Scripted):
        def close(self) -> None:
            release.set()
            wait_until_ended("head")

    stages = {Order.ACTUATORS: late, Order.RECORD: Releasing(name="record")}
    supervisor = supervised(stages, ManualClock())
    supervisor.start()
    assert supervisor.stop(0.3)


def test_a_hanging_thread_does_not_block_the_others_forever() -> None:
    release = threading.Event()
    stuck = Scripted(lambda: release.wait(60) and None, name="stuck")
    fine = Scripted(name="fine")
    supervisor = supervised({Order.CAPTURE: stuck, Order.RECORD: fine}, ManualClock())
    supervisor.start()
    assert fine.done.wait(60)
    assert not supervisor.stop(0.05)
    release.set()
    for name in ("stuck", "fine"):
        wait_until_ended(name)
    assert fine.closed
