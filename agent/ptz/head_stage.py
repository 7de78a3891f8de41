"""The stage of a head: open its driver, query its position, continue its motion, keep it out of its
sectors, run its automatic movers, return it home, and count its travel.
"""

import logging
import threading
from collections.abc import Callable

import msgspec

from agent.base.clock import Clock
from agent.base.message import Message
from agent.commands.requester import CommandRejected, Requester
from agent.faults.registry import FaultRegistry
from agent.ptz.connection import HeadConnection
from agent.ptz.head import PtzHead
from agent.ptz.motion.forbidden_sectors import swept_area
from agent.ptz.motion.path_planner import find_exit
from agent.ptz.motion.position_servo import is_at_pose
from agent.ptz.motion.trajectory import PoseTrajectory
from agent.ptz.motion_controller import ActiveMotion
from agent.ptz.requests import GotoPreset
from agent.runtime.backoff import Backoff
from agent.runtime.pause import Pause
from drivers.contracts import PtzCapabilities, PtzPosition
from drivers.errors import DriverError

log = logging.getLogger(__name__)

TOLERANCE_DEG = 2.0
"""In addition to the errors of both positions; twice what counts as arrived."""
ANY_ZOOM = 1.0
"""A lens may zoom by itself while it focuses."""
REPORTS = 3
"""At rest a head reports every ten seconds."""


class RestDriftMonitor:
    """Detects that a head at rest has moved although no order was sent.

    Each report of a head at rest is compared with the first of the same rest. Any motion of the box ends that rest: a
    guard tour, tracking, the way home, leaving a sector. Wind shakes a head about its position and a gust lets it
    return: neither is beyond the tolerance for `REPORTS` reports in a row.
    """

    def __init__(self) -> None:
        self._rest_since_ns: int | None = None
        self._first: PtzPosition | None = None
        self._last: PtzPosition | None = None
        self._moved_count = self._still_count = 0

    def update(
        self,
        position: PtzPosition | None,
        rest_since_ns: int | None,
        capabilities: PtzCapabilities | None,
    ) -> None:
        """Compare a report; None is a head that did not answer, or is not at rest."""
        if position is None or rest_since_ns is None or capabilities is None:
            self._first = None
            return
        if self._first is None or rest_since_ns != self._rest_since_ns:
            self._rest_since_ns, self._first = rest_since_ns, position
            self._moved_count = self._still_count = 0
            return
        tolerance_deg = TOLERANCE_DEG + position.error_deg + self._first.error_deg
        if is_at_pose(position.pose, self._first.pose, capabilities, tolerance_deg, ANY_ZOOM):
            self._moved_count, self._still_count = 0, self._still_count + 1
        else:
            self._moved_count, self._still_count = self._moved_count + 1, 0
        self._last = position

    def drift(self) -> Message | None:
        """Return from where to where the head has moved at rest, or None."""
        if self._first is None or self._last is None or self._moved_count < REPORTS:
            return None
        first, last = self._first.pose, self._last.pose
        return Message(
            "it rested at pan {pan:.1f} tilt {tilt:.1f} and is at pan {found_pan:.1f} tilt {found_tilt:.1f} "
            "without an order",
            pan=first.pan_deg,
            tilt=first.tilt_deg,
            found_pan=last.pan_deg,
            found_tilt=last.tilt_deg,
        )

    def is_still(self) -> bool:
        """Return whether the head has rested for `REPORTS` reports."""
        return self._still_count >= REPORTS


IDLE_S = 0.5
"""A cycle of a head at rest: it sends nothing on the line."""
IDLE_QUERY_S = 10.0
"""The interval of position queries at rest, which show that the head is still there."""
SILENT_QUERY_S = 2.0
"""The same for a head that has not answered."""
NO_QUERY_BEFORE_END_S = 0.15
"""Nearer to its end than this a motion is not queried: its stop must not wait for an answer."""
RETRY_S = 0.1
STOP_RETRY_S = 1.0
MAX_BACKOFF_S = 5.0
"""Opening is retried sooner than other devices are: a head whose line was cut may be moving."""
LEAVE_SECTOR_AFTER_S = 1.0
LEAVE_SECTOR_RETRY_S = 30.0
NOISE_WINDOW_S = 30.0
NOISY_BYTES_PER_WINDOW = 10
"""A plug that is pulled makes fewer, a line without termination more."""
BYTES_PER_PROTOCOL_ERROR = 5
"""What an answer that was not understood counts for."""
HOME_REQUESTER = Requester(id="home", role="tour")


class HeadStage:
    """The stage of one head; see `agent.runtime.stage.Stage`. A cycle that fails stops the head.

    `noise_bytes` counts the bytes on the head's line that belonged to no message.
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
        self._noise_monitor = LineNoiseMonitor(noise_bytes, head.connection, faults)
        self._rest_drift_monitor = RestDriftMonitor()
        self._open_backoff = Backoff(RETRY_S, MAX_BACKOFF_S)
        self._has_open_failed = False
        self._open_pause, self._stop_pause = Pause(), Pause()
        self._leave_sector_pause, self._home_pause = Pause(), Pause()

    def run_once(self, stopping: threading.Event) -> None:
        """Run one cycle; then wait until the next is due or there is a request."""
        head = self._head
        head.wake.clear()
        completed = False
        try:
            wait_s = self._run_cycle()
            completed = True
        finally:
            if not completed:
                head.controller.abandon(Message("a cycle of its stage failed"))
        if wait_s > 0 and not stopping.is_set():
            head.wake.wait(min(wait_s, IDLE_S))

    def close(self) -> None:
        """Stop the head, close its driver, and save the odometer."""
        self._head.controller.abandon(Message("the agent stops"))
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
            # The disk may take its time, and no motion must wait for it.
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
        remaining_s = self._head.config.settle_s - (t_ns - at_rest_since_ns) / 1e9
        return min(IDLE_S, remaining_s) if remaining_s > 0 else IDLE_S

    def _ensure_open(self) -> bool:
        head, t_ns = self._head, self._clock_ns()
        if head.capabilities is None and not self._open_pause.is_over(t_ns):
            return False
        try:
            is_new = head.connection.open()
        except DriverError as error:
            self._open_pause.begin(t_ns, self._open_backoff.next_s())
            if not self._has_open_failed:
                log.warning("head %s: cannot be opened: %s", head.name, error)
            self._has_open_failed = True
            return False
        if is_new:
            log.info("head %s: open", head.name)
            self._has_open_failed = False
            self._open_backoff.reset()
            self._last_query_ns = None
            head.controller.on_opened()
        return True

    def _retry_pending_stop(self) -> None:
        """Send a pending stop; a head that does not answer must not fill the line with it."""
        t_ns = self._clock_ns()
        if self._head.connection.stop_pending and self._stop_pause.is_over(t_ns):
            self._stop_pause.begin(t_ns, STOP_RETRY_S)
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
        self._check_rest(position)

    def _check_rest(self, position: PtzPosition | None) -> None:
        """Raise a fault if the head moves at rest; clear it once it rests again."""
        head, monitor = self._head, self._rest_drift_monitor
        monitor.update(position, head.controller.at_rest_since_ns, head.capabilities)
        drift = monitor.drift()
        if drift is not None:
            self._faults.raise_fault("PTZ-06", head.name, drift)
        elif monitor.is_still():
            self._faults.clear("PTZ-06", head.name)

    def _report_result(self) -> None:
        """Raise a fault if the head did not arrive; clear it when it does."""
        result = self._head.controller.last_result
        if result is None:
            return
        if result.outcome == "timed_out":
            self._faults.raise_fault("PTZ-04", self._head.name, result.message)
        elif result.outcome == "arrived":
            self._faults.clear("PTZ-04", self._head.name)

    def _run_movers(self, t_ns: int) -> None:
        """Ask the automatic movers, the strongest first; the first move that is done ends it."""
        head = self._head
        for mover in head.movers.all:
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
        head, config = self._head, self._head.config
        request_count = head.controller.request_count
        idle_s = (t_ns - head.last_request_ns) / 1e9
        if config.home is None or idle_s < config.home_after_s:
            return
        if not self._home_pause.is_over(t_ns) or head.movers.is_paused(t_ns):
            return
        state = head.state()
        if state.preset == config.home or state.moving or state.tour or state.lease:
            return
        self._home_pause.begin(t_ns, config.home_after_s)
        request = GotoPreset(preset=config.home)
        try:
            head.move(request, HOME_REQUESTER, expected_request_count=request_count)
        except CommandRejected as rejection:
            log.warning("head %s: does not return home: %s", head.name, rejection)

    def _leave_sector(self, t_ns: int) -> None:
        """Leave a configured sector that the head rests in, by the shortest way out.

        Whatever lease is held: the head was pushed there, or stopped on its way across.
        """
        head, controller = self._head, self._head.controller
        request_count = controller.request_count
        since_ns, position = controller.at_rest_since_ns, controller.position
        if since_ns is None or position is None or not self._leave_sector_pause.is_over(t_ns):
            return
        if (t_ns - since_ns) / 1e9 < LEAVE_SECTOR_AFTER_S or head.movers.is_paused(t_ns):
            return
        bounds = msgspec.structs.replace(controller.bounds(t_ns), sectors=head.config.forbidden)
        capabilities = head.capabilities
        if bounds.is_position_unknown or capabilities is None:
            return
        sector = bounds.visible_sector(swept_area(position.pose), passing=False)
        if sector is None:
            return
        self._leave_sector_pause.begin(t_ns, LEAVE_SECTOR_RETRY_S)
        exit_pose = find_exit(position.pose, bounds)
        if exit_pose is None:
            log.error("head %s: looks at sector %r, and has no way out", head.name, sector.name)
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
    """Raises a fault if a head's line is noisy, and clears it after a window without noise.

    Noise is bytes that were no message, and answers in an unknown protocol.
    """

    def __init__(
        self, noise_bytes: Callable[[], int], connection: HeadConnection, faults: FaultRegistry
    ) -> None:
        self._noise_bytes = noise_bytes
        self._connection = connection
        self._faults = faults
        self._window_start_ns: int | None = None
        self._last_total_bytes = 0

    def check(self, t_ns: int) -> None:
        """Compare the counters if a window is over."""
        is_first = self._window_start_ns is None
        if (
            self._window_start_ns is not None
            and (t_ns - self._window_start_ns) / 1e9 < NOISE_WINDOW_S
        ):
            return
        total_bytes = (
            self._noise_bytes() + BYTES_PER_PROTOCOL_ERROR * self._connection.protocol_error_count
        )
        new_bytes, self._last_total_bytes = total_bytes - self._last_total_bytes, total_bytes
        self._window_start_ns = t_ns
        if is_first:
            return
        head = self._connection.head_name
        if new_bytes >= NOISY_BYTES_PER_WINDOW:
            message = Message(
                "{count} bytes of noise in {seconds:.0f} s",
                count=new_bytes,
                seconds=NOISE_WINDOW_S,
            )
            self._faults.raise_fault("PTZ-02", head, message)
        elif new_bytes == 0:
            self._faults.clear("PTZ-02", head)
