"""Dead reckoning: the position of a head that cannot report it, from its orders and times. Pure.

Each axis is estimated by itself, see `drivers.axis_reckoning`. A head that was lost is found again at
an end stop, and at a preset whose position is known, once it has had the time to arrive.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from drivers.angles import HALF_TURN_DEG, wrap_deg
from drivers.axis_reckoning import (
    AxisLimits,
    AxisState,
    PositionInterval,
    advance_to,
    exact_position,
    full_range,
    is_known,
    is_moving,
    order_goto,
    order_speed,
    order_unconfirmed_goto,
    order_unconfirmed_speed,
    position_interval,
)
from drivers.contracts import Pose, PtzPosition, Range
from drivers.pan_range import unwrap_pan_deg

REPEATABILITY_DEG = 0.5
"""How well a head finds an end stop or a preset again; makers promise 0.1 to 0.5 degrees."""


class PoseInterval(msgspec.Struct, frozen=True, kw_only=True):
    """The intervals of all three axes."""

    pan: PositionInterval
    tilt: PositionInterval
    zoom: PositionInterval


Speeds: TypeAlias = tuple[float, float, float]
"""Pan and tilt in degrees a second, zoom in ranges a second."""
OrderOutcome = Literal["heard", "refused", "lost"]
"""Of an order: the head follows it, it refuses and continues as before, or no answer came."""


class PendingOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is being sent: to move at these speeds, or to go to a preset with these at least.

    `states_before` and `states_pending` are the axes before the order, and until its answer.
    """

    speeds: Speeds
    preset: int | None
    states_before: tuple[AxisState, ...]
    states_pending: tuple[AxisState, ...]


class DeadReckoning:
    """Pan, tilt and zoom of one head, and its presets. Time comes in with each call.

    For a head that cannot answer, call `on_move` and `on_goto_preset` when a frame was sent. For one
    that answers, call `begin_order` before an order is sent, and `settle_order` with the outcome.

    `references` are presets whose positions were measured. A preset that was stored while the
    position was known is known too; the positions of all others are unknown.
    """

    def __init__(
        self,
        *,
        pan: AxisLimits,
        tilt: AxisLimits,
        zoom: AxisLimits,
        references: Mapping[int, Pose],
        t_ns: int,
    ) -> None:
        self._limits = (pan, tilt, zoom)
        self._axes = tuple(AxisState(t_ns=t_ns, spread=full_range(one)) for one in self._limits)
        self._presets = {number: _exact_pose(pose, pan.span) for number, pose in references.items()}
        self._pending_orders = 0

    def begin_order(self, speeds: Speeds, t_ns: int, preset: int | None = None) -> PendingOrder:
        """Note an order that is about to be sent: to move, or to go to a preset."""
        previous = self._axes
        if preset is None:
            self._axes = tuple(
                order_unconfirmed_speed(limits, track, speed, t_ns)
                for limits, track, speed in zip(self._limits, previous, speeds, strict=True)
            )
        else:
            self._axes = tuple(
                order_unconfirmed_goto(limits, track, target, t_ns)
                for limits, track, target in zip(
                    self._limits, previous, self._targets(preset), strict=True
                )
            )
        self._pending_orders += 1
        return PendingOrder(
            speeds=speeds, preset=preset, states_before=previous, states_pending=self._axes
        )

    def settle_order(self, outcome: OrderOutcome, order: PendingOrder, t_ns: int) -> None:
        """Note the outcome of an order, once for each.

        If two were being sent at a time, it is unknown which was received last.
        """
        self._pending_orders -= 1
        if self._pending_orders > 0 or self._axes is not order.states_pending or outcome == "lost":
            return
        if outcome == "refused":
            self._axes = order.states_before
        elif order.preset is None:
            self.on_move(order.speeds, t_ns)
        else:
            self.on_goto_preset(order.preset, order.speeds, t_ns)

    def on_move(self, speeds: Speeds, t_ns: int) -> None:
        """Note that an order to move was sent."""
        self._axes = tuple(
            order_speed(limits, track, speed, t_ns)
            for limits, track, speed in zip(self._limits, self._axes, speeds, strict=True)
        )

    def on_preset_stored(self, number: int, t_ns: int) -> None:
        """Note that the present position was stored under a number."""
        pan, tilt, zoom = self._intervals_at(t_ns)
        axes = map(advance_to, self._limits, self._axes, (t_ns, t_ns, t_ns))
        if any(track.speed or track.target or track.unconfirmed_speeds for track in axes):
            self.forget_preset(number)
        else:
            self._presets[number] = PoseInterval(pan=pan, tilt=tilt, zoom=zoom)

    def forget_preset(self, number: int) -> None:
        """Forget the position of a preset: it is unknown."""
        self._presets.pop(number, None)

    def on_goto_preset(self, number: int, speeds: Speeds, t_ns: int) -> None:
        """Note that an order to go to a preset was sent, with these speeds at least."""
        self._axes = tuple(
            order_goto(limits, track, target, speed, t_ns)
            for limits, track, target, speed in zip(
                self._limits, self._axes, self._targets(number), speeds, strict=True
            )
        )

    def is_moving(self, t_ns: int) -> bool:
        """Return whether an axis is moving."""
        return any(
            is_moving(limits, track, t_ns)
            for limits, track in zip(self._limits, self._axes, strict=True)
        )

    def position_at(self, t_ns: int) -> PtzPosition:
        """Return the likeliest position, and its error."""
        intervals = self._intervals_at(t_ns)
        is_known_pose = all(map(is_known, self._limits[:2], intervals[:2]))
        error_deg = max(interval.max_error for interval in intervals[:2]) + REPEATABILITY_DEG
        pan, tilt, zoom = (spread.likely for spread in intervals)
        return PtzPosition(
            pose=Pose(pan_deg=wrap_deg(pan), tilt_deg=tilt, zoom=zoom),
            error_deg=min(error_deg, HALF_TURN_DEG) if is_known_pose else HALF_TURN_DEG,
            moving=self.is_moving(t_ns),
            t_ns=t_ns,
        )

    def _targets(self, number: int) -> tuple[PositionInterval, ...]:
        preset = self._presets.get(number)
        if preset is None:
            return tuple(map(full_range, self._limits))
        return preset.pan, preset.tilt, preset.zoom

    def _intervals_at(
        self, t_ns: int
    ) -> tuple[PositionInterval, PositionInterval, PositionInterval]:
        pan, tilt, zoom = map(position_interval, self._limits, self._axes, (t_ns, t_ns, t_ns))
        return pan, tilt, zoom


def _exact_pose(pose: Pose, pan: Range | None) -> PoseInterval:
    """Return the intervals of a pose; the pan in the turn that its range is in."""
    pan_deg = wrap_deg(pose.pan_deg) if pan is None else unwrap_pan_deg(pose.pan_deg, pan)
    return PoseInterval(
        pan=exact_position(pan_deg),
        tilt=exact_position(pose.tilt_deg),
        zoom=exact_position(pose.zoom),
    )
