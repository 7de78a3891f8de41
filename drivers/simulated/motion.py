"""A pan-tilt head's body: motors with real speeds, stops and lag, and what can be wrong with them.

Time comes in with each call, so the same orders at the same times give the same motion, and a test
may let an hour pass at once. The body knows the truth; what a head tells of it is its protocol's
business.
"""

import math
import threading
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec

from drivers.angles import nearest_deg, wrap_deg
from drivers.contracts import Aux, Pose, Range, Velocity
from drivers.simulated.axis import NS_PER_S, Course, Limb, Spot, at_speed, rest, to_place

AxisName = Literal["pan", "tilt", "zoom", "focus"]
AXES: tuple[AxisName, ...] = get_args(AxisName)
HEAD_AXES: tuple[AxisName, ...] = ("pan", "tilt")
LENS_RAMP_S = 0.05
"""A lens's motor is at full speed after this long."""

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Speed = Annotated[float, msgspec.Meta(gt=0)]


class Mechanics(msgspec.Struct, frozen=True, kw_only=True):
    """What a head is built like. `pan_deg` is None where it turns without end. `ramp_s` is from
    rest to top speed, `lag_s` from an order's arrival to the first motion, `zoom_travel_s` and
    `focus_travel_s` from one end to the other.
    """

    pan_deg: Range | None = Range(low=-170, high=170)
    tilt_deg: Range = Range(low=-30, high=90)
    pan_max_deg_s: Speed = 60.0
    tilt_max_deg_s: Speed = 40.0
    ramp_s: Speed = 0.25
    lag_s: Seconds = 0.04
    zoom_travel_s: Speed = 3.0
    focus_travel_s: Speed = 2.0


class Misbehaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a head.

    `stuck`: axes that do not move. `slow`: the share of the speed asked that is reached.
    `drift_deg_s`: how fast the pan creeps when it should rest. `silent`: it neither hears nor
    answers; whoever gives the body its orders is held to that.
    """

    stuck: tuple[AxisName, ...] = ()
    slow: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    drift_deg_s: float = 0.0
    silent: bool = False


SOUND = Misbehaviour()


class Drive(msgspec.Struct, frozen=True, kw_only=True):
    """Move an axis at a speed: degrees a second, or a share of its full range a second."""

    speed: float


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Take an axis to a place: degrees, or a share of its range, at a share of its top speed."""

    place: float
    speed: float = 1.0


Order: TypeAlias = Drive | Reach


class MotionState(msgspec.Struct, frozen=True, kw_only=True):
    """The truth at one time. `pan_deg` counts on from turn to turn on an endless head; `zoom` and
    `focus` are shares of their travel. `moving`: it does what it was told, or is about to.
    """

    pan_deg: float
    tilt_deg: float
    zoom: float
    focus: float
    pan_deg_s: float
    tilt_deg_s: float
    zoom_s: float
    moving: bool

    @property
    def pose(self) -> Pose:
        """Where the head looks."""
        return Pose(pan_deg=wrap_deg(self.pan_deg), tilt_deg=self.tilt_deg, zoom=self.zoom)


class HeadMotion:
    """The body of one head, at rest at pan 0, tilt 0, zoom wide until it is told otherwise.

    Any thread may call it. Time never steps back: a call that comes with an earlier time than one
    before it is taken for the later.
    """

    def __init__(
        self, mechanics: Mechanics, t_ns: int = 0, misbehaviour: Misbehaviour = SOUND
    ) -> None:
        self.mechanics = mechanics
        self._misbehaviour = misbehaviour
        self._heard = threading.Condition(threading.RLock())
        self._orders = 0
        self._now_ns = t_ns
        tilt = mechanics.tilt_deg
        places = {"tilt": min(max(0.0, tilt.low), tilt.high)}
        if mechanics.pan_deg is not None:
            places["pan"] = min(max(0.0, mechanics.pan_deg.low), mechanics.pan_deg.high)
        self._courses: dict[AxisName, list[Course]] = {
            axis: [rest(t_ns, places.get(axis, 0.0))] for axis in AXES
        }
        self._wanted: dict[AxisName, Order] = dict.fromkeys(AXES, Drive(speed=0))
        self._presets: dict[int, dict[AxisName, float]] = {}
        self._switched: set[Aux] = set()
        if misbehaviour != SOUND:
            self.misbehave(t_ns, misbehaviour)

    @property
    def orders(self) -> int:
        """How many orders of any kind it has had."""
        return self._orders

    @property
    def misbehaviour(self) -> Misbehaviour:
        """What is wrong with it."""
        return self._misbehaviour

    @property
    def presets(self) -> frozenset[int]:
        """The numbers of the places that it remembers."""
        with self._heard:
            return frozenset(self._presets)

    @property
    def switched(self) -> frozenset[Aux]:
        """What is switched on."""
        with self._heard:
            return frozenset(self._switched)

    def wait_for(self, wanted: Callable[["HeadMotion"], bool], timeout_s: float) -> bool:
        """Whether `wanted` came true within `timeout_s`; it is asked again after each order."""
        with self._heard:
            return self._heard.wait_for(lambda: wanted(self), timeout_s)

    def state(self, t_ns: int) -> MotionState:
        """The truth at `t_ns`."""
        with self._heard:
            t_ns = self._time(t_ns)
            spots = {axis: self._spot(axis, t_ns) for axis in AXES}
            ends_ns = [self._courses[axis][-1].ends_ns for axis in AXES]
        return MotionState(
            pan_deg=spots["pan"].place,
            tilt_deg=spots["tilt"].place,
            zoom=spots["zoom"].place,
            focus=spots["focus"].place,
            pan_deg_s=spots["pan"].speed,
            tilt_deg_s=spots["tilt"].speed,
            zoom_s=spots["zoom"].speed,
            moving=any(end is None or t_ns < end for end in ends_ns),
        )

    def rests_ns(self, axes: tuple[AxisName, ...] = AXES) -> int | None:
        """When these axes will have done what they were told, None where they never will."""
        with self._heard:
            ends_ns = [self._courses[axis][-1].ends_ns for axis in axes]
        known = [end for end in ends_ns if end is not None]
        return max(known) if len(known) == len(ends_ns) else None

    def obey(self, t_ns: int, orders: Mapping[AxisName, Order]) -> None:
        """Do this with these axes, after the lag; the others go on as they are."""
        with self._heard:
            t_ns = self._time(t_ns)
            begin_ns = t_ns + int(self.mechanics.lag_s * NS_PER_S)
            for axis, order in orders.items():
                self._wanted[axis] = order
                self._plan(axis, begin_ns)
                self._forget_before(axis, t_ns)
            self._told()

    def move(self, t_ns: int, velocity: Velocity) -> None:
        """Move all axes at a velocity, each at most at its top speed."""
        mechanics = self.mechanics
        self.obey(
            t_ns,
            {
                "pan": Drive(speed=velocity.pan_deg_s),
                "tilt": Drive(speed=velocity.tilt_deg_s),
                "zoom": Drive(speed=velocity.zoom / mechanics.zoom_travel_s),
                "focus": Drive(speed=velocity.focus / mechanics.focus_travel_s),
            },
        )

    def stop(self, t_ns: int) -> None:
        """Bring all axes to rest."""
        self.move(t_ns, Velocity())

    def goto(self, t_ns: int, pose: Pose, speed: float = 1.0) -> None:
        """Take pan, tilt and zoom to a pose at a share of the top speed; the nearer way round."""
        self.obey(
            t_ns,
            {
                "pan": Reach(place=pose.pan_deg, speed=speed),
                "tilt": Reach(place=pose.tilt_deg, speed=speed),
                "zoom": Reach(place=pose.zoom),
            },
        )

    def store_preset(self, t_ns: int, number: int) -> None:
        """Remember where it is now."""
        with self._heard:
            t_ns = self._time(t_ns)
            self._presets[number] = {axis: self._spot(axis, t_ns).place for axis in AXES}
            self._told()

    def clear_preset(self, number: int) -> None:
        """Forget a place."""
        with self._heard:
            self._presets.pop(number, None)
            self._told()

    def recall_preset(self, t_ns: int, number: int, speed: float = 1.0) -> bool:
        """Go to a remembered place; False, and nothing done, where there is none."""
        with self._heard:
            places = self._presets.get(number)
            if places is None:
                self._told()
                return False
            self.obey(t_ns, {axis: Reach(place=places[axis], speed=speed) for axis in AXES})
            return True

    def switch(self, aux: Aux, *, on: bool) -> None:
        """Switch something that is not a motor of the head."""
        with self._heard:
            (self._switched.add if on else self._switched.discard)(aux)
            self._told()

    def misbehave(self, t_ns: int, misbehaviour: Misbehaviour) -> None:
        """From now on this is wrong with it; `SOUND` mends it."""
        with self._heard:
            t_ns = self._time(t_ns)
            self._misbehaviour = misbehaviour
            for axis in AXES:
                self._plan(axis, t_ns)
                self._forget_before(axis, t_ns)
            self._heard.notify_all()

    def _told(self) -> None:
        self._orders += 1
        self._heard.notify_all()

    def _time(self, t_ns: int) -> int:
        self._now_ns = max(self._now_ns, t_ns)
        return self._now_ns

    def _spot(self, axis: AxisName, t_ns: int) -> Spot:
        courses = self._courses[axis]
        return next((c for c in reversed(courses) if c.begin_ns <= t_ns), courses[0]).at(t_ns)

    def _forget_before(self, axis: AxisName, t_ns: int) -> None:
        courses = self._courses[axis]
        begun = [index for index, course in enumerate(courses) if course.begin_ns <= t_ns]
        del courses[: begun[-1] if begun else 0]

    def _plan(self, axis: AxisName, begin_ns: int) -> None:
        """Let an axis do what it is wanted to from `begin_ns` on, whatever it would have done."""
        courses = self._courses[axis]
        spot = self._spot(axis, begin_ns)
        while courses and courses[-1].begin_ns >= begin_ns:
            courses.pop()
        courses.append(self._course(axis, begin_ns, spot))

    def _course(self, axis: AxisName, begin_ns: int, spot: Spot) -> Course:
        order, wrong = self._wanted[axis], self._misbehaviour
        if axis in wrong.stuck:
            idle = order == Drive(speed=0)
            return rest(begin_ns, spot.place, 0.0 if idle else math.inf)
        top_speed, limb = self._top_speed(axis), self._limb(axis)
        if isinstance(order, Drive):
            speed = min(max(order.speed, -top_speed), top_speed) * wrong.slow
            return at_speed(limb, begin_ns, spot, speed)
        place = order.place
        if axis == "pan" and self.mechanics.pan_deg is None:
            place = nearest_deg(place, spot.place)
        return to_place(limb, begin_ns, spot, place, top_speed * order.speed * wrong.slow)

    def _top_speed(self, axis: AxisName) -> float:
        mechanics = self.mechanics
        return {
            "pan": mechanics.pan_max_deg_s,
            "tilt": mechanics.tilt_max_deg_s,
            "zoom": 1 / mechanics.zoom_travel_s,
            "focus": 1 / mechanics.focus_travel_s,
        }[axis]

    def _limb(self, axis: AxisName) -> Limb:
        mechanics = self.mechanics
        ends = {"pan": mechanics.pan_deg, "tilt": mechanics.tilt_deg}
        travel = ends.get(axis, Range(low=0, high=1))
        ramp_s = mechanics.ramp_s if axis in HEAD_AXES else LENS_RAMP_S
        return Limb(
            low=travel.low if travel else -math.inf,
            high=travel.high if travel else math.inf,
            acceleration=self._top_speed(axis) / ramp_s,
            creep=self._misbehaviour.drift_deg_s if axis == "pan" else 0.0,
        )
