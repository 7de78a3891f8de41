"""One head and the one motion that it is in: orders go out here, and nowhere else.

Invariants:

1. A motion ends with a stop, unless the head is known to stand. A stop that fails is owed, and
   sent again until it passes.
2. A stop waits for nobody: neither for an order that is on its way nor for a look at the head.
   Whoever sent that order finds that it was withdrawn, and sends the stop once more.
3. No motion outlives its right: its lease, its own time, the longest move. None begins while
   nobody goes on with it.
4. What the box decides on by itself is not begun where somebody has taken, moved or stopped the
   head since it decided.
"""

import logging
import threading
from collections.abc import Callable

import msgspec

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
    is_pose_near,
)
from agent.ptz.requests import Lease
from drivers.contracts import Pose, Ptz, PtzPosition, Range, Velocity
from drivers.errors import DriverError

log = logging.getLogger(__name__)

MAX_HEARTBEAT_AGE_S = 10.0
"""A stage that has not turned for so long hangs: nobody would end what begins now."""
MAX_MOVING_AFTER_STOP_S = 5.0
"""A head that says for longer that it moves, though it was stopped, is not believed."""
_DEFAULT_TILT_RANGE = Range(low=-90.0, high=90.0)


class ActiveMotion(msgspec.Struct, frozen=True, kw_only=True):
    """What the head does now, by which right, and until when at the most. Without `lease` it is the
    box's own. `preset` is where it goes.
    """

    trajectory: Trajectory
    lease: Lease | None
    deadline_ns: int
    preset: str | None = None


class MotionController:
    """Any thread may call. `holds` tells whether a lease is still good; `on_motion` is called before
    the first order of each motion.
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
        """Held by whoever decides on a motion, until its order is out; never by a stop."""
        self._lock = threading.Lock()
        self._generation = 0
        self._request_count = 0
        self._motion: ActiveMotion | None = None
        self._position: PtzPosition | None = None
        self._at_rest_error_deg: float | None = None
        self._ended_ns = clock_ns()
        self._at_rest_since_ns: int | None = None
        self._heartbeat_ns: int | None = None
        self._arrived_preset: str | None = None
        self._arrived_device_preset: str | None = None
        self._has_moved = False
        self._last_recalled_preset: str | None = None
        self.last_result: MoveResult | None = None
        """How the last motion ended."""

    @property
    def motion(self) -> ActiveMotion | None:
        """What it does now."""
        return self._motion

    @property
    def request_count(self) -> int:
        """How often somebody has taken, moved or stopped it. Whoever moves it by himself reads this
        before he asks whether he may.
        """
        return self._request_count

    @property
    def position(self) -> PtzPosition | None:
        """Where it was when it was asked last, None where it did not answer."""
        return self._position

    @property
    def at_rest_since_ns(self) -> int | None:
        """Since when it stands, None while it moves."""
        return self._at_rest_since_ns

    @property
    def arrived_preset(self) -> str | None:
        """The preset that the last motion arrived at, and where it has stood since."""
        return self._arrived_preset

    @property
    def arrived_device_preset(self) -> str | None:
        """The preset that the last motion arrived at by the head's own memory, which has stood
        there since, and answered.
        """
        return self._arrived_device_preset

    def is_unmoved_from(self, preset: str) -> bool:
        """Whether this box has moved it by nothing but a recall of the preset, which arrived, or by
        nothing at all. That it was silent or opened anew changes nothing: who relies on this looks
        where it says that it is.
        """
        return not self._has_moved or self._last_recalled_preset == preset

    def bounds(self, t_ns: int) -> MotionBounds:
        """Where it may look and go now."""
        capabilities, position = self._connection.capabilities, self._position
        fov = self._config.fov_deg
        if fov is not None and not (capabilities and capabilities.absolute):
            # Nobody has measured how far the lens is in.
            fov = FieldOfView(wide=fov.wide, tele=fov.wide, aspect=fov.aspect)
        error_deg = 2 * UNKNOWN_POSITION_DEG if position is None else position.error_deg
        reports_position = (
            capabilities is not None and capabilities.absolute and position is not None
        )
        return MotionBounds(
            sectors=self._sectors_at(t_ns),
            fov=fov,
            error_deg=error_deg,
            at_rest_error_deg=self._at_rest_error_deg
            if reports_position and self._at_rest_error_deg is not None
            else error_deg,
            overshoot=self._overshoot_model.overshoot(t_ns, position, capabilities),
            pan_deg=capabilities.pan_deg if capabilities else None,
            tilt_deg=capabilities.tilt_deg if capabilities else _DEFAULT_TILT_RANGE,
        )

    def heartbeat(self) -> None:
        """The stage turns, and will call `step` in time."""
        self._heartbeat_ns = self._clock_ns()

    def abandon(self, reason: str) -> None:
        """The stage does not turn any more, until the next `beat`: the head stops."""
        self._heartbeat_ns = None
        self.end(MoveResult(outcome="ended", message=reason))

    def on_opened(self) -> None:
        """The driver is new: nothing is known, and nothing is wanted."""
        with self._lock:
            self._generation += 1
            self._motion = self._position = self._at_rest_error_deg = self._at_rest_since_ns = None
            self._arrived_preset = self._arrived_device_preset = None
            self._ended_ns = self._clock_ns()

    def query_position(self) -> PtzPosition | None:
        """Ask where it is. A head that does not answer is stopped, where it moved. Raises
        DriverError where the port is gone.
        """
        query_ns, capabilities = self._clock_ns(), self._connection.capabilities
        try:
            with self._overshoot_model.timed_query():
                position = self._connection.call(lambda ptz: ptz.read_position())
        except DriverError as error:
            self._position = self._arrived_preset = self._arrived_device_preset = None
            if self._motion is not None:
                self.end(MoveResult(outcome="ended", message=str(error)))
            if self._connection.is_disconnect(error):
                raise
            return None
        self._connection.note_answer()
        if capabilities is not None and capabilities.absolute:
            # It may have looked at any time since it was asked.
            position = msgspec.structs.replace(position, t_ns=min(position.t_ns, query_ns))
        with self._lock:
            self._position = position
            if not position.moving:
                self._at_rest_error_deg = position.error_deg
            self._update_at_rest()
        return position

    def note_request(self) -> None:
        """Somebody takes, moves or stops it."""
        with self._lock:
            self._request_count += 1

    def check_not_superseded(self, expected_request_count: int | None) -> None:
        """Raise CommandRejected `expired` where more than these `words` have been heard; None refuses
        nothing.
        """
        if expected_request_count is not None and expected_request_count != self._request_count:
            raise CommandRejected(
                "expired",
                f"head {self._config.name!r}: somebody has taken, moved or stopped it meanwhile",
            )

    def begin(self, motion: ActiveMotion, expected_request_count: int | None = None) -> None:
        """Do this instead of what it does; without `words` it is what somebody asks for. Raises
        Refused where its first order is not done, and as `refuse_overtaken` does.
        """
        heartbeat_ns = self._heartbeat_ns
        if heartbeat_ns is None or (self._clock_ns() - heartbeat_ns) / 1e9 > MAX_HEARTBEAT_AGE_S:
            raise CommandRejected(
                "failed", f"head {self._config.name!r}: nobody is there to stop it again"
            )
        with self.order_lock:
            with self._lock:
                self.check_not_superseded(expected_request_count)
                if expected_request_count is None:
                    self._request_count += 1
                self._generation += 1
                generation = self._generation
                self._motion, self._at_rest_since_ns, self._has_moved = motion, None, True
                self._arrived_preset = self._arrived_device_preset = self._last_recalled_preset = (
                    None
                )
                self.last_result = None
            self._on_motion()
            try:
                result = self._execute(self._next_step(motion), generation)
            except DriverError as error:
                raise rejection_for(error) from error
        if result is not None:
            raise CommandRejected("forbidden", f"head {self._config.name!r}: {result.message}")

    def remaining_s(self) -> float | None:
        """How long the motion may last from now on, by its own time and by its lease; None where it
        stands.
        """
        motion, t_ns = self._motion, self._clock_ns()
        if motion is None:
            return None
        if motion.lease is not None and not self._is_lease_valid(motion.lease, t_ns):
            return 0.0
        return (motion.deadline_ns - t_ns) / 1e9

    def step(self) -> float:
        """Go on with the motion, and end it where its right, its time or its way is over; in how
        many seconds to be called again. Raises DriverError where the port is gone.
        """
        with self.order_lock:
            with self._lock:
                motion, generation, t_ns = self._motion, self._generation, self._clock_ns()
                self._update_at_rest()
            if motion is None:
                return 0.0
            if motion.lease is not None and not self._is_lease_valid(motion.lease, t_ns):
                self.end(MoveResult(outcome="ended", message="its lease is over"))
                return 0.0
            next_step = self._next_step(motion)
            if next_step.result is None and t_ns >= motion.deadline_ns:
                next_step = MotionStep(
                    result=MoveResult(outcome="late", message="its longest time is over")
                )
            try:
                self._execute(next_step, generation)
            except DriverError as error:
                if self._connection.is_disconnect(error):
                    raise
            return max(0.0, min(next_step.next_step_s, (motion.deadline_ns - t_ns) / 1e9))

    def end(self, result: MoveResult) -> None:
        """The motion is over. A stop that fails is owed, and told to nobody here."""
        with self._lock:
            motion = self._clear_motion()
            self.last_result = result
            if motion is not None and result.outcome == "arrived":
                self._arrived_preset = self._last_recalled_preset = motion.preset
                if isinstance(motion.trajectory, PresetTrajectory):
                    self._arrived_device_preset = motion.preset
        if result.outcome != "arrived":
            log.info("head %s: %s", self._config.name, result.message)
        if not result.at_rest:
            self._try_stop()

    def stop(self) -> None:
        """Stop now, whatever goes on. Raises DriverError, and the stop is owed then."""
        with self._lock:
            self._clear_motion()
        with self._overshoot_model.timed_order(Velocity()):
            self._connection.stop()

    def retry_stop(self) -> None:
        """Send the stop that is owed, if one is."""
        if self._connection.stop_pending and self._motion is None:
            self._try_stop()

    def _clear_motion(self) -> ActiveMotion | None:
        motion, self._motion = self._motion, None
        self._generation += 1
        self._ended_ns = self._clock_ns()
        self._at_rest_since_ns = None
        return motion

    def _next_step(self, motion: ActiveMotion) -> MotionStep:
        t_ns = self._clock_ns()
        return motion.trajectory.step(t_ns, self._position, self.bounds(t_ns))

    def _execute(self, step: MotionStep, generation: int) -> MoveResult | None:
        """Send a step's order; how the motion ended, where it did. Raises DriverError."""
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
            self.end(MoveResult(outcome="ended", message=str(error)))
            raise
        if self._generation != generation:
            self._try_stop()
        return None

    def _try_stop(self) -> None:
        try:
            with self._overshoot_model.timed_order(Velocity()):
                self._connection.stop()
        except DriverError as error:
            log.warning("head %s: not stopped yet: %s", self._config.name, error)

    def _update_at_rest(self) -> None:
        """Find whether it stands. The lock is held."""
        t_ns, position = self._clock_ns(), self._position
        if self._motion is not None or self._connection.stop_pending:
            self._at_rest_since_ns = None
            return
        since_s = (t_ns - self._ended_ns) / 1e9 - self._config.brake_s
        reports_moving = (
            position is not None and position.moving and since_s < MAX_MOVING_AFTER_STOP_S
        )
        if since_s < 0 or reports_moving:
            self._at_rest_since_ns = None
        elif self._at_rest_since_ns is None:
            self._at_rest_since_ns = t_ns


MAX_NEAR_ERROR_DEG = 2.0
"""Whoever knows less well where it is cannot say that it is at a preset."""


def is_near(position: PtzPosition | None, pose: Pose, connection: HeadConnection) -> bool:
    """Whether a head is known to be at a pose."""
    capabilities = connection.capabilities
    return (
        position is not None
        and capabilities is not None
        and position.error_deg <= MAX_NEAR_ERROR_DEG
        and is_pose_near(position.pose, pose, capabilities)
    )


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
