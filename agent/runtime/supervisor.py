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
FIRST_SHARE = 1 / 3
"""What is stopped first has this share of the deadline, and leaves the rest to what keeps footage."""
LONGEST_CHECK_S = 5.0


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
        first: Sequence[StageThread] = (),
        stuck: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`first` are stopped before all groups, and started after them. `stuck` names the devices that
        the kernel holds, for which the agent is to start anew.
        """
        self._stuck = stuck
        self._first = tuple(first)
        self._groups = tuple(tuple(group) for group in groups)
        self._notifier = notifier
        self._clock_ns = clock_ns
        self._late: frozenset[str] = frozenset()
        self._held: tuple[str, ...] = ()

    @property
    def check_every_s(self) -> float:
        """How often to call `check`: thrice in a watchdog's time, sd_watchdog_enabled(3)."""
        watchdog_s = self._notifier.watchdog_s
        return min(LONGEST_CHECK_S, watchdog_s / 3) if watchdog_s else LONGEST_CHECK_S

    def start(self) -> None:
        """Start the threads, those first that others feed, and last what moves or switches."""
        for group in (*reversed(self._groups), self._first):
            for stage in group:
                stage.start()
        self._notifier.ready()

    def check(self) -> frozenset[str]:
        """Feed the watchdog unless a vital loop hangs or a device is stuck. The names of the stages
        that are late.
        """
        late = [stage for stage in self._stages() if stage.is_late()]
        names = frozenset(stage.name for stage in late)
        for name in sorted(names - self._late):
            log.error("%s: has not turned for too long", name)
        for name in sorted(self._late - names):
            log.warning("%s: turns again", name)
        self._late = names
        held = tuple(sorted(self._stuck()))
        if held and held != self._held:
            log.critical("%s: stuck; the watchdog is not fed any more", ", ".join(held))
        self._held = held
        if not held and not any(stage.vital for stage in late):
            self._notifier.alive()
        self._notifier.status(self._said(names))
        return names

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> bool:
        """Stop all threads within one deadline; False where one has not ended by then."""
        self._notifier.stopping()
        began_ns = self._clock_ns()
        self._end(self._first, began_ns, deadline_s * FIRST_SHARE)
        for group in self._groups:
            self._end(group, began_ns, deadline_s)
        # Once more: what was late may have ended meanwhile.
        return all(stage.join(0.0) for stage in self._stages())

    def health(self) -> tuple[StageHealth, ...]:
        """Every stage as it is now, in the order in which they stop."""
        return tuple(stage.health() for stage in self._stages())

    def _end(self, group: Sequence[StageThread], began_ns: int, within_s: float) -> None:
        """Stop a group, and wait for it until so long after the stop began."""
        for stage in group:
            stage.stop()
        for stage in group:
            if not stage.join(within_s - (self._clock_ns() - began_ns) / 1e9):
                log.error("%s: did not end within %g s", stage.name, within_s)

    def _said(self, late: frozenset[str]) -> str:
        if self._held:
            return f"stuck, and waits for a restart: {', '.join(self._held)}"
        return f"late: {', '.join(sorted(late))}" if late else "running"

    def _stages(self) -> Iterable[StageThread]:
        return (stage for group in (self._first, *self._groups) for stage in group)
