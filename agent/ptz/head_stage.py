"""What a head does by itself, turn by turn: open its driver, look where it is, go on with its motion,
keep out of its sectors, let its movers move it, go home, and count its wear.
"""

import logging
import threading
from collections.abc import Callable

import msgspec

from agent.base.clock import Clock
from agent.commands.requester import CommandRejected, Requester
from agent.faults.registry import FaultRegistry
from agent.ptz.head import PtzHead
from agent.ptz.motion.forbidden_sectors import reach
from agent.ptz.motion.path import way_out
from agent.ptz.motion.trajectory import Ending, PoseTrajectory
from agent.ptz.motion_controller import ActiveMotion
from agent.ptz.noise_watch import LineNoiseMonitor
from agent.ptz.requests import GotoPreset
from drivers.errors import DriverError

log = logging.getLogger(__name__)

IDLE_S = 0.5
"""A turn of a head that stands still: it asks nothing of the line."""
IDLE_LOOK_S = 10.0
"""So often a head that stands still is asked where it is, which shows that it is still there."""
SILENT_LOOK_S = 2.0
"""And one that has not answered."""
LAST_LOOK_S = 0.15
"""Nearer to its end than this a motion is not looked at: its stop must not wait for an answer."""
SOON_S = 0.1
STOP_AGAIN_S = 1.0
LONGEST_BACKOFF_S = 5.0
ESCAPE_AFTER_S = 1.0
ESCAPE_AGAIN_S = 30.0
HOME = Requester(id="home", role="tour")


class HeadStage:
    """See `agent.runtime.stage.Stage`. A turn that fails stops the head.

    `noise_bytes` counts what came over the head's line and was no message of anybody.
    """

    def __init__(
        self,
        head: PtzHead,
        clock: Clock,
        faults: FaultRegistry,
        noise_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        self.name = f"head {head.name}"
        self._head = head
        self._clock_ns = clock.boottime_ns
        self._faults = faults
        self._looked_ns: int | None = None
        self._ending: Ending | None = None
        self._noise = LineNoiseMonitor(noise_bytes, head.link, faults)
        self._open_not_before_ns = 0
        self._failures = 0
        self._stop_not_before_ns = 0
        self._escape_not_before_ns = 0
        self._home_not_before_ns = 0

    def run_once(self, stopping: threading.Event) -> None:
        """One turn; then wait until the next is due or somebody wants something."""
        head = self._head
        head.wake.clear()
        whole = False
        try:
            wait_s = self._turn()
            whole = True
        finally:
            if not whole:
                head.helm.abandon("a turn of its stage failed")
        if wait_s > 0 and not stopping.is_set():
            head.wake.wait(min(wait_s, IDLE_S))

    def close(self) -> None:
        """Stop the head and let go of it."""
        self._head.helm.abandon("the agent stops")
        self._head.link.close()
        self._head.odometer.keep(self._clock_ns(), now=True)

    def _turn(self) -> float:
        head, helm = self._head, self._head.helm
        helm.heartbeat()
        try:
            if not self._open():
                return IDLE_S
            self._pay_stop()
            if self._look_is_due():
                self._look()
            wait_s = helm.step()
        except DriverError as error:
            log.warning("head %s: lost: %s", head.name, error)
            head.notify_at_rest()
            return SOON_S
        self._tell_ending()
        t_ns = self._clock_ns()
        self._noise.look(t_ns)
        if helm.motion is None:
            self._escape(t_ns)
        self._let_move(t_ns)
        self._go_home(t_ns)
        head.notify_at_rest()
        if helm.motion is None:
            # The disk may take its time, and nobody must wait for it who moves.
            head.odometer.keep(t_ns)
            head.tokens.reserve()
            return (
                SOON_S
                if helm.at_rest_since_ns is None
                else self._until_settled_s(t_ns, helm.at_rest_since_ns)
            )
        left_s = head.lease_left_s(t_ns)
        return wait_s if left_s is None else max(0.0, min(wait_s, left_s))

    def _until_settled_s(self, t_ns: int, stands_ns: int) -> float:
        """Whoever waits for the picture to be at rest, waits no longer than that."""
        left_s = self._head.config.settle_s - (t_ns - stands_ns) / 1e9
        return min(IDLE_S, left_s) if left_s > 0 else IDLE_S

    def _open(self) -> bool:
        """Whether the driver is open. It is tried again sooner than other devices are: a head whose
        line was cut may be moving.
        """
        head, t_ns = self._head, self._clock_ns()
        if head.abilities is None and t_ns < self._open_not_before_ns:
            return False
        try:
            opened = head.link.open()
        except DriverError as error:
            wait_s = min(LONGEST_BACKOFF_S, SOON_S * 2**self._failures)
            self._failures = min(self._failures + 1, 16)
            self._open_not_before_ns = t_ns + int(wait_s * 1e9)
            if self._failures == 1:
                log.warning("head %s: cannot be opened: %s", head.name, error)
            return False
        if opened:
            log.info("head %s: open", head.name)
            self._failures = 0
            self._looked_ns = None
            head.helm.opened()
        return True

    def _pay_stop(self) -> None:
        """Send the stop that is owed; a head that does not answer must not fill the line with it."""
        t_ns = self._clock_ns()
        if self._head.link.stop_pending and t_ns >= self._stop_not_before_ns:
            self._stop_not_before_ns = t_ns + int(STOP_AGAIN_S * 1e9)
            self._head.helm.retry_stop()

    def _look_is_due(self) -> bool:
        helm = self._head.helm
        left_s = helm.left_s()
        if left_s is not None and left_s < LAST_LOOK_S:
            return False
        if self._looked_ns is None:
            return True
        age_s = (self._clock_ns() - self._looked_ns) / 1e9
        if helm.position is None:
            return age_s >= SILENT_LOOK_S
        if helm.motion is None and helm.at_rest_since_ns is not None:
            return age_s >= IDLE_LOOK_S
        return age_s > 0

    def _look(self) -> None:
        head = self._head
        self._looked_ns = self._clock_ns()
        position = head.helm.query_position()
        head.odometer.look(position)
        worn = head.odometer.worn()
        if worn is not None:
            self._faults.raise_fault("PTZ-05", head.name, worn)

    def _tell_ending(self) -> None:
        """A head that does not arrive is a fault, until it does."""
        ending, self._ending = self._head.helm.ending, self._head.helm.ending
        if ending is None:
            return
        if ending.how == "late":
            self._faults.raise_fault("PTZ-04", self._head.name, ending.sentence)
        elif ending.how == "arrived":
            self._faults.clear("PTZ-04", self._head.name)

    def _let_move(self, t_ns: int) -> None:
        """Ask those that move it by themselves, the strongest first; the first wish is done."""
        head = self._head
        for mover in head.movers:
            words = head.helm.request_count
            if not head.would_grant(mover.asker, t_ns):
                continue
            wish = mover.step(t_ns, head.state())
            if wish is None:
                continue
            try:
                head.move(wish, mover.asker, words=words)
            except CommandRejected as refusal:
                mover.refused(t_ns, wish, refusal)
            else:
                return

    def _go_home(self, t_ns: int) -> None:
        head, home = self._head, self._head.config.home
        words = head.helm.request_count
        idle_s = (t_ns - head.last_request_ns) / 1e9
        if home is None or idle_s < head.config.home_after_s or t_ns < self._home_not_before_ns:
            return
        if head.is_held_after_stop(t_ns):
            return
        state = head.state()
        if state.preset == home or state.moving or state.tour or state.lease:
            return
        self._home_not_before_ns = t_ns + int(head.config.home_after_s * 1e9)
        try:
            head.move(GotoPreset(preset=home), HOME, words=words)
        except CommandRejected as refusal:
            log.warning("head %s: does not go home: %s", head.name, refusal)

    def _escape(self, t_ns: int) -> None:
        """Leave a sector of the configuration that it rests in, by the shortest way out, whoever
        has the head: somebody pushed it there, or stopped it on its way over.
        """
        head, helm = self._head, self._head.helm
        words, since_ns, position = helm.request_count, helm.at_rest_since_ns, helm.position
        if since_ns is None or position is None or t_ns < self._escape_not_before_ns:
            return
        if (t_ns - since_ns) / 1e9 < ESCAPE_AFTER_S or head.is_held_after_stop(t_ns):
            return
        bounds = msgspec.structs.replace(helm.bounds(t_ns), sectors=head.config.forbidden)
        abilities = head.abilities
        if bounds.lost or abilities is None:
            return
        sector = bounds.hits(reach(position.pose), passing=False)
        if sector is None:
            return
        self._escape_not_before_ns = t_ns + int(ESCAPE_AGAIN_S * 1e9)
        out = way_out(position.pose, bounds)
        if out is None:
            log.error("head %s: looks at sector %r, and knows no way out", head.name, sector.name)
            return
        log.warning("head %s: leaves sector %r", head.name, sector.name)
        course = PoseTrajectory((out,), 1.0, abilities, head.config.brake_s, bounds.error_deg)
        ends_ns = t_ns + int(head.config.longest_move_s * 1e9)
        try:
            helm.begin(ActiveMotion(course=course, lease=None, ends_ns=ends_ns), words)
        except CommandRejected as refusal:
            log.error("head %s: does not leave sector %r: %s", head.name, sector.name, refusal)
