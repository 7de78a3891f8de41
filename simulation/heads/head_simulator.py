"""The mechanics of a simulated pan-tilt head: motors with speeds, end stops, lag and faults.

Time comes in with each call, so the same orders at the same times give the same motion, and a test
may let an hour pass at once. The simulator has the true position; a simulated device reports it by
its protocol.
"""

import math
import threading
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec

from drivers.angles import unwrap_near_deg, wrap_deg
from drivers.contracts import Aux, Pose, Range, Velocity
from drivers.media import NS_PER_S
from drivers.pan_range import unwrap_pan_deg
from simulation.heads.motion_profile import (
    AxisPoint,
    MotionProfile,
    MotorLimits,
    plan_move,
    plan_rest,
    plan_velocity,
)

AxisName = Literal["pan", "tilt", "zoom", "focus"]
AXES: tuple[AxisName, ...] = get_args(AxisName)
HEAD_AXES: tuple[AxisName, ...] = ("pan", "tilt")
LENS_RAMP_S = 0.05
"""The time of a lens's motor to full speed."""

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Speed = Annotated[float, msgspec.Meta(gt=0)]


class HeadMechanics(msgspec.Struct, frozen=True, kw_only=True):
    """The mechanics of a head. `pan_deg` is None if it turns without end.

    `ramp_s` is from rest to top speed, `lag_s` from an order's arrival to the first motion,
    `zoom_travel_s` and `focus_travel_s` from one end to the other.
    """

    pan_deg: Range | None = Range(low=-170, high=170)
    tilt_deg: Range = Range(low=-30, high=90)
    pan_max_deg_s: Speed = 60.0
    tilt_max_deg_s: Speed = 40.0
    ramp_s: Speed = 0.25
    lag_s: Seconds = 0.04
    zoom_travel_s: Speed = 3.0
    focus_travel_s: Speed = 2.0


class InjectedFault(msgspec.Struct, frozen=True, kw_only=True):
    """The faults of a head.

    `stuck`: axes that do not move. `slow`: the share of the ordered speed that is reached.
    `drift_deg_s`: how fast the pan creeps when it should rest. `silent`: it neither receives nor
    answers, which the simulated device has to observe.
    """

    stuck: tuple[AxisName, ...] = ()
    slow: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    drift_deg_s: float = 0.0
    silent: bool = False


NO_FAULT = InjectedFault()


class SpeedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Move an axis at a speed: degrees a second, or a share of its full range a second."""

    speed: float


class PositionOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Send an axis to a position: degrees, or a share of its range, at a share of its top speed."""

    target: float
    speed: float = 1.0


AxisOrder: TypeAlias = SpeedOrder | PositionOrder


class MotionState(msgspec.Struct, frozen=True, kw_only=True):
    """The true state at one time. `pan_deg` of an endless head is continuous over full turns.

    `zoom` and `focus` are shares of their travel. `moving`: an order is not done yet.
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
        """The pose of the head."""
        return Pose(pan_deg=wrap_deg(self.pan_deg), tilt_deg=self.tilt_deg, zoom=self.zoom)


class HeadSimulator:
    """The mechanics of one head, at rest at pan 0, tilt 0, zoom wide until the first order.

    Thread-safe. Time never steps back: a call with an earlier time than one before is taken for the
    later.
    """

    def __init__(
        self, mechanics: HeadMechanics, t_ns: int = 0, injected_fault: InjectedFault = NO_FAULT
    ) -> None:
        self.mechanics = mechanics
        self._injected_fault = injected_fault
        self._changed = threading.Condition(threading.RLock())
        self._order_count = 0
        self._now_ns = t_ns
        tilt = mechanics.tilt_deg
        positions = {"tilt": tilt.clamp(0.0)}
        if mechanics.pan_deg is not None:
            positions["pan"] = mechanics.pan_deg.clamp(0.0)
        self._profiles: dict[AxisName, list[MotionProfile]] = {
            axis: [plan_rest(t_ns, positions.get(axis, 0.0))] for axis in AXES
        }
        self._active_orders: dict[AxisName, AxisOrder] = dict.fromkeys(AXES, SpeedOrder(speed=0))
        self._presets: dict[int, dict[AxisName, float]] = {}
        self._aux_on: set[Aux] = set()
        if injected_fault != NO_FAULT:
            self.inject_fault(t_ns, injected_fault)

    @property
    def order_count(self) -> int:
        """The number of orders of any kind."""
        return self._order_count

    @property
    def injected_fault(self) -> InjectedFault:
        """The present faults."""
        return self._injected_fault

    @property
    def preset_numbers(self) -> frozenset[int]:
        """The numbers of the stored presets."""
        with self._changed:
            return frozenset(self._presets)

    @property
    def aux_on(self) -> frozenset[Aux]:
        """The auxiliaries that are on."""
        with self._changed:
            return frozenset(self._aux_on)

    def wait_for(self, condition: Callable[["HeadSimulator"], bool], timeout_s: float) -> bool:
        """Return whether a condition came true within `timeout_s`; it is checked after each order."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout_s)

    def state_at(self, t_ns: int) -> MotionState:
        """Return the true state at `t_ns`."""
        with self._changed:
            t_ns = self._advance_clock(t_ns)
            points = {axis: self._point_at(axis, t_ns) for axis in AXES}
            end_times_ns = [self._profiles[axis][-1].end_ns for axis in AXES]
        return MotionState(
            pan_deg=points["pan"].position,
            tilt_deg=points["tilt"].position,
            zoom=points["zoom"].position,
            focus=points["focus"].position,
            pan_deg_s=points["pan"].speed,
            tilt_deg_s=points["tilt"].speed,
            zoom_s=points["zoom"].speed,
            moving=any(end is None or t_ns < end for end in end_times_ns),
        )

    def rest_time_ns(self, axes: tuple[AxisName, ...] = AXES) -> int | None:
        """Return when the orders of these axes will be done, or None for never."""
        with self._changed:
            end_times_ns = [self._profiles[axis][-1].end_ns for axis in axes]
        finite = [end for end in end_times_ns if end is not None]
        return max(finite) if len(finite) == len(end_times_ns) else None

    def apply_orders(self, t_ns: int, orders: Mapping[AxisName, AxisOrder]) -> None:
        """Give orders to these axes, which follow after the lag; the others continue."""
        with self._changed:
            t_ns = self._advance_clock(t_ns)
            begin_ns = t_ns + int(self.mechanics.lag_s * NS_PER_S)
            for axis, order in orders.items():
                self._active_orders[axis] = order
                self._replan(axis, begin_ns)
                self._drop_past_profiles(axis, t_ns)
            self._count_order()

    def move(self, t_ns: int, velocity: Velocity) -> None:
        """Move all axes at a velocity, each at most at its top speed."""
        mechanics = self.mechanics
        self.apply_orders(
            t_ns,
            {
                "pan": SpeedOrder(speed=velocity.pan_deg_s),
                "tilt": SpeedOrder(speed=velocity.tilt_deg_s),
                "zoom": SpeedOrder(speed=velocity.zoom / mechanics.zoom_travel_s),
                "focus": SpeedOrder(speed=velocity.focus / mechanics.focus_travel_s),
            },
        )

    def stop(self, t_ns: int) -> None:
        """Bring all axes to rest."""
        self.move(t_ns, Velocity())

    def goto(self, t_ns: int, pose: Pose, speed: float = 1.0) -> None:
        """Send pan, tilt and zoom to a pose at a share of the top speed.

        Without end stops the pan takes the shorter way.
        """
        self.apply_orders(
            t_ns,
            {
                "pan": PositionOrder(target=pose.pan_deg, speed=speed),
                "tilt": PositionOrder(target=pose.tilt_deg, speed=speed),
                "zoom": PositionOrder(target=pose.zoom),
            },
        )

    def store_preset(self, t_ns: int, number: int) -> None:
        """Store the present position."""
        with self._changed:
            t_ns = self._advance_clock(t_ns)
            self._presets[number] = {axis: self._point_at(axis, t_ns).position for axis in AXES}
            self._count_order()

    def clear_preset(self, number: int) -> None:
        """Delete a preset."""
        with self._changed:
            self._presets.pop(number, None)
            self._count_order()

    def goto_preset(self, t_ns: int, number: int, speed: float = 1.0) -> bool:
        """Go to a preset; return False if there is none."""
        with self._changed:
            positions = self._presets.get(number)
            if positions is None:
                self._count_order()
                return False
            self.apply_orders(
                t_ns, {axis: PositionOrder(target=positions[axis], speed=speed) for axis in AXES}
            )
            return True

    def set_aux(self, aux: Aux, *, on: bool) -> None:
        """Switch an auxiliary."""
        with self._changed:
            (self._aux_on.add if on else self._aux_on.discard)(aux)
            self._count_order()

    def inject_fault(self, t_ns: int, injected_fault: InjectedFault) -> None:
        """Set the faults from now on; NO_FAULT clears them."""
        with self._changed:
            t_ns = self._advance_clock(t_ns)
            self._injected_fault = injected_fault
            for axis in AXES:
                self._replan(axis, t_ns)
                self._drop_past_profiles(axis, t_ns)
            self._changed.notify_all()

    def _count_order(self) -> None:
        self._order_count += 1
        self._changed.notify_all()

    def _advance_clock(self, t_ns: int) -> int:
        self._now_ns = max(self._now_ns, t_ns)
        return self._now_ns

    def _point_at(self, axis: AxisName, t_ns: int) -> AxisPoint:
        profiles = self._profiles[axis]
        return next((c for c in reversed(profiles) if c.begin_ns <= t_ns), profiles[0]).at(t_ns)

    def _drop_past_profiles(self, axis: AxisName, t_ns: int) -> None:
        profiles = self._profiles[axis]
        started = [index for index, profile in enumerate(profiles) if profile.begin_ns <= t_ns]
        del profiles[: started[-1] if started else 0]

    def _replan(self, axis: AxisName, begin_ns: int) -> None:
        """Replace an axis's profile from `begin_ns` on by that of its present order."""
        profiles = self._profiles[axis]
        point = self._point_at(axis, begin_ns)
        while profiles and profiles[-1].begin_ns >= begin_ns:
            profiles.pop()
        profiles.append(self._new_profile(axis, begin_ns, point))

    def _new_profile(self, axis: AxisName, begin_ns: int, point: AxisPoint) -> MotionProfile:
        order, fault = self._active_orders[axis], self._injected_fault
        if axis in fault.stuck:
            is_idle = order == SpeedOrder(speed=0)
            return plan_rest(begin_ns, point.position, 0.0 if is_idle else math.inf)
        top_speed, limits = self._top_speed(axis), self._motor_limits(axis)
        if isinstance(order, SpeedOrder):
            speed = min(max(order.speed, -top_speed), top_speed) * fault.slow
            return plan_velocity(limits, begin_ns, point, speed)
        target = order.target
        if axis == "pan":
            pan_range = self.mechanics.pan_deg
            target = (
                unwrap_near_deg(target, point.position)
                if pan_range is None
                else unwrap_pan_deg(target, pan_range)
            )
        return plan_move(limits, begin_ns, point, target, top_speed * order.speed * fault.slow)

    def _top_speed(self, axis: AxisName) -> float:
        mechanics = self.mechanics
        return {
            "pan": mechanics.pan_max_deg_s,
            "tilt": mechanics.tilt_max_deg_s,
            "zoom": 1 / mechanics.zoom_travel_s,
            "focus": 1 / mechanics.focus_travel_s,
        }[axis]

    def _motor_limits(self, axis: AxisName) -> MotorLimits:
        mechanics = self.mechanics
        ranges = {"pan": mechanics.pan_deg, "tilt": mechanics.tilt_deg}
        travel = ranges.get(axis, Range(low=0, high=1))
        ramp_s = mechanics.ramp_s if axis in HEAD_AXES else LENS_RAMP_S
        return MotorLimits(
            low=travel.low if travel else -math.inf,
            high=travel.high if travel else math.inf,
            acceleration=self._top_speed(axis) / ramp_s,
            creep_speed=self._injected_fault.drift_deg_s if axis == "pan" else 0.0,
        )
