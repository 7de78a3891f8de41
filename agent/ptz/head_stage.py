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
from agent.ptz.connection import HeadConnection
from agent.ptz.head import PtzHead
from agent.ptz.motion.forbidden_sectors import swept_area
from agent.ptz.motion.path_planner import find_exit
from agent.ptz.motion.trajectory import MoveResult, PoseTrajectory
from agent.ptz.motion_controller import ActiveMotion
from agent.ptz.requests import GotoPreset
from drivers.errors import DriverError

log = logging.getLogger(__name__)

IDLE_S = 0.5
"""A turn of a head that stands still: it asks nothing of the line."""
IDLE_QUERY_S = 10.0
"""So often a head that stands still is asked where it is, which shows that it is still there."""
SILENT_QUERY_S = 2.0
"""And one that has not answered."""
NO_QUERY_BEFORE_END_S = 0.15
"""Nearer to its end than this a motion is not looked at: its stop must not wait for an answer."""
RETRY_S = 0.1
STOP_RETRY_S = 1.0
MAX_BACKOFF_S = 5.0
LEAVE_SECTOR_AFTER_S = 1.0
LEAVE_SECTOR_RETRY_S = 30.0
NOISE_WINDOW_S = 30.0
NOISY_BYTES_PER_WINDOW = 10
"""So many in one span: a plug that is pulled makes fewer, a line without termination more."""
BYTES_PER_PROTOCOL_ERROR = 5
"""What an answer counts for that was not understood."""
HOME_REQUESTER = Requester(id="home", role="tour")


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
        self._last_query_ns: int | None = None
        self._last_result: MoveResult | None = None
        self._noise_monitor = LineNoiseMonitor(noise_bytes, head.connection, faults)
        self._open_not_before_ns = 0
        self._open_failures = 0
        self._stop_not_before_ns = 0
        self._leave_sector_not_before_ns = 0
        self._home_not_before_ns = 0

    def run_once(self, stopping: threading.Event) -> None:
        """One turn; then wait until the next is due or somebody wants something."""
        head = self._head
        head.wake.clear()
        completed = False
        try:
            wait_s = self._run_cycle()
            completed = True
        finally:
            if not completed:
                head.controller.abandon("a turn of its stage failed")
        if wait_s > 0 and not stopping.is_set():
            head.wake.wait(min(wait_s, IDLE_S))

    def close(self) -> None:
        """Stop the head and let go of it."""
        self._head.controller.abandon("the agent stops")
        self._head.connection.close()
        self._head.odometer.save(self._clock_ns(), force=True)

    def _run_cycle(self) -> float:
        head, controller = self._head, self._head.controller
        controller.heartbeat()
        try:
            if not self._ensure_open():
                return IDLE_S
            self._retry_pending_stop()
            if self._is_query_due():
                self._query_position()
            wait_s = controller.step()
        except DriverError as error:
            log.warning("head %s: lost: %s", head.name, error)
            head.notify_at_rest()
            return RETRY_S
        self._report_result()
        t_ns = self._clock_ns()
        self._noise_monitor.check(t_ns)
        if controller.motion is None:
            self._leave_sector(t_ns)
        self._run_movers(t_ns)
        self._return_home(t_ns)
        head.notify_at_rest()
        if controller.motion is None:
            # The disk may take its time, and nobody must wait for it who moves.
            head.odometer.save(t_ns)
            head.tokens.reserve()
            return (
                RETRY_S
                if controller.at_rest_since_ns is None
                else self._wait_until_settled_s(t_ns, controller.at_rest_since_ns)
            )
        remaining_s = head.lease_remaining_s(t_ns)
        return wait_s if remaining_s is None else max(0.0, min(wait_s, remaining_s))

    def _wait_until_settled_s(self, t_ns: int, at_rest_since_ns: int) -> float:
        """Whoever waits for the picture to be at rest, waits no longer than that."""
        remaining_s = self._head.config.settle_s - (t_ns - at_rest_since_ns) / 1e9
        return min(IDLE_S, remaining_s) if remaining_s > 0 else IDLE_S

    def _ensure_open(self) -> bool:
        """Whether the driver is open. It is tried again sooner than other devices are: a head whose
        line was cut may be moving.
        """
        head, t_ns = self._head, self._clock_ns()
        if head.capabilities is None and t_ns < self._open_not_before_ns:
            return False
        try:
            is_new = head.connection.open()
        except DriverError as error:
            wait_s = min(MAX_BACKOFF_S, RETRY_S * 2**self._open_failures)
            self._open_failures = min(self._open_failures + 1, 16)
            self._open_not_before_ns = t_ns + int(wait_s * 1e9)
            if self._open_failures == 1:
                log.warning("head %s: cannot be opened: %s", head.name, error)
            return False
        if is_new:
            log.info("head %s: open", head.name)
            self._open_failures = 0
            self._last_query_ns = None
            head.controller.on_opened()
        return True

    def _retry_pending_stop(self) -> None:
        """Send the stop that is owed; a head that does not answer must not fill the line with it."""
        t_ns = self._clock_ns()
        if self._head.connection.stop_pending and t_ns >= self._stop_not_before_ns:
            self._stop_not_before_ns = t_ns + int(STOP_RETRY_S * 1e9)
            self._head.controller.retry_stop()

    def _is_query_due(self) -> bool:
        controller = self._head.controller
        remaining_s = controller.remaining_s()
        if remaining_s is not None and remaining_s < NO_QUERY_BEFORE_END_S:
            return False
        if self._last_query_ns is None:
            return True
        age_s = (self._clock_ns() - self._last_query_ns) / 1e9
        if controller.position is None:
            return age_s >= SILENT_QUERY_S
        if controller.motion is None and controller.at_rest_since_ns is not None:
            return age_s >= IDLE_QUERY_S
        return age_s > 0

    def _query_position(self) -> None:
        head = self._head
        self._last_query_ns = self._clock_ns()
        position = head.controller.query_position()
        head.odometer.update(position)
        exceeded = head.odometer.exceeded_rating()
        if exceeded is not None:
            self._faults.raise_fault("PTZ-05", head.name, exceeded)

    def _report_result(self) -> None:
        """A head that does not arrive is a fault, until it does."""
        result, self._last_result = (
            self._head.controller.last_result,
            self._head.controller.last_result,
        )
        if result is None:
            return
        if result.outcome == "late":
            self._faults.raise_fault("PTZ-04", self._head.name, result.message)
        elif result.outcome == "arrived":
            self._faults.clear("PTZ-04", self._head.name)

    def _run_movers(self, t_ns: int) -> None:
        """Ask those that move it by themselves, the strongest first; the first wish is done."""
        head = self._head
        for mover in head.movers:
            request_count = head.controller.request_count
            if not head.would_grant(mover.requester, t_ns):
                continue
            request = mover.step(t_ns, head.state())
            if request is None:
                continue
            try:
                head.move(request, mover.requester, expected_request_count=request_count)
            except CommandRejected as rejection:
                mover.on_rejected(t_ns, request, rejection)
            else:
                return

    def _return_home(self, t_ns: int) -> None:
        head, home = self._head, self._head.config.home
        request_count = head.controller.request_count
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
            head.move(GotoPreset(preset=home), HOME_REQUESTER, expected_request_count=request_count)
        except CommandRejected as rejection:
            log.warning("head %s: does not go home: %s", head.name, rejection)

    def _leave_sector(self, t_ns: int) -> None:
        """Leave a sector of the configuration that it rests in, by the shortest way out, whoever
        has the head: somebody pushed it there, or stopped it on its way over.
        """
        head, controller = self._head, self._head.controller
        request_count, since_ns, position = (
            controller.request_count,
            controller.at_rest_since_ns,
            controller.position,
        )
        if since_ns is None or position is None or t_ns < self._leave_sector_not_before_ns:
            return
        if (t_ns - since_ns) / 1e9 < LEAVE_SECTOR_AFTER_S or head.is_held_after_stop(t_ns):
            return
        bounds = msgspec.structs.replace(controller.bounds(t_ns), sectors=head.config.forbidden)
        capabilities = head.capabilities
        if bounds.is_position_unknown or capabilities is None:
            return
        sector = bounds.visible_sector(swept_area(position.pose), passing=False)
        if sector is None:
            return
        self._leave_sector_not_before_ns = t_ns + int(LEAVE_SECTOR_RETRY_S * 1e9)
        exit_pose = find_exit(position.pose, bounds)
        if exit_pose is None:
            log.error("head %s: looks at sector %r, and knows no way out", head.name, sector.name)
            return
        log.warning("head %s: leaves sector %r", head.name, sector.name)
        trajectory = PoseTrajectory(
            (exit_pose,), 1.0, capabilities, head.config.brake_s, bounds.error_deg
        )
        deadline_ns = t_ns + int(head.config.max_move_s * 1e9)
        try:
            controller.begin(
                ActiveMotion(trajectory=trajectory, lease=None, deadline_ns=deadline_ns),
                request_count,
            )
        except CommandRejected as rejection:
            log.error("head %s: does not leave sector %r: %s", head.name, sector.name, rejection)


class LineNoiseMonitor:
    """Compares counters from span to span. A span without any noise clears the fault."""

    def __init__(
        self, noise_bytes: Callable[[], int], connection: HeadConnection, faults: FaultRegistry
    ) -> None:
        self._noise_bytes = noise_bytes
        self._connection = connection
        self._faults = faults
        self._window_start_ns: int | None = None
        self._last_total_bytes = 0

    def check(self, t_ns: int) -> None:
        """Look, where a span is over."""
        if (
            self._window_start_ns is not None
            and (t_ns - self._window_start_ns) / 1e9 < NOISE_WINDOW_S
        ):
            return
        total_bytes = (
            self._noise_bytes() + BYTES_PER_PROTOCOL_ERROR * self._connection.protocol_error_count
        )
        new_bytes, self._last_total_bytes = total_bytes - self._last_total_bytes, total_bytes
        is_first, self._window_start_ns = self._window_start_ns is None, t_ns
        if is_first:
            return
        if new_bytes >= NOISY_BYTES_PER_WINDOW:
            self._faults.raise_fault(
                "PTZ-02",
                self._connection.head_name,
                f"{new_bytes} bytes of noise in {NOISE_WINDOW_S:.0f} s",
            )
        elif new_bytes == 0:
            self._faults.clear("PTZ-02", self._connection.head_name)
