"""Starts every thread, watches that the loops turn, and stops them: what moves or switches first, then
in data order.

Liveness is that the loops turn; health is that useful work is done. Only a vital loop that hangs
keeps the watchdog from being fed, so that systemd starts the agent anew. A camera that gives
nothing is a fault in the report, and never a restart; but one whose process the kernel holds is, a
few times, see agent/health/stuck_cameras.py.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

from agent.base.health_model import StageHealth
from agent.runtime.sd_notify import Notifier
from agent.runtime.stage import StageThread

log = logging.getLogger(__name__)

STOP_DEADLINE_S = 15.0
ACTUATOR_DEADLINE_RATIO = 1 / 3
"""What is stopped first has this share of the deadline, and leaves the rest to what keeps footage."""
MAX_CHECK_INTERVAL_S = 5.0


class Supervisor:
    """Owns the threads, in groups that stand in data order: what feeds before what is fed.

    Before them stand the threads of what moves or switches: a camera or a disk that hangs may use up
    the time of those after it, and must not keep a head moving.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[StageThread]],
        notifier: Notifier,
        clock_ns: Callable[[], int],
        *,
        actuator_stages: Sequence[StageThread] = (),
        stuck_devices: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`first` are stopped before all groups, and started after them. `stuck` names the devices that
        the kernel holds, for which the agent is to start anew.
        """
        self._stuck_devices = stuck_devices
        self._actuator_stages = tuple(actuator_stages)
        self._groups = tuple(tuple(group) for group in groups)
        self._notifier = notifier
        self._clock_ns = clock_ns
        self._late_names: frozenset[str] = frozenset()
        self._stuck_names: tuple[str, ...] = ()

    @property
    def check_interval_s(self) -> float:
        """How often to call `check`: thrice in a watchdog's time, sd_watchdog_enabled(3)."""
        watchdog_s = self._notifier.watchdog_s
        return min(MAX_CHECK_INTERVAL_S, watchdog_s / 3) if watchdog_s else MAX_CHECK_INTERVAL_S

    def start(self) -> None:
        """Start the threads, those first that others feed, and last what moves or switches."""
        for group in (*reversed(self._groups), self._actuator_stages):
            for stage in group:
                stage.start()
        self._notifier.ready()

    def check(self) -> frozenset[str]:
        """Feed the watchdog unless a vital loop hangs or a device is stuck. The names of the stages
        that are late.
        """
        late_stages = [stage for stage in self._all_stages() if stage.is_late()]
        late_names = frozenset(stage.name for stage in late_stages)
        for name in sorted(late_names - self._late_names):
            log.error("%s: has not turned for too long", name)
        for name in sorted(self._late_names - late_names):
            log.warning("%s: turns again", name)
        self._late_names = late_names
        stuck = tuple(sorted(self._stuck_devices()))
        if stuck and stuck != self._stuck_names:
            log.critical("%s: stuck; the watchdog is not fed any more", ", ".join(stuck))
        self._stuck_names = stuck
        if not stuck and not any(stage.vital for stage in late_stages):
            self._notifier.pet_watchdog()
        self._notifier.status(self._status_text(late_names))
        return late_names

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Stop all threads within one deadline; False where one has not ended by then."""
        self._notifier.stopping()
        start_ns = self._clock_ns()
        self._stop_group(self._actuator_stages, start_ns, deadline_s * ACTUATOR_DEADLINE_RATIO)
        for group in self._groups:
            self._stop_group(group, start_ns, deadline_s)
        # Once more: what was late may have ended meanwhile.
        return all(stage.join(0.0) for stage in self._all_stages())

    def health(self) -> tuple[StageHealth, ...]:
        """Every stage as it is now, in the order in which they stop."""
        return tuple(stage.health() for stage in self._all_stages())

    def _stop_group(self, group: Sequence[StageThread], start_ns: int, deadline_s: float) -> None:
        """Stop a group, and wait for it until so long after the stop began."""
        for stage in group:
            stage.stop()
        for stage in group:
            if not stage.join(deadline_s - (self._clock_ns() - start_ns) / 1e9):
                log.error("%s: did not end within %g s", stage.name, deadline_s)

    def _status_text(self, late_names: frozenset[str]) -> str:
        if self._stuck_names:
            return f"stuck, and waits for a restart: {', '.join(self._stuck_names)}"
        return f"late: {', '.join(sorted(late_names))}" if late_names else "running"

    def _all_stages(self) -> Iterable[StageThread]:
        return (stage for group in (self._actuator_stages, *self._groups) for stage in group)
