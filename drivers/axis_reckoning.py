"""Dead reckoning of one axis: the interval in which it must be, after orders at known times. Pure.

A motion shifts the interval, and widens it by the uncertainty of the speed and of when the motor
starts and stops. It never reaches past the ends of the range: an axis that runs into its end stop is
found again there, however far it was lost.

Between an order and its answer, and from then on if none comes, it is unknown whether the order was
received: the interval grows by both possibilities, until an order is answered again.
"""

import math

import msgspec

from drivers.angles import FULL_TURN_DEG, HALF_TURN_DEG
from drivers.contracts import Range
from drivers.media import NS_PER_S


class AxisLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The known properties of an axis. `span` is None if it turns without end.

    `speed_error` is the share by which its speed may differ from the ordered one, `lag_s` the
    longest time from a frame to the motion, half of the ramp included.
    """

    span: Range | None
    speed_error: float
    lag_s: float


class PositionInterval(msgspec.Struct, frozen=True, kw_only=True):
    """Between `low` and `high`, most likely at `likely`.

    For an endless axis it is continuous over full turns, and infinite if the position is unknown.
    """

    low: float
    high: float
    likely: float

    @property
    def max_error(self) -> float:
        """The furthest that the true position may be from `likely`."""
        return max(self.high - self.likely, self.likely - self.low)


class AxisState(msgspec.Struct, frozen=True, kw_only=True):
    """An axis at `t_ns`, and its motion from then on, as ordered at `ordered_ns`.

    It moves at `speed`, or to `target`, where it is at `arrival_ns` at the latest.

    For a while after an order `spread` may reach past the ends of the range: an axis that leaves an
    end stop late is behind all the way, as if it had come from beyond it.

    `unconfirmed_speeds` are the bounds of its speed as long as it is unknown whether the order was
    received; `speed` is then the one before.
    """

    t_ns: int
    spread: PositionInterval
    ordered_ns: int | None = None
    speed: float = 0.0
    unconfirmed_speeds: tuple[float, float] | None = None
    target: PositionInterval | None = None
    arrival_ns: int = 0

    @property
    def speed_bounds(self) -> tuple[float, float]:
        """The lowest and the highest speed that it may have."""
        return (
            (self.speed, self.speed) if self.unconfirmed_speeds is None else self.unconfirmed_speeds
        )


def full_range(limits: AxisLimits) -> PositionInterval:
    """Return the interval of the whole range."""
    if limits.span is None:
        return PositionInterval(low=-math.inf, high=math.inf, likely=0.0)
    span = limits.span
    return PositionInterval(low=span.low, high=span.high, likely=span.middle)


def exact_position(position: float) -> PositionInterval:
    """Return the interval of one position."""
    return PositionInterval(low=position, high=position, likely=position)


def is_known(limits: AxisLimits, interval: PositionInterval) -> bool:
    """Return whether an interval is less than all of the range, or than a full turn."""
    width = interval.high - interval.low
    return width < (FULL_TURN_DEG if limits.span is None else limits.span.high - limits.span.low)


def advance_to(limits: AxisLimits, state: AxisState, t_ns: int) -> AxisState:
    """Return the axis at a later `t_ns`; an earlier time changes nothing."""
    if t_ns <= state.t_ns:
        return state
    if state.target is not None:
        if t_ns >= state.arrival_ns:
            return AxisState(t_ns=t_ns, ordered_ns=state.ordered_ns, spread=state.target)
        return _interpolate_travel(limits, state, state.target, t_ns)
    elapsed_s = (t_ns - state.t_ns) / NS_PER_S
    min_speed, max_speed = state.speed_bounds
    interval = PositionInterval(
        low=state.spread.low + (min_speed - abs(min_speed) * limits.speed_error) * elapsed_s,
        high=state.spread.high + (max_speed + abs(max_speed) * limits.speed_error) * elapsed_s,
        likely=state.spread.likely + state.speed * elapsed_s,
    )
    if limits.span is not None:
        # It gets no further than the end stop that it moves towards. From the other one it may
        # start late, until lag and ramp are over.
        is_settled = _time_since_order_s(state, t_ns) >= 2 * limits.lag_s
        low = limits.span.low if is_settled or max_speed < 0 else -math.inf
        high = limits.span.high if is_settled or min_speed > 0 else math.inf
        interval = _clamp_interval(interval, low, high)
    return msgspec.structs.replace(state, t_ns=t_ns, spread=interval)


def order_speed(limits: AxisLimits, state: AxisState, speed: float, t_ns: int) -> AxisState:
    """Return the axis after an order at `t_ns` to move at a speed, 0 for a stop.

    Until the lag is over it may still move as before, which matters less the nearer the two speeds
    are.
    """
    current = advance_to(limits, state, t_ns)
    lag_offsets = [
        (one - speed) * limits.lag_s * (1 + limits.speed_error) for one in current.speed_bounds
    ]
    interval = msgspec.structs.replace(
        current.spread,
        low=current.spread.low + min(0.0, *lag_offsets),
        high=current.spread.high + max(0.0, *lag_offsets),
    )
    return AxisState(t_ns=current.t_ns, ordered_ns=current.t_ns, spread=interval, speed=speed)


def order_unconfirmed_speed(
    limits: AxisLimits, state: AxisState, speed: float, t_ns: int
) -> AxisState:
    """Return the axis after an order of a speed that was perhaps not received."""
    current = advance_to(limits, state, t_ns)
    min_speed, max_speed = current.speed_bounds
    return AxisState(
        t_ns=current.t_ns,
        ordered_ns=current.t_ns,
        spread=current.spread,
        speed=current.speed,
        unconfirmed_speeds=(min(min_speed, speed), max(max_speed, speed)),
    )


def order_goto(
    limits: AxisLimits, state: AxisState, target: PositionInterval, speed: float, t_ns: int
) -> AxisState:
    """Return the axis after an order to go to a target, at this speed less its error at least."""
    current = order_speed(limits, state, 0.0, t_ns)
    start = current.spread
    if limits.span is None:
        # A head without end stops takes the shorter way.
        max_distance = HALF_TURN_DEG + min(target.max_error, HALF_TURN_DEG)
        turns = FULL_TURN_DEG * round((start.likely - target.likely) / FULL_TURN_DEG)
        target = PositionInterval(
            low=target.low + turns, high=target.high + turns, likely=target.likely + turns
        )
    else:
        start = _clamp_interval(start, limits.span.low, limits.span.high)
        max_distance = max(target.high - start.low, start.high - target.low)
    # Twice the lag: one to start, and one for the ramps at both ends.
    duration_s = max_distance / (speed * (1 - limits.speed_error)) + 2 * limits.lag_s
    return AxisState(
        t_ns=current.t_ns,
        ordered_ns=current.t_ns,
        spread=start,
        target=target,
        arrival_ns=current.t_ns + math.ceil(duration_s * NS_PER_S),
    )


def order_unconfirmed_goto(
    limits: AxisLimits, state: AxisState, target: PositionInterval, t_ns: int
) -> AxisState:
    """Return the axis after an order to go to a target that was perhaps not received."""
    current = order_unconfirmed_speed(limits, state, 0.0, t_ns)
    return msgspec.structs.replace(current, spread=_hull(limits, current.spread, target))


def position_interval(limits: AxisLimits, state: AxisState, t_ns: int) -> PositionInterval:
    """Return the interval at `t_ns`, within the range."""
    interval = advance_to(limits, state, t_ns).spread
    if limits.span is None:
        return interval
    return _clamp_interval(interval, limits.span.low, limits.span.high)


def is_moving(limits: AxisLimits, state: AxisState, t_ns: int) -> bool:
    """Return whether the axis has an order and is not known to have arrived, or to be at its end."""
    current = advance_to(limits, state, t_ns)
    if current.target is not None or current.unconfirmed_speeds is not None:
        return True
    if current.speed == 0:
        return _time_since_order_s(current, t_ns) < limits.lag_s
    if limits.span is None:
        return True
    return (
        current.spread.low < limits.span.high
        if current.speed > 0
        else current.spread.high > limits.span.low
    )


def _time_since_order_s(state: AxisState, t_ns: int) -> float:
    return math.inf if state.ordered_ns is None else (t_ns - state.ordered_ns) / NS_PER_S


def _interpolate_travel(
    limits: AxisLimits, state: AxisState, target: PositionInterval, t_ns: int
) -> AxisState:
    """Return the axis between its start and its target."""
    start = state.spread
    fraction = (t_ns - state.t_ns) / (state.arrival_ns - state.t_ns)
    interval = msgspec.structs.replace(
        _hull(limits, start, target),
        likely=start.likely + fraction * (target.likely - start.likely),
    )
    return msgspec.structs.replace(state, t_ns=t_ns, spread=interval)


def _hull(
    limits: AxisLimits, start: PositionInterval, target: PositionInterval
) -> PositionInterval:
    """Return the interval between the two, most likely at the start.

    An endless axis may take either way round: its position is unknown until it arrives.
    """
    return PositionInterval(
        low=min(start.low, target.low) if limits.span else -math.inf,
        high=max(start.high, target.high) if limits.span else math.inf,
        likely=start.likely,
    )


def _clamp_interval(interval: PositionInterval, low: float, high: float) -> PositionInterval:
    inner_low, inner_high = (min(max(one, low), high) for one in (interval.low, interval.high))
    likely = min(max(interval.likely, inner_low), inner_high)
    return PositionInterval(low=inner_low, high=inner_high, likely=likely)
