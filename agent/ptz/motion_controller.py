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
from agent.config.heads import FieldOfView, HeadConfig, Sector
from agent.ptz.connection import HeadConnection, rejection_for
from agent.ptz.motion.forbidden_sectors import NOBODY_KNOWS_DEG
from agent.ptz.motion.overshoot import Goal, OvershootModel
from agent.ptz.motion.path import MotionBounds
from agent.ptz.motion.trajectory import (
    Ending,
    MoveTo,
    Order,
    PresetTrajectory,
    Step,
    Trajectory,
    near,
)
from agent.ptz.requests import Lease
from drivers.contracts import Pose, Ptz, PtzPosition, Range, Velocity
from drivers.errors import DriverError

log = logging.getLogger(__name__)

LONGEST_TURN_S = 10.0
"""A stage that has not turned for so long hangs: nobody would end what begins now."""
SEEN_MOVING_S = 5.0
"""A head that says for longer that it moves, though it was stopped, is not believed."""
_UNKNOWN_TILT = Range(low=-90.0, high=90.0)


class ActiveMotion(msgspec.Struct, frozen=True, kw_only=True):
    """What the head does now, by which right, and until when at the most. Without `lease` it is the
    box's own. `preset` is where it goes.
    """

    course: Trajectory
    lease: Lease | None
    ends_ns: int
    preset: str | None = None


class MotionController:
    """Any thread may call. `holds` tells whether a lease is still good; `on_motion` is called before
    the first order of each motion.
    """

    def __init__(
        self,
        config: HeadConfig,
        link: HeadConnection,
        sectors: Callable[[int], tuple[Sector, ...]],
        clock_ns: Callable[[], int],
        holds: Callable[[Lease, int], bool],
        on_motion: Callable[[], None],
    ) -> None:
        self._config = config
        self._link = link
        self._sectors = sectors
        self._clock_ns = clock_ns
        self._holds = holds
        self._on_motion = on_motion
        self._momentum = OvershootModel(config.brake_s, clock_ns)
        self.orders = threading.RLock()
        """Held by whoever decides on a motion, until its order is out; never by a stop."""
        self._lock = threading.Lock()
        self._epoch = 0
        self._words = 0
        self._motion: ActiveMotion | None = None
        self._position: PtzPosition | None = None
        self._at_rest_deg: float | None = None
        self._ended_ns = clock_ns()
        self._stands_ns: int | None = None
        self._beat_ns: int | None = None
        self._arrived_at: str | None = None
        self._remembered: str | None = None
        self._moved = False
        self._recalled: str | None = None
        self.ending: Ending | None = None
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
        return self._words

    @property
    def position(self) -> PtzPosition | None:
        """Where it was when it was asked last, None where it did not answer."""
        return self._position

    @property
    def at_rest_since_ns(self) -> int | None:
        """Since when it stands, None while it moves."""
        return self._stands_ns

    @property
    def arrived_at(self) -> str | None:
        """The preset that the last motion arrived at, and where it has stood since."""
        return self._arrived_at

    @property
    def remembered(self) -> str | None:
        """The preset that the last motion arrived at by the head's own memory, which has stood
        there since, and answered.
        """
        return self._remembered

    def is_unmoved_from(self, preset: str) -> bool:
        """Whether this box has moved it by nothing but a recall of the preset, which arrived, or by
        nothing at all. That it was silent or opened anew changes nothing: who relies on this looks
        where it says that it is.
        """
        return not self._moved or self._recalled == preset

    def bounds(self, t_ns: int) -> MotionBounds:
        """Where it may look and go now."""
        abilities, position = self._link.abilities, self._position
        fov = self._config.fov_deg
        if fov is not None and not (abilities and abilities.absolute):
            # Nobody has measured how far the lens is in.
            fov = FieldOfView(wide=fov.wide, tele=fov.wide, aspect=fov.aspect)
        error_deg = 2 * NOBODY_KNOWS_DEG if position is None else position.error_deg
        tells = abilities is not None and abilities.absolute and position is not None
        return MotionBounds(
            sectors=self._sectors(t_ns),
            fov=fov,
            error_deg=error_deg,
            at_rest_deg=self._at_rest_deg if tells and self._at_rest_deg is not None else error_deg,
            ahead=self._momentum.overshoot(t_ns, position, abilities),
            pan_deg=abilities.pan_deg if abilities else None,
            tilt_deg=abilities.tilt_deg if abilities else _UNKNOWN_TILT,
        )

    def heartbeat(self) -> None:
        """The stage turns, and will call `step` in time."""
        self._beat_ns = self._clock_ns()

    def abandon(self, why: str) -> None:
        """The stage does not turn any more, until the next `beat`: the head stops."""
        self._beat_ns = None
        self.end(Ending(how="ended", sentence=why))

    def opened(self) -> None:
        """The driver is new: nothing is known, and nothing is wanted."""
        with self._lock:
            self._epoch += 1
            self._motion = self._position = self._at_rest_deg = self._stands_ns = None
            self._arrived_at = self._remembered = None
            self._ended_ns = self._clock_ns()

    def query_position(self) -> PtzPosition | None:
        """Ask where it is. A head that does not answer is stopped, where it moved. Raises
        DriverError where the port is gone.
        """
        asked_ns, abilities = self._clock_ns(), self._link.abilities
        try:
            with self._momentum.timed_query():
                position = self._link.call(lambda ptz: ptz.position())
        except DriverError as error:
            self._position = self._arrived_at = self._remembered = None
            if self._motion is not None:
                self.end(Ending(how="ended", sentence=str(error)))
            if self._link.is_disconnect(error):
                raise
            return None
        self._link.note_answer()
        if abilities is not None and abilities.absolute:
            # It may have looked at any time since it was asked.
            position = msgspec.structs.replace(position, t_ns=min(position.t_ns, asked_ns))
        with self._lock:
            self._position = position
            if not position.moving:
                self._at_rest_deg = position.error_deg
            self._rest()
        return position

    def note_request(self) -> None:
        """Somebody takes, moves or stops it."""
        with self._lock:
            self._words += 1

    def check_not_superseded(self, words: int | None) -> None:
        """Raise Refused `expired` where more than these `words` have been heard; None refuses
        nothing.
        """
        if words is not None and words != self._words:
            raise CommandRejected(
                "expired",
                f"head {self._config.name!r}: somebody has taken, moved or stopped it meanwhile",
            )

    def begin(self, motion: ActiveMotion, words: int | None = None) -> None:
        """Do this instead of what it does; without `words` it is what somebody asks for. Raises
        Refused where its first order is not done, and as `refuse_overtaken` does.
        """
        beat_ns = self._beat_ns
        if beat_ns is None or (self._clock_ns() - beat_ns) / 1e9 > LONGEST_TURN_S:
            raise CommandRejected(
                "failed", f"head {self._config.name!r}: nobody is there to stop it again"
            )
        with self.orders:
            with self._lock:
                self.check_not_superseded(words)
                if words is None:
                    self._words += 1
                self._epoch += 1
                epoch = self._epoch
                self._motion, self._stands_ns, self._moved = motion, None, True
                self._arrived_at = self._remembered = self._recalled = None
                self.ending = None
            self._on_motion()
            try:
                ending = self._do(self._next(motion), epoch)
            except DriverError as error:
                raise rejection_for(error) from error
        if ending is not None:
            raise CommandRejected("forbidden", f"head {self._config.name!r}: {ending.sentence}")

    def left_s(self) -> float | None:
        """How long the motion may last from now on, by its own time and by its lease; None where it
        stands.
        """
        motion, t_ns = self._motion, self._clock_ns()
        if motion is None:
            return None
        if motion.lease is not None and not self._holds(motion.lease, t_ns):
            return 0.0
        return (motion.ends_ns - t_ns) / 1e9

    def step(self) -> float:
        """Go on with the motion, and end it where its right, its time or its way is over; in how
        many seconds to be called again. Raises DriverError where the port is gone.
        """
        with self.orders:
            with self._lock:
                motion, epoch, t_ns = self._motion, self._epoch, self._clock_ns()
                self._rest()
            if motion is None:
                return 0.0
            if motion.lease is not None and not self._holds(motion.lease, t_ns):
                self.end(Ending(how="ended", sentence="its lease is over"))
                return 0.0
            step = self._next(motion)
            if step.ending is None and t_ns >= motion.ends_ns:
                step = Step(ending=Ending(how="late", sentence="its longest time is over"))
            try:
                self._do(step, epoch)
            except DriverError as error:
                if self._link.is_disconnect(error):
                    raise
            return max(0.0, min(step.wake_s, (motion.ends_ns - t_ns) / 1e9))

    def end(self, ending: Ending) -> None:
        """The motion is over. A stop that fails is owed, and told to nobody here."""
        with self._lock:
            motion = self._withdraw()
            self.ending = ending
            if motion is not None and ending.how == "arrived":
                self._arrived_at = self._recalled = motion.preset
                if isinstance(motion.course, PresetTrajectory):
                    self._remembered = motion.preset
        if ending.how != "arrived":
            log.info("head %s: %s", self._config.name, ending.sentence)
        if not ending.stands:
            self._stop_or_owe()

    def stop(self) -> None:
        """Stop now, whatever goes on. Raises DriverError, and the stop is owed then."""
        with self._lock:
            self._withdraw()
        with self._momentum.timed_order(Velocity()):
            self._link.stop()

    def retry_stop(self) -> None:
        """Send the stop that is owed, if one is."""
        if self._link.stop_pending and self._motion is None:
            self._stop_or_owe()

    def _withdraw(self) -> ActiveMotion | None:
        motion, self._motion = self._motion, None
        self._epoch += 1
        self._ended_ns = self._clock_ns()
        self._stands_ns = None
        return motion

    def _next(self, motion: ActiveMotion) -> Step:
        t_ns = self._clock_ns()
        return motion.course.step(t_ns, self._position, self.bounds(t_ns))

    def _do(self, step: Step, epoch: int) -> Ending | None:
        """Send a step's order; how the motion ended, where it did. Raises DriverError."""
        if step.ending is not None:
            if self._epoch == epoch:
                self.end(step.ending)
            return step.ending
        if step.order is None:
            return None
        order = step.order
        try:
            with self._momentum.timed_order(_goal(order)):
                self._link.call(lambda ptz: _send(ptz, order))
        except DriverError as error:
            self._link.stop_pending = True
            self.end(Ending(how="ended", sentence=str(error)))
            raise
        if self._epoch != epoch:
            self._stop_or_owe()
        return None

    def _stop_or_owe(self) -> None:
        try:
            with self._momentum.timed_order(Velocity()):
                self._link.stop()
        except DriverError as error:
            log.warning("head %s: not stopped yet: %s", self._config.name, error)

    def _rest(self) -> None:
        """Find whether it stands. The lock is held."""
        t_ns, position = self._clock_ns(), self._position
        if self._motion is not None or self._link.stop_pending:
            self._stands_ns = None
            return
        since_s = (t_ns - self._ended_ns) / 1e9 - self._config.brake_s
        seen = position is not None and position.moving and since_s < SEEN_MOVING_S
        if since_s < 0 or seen:
            self._stands_ns = None
        elif self._stands_ns is None:
            self._stands_ns = t_ns


NEAR_ERROR_DEG = 2.0
"""Whoever knows less well where it is cannot say that it is at a preset."""


def is_near(position: PtzPosition | None, pose: Pose, link: HeadConnection) -> bool:
    """Whether a head is known to be at a pose."""
    abilities = link.abilities
    return (
        position is not None
        and abilities is not None
        and position.error_deg <= NEAR_ERROR_DEG
        and near(position.pose, pose, abilities)
    )


def _goal(order: Order) -> Goal:
    if isinstance(order, Velocity):
        return order
    return order.pose if isinstance(order, MoveTo) else None


def _send(ptz: Ptz, order: Order) -> None:
    if isinstance(order, Velocity):
        ptz.move(order)
    elif isinstance(order, MoveTo):
        ptz.goto(order.pose, order.speed)
    else:
        ptz.recall_preset(order.number)
