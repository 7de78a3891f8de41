"""The motion controller of one head: all orders to its driver are sent here.

Invariants:

1. A motion ends with a stop, unless the head is known to rest. A stop that fails is pending, and
   sent again until it passes.
2. A stop waits for nothing: neither for an order that is being sent nor for a position query. The
   thread that sent that order finds that it was withdrawn, and sends the stop once more.
3. No motion outlives its right: its lease, its own time, `max_move_s`. None begins while the stage
   does not run.
4. An automatic motion does not begin if the head was acquired, moved or stopped by a request since
   the motion was decided.
"""

import logging
import threading
from collections.abc import Callable

import msgspec

from agent.base.message import Message
from agent.commands.requester import CommandRejected
from agent.config.heads import FieldOfView, ForbiddenSector, HeadConfig
from agent.ptz.connection import HeadConnection, rejection_for
from agent.ptz.motion.forbidden_sectors import UNKNOWN_POSITION_DEG
from agent.ptz.motion.overshoot import Goal, OvershootModel
from agent.ptz.motion.path_planner import MotionBounds
from agent.ptz.motion.trajectory import (
    DriverOrder,
    MotionStep,
    MoveResult,
    MoveTo,
    PresetTrajectory,
    Trajectory,
)
from agent.ptz.requests import Lease
from drivers.contracts import Ptz, PtzPosition, Range, Velocity
from drivers.errors import DriverError

log = logging.getLogger(__name__)

MAX_HEARTBEAT_AGE_S = 10.0
"""A stage that has not cycled for this long hangs, and would not end a motion that begins now."""
MAX_MOVING_AFTER_STOP_S = 5.0
"""A stopped head that reports motion for longer counts as at rest."""
_DEFAULT_TILT_RANGE = Range(low=-90.0, high=90.0)


class ActiveMotion(msgspec.Struct, frozen=True, kw_only=True):
    """A motion, its right, and its end at the latest.

    Without `lease` it is the box's own. `preset` is its target, if it is one.
    """

    trajectory: Trajectory
    lease: Lease | None
    deadline_ns: int
    preset: str | None = None


class MotionController:
    """Begins, continues and stops the motions of one head. Thread-safe.

    `is_lease_valid` returns whether a lease is valid; `on_motion` is called before the first
    order of each motion. The public attributes are written here alone.
    """

    def __init__(
        self,
        config: HeadConfig,
        connection: HeadConnection,
        sectors_at: Callable[[int], tuple[ForbiddenSector, ...]],
        clock_ns: Callable[[], int],
        is_lease_valid: Callable[[Lease, int], bool],
        on_motion: Callable[[], None],
    ) -> None:
        self._config = config
        self._connection = connection
        self._sectors_at = sectors_at
        self._clock_ns = clock_ns
        self._is_lease_valid = is_lease_valid
        self._on_motion = on_motion
        self._overshoot_model = OvershootModel(config.brake_s, clock_ns)
        self.order_lock = threading.RLock()
        """Held while a motion is decided, until its order is sent; never by a stop."""
        self._lock = threading.Lock()
        self._generation = 0
        self._at_rest_error_deg: float | None = None
        self._ended_ns = clock_ns()
        self._heartbeat_ns: int | None = None
        self._has_moved = False
        self._last_recalled_preset: str | None = None
        self.motion: ActiveMotion | None = None
        self.request_count = 0
        """How often a request has acquired, moved or stopped the head."""
        self.position: PtzPosition | None = None
        """The last reported position, None if the head did not answer."""
        self.at_rest_since_ns: int | None = None
        self.arrived_preset: str | None = None
        """The preset that the last motion arrived at, and the head has rested at since."""
        self.arrived_device_preset: str | None = None
        """The same if the head went there by its own memory, and has answered since."""
        self.last_result: MoveResult | None = None
        """How the last motion ended."""

    def is_unmoved_from(self, preset: str) -> bool:
        """Return whether nothing but an arrived recall of the preset has moved the head.

        As far as this box knows, since the agent started. That the head was silent or opened again
        changes nothing: the caller compares the position that it reports.
        """
        return not self._has_moved or self._last_recalled_preset == preset

    def bounds(self, t_ns: int) -> MotionBounds:
        """Return the present limits of the head's view and motion."""
        capabilities, position = self._connection.capabilities, self.position
        fov = self._config.fov_deg
        is_absolute = capabilities is not None and capabilities.absolute
        if fov is not None and not is_absolute:
            # The zoom is not measured.
            fov = FieldOfView(wide=fov.wide, tele=fov.wide, aspect=fov.aspect)
        error_deg = 2 * UNKNOWN_POSITION_DEG if position is None else position.error_deg
        at_rest_error_deg = error_deg
        if is_absolute and position is not None and self._at_rest_error_deg is not None:
            at_rest_error_deg = self._at_rest_error_deg
        return MotionBounds(
            sectors=self._sectors_at(t_ns),
            fov=fov,
            error_deg=error_deg,
            at_rest_error_deg=at_rest_error_deg,
            overshoot=self._overshoot_model.overshoot(t_ns, position, capabilities),
            pan_deg=capabilities.pan_deg if capabilities else None,
            tilt_deg=capabilities.tilt_deg if capabilities else _DEFAULT_TILT_RANGE,
        )

    def heartbeat(self) -> None:
        """Record that the stage runs, and will call `step` in time."""
        self._heartbeat_ns = self._clock_ns()

    def abandon(self, reason: Message) -> None:
        """Stop the head, and begin no motion before the next `heartbeat`."""
        self._heartbeat_ns = None
        self.end(MoveResult(outcome="expired", message=reason))

    def on_opened(self) -> None:
        """Forget position and motion: the driver is new."""
        with self._lock:
            self._generation += 1
            self.motion = self.position = self._at_rest_error_deg = self.at_rest_since_ns = None
            self.arrived_preset = self.arrived_device_preset = None
            self._ended_ns = self._clock_ns()

    def query_position(self) -> PtzPosition | None:
        """Query the position; a moving head that does not answer is stopped.

        Raises: DriverError if the port is gone.
        """
        query_ns, capabilities = self._clock_ns(), self._connection.capabilities
        try:
            with self._overshoot_model.timed_query():
                position = self._connection.call(lambda ptz: ptz.read_position())
        except DriverError as error:
            self.position = self.arrived_preset = self.arrived_device_preset = None
            if self.motion is not None:
                self.end(
                    MoveResult(outcome="expired", message=Message("{reason}", reason=str(error)))
                )
            if self._connection.is_disconnect(error):
                raise
            return None
        self._connection.note_answer()
        if capabilities is not None and capabilities.absolute:
            # The head may have measured at any time since the query.
            position = msgspec.structs.replace(position, t_ns=min(position.t_ns, query_ns))
        with self._lock:
            self.position = position
            if not position.moving:
                self._at_rest_error_deg = position.error_deg
            self._update_at_rest()
        return position

    def note_request(self) -> None:
        """Count a request that acquires, moves or stops the head."""
        with self._lock:
            self.request_count += 1

    def check_not_superseded(self, expected_request_count: int | None) -> None:
        """Raises: CommandRejected `expired` if there were requests since; None checks nothing."""
        if expected_request_count is not None and expected_request_count != self.request_count:
            raise CommandRejected(
                "expired",
                f"head {self._config.name!r}: it was acquired, moved or stopped meanwhile",
            )

    def begin(self, motion: ActiveMotion, expected_request_count: int | None = None) -> None:
        """Begin a motion in place of the present one.

        An automatic motion gives the `request_count` at which it was decided; without one it is a
        request. Raises: CommandRejected if the first order fails, and as `check_not_superseded`.
        """
        heartbeat_ns = self._heartbeat_ns
        if heartbeat_ns is None or (self._clock_ns() - heartbeat_ns) / 1e9 > MAX_HEARTBEAT_AGE_S:
            raise CommandRejected(
                "failed",
                f"head {self._config.name!r}: its stage does not run, and could not stop it",
            )
        with self.order_lock:
            with self._lock:
                self.check_not_superseded(expected_request_count)
                if expected_request_count is None:
                    self.request_count += 1
                self._generation += 1
                generation = self._generation
                self.motion, self.at_rest_since_ns, self._has_moved = motion, None, True
                self.arrived_preset = self.arrived_device_preset = self._last_recalled_preset = None
                self.last_result = None
            self._on_motion()
            try:
                result = self._execute(self._next_step(motion), generation)
            except DriverError as error:
                raise rejection_for(error) from error
        if result is not None:
            raise CommandRejected("forbidden", f"head {self._config.name!r}: {result.message}")

    def remaining_s(self) -> float | None:
        """Return how long the motion may last, by its time and its lease; None without one."""
        motion, t_ns = self.motion, self._clock_ns()
        if motion is None:
            return None
        if motion.lease is not None and not self._is_lease_valid(motion.lease, t_ns):
            return 0.0
        return (motion.deadline_ns - t_ns) / 1e9

    def step(self) -> float:
        """Continue the motion, or end it if its right, its time or its path is over.

        Returns the seconds until the next call. Raises: DriverError if the port is gone.
        """
        with self.order_lock:
            with self._lock:
                motion, generation, t_ns = self.motion, self._generation, self._clock_ns()
                self._update_at_rest()
            if motion is None:
                return 0.0
            # A lease that the motion itself has prolonged ends with it: the longest time is the reason then.
            is_late = t_ns >= motion.deadline_ns
            if (
                not is_late
                and motion.lease is not None
                and not self._is_lease_valid(motion.lease, t_ns)
            ):
                self.end(MoveResult(outcome="expired", message=Message("its lease is over")))
                return 0.0
            next_step = self._next_step(motion)
            if next_step.result is None and is_late:
                next_step = MotionStep(
                    result=MoveResult(
                        outcome="timed_out", message=Message("its longest time is over")
                    )
                )
            try:
                self._execute(next_step, generation)
            except DriverError as error:
                if self._connection.is_disconnect(error):
                    raise
            return max(0.0, min(next_step.next_step_s, (motion.deadline_ns - t_ns) / 1e9))

    def end(self, result: MoveResult) -> None:
        """End the motion with a result. A stop that fails is pending, and raises nothing."""
        with self._lock:
            motion = self._clear_motion()
            self.last_result = result
            if motion is not None and result.outcome == "arrived":
                self.arrived_preset = self._last_recalled_preset = motion.preset
                if isinstance(motion.trajectory, PresetTrajectory):
                    self.arrived_device_preset = motion.preset
        if result.outcome != "arrived":
            log.info("head %s: %s", self._config.name, result.message)
        if not result.at_rest:
            self._try_stop()

    def stop(self) -> None:
        """Stop at once. Raises: DriverError, and then the stop is pending."""
        with self._lock:
            self._clear_motion()
        self._send_stop()

    def retry_stop(self) -> None:
        """Send a pending stop."""
        if self._connection.stop_pending and self.motion is None:
            self._try_stop()

    def _clear_motion(self) -> ActiveMotion | None:
        motion, self.motion = self.motion, None
        self._generation += 1
        self._ended_ns = self._clock_ns()
        self.at_rest_since_ns = None
        return motion

    def _next_step(self, motion: ActiveMotion) -> MotionStep:
        t_ns = self._clock_ns()
        return motion.trajectory.step(t_ns, self.position, self.bounds(t_ns))

    def _execute(self, step: MotionStep, generation: int) -> MoveResult | None:
        """Send the order of a step, or end the motion and return its result. Raises: DriverError."""
        if step.result is not None:
            if self._generation == generation:
                self.end(step.result)
            return step.result
        if step.order is None:
            return None
        order = step.order
        try:
            with self._overshoot_model.timed_order(_order_goal(order)):
                self._connection.call(lambda ptz: _send_order(ptz, order))
        except DriverError as error:
            self._connection.stop_pending = True
            self.end(MoveResult(outcome="expired", message=Message("{reason}", reason=str(error))))
            raise
        if self._generation != generation:
            self._try_stop()
        return None

    def _send_stop(self) -> None:
        with self._overshoot_model.timed_order(Velocity()):
            self._connection.stop()

    def _try_stop(self) -> None:
        try:
            self._send_stop()
        except DriverError as error:
            log.warning("head %s: not stopped yet: %s", self._config.name, error)

    def _update_at_rest(self) -> None:
        """Find whether the head rests. The lock is held."""
        t_ns, position = self._clock_ns(), self.position
        if self.motion is not None or self._connection.stop_pending:
            self.at_rest_since_ns = None
            return
        since_s = (t_ns - self._ended_ns) / 1e9 - self._config.brake_s
        reports_moving = (
            position is not None and position.moving and since_s < MAX_MOVING_AFTER_STOP_S
        )
        if since_s < 0 or reports_moving:
            self.at_rest_since_ns = None
        elif self.at_rest_since_ns is None:
            self.at_rest_since_ns = t_ns


def _order_goal(order: DriverOrder) -> Goal:
    if isinstance(order, Velocity):
        return order
    return order.pose if isinstance(order, MoveTo) else None


def _send_order(ptz: Ptz, order: DriverOrder) -> None:
    if isinstance(order, Velocity):
        ptz.move(order)
    elif isinstance(order, MoveTo):
        ptz.goto(order.pose, order.speed)
    else:
        ptz.goto_preset(order.number)
