"""One motion of a head from its beginning to its end. Pure: time and place come in, orders go out.

A motion is asked for its next step again and again, at the latest after `wake_s`. It ends by itself
in one of the ways of `Ending`; whoever runs it stops the head then.
"""

from collections import deque
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

from agent.config.heads import Sector
from agent.ptz.motion import position_servo
from agent.ptz.motion.forbidden_sectors import reach
from agent.ptz.motion.overshoot import TURN_S
from agent.ptz.motion.path import MotionBounds, clip
from agent.ptz.requests import ContinuousMove
from drivers.contracts import Pose, PtzAbilities, PtzPosition, Velocity

FREE_TURN_S = 0.3
"""And one that only its time ends: the line stays free for what is more urgent."""
NEAR_DEG = 1.0
ZOOM_NEAR = 0.05
"""A head that has stopped so near to where it was sent has arrived: its own gears' doing."""
PATIENCE = 1.5
GRACE_S = 2.0
"""It may take half as long again as its speeds say, and this for its bus and its ramps."""
LATE_TURNS, LATE_CHASE_TURNS = 2, 6
"""And so many of its late answers: until it is seen to have arrived; by its speed alone it comes nearer by
a share of the way in each.
"""
LENS_S = 4.0
"""What a lens takes from one end to the other, at the most that is waited for."""


class MoveTo(msgspec.Struct, frozen=True, kw_only=True):
    """Tell an absolute head where to go."""

    pose: Pose
    speed: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Let the head go to a place that it remembers itself."""

    number: int


Order: TypeAlias = Velocity | MoveTo | Memory
"""What the head is told."""

How = Literal["ended", "arrived", "late", "forbidden"]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a motion ended: its time was over, it arrived, it did not arrive in time, or there is a
    sector that may not come into the picture. `stands`: the head is known to stand, and need not be
    stopped.
    """

    how: How
    sentence: str
    stands: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now, if anything, and when to ask again; `ending` where it was the last one."""

    order: Order | None = None
    wake_s: float = TURN_S
    ending: Ending | None = None


class Trajectory(Protocol):
    """How a motion goes on."""

    def step(self, t_ns: int, position: PtzPosition | None, bounds: MotionBounds) -> Step:
        """The next step, where the head is at `position`, as far as that is known."""
        ...


def allowed_s(
    poses: Sequence[Pose],
    start: Pose | None,
    abilities: PtzAbilities,
    speed: float,
    late_s: float,
) -> float:
    """How long a head may take over these poses, one after the other, whose answers take so long;
    from an unknown place all round.
    """
    total_s = 0.0
    late_s *= LATE_TURNS if abilities.absolute else LATE_CHASE_TURNS
    for pose in poses:
        if start is None:
            span = abilities.pan_deg
            pan = 360.0 if span is None else span.high - span.low
            tilt = abilities.tilt_deg.high - abilities.tilt_deg.low
            zoom = 1.0
        else:
            pan = abs(position_servo.way_deg(start.pan_deg, pose.pan_deg, abilities.pan_deg))
            tilt, zoom = abs(pose.tilt_deg - start.tilt_deg), abs(pose.zoom - start.zoom)
        needed_s = max(pan / abilities.pan_max_deg_s, tilt / abilities.tilt_max_deg_s) / speed
        lens_s = zoom * LENS_S if abilities.zoom_ratio > 1 else 0.0
        total_s += max(needed_s * PATIENCE, lens_s) + GRACE_S + late_s
        start = pose
    return total_s


def near(pose: Pose, target: Pose, abilities: PtzAbilities) -> bool:
    """Whether a head that rests at `pose` is where it was sent."""
    pan = position_servo.way_deg(pose.pan_deg, target.pan_deg, abilities.pan_deg)
    lens = abilities.zoom_ratio > 1 and abs(pose.zoom - target.zoom) > ZOOM_NEAR
    return abs(pan) <= NEAR_DEG and abs(target.tilt_deg - pose.tilt_deg) <= NEAR_DEG and not lens


class ContinuousTrajectory:
    """Moves at a velocity until its time is over, slower or not at all towards a sector."""

    def __init__(self, velocity: Velocity, ends_ns: int) -> None:
        self._velocity = velocity
        self._ends_ns = ends_ns
        self._told: Velocity | None = None

    def step(self, t_ns: int, position: PtzPosition | None, bounds: MotionBounds) -> Step:
        """See `Course`."""
        left_s = (self._ends_ns - t_ns) / 1e9
        if left_s <= 0:
            return Step(ending=Ending(how="ended", sentence="its time is over"))
        velocity = self.clipped(position, bounds)
        if isinstance(velocity, Sector):
            return _forbidden(velocity)
        order = None if velocity == self._told else velocity
        self._told = velocity
        return Step(order=order, wake_s=min(left_s, TURN_S if bounds.sectors else FREE_TURN_S))

    def clipped(self, position: PtzPosition | None, bounds: MotionBounds) -> Velocity | Sector:
        """As much of the velocity as leads into no sector, and the sector where nothing is left."""
        if not bounds.sectors:
            return self._velocity
        if position is None:
            return bounds.sectors[0]
        return clip(self._velocity, position.pose, bounds.steered)


def velocity_of(wish: ContinuousMove, abilities: PtzAbilities, dead_zone: float) -> Velocity:
    """The velocity of a wish in shares; shares within the dead zone are none."""
    pan, tilt, zoom, focus = (
        share if abs(share) > dead_zone else 0.0
        for share in (wish.pan, wish.tilt, wish.zoom, wish.focus)
    )
    return Velocity(
        pan_deg_s=pan * abilities.pan_max_deg_s,
        tilt_deg_s=tilt * abilities.tilt_max_deg_s,
        zoom=zoom,
        focus=focus,
    )


class PoseTrajectory:
    """Goes to poses, one after the other: told where to, or by its speed alone.

    `error_deg` is how well its place was known when the way was found to be free. What a head that
    tells its place is wrong by on the way is the age of what it told: that lies along the way. So
    only a reckoned head is held to the error that it has then.
    """

    def __init__(
        self,
        poses: Sequence[Pose],
        speed: float,
        abilities: PtzAbilities,
        brake_s: float,
        error_deg: float,
    ) -> None:
        self._poses = deque(poses)
        self._speed = speed
        self._abilities = abilities
        self._brake_s = brake_s
        self._error_deg = error_deg
        self._leg_ends_ns: int | None = None
        self._was_inside: bool | None = None

    def step(self, t_ns: int, position: PtzPosition | None, bounds: MotionBounds) -> Step:
        """See `Course`."""
        if position is None:
            return Step()
        entered = self._entered(position, bounds)
        if entered is not None:
            return _forbidden(entered)
        if self._leg_ends_ns is None:
            return self._begin_leg(t_ns, position, bounds)
        late = t_ns >= self._leg_ends_ns
        if self._is_there(position, bounds, late=late):
            return self._next_leg(t_ns, position, bounds)
        if late:
            return Step(ending=Ending(how="late", sentence=_late(position, self._poses[0])))
        return Step() if self._abilities.absolute else self._chase(position, bounds)

    def _entered(self, position: PtzPosition, bounds: MotionBounds) -> Sector | None:
        """A sector that has come into the picture, where none was in it before."""
        if self._abilities.absolute and bounds.error_deg > self._error_deg:
            bounds = msgspec.structs.replace(bounds, error_deg=self._error_deg)
        inside = bounds.hits(reach(position.pose), passing=True)
        may = self._was_inside is None or self._was_inside
        self._was_inside = inside is not None and may
        return None if may else inside

    def _next_leg(self, t_ns: int, position: PtzPosition, bounds: MotionBounds) -> Step:
        self._poses.popleft()
        if self._poses:
            return self._begin_leg(t_ns, position, bounds)
        stands = self._abilities.absolute and not position.moving
        return Step(ending=Ending(how="arrived", sentence="it has arrived", stands=stands))

    def _begin_leg(self, t_ns: int, position: PtzPosition, bounds: MotionBounds) -> Step:
        target, late_s = self._poses[0], bounds.ahead.late_s
        lasts_s = allowed_s((target,), position.pose, self._abilities, self._speed, late_s)
        self._leg_ends_ns = t_ns + int(lasts_s * 1e9)
        if self._abilities.absolute:
            return Step(order=MoveTo(pose=target, speed=self._speed))
        return self._chase(position, bounds)

    def _is_there(self, position: PtzPosition, bounds: MotionBounds, *, late: bool) -> bool:
        if not self._abilities.absolute:
            within_deg = position_servo.nearest_deg(self._abilities, TURN_S + bounds.ahead.late_s)
            return position_servo.arrived(
                position.pose, self._poses[0], self._abilities, min(within_deg, NEAR_DEG)
            )
        at_rest = late or not position.moving
        return at_rest and near(position.pose, self._poses[0], self._abilities)

    def _chase(self, position: PtzPosition, bounds: MotionBounds) -> Step:
        slowing_s = self._brake_s + bounds.ahead.late_s
        chase = position_servo.chase(
            position.pose, self._poses[0], self._abilities, self._speed, slowing_s
        )
        if chase is None:
            return Step(order=Velocity(), wake_s=0.0)
        # The way was found free as far as the target: a head that answers late may go further.
        velocity = (
            chase.velocity if self._was_inside else clip(chase.velocity, position.pose, bounds)
        )
        if isinstance(velocity, Sector):
            return _forbidden(velocity)
        return Step(order=velocity, wake_s=min(chase.for_s, TURN_S))


class PresetTrajectory:
    """Goes to a place of the head's own memory, until its driver says that it rests: where it was
    measured, or where it has had the time to arrive.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._told_ns: int | None = None

    def step(self, t_ns: int, position: PtzPosition | None, bounds: MotionBounds) -> Step:
        """See `Course`."""
        if self._told_ns is None:
            self._told_ns = t_ns
            return Step(order=Memory(number=self._number))
        if position is None or position.t_ns <= self._told_ns or position.moving:
            return Step()
        sentence = "it has had the time to arrive"
        return Step(ending=Ending(how="arrived", sentence=sentence, stands=True))


def _forbidden(sector: Sector) -> Step:
    sentence = f"sector {sector.name!r} is in the way"
    return Step(ending=Ending(how="forbidden", sentence=sentence))


def _late(position: PtzPosition, target: Pose) -> str:
    here = position.pose
    return (
        f"sent to pan {target.pan_deg:.1f} tilt {target.tilt_deg:.1f} and found at "
        f"pan {here.pan_deg:.1f} tilt {here.tilt_deg:.1f}"
    )
