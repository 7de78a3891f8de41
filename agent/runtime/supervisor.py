"""Supervisor: starts the stages, watches that their loops turn, and stops them in order.

Liveness is that the loops turn; health is that useful work is done. Only a vital loop that hangs keeps
the watchdog from being petted, so that systemd restarts the agent. A camera that delivers nothing is a
fault in the health report and never a restart. The exception is a camera that the kernel holds, see
agent/health/stuck_cameras.py.
"""

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum, auto

from agent.base.health_model import StageHealth
from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import Stage, StageThread

log = logging.getLogger(__name__)


class Order(IntEnum):
    """Order in which the stages stop; they start in the opposite order.

    ACTUATORS are first: a camera or a disk that hangs may use up the time of the stages after it, and
    must not keep a head moving. The guard follows, then all others in data order: each source before
    its consumers.
    """

    ACTUATORS = auto()
    GUARD = auto()
    CAPTURE = auto()
    RECORD = auto()
    DETECT = auto()
    ONVIF_EVENTS = auto()
    RETENTION = auto()
    CLIPS = auto()
    FOOTAGE = auto()
    INCIDENTS = auto()
    UPLOADS = auto()
    REHEARSAL = auto()
    PREVIEW = auto()
    LIVE = auto()
    CARE = auto()
    CONFIGURATION = auto()
    CAMERA_WATCHDOG = auto()
    HEALTH = auto()
    CUSTODY = auto()
    MQTT = auto()


VITAL = frozenset({Order.CAPTURE, Order.RECORD})
"""The stages without which no footage is kept. The others may be late: that is reported."""
STOP_DEADLINE_S = 15.0
ACTUATOR_DEADLINE_RATIO = 1 / 3
"""The actuators' share of the stop deadline; the rest is left to the stages that keep footage."""
MAX_CHECK_INTERVAL_S = 5.0


class Supervisor:
    """Owns one thread per stage that was added. `stuck_devices` returns the devices that only a restart may free."""

    def __init__(
        self,
        notifier: Notifier,
        clock_ns: Callable[[], int],
        rng: random.Random,
        *,
        stuck_devices: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._threads: dict[Order, tuple[StageThread, ...]] = {}
        self._rng = rng
        self._stuck_devices = stuck_devices
        self._notifier = notifier
        self._clock_ns = clock_ns
        self._late_names: frozenset[str] = frozenset()
        self._stuck_names: tuple[str, ...] = ()

    def add(self, stages: Mapping[Order, Sequence[Stage]]) -> None:
        """Add stages before the start; their threads are made here."""
        for order, added in stages.items():
            self._threads[order] = (
                *self._threads.get(order, ()),
                *(
                    StageThread(stage, self._clock_ns, self._rng, vital=order in VITAL)
                    for stage in added
                ),
            )
        self._threads = {order: self._threads[order] for order in sorted(self._threads)}

    @property
    def check_interval_s(self) -> float:
        """Return how often to call `check`: three times per watchdog period, sd_watchdog_enabled(3)."""
        watchdog_s = self._notifier.watchdog_s
        return min(MAX_CHECK_INTERVAL_S, watchdog_s / 3) if watchdog_s else MAX_CHECK_INTERVAL_S

    def start(self) -> None:
        """Start the threads, consumers before their sources and the actuators last."""
        for order in reversed(self._threads):
            for thread in self._threads[order]:
                thread.start()
        self._notifier.ready()

    def check(self) -> frozenset[str]:
        """Pet the watchdog unless a vital loop hangs or a device is stuck.

        Return the names of the late stages.
        """
        late_threads = [thread for thread in self._all_threads() if thread.is_late()]
        late_names = frozenset(thread.name for thread in late_threads)
        for name in sorted(late_names - self._late_names):
            log.error("stage %s: late, its loop does not turn", name)
        for name in sorted(self._late_names - late_names):
            log.warning("stage %s: its loop turns again", name)
        self._late_names = late_names
        stuck = tuple(sorted(self._stuck_devices()))
        if stuck and stuck != self._stuck_names:
            log.critical("stuck: %s; the watchdog is no longer petted", ", ".join(stuck))
        self._stuck_names = stuck
        if not stuck and not any(thread.vital for thread in late_threads):
            self._notifier.pet_watchdog()
        self._notifier.status(self._status_text(late_names))
        return late_names

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Stop all threads within one deadline. Return False if one still runs after it."""
        self._notifier.stopping()
        start_ns = self._clock_ns()
        for order, threads in self._threads.items():
            ratio = ACTUATOR_DEADLINE_RATIO if order is Order.ACTUATORS else 1
            self._stop_threads(threads, start_ns, deadline_s * ratio)
        # A thread that was late in its turn may have ended meanwhile.
        return all(thread.join(0.0) for thread in self._all_threads())

    def health(self) -> tuple[StageHealth, ...]:
        """Return the health of every stage, in stop order."""
        return tuple(thread.health() for thread in self._all_threads())

    def _stop_threads(
        self, threads: Sequence[StageThread], start_ns: int, deadline_s: float
    ) -> None:
        """Stop the threads of one order together. The deadline counts from `start_ns`."""
        for thread in threads:
            thread.stop()
        for thread in threads:
            if not thread.join(deadline_s - (self._clock_ns() - start_ns) / 1e9):
                log.error("stage %s: still runs after %g s", thread.name, deadline_s)

    def _status_text(self, late_names: frozenset[str]) -> str:
        if self._stuck_names:
            return f"stuck, waiting for a restart: {', '.join(self._stuck_names)}"
        return f"late: {', '.join(sorted(late_names))}" if late_names else "running"

    def _all_threads(self) -> Iterator[StageThread]:
        return (thread for threads in self._threads.values() for thread in threads)
