"""How far a head goes on before it can be told otherwise: by what it was told, and by how late it hears
and answers.

Where a head is found is old by the time that it took to answer; what it is told then it does after it
has heard it; and until it can be told anything else it has to be asked again, which takes as long. All
the while it goes on. So what may be told is held against all of this time, and a head that answers
late is stopped further from what it may not see, or moves more slowly.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import msgspec

from agent.ptz.motion.forbidden_sectors import SphereArea
from agent.ptz.motion.position_servo import way_deg
from drivers.contracts import Pose, PtzAbilities, PtzPosition, Velocity

TURN_S = 0.1
"""So often a motion is looked at, whose end depends on where the head is."""
LONGEST_ANSWER_S = 2.0
"""What a head may take that has not answered yet: `drivers.contracts.Ptz`."""
REMEMBERED_S = 60.0
"""The next answer may take as long as the slowest of this time."""
FOR_EVER_S = 86_400.0
ZOOM_PER_S = 0.5
"""No lens is thought to be faster from one end to the other than two seconds."""

Goal: TypeAlias = Velocity | Pose | None
"""What a head was told: to move, to go to a pose, or to go to a place of its own memory. That one is
none of ours to follow: it is told to heads that reckon, and the reckoning's error holds the way.
"""


class CoastingAxis(msgspec.Struct, frozen=True, kw_only=True):
    """An axis may move at this speed until so long after the head was found."""

    speed: float
    until_s: float


class Overshoot(msgspec.Struct, frozen=True, kw_only=True):
    """How a head goes on from where it was found. For `until_s` it does what it is told now, before
    it can be told otherwise and stands; `pan`, `tilt` and `zoom` are what it may still do of what it
    was told before. In degrees a second, and in shares of the lens's range. `late_s` is how long its
    answers take of a turn: to two orders, and to the look between them.
    """

    until_s: float
    late_s: float
    pan: tuple[CoastingAxis, ...] = ()
    tilt: tuple[CoastingAxis, ...] = ()
    zoom: tuple[CoastingAxis, ...] = ()

    def area(self, pose: Pose, velocity: Velocity) -> SphereArea:
        """Where a head may come from a pose, when it is told now to move at this velocity."""
        left, right = self._between(velocity.pan_deg_s, self.pan)
        down, up = self._between(velocity.tilt_deg_s, self.tilt)
        wider, _ = self._between(velocity.zoom * ZOOM_PER_S, self.zoom)
        return SphereArea(
            pan_from_deg=pose.pan_deg - left,
            width_deg=left + right,
            tilt_low_deg=pose.tilt_deg - down,
            tilt_high_deg=pose.tilt_deg + up,
            zoom=min(max(pose.zoom - wider, 0.0), 1.0),
        )

    def _between(self, speed: float, fading: Sequence[CoastingAxis]) -> tuple[float, float]:
        """How far the one way and the other."""
        speeds = [(each.speed, each.until_s) for each in fading]
        speeds.append((speed, self.until_s))
        return _max_travel([(-each, until_s) for each, until_s in speeds]), _max_travel(speeds)


def _max_travel(speeds: Sequence[tuple[float, float]]) -> float:
    """How far at the fastest that there may be at each time."""
    gone, reached_s = 0.0, 0.0
    for speed, until_s in sorted(speeds, reverse=True):
        if speed > 0 and until_s > reached_s:
            gone += speed * (until_s - reached_s)
            reached_s = until_s
    return gone


class _Told:
    """An order. `over_ns` is when a later one was done, None where none was."""

    def __init__(self, goal: Goal) -> None:
        self.goal = goal
        self.returned = False
        self.over_ns: int | None = None


class OvershootModel:
    """What one head was told, and how long it took to hear and to answer. Any thread may call.

    `brake_s` is what it takes from a word until it does what that says.
    """

    def __init__(self, brake_s: float, clock_ns: Callable[[], int]) -> None:
        self._brake_s = brake_s
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._told: list[_Told] = []
        self._looks: deque[tuple[int, float]] = deque()
        self._orders: deque[tuple[int, float]] = deque()

    @contextmanager
    def timed_query(self) -> Iterator[None]:
        """Within this it is asked where it is."""
        began_ns = self._clock_ns()
        try:
            yield
        finally:
            self._note(self._looks, began_ns)

    @contextmanager
    def timed_order(self, goal: Goal) -> Iterator[None]:
        """Within this it is told something. Where that fails, it may have heard it or not."""
        told = _Told(goal)
        began_ns = self._clock_ns()
        with self._lock:
            self._told.append(told)
        try:
            yield
        except BaseException:
            told.returned = True
            raise
        else:
            self._done(told)
        finally:
            self._note(self._orders, began_ns)

    def overshoot(
        self, t_ns: int, found: PtzPosition | None, abilities: PtzAbilities | None
    ) -> Overshoot:
        """How the head goes on that was `found` there, if it is told something at `t_ns`. Of one that
        was not found nobody can tell: for ever.
        """
        if found is None or abilities is None:
            return Overshoot(until_s=FOR_EVER_S, late_s=self._late_s())
        with self._lock:
            order_s = _max_latency(self._orders)
            told = [(each.goal, each.over_ns) for each in self._told]
        pan: list[CoastingAxis] = []
        tilt: list[CoastingAxis] = []
        zoom: list[CoastingAxis] = []
        # Until what is decided now is done, whether it is done at once or late.
        done_ns = t_ns + int(order_s * 1e9)
        for goal, over_ns in told:
            until_s = ((done_ns if over_ns is None else over_ns) - found.t_ns) / 1e9 + self._brake_s
            if until_s <= 0:
                continue
            if isinstance(goal, Velocity):
                pan.append(CoastingAxis(speed=goal.pan_deg_s, until_s=until_s))
                tilt.append(CoastingAxis(speed=goal.tilt_deg_s, until_s=until_s))
                zoom.append(CoastingAxis(speed=goal.zoom * ZOOM_PER_S, until_s=until_s))
            elif goal is not None:
                here = found.pose
                way = way_deg(here.pan_deg, goal.pan_deg, abilities.pan_deg)
                pan.append(_coast_to(way, abilities.pan_max_deg_s, until_s))
                tilt.append(
                    _coast_to(goal.tilt_deg - here.tilt_deg, abilities.tilt_max_deg_s, until_s)
                )
                zoom.append(_coast_to(goal.zoom - here.zoom, ZOOM_PER_S, until_s))
        # This order; the turn until the next look, which may come late by one; that look; the next
        # order.
        late_s, age_s = self._late_s(), (t_ns - found.t_ns) / 1e9
        return Overshoot(
            until_s=age_s + late_s + 2 * TURN_S + self._brake_s,
            late_s=late_s,
            pan=tuple(pan),
            tilt=tuple(tilt),
            zoom=tuple(zoom),
        )

    def _late_s(self) -> float:
        with self._lock:
            return 2 * _max_latency(self._orders) + _max_latency(self._looks)

    def _done(self, told: _Told) -> None:
        now_ns = self._clock_ns()
        with self._lock:
            told.returned = True
            for each in self._told[: self._told.index(told)]:
                # One that is still on its way may be heard after this one.
                if each.returned and each.over_ns is None:
                    each.over_ns = now_ns
            self._told = [each for each in self._told if not _is_older(each.over_ns, now_ns)]

    def _note(self, answers: deque[tuple[int, float]], began_ns: int) -> None:
        now_ns = self._clock_ns()
        with self._lock:
            while answers and _is_older(answers[0][0], now_ns):
                answers.popleft()
            answers.append((now_ns, (now_ns - began_ns) / 1e9))


def _max_latency(answers: Sequence[tuple[int, float]]) -> float:
    return max((took_s for _, took_s in answers), default=LONGEST_ANSWER_S)


def _is_older(t_ns: int | None, now_ns: int) -> bool:
    """Than what is remembered."""
    return t_ns is not None and (now_ns - t_ns) / 1e9 > REMEMBERED_S


def _coast_to(way: float, top_speed: float, until_s: float) -> CoastingAxis:
    """On its way to a place: as fast as it can, and not beyond."""
    speed = top_speed if way >= 0 else -top_speed
    return CoastingAxis(speed=speed, until_s=min(until_s, abs(way) / top_speed))
