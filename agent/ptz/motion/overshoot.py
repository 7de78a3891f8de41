"""Overshoot: how far a head keeps moving before a new order takes effect.

It follows from the orders in force and the measured latency of orders and position queries. A
reported position is as old as the answer was late; an order takes effect after it was received; and
before the next order the head has to be queried again, which takes as long. All the while it moves.
So an order is checked against all of this time, and a head that answers late is stopped further
from its sectors, or moves more slowly.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import msgspec

from agent.ptz.motion.forbidden_sectors import SphereArea
from agent.ptz.motion.position_servo import pan_delta_deg
from drivers.contracts import FRACTION, Pose, PtzCapabilities, PtzPosition, Velocity

POLL_INTERVAL_S = 0.1
"""The interval between steps of a motion whose end depends on the head's position."""
DEFAULT_LATENCY_S = 2.0
"""Assumed of a head that has not answered yet: `drivers.contracts.Ptz`."""
HISTORY_S = 60.0
"""The next answer may take as long as the slowest within this time."""
UNBOUNDED_S = 86_400.0
MAX_ZOOM_PER_S = 0.5
"""No lens is taken to be faster from one end to the other than two seconds."""

Goal: TypeAlias = Velocity | Pose | None
"""What an order asks for: a velocity, a pose, or None for a preset of the head's own memory.

The way to such a preset is unknown, and needs no model: it is sent to heads whose position is
estimated, and the estimate's error contains the way.
"""


class CoastingAxis(msgspec.Struct, frozen=True, kw_only=True):
    """An axis may move at this speed until `until_s` after the position was measured."""

    speed: float
    until_s: float


class Overshoot(msgspec.Struct, frozen=True, kw_only=True):
    """How a head moves on from a measured position.

    It follows an order that is sent now for `horizon_s`, until the next order can stop it. `pan`,
    `tilt` and `zoom` are the motions that earlier orders may still cause, in degrees a second and in
    shares of the lens's range. `latency_s` is what its answers take in one cycle: to two orders, and
    to the query between them.
    """

    horizon_s: float
    latency_s: float
    pan: tuple[CoastingAxis, ...] = ()
    tilt: tuple[CoastingAxis, ...] = ()
    zoom: tuple[CoastingAxis, ...] = ()

    def reachable_area(self, pose: Pose, velocity: Velocity) -> SphereArea:
        """Return the area that the head may reach if it is now sent at this velocity."""
        left, right = self._travel_both_ways(velocity.pan_deg_s, self.pan)
        down, up = self._travel_both_ways(velocity.tilt_deg_s, self.tilt)
        wider, _ = self._travel_both_ways(velocity.zoom * MAX_ZOOM_PER_S, self.zoom)
        return SphereArea(
            pan_from_deg=pose.pan_deg - left,
            width_deg=left + right,
            tilt_low_deg=pose.tilt_deg - down,
            tilt_high_deg=pose.tilt_deg + up,
            zoom=FRACTION.clamp(pose.zoom - wider),
        )

    def _travel_both_ways(
        self, speed: float, coasting: Sequence[CoastingAxis]
    ) -> tuple[float, float]:
        """Return how far the head may travel in the negative and in the positive direction."""
        speeds = [(each.speed, each.until_s) for each in coasting]
        speeds.append((speed, self.horizon_s))
        return _max_travel([(-each, until_s) for each, until_s in speeds]), _max_travel(speeds)


def _max_travel(speeds: Sequence[tuple[float, float]]) -> float:
    """Return the travel at the highest speed that is possible at each time."""
    travel, elapsed_s = 0.0, 0.0
    for speed, until_s in sorted(speeds, reverse=True):
        if speed > 0 and until_s > elapsed_s:
            travel += speed * (until_s - elapsed_s)
            elapsed_s = until_s
    return travel


class _SentOrder:
    """An order. `superseded_ns` is when a later one was completed, None as long as none was."""

    def __init__(self, goal: Goal) -> None:
        self.goal = goal
        self.has_returned = False
        self.superseded_ns: int | None = None


class OvershootModel:
    """The orders in force on one head, and its latencies. Thread-safe.

    `brake_s` is the time from an order until the head moves as it says.
    """

    def __init__(self, brake_s: float, clock_ns: Callable[[], int]) -> None:
        self._brake_s = brake_s
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._sent_orders: list[_SentOrder] = []
        self._query_latencies: deque[tuple[int, float]] = deque()
        self._order_latencies: deque[tuple[int, float]] = deque()

    @contextmanager
    def timed_query(self) -> Iterator[None]:
        """Measure a position query, which is made within this context."""
        began_ns = self._clock_ns()
        try:
            yield
        finally:
            self._record_latency(self._query_latencies, began_ns)

    @contextmanager
    def timed_order(self, goal: Goal) -> Iterator[None]:
        """Measure an order, which is sent within this context. A failed one may be in force."""
        order = _SentOrder(goal)
        began_ns = self._clock_ns()
        with self._lock:
            self._sent_orders.append(order)
        try:
            yield
        except BaseException:
            order.has_returned = True
            raise
        else:
            self._complete(order)
        finally:
            self._record_latency(self._order_latencies, began_ns)

    def overshoot(
        self, t_ns: int, position: PtzPosition | None, capabilities: PtzCapabilities | None
    ) -> Overshoot:
        """Return how the head moves on from `position` if an order is sent at `t_ns`.

        If its position is unknown the overshoot is unbounded.
        """
        if position is None or capabilities is None:
            return Overshoot(horizon_s=UNBOUNDED_S, latency_s=self._latency_s())
        with self._lock:
            order_latency_s = _max_latency(self._order_latencies)
            sent_orders = [(each.goal, each.superseded_ns) for each in self._sent_orders]
        pan: list[CoastingAxis] = []
        tilt: list[CoastingAxis] = []
        zoom: list[CoastingAxis] = []
        # When an order that is decided now is completed, at the latest.
        effective_ns = t_ns + int(order_latency_s * 1e9)
        for goal, superseded_ns in sent_orders:
            until_s = (
                (effective_ns if superseded_ns is None else superseded_ns) - position.t_ns
            ) / 1e9 + self._brake_s
            if until_s <= 0:
                continue
            if isinstance(goal, Velocity):
                pan.append(CoastingAxis(speed=goal.pan_deg_s, until_s=until_s))
                tilt.append(CoastingAxis(speed=goal.tilt_deg_s, until_s=until_s))
                zoom.append(CoastingAxis(speed=goal.zoom * MAX_ZOOM_PER_S, until_s=until_s))
            elif goal is not None:
                pose = position.pose
                pan_travel_deg = pan_delta_deg(pose.pan_deg, goal.pan_deg, capabilities.pan_deg)
                pan.append(_coast_to(pan_travel_deg, capabilities.pan_max_deg_s, until_s))
                tilt.append(
                    _coast_to(goal.tilt_deg - pose.tilt_deg, capabilities.tilt_max_deg_s, until_s)
                )
                zoom.append(_coast_to(goal.zoom - pose.zoom, MAX_ZOOM_PER_S, until_s))
        # This order; the interval until the next query, which may be late by another; that query;
        # the next order.
        latency_s, age_s = self._latency_s(), (t_ns - position.t_ns) / 1e9
        return Overshoot(
            horizon_s=age_s + latency_s + 2 * POLL_INTERVAL_S + self._brake_s,
            latency_s=latency_s,
            pan=tuple(pan),
            tilt=tuple(tilt),
            zoom=tuple(zoom),
        )

    def _latency_s(self) -> float:
        with self._lock:
            return 2 * _max_latency(self._order_latencies) + _max_latency(self._query_latencies)

    def _complete(self, order: _SentOrder) -> None:
        now_ns = self._clock_ns()
        with self._lock:
            order.has_returned = True
            for each in self._sent_orders[: self._sent_orders.index(order)]:
                # An order that is still being sent may be received after this one.
                if each.has_returned and each.superseded_ns is None:
                    each.superseded_ns = now_ns
            self._sent_orders = [
                each for each in self._sent_orders if not _is_expired(each.superseded_ns, now_ns)
            ]

    def _record_latency(self, latencies: deque[tuple[int, float]], began_ns: int) -> None:
        now_ns = self._clock_ns()
        with self._lock:
            while latencies and _is_expired(latencies[0][0], now_ns):
                latencies.popleft()
            latencies.append((now_ns, (now_ns - began_ns) / 1e9))


def _max_latency(latencies: Sequence[tuple[int, float]]) -> float:
    return max((latency_s for _, latency_s in latencies), default=DEFAULT_LATENCY_S)


def _is_expired(t_ns: int | None, now_ns: int) -> bool:
    """Return whether a time is before the history that is kept."""
    return t_ns is not None and (now_ns - t_ns) / 1e9 > HISTORY_S


def _coast_to(travel: float, top_speed: float, until_s: float) -> CoastingAxis:
    """Return the motion to a target: at top speed, and not beyond it."""
    speed = top_speed if travel >= 0 else -top_speed
    return CoastingAxis(speed=speed, until_s=min(until_s, abs(travel) / top_speed))
