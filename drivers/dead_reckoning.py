"""Where a head is that cannot be asked: from what it was told, and when. Pure.

Each axis keeps the span in which it must be, and the likeliest place in it. A motion shifts the span,
and widens it by what is not known of the speed and of when the motor starts and stops. A span
never reaches past the ends of the range: a head that runs into its stop is found again there,
however far it was lost. So it is at a preset whose place is known, once it has had the time to
arrive.

Between a word and its answer, and for good where none comes, nobody knows whether it was heard: the span
grows by what the head would do in either case, until a word is answered again.
"""

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from drivers.angles import HALF_TURN_DEG, nearest_deg, wrap_deg
from drivers.contracts import Pose, PtzPosition, Range

NS_PER_S = 1_000_000_000
TURN_DEG = 2 * HALF_TURN_DEG
REPEATS_WITHIN_DEG = 0.5
"""How well a head finds a stop or a preset again; makers promise 0.1 to 0.5 degrees."""


class AxisLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an axis. `span` is None where it turns without end. `speed_error` is the
    share by which its speed may differ from what it was told, `lag_s` the longest time from a
    frame to its motion, half of the ramp included.
    """

    span: Range | None
    speed_error: float
    lag_s: float


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Between `low` and `high`, most likely at `likely`. Of an endless axis it is counted on from
    turn to turn, and infinite where nobody knows.
    """

    low: float
    high: float
    likely: float

    @property
    def error(self) -> float:
        """The furthest that the truth may be from `likely`."""
        return max(self.high - self.likely, self.likely - self.low)


class AxisTrack(msgspec.Struct, frozen=True, kw_only=True):
    """An axis at `t_ns`, and what it does from there on, as it was told at `told_ns`: it moves at
    `speed`, or it is on its way to `target`, where it is at `arrives_ns` at the latest.

    For a while after it was told, `spread` may reach past the ends of the range: what is late at a
    stop will be behind all the way, as if it had come from beyond it.

    `doubt` is between which speeds it moves, where nobody knows whether it heard what it was told;
    `speed` is then what it did before.
    """

    t_ns: int
    spread: Spread
    told_ns: int | None = None
    speed: float = 0.0
    doubt: tuple[float, float] | None = None
    target: Spread | None = None
    arrives_ns: int = 0

    @property
    def speeds(self) -> tuple[float, float]:
        """Between which it moves."""
        return (self.speed, self.speed) if self.doubt is None else self.doubt


def nowhere(limits: AxisLimits) -> Spread:
    """Anywhere in the range."""
    if limits.span is None:
        return Spread(low=-math.inf, high=math.inf, likely=0.0)
    span = limits.span
    return Spread(low=span.low, high=span.high, likely=(span.low + span.high) / 2)


def exactly(place: float) -> Spread:
    """At a place."""
    return Spread(low=place, high=place, likely=place)


def is_known(limits: AxisLimits, spread: Spread) -> bool:
    """Whether anything is known: less than all of the range, or than a whole turn."""
    width = spread.high - spread.low
    return width < (TURN_DEG if limits.span is None else limits.span.high - limits.span.low)


def advance(limits: AxisLimits, track: AxisTrack, t_ns: int) -> AxisTrack:
    """The same axis later, at `t_ns`; an earlier time changes nothing."""
    if t_ns <= track.t_ns:
        return track
    if track.target is not None:
        if t_ns >= track.arrives_ns:
            return AxisTrack(t_ns=t_ns, told_ns=track.told_ns, spread=track.target)
        return _under_way(limits, track, track.target, t_ns)
    lasted_s = (t_ns - track.t_ns) / NS_PER_S
    least, most = track.speeds
    spread = Spread(
        low=track.spread.low + (least - abs(least) * limits.speed_error) * lasted_s,
        high=track.spread.high + (most + abs(most) * limits.speed_error) * lasted_s,
        likely=track.spread.likely + track.speed * lasted_s,
    )
    if limits.span is not None:
        # It gets no further than the stop that it moves towards. From the other one it may be late,
        # until latency and ramp are over.
        settled = _told_for_s(track, t_ns) >= 2 * limits.lag_s
        low = limits.span.low if settled or most < 0 else -math.inf
        high = limits.span.high if settled or least > 0 else math.inf
        spread = _within(spread, low, high)
    return msgspec.structs.replace(track, t_ns=t_ns, spread=spread)


def drive(limits: AxisLimits, track: AxisTrack, speed: float, t_ns: int) -> AxisTrack:
    """Told at `t_ns` to move at a speed, 0 for a stop.

    Until the lag is over it may still do what it did before, which matters the less the nearer the
    two speeds are.
    """
    now = advance(limits, track, t_ns)
    late = [(one - speed) * limits.lag_s * (1 + limits.speed_error) for one in now.speeds]
    spread = msgspec.structs.replace(
        now.spread, low=now.spread.low + min(0.0, *late), high=now.spread.high + max(0.0, *late)
    )
    return AxisTrack(t_ns=now.t_ns, told_ns=now.t_ns, spread=spread, speed=speed)


def doubt(limits: AxisLimits, track: AxisTrack, speed: float, t_ns: int) -> AxisTrack:
    """Told at `t_ns` to move at a speed, and nobody knows whether it heard, or when."""
    now = advance(limits, track, t_ns)
    least, most = now.speeds
    return AxisTrack(
        t_ns=now.t_ns,
        told_ns=now.t_ns,
        spread=now.spread,
        speed=now.speed,
        doubt=(min(least, speed), max(most, speed)),
    )


def travel(
    limits: AxisLimits, track: AxisTrack, target: Spread, speed: float, t_ns: int
) -> AxisTrack:
    """Told at `t_ns` to go to a target, at a speed of which it reaches its share at least."""
    now = drive(limits, track, 0.0, t_ns)
    start = now.spread
    if limits.span is None:
        # A head without stops takes the shorter way.
        far = TURN_DEG / 2 + min(target.error, TURN_DEG / 2)
        turns = TURN_DEG * round((start.likely - target.likely) / TURN_DEG)
        target = Spread(
            low=target.low + turns, high=target.high + turns, likely=target.likely + turns
        )
    else:
        start = _within(start, limits.span.low, limits.span.high)
        far = max(target.high - start.low, start.high - target.low)
    # Twice the lag: one to start, and one for the ramps at both ends.
    lasts_s = far / (speed * (1 - limits.speed_error)) + 2 * limits.lag_s
    return AxisTrack(
        t_ns=now.t_ns,
        told_ns=now.t_ns,
        spread=start,
        target=target,
        arrives_ns=now.t_ns + math.ceil(lasts_s * NS_PER_S),
    )


def doubt_travel(limits: AxisLimits, track: AxisTrack, target: Spread, t_ns: int) -> AxisTrack:
    """Told at `t_ns` to go to a target, and nobody knows whether it heard, or when."""
    now = doubt(limits, track, 0.0, t_ns)
    return msgspec.structs.replace(now, spread=_from_to(limits, now.spread, target))


def seen(limits: AxisLimits, track: AxisTrack, t_ns: int) -> Spread:
    """Where it must be at `t_ns`, within its range."""
    spread = advance(limits, track, t_ns).spread
    if limits.span is None:
        return spread
    return _within(spread, limits.span.low, limits.span.high)


def is_moving(limits: AxisLimits, track: AxisTrack, t_ns: int) -> bool:
    """Whether it has been told to move and is not known to have arrived at `t_ns`, at a target or at
    a stop.
    """
    now = advance(limits, track, t_ns)
    if now.target is not None or now.doubt is not None:
        return True
    if now.speed == 0:
        return _told_for_s(now, t_ns) < limits.lag_s
    if limits.span is None:
        return True
    return now.spread.low < limits.span.high if now.speed > 0 else now.spread.high > limits.span.low


def _told_for_s(track: AxisTrack, t_ns: int) -> float:
    return math.inf if track.told_ns is None else (t_ns - track.told_ns) / NS_PER_S


def _under_way(limits: AxisLimits, track: AxisTrack, target: Spread, t_ns: int) -> AxisTrack:
    """Somewhere between where it was and its target."""
    start = track.spread
    share = (t_ns - track.t_ns) / (track.arrives_ns - track.t_ns)
    spread = msgspec.structs.replace(
        _from_to(limits, start, target),
        likely=start.likely + share * (target.likely - start.likely),
    )
    return msgspec.structs.replace(track, t_ns=t_ns, spread=spread)


def _from_to(limits: AxisLimits, start: Spread, target: Spread) -> Spread:
    """Anywhere between the two, most likely at the start. Of an endless axis, which may go round
    either way, nothing is known until it arrives.
    """
    return Spread(
        low=min(start.low, target.low) if limits.span else -math.inf,
        high=max(start.high, target.high) if limits.span else math.inf,
        likely=start.likely,
    )


def _within(spread: Spread, low: float, high: float) -> Spread:
    inner_low, inner_high = (min(max(one, low), high) for one in (spread.low, spread.high))
    likely = min(max(spread.likely, inner_low), inner_high)
    return Spread(low=inner_low, high=inner_high, likely=likely)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Where all three axes are."""

    pan: Spread
    tilt: Spread
    zoom: Spread


Speeds: TypeAlias = tuple[float, float, float]
"""Of pan and tilt in degrees a second, of zoom in ranges a second."""
Outcome = Literal["heard", "refused", "lost"]
"""Of what a head was told: it does it, it cannot and goes on as before, or no answer came."""


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What is being said to a head: to move at these speeds, or to go to the preset `number` with
    these at least. `before` and `during` are its axes before it was said, and until it is answered.
    """

    speeds: Speeds
    number: int | None
    before: tuple[AxisTrack, ...]
    during: tuple[AxisTrack, ...]


class HeadReckoning:
    """Pan, tilt and zoom of one head, and its presets. Time comes in with each call.

    Of a head that cannot answer it is told what went out: `moved`, `recalled`. To one that answers it
    is a `Word`: `say` it before it goes out, and then what it `became`.

    `references` are presets whose places were measured. A preset that was stored while it was
    known where the head rests is known too; all others are places that nobody knows.
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
        self._tracks = tuple(AxisTrack(t_ns=t_ns, spread=nowhere(one)) for one in self._limits)
        self._presets = {number: _at(pose, pan.span) for number, pose in references.items()}
        self._unanswered = 0

    def say(self, speeds: Speeds, t_ns: int, number: int | None = None) -> Word:
        """It is about to be told to move, or to go to the place of a number."""
        before = self._tracks
        if number is None:
            self._tracks = tuple(
                doubt(limits, track, speed, t_ns)
                for limits, track, speed in zip(self._limits, before, speeds, strict=True)
            )
        else:
            self._tracks = tuple(
                doubt_travel(limits, track, target, t_ns)
                for limits, track, target in zip(
                    self._limits, before, self._targets(number), strict=True
                )
            )
        self._unanswered += 1
        return Word(speeds=speeds, number=number, before=before, during=self._tracks)

    def became(self, outcome: Outcome, word: Word, t_ns: int) -> None:
        """What became of a word; each is said so of once. Of two that were on their way at a time
        nobody knows which was heard last.
        """
        self._unanswered -= 1
        if self._unanswered > 0 or self._tracks is not word.during or outcome == "lost":
            return
        if outcome == "refused":
            self._tracks = word.before
        elif word.number is None:
            self.moved(word.speeds, t_ns)
        else:
            self.recalled(word.number, word.speeds, t_ns)

    def moved(self, speeds: Speeds, t_ns: int) -> None:
        """Told to move."""
        self._tracks = tuple(
            drive(limits, track, speed, t_ns)
            for limits, track, speed in zip(self._limits, self._tracks, speeds, strict=True)
        )

    def stored(self, number: int, t_ns: int) -> None:
        """Told to remember where it is under a number."""
        pan, tilt, zoom = self._now(t_ns)
        tracks = map(advance, self._limits, self._tracks, (t_ns, t_ns, t_ns))
        if any(track.speed or track.target or track.doubt for track in tracks):
            self.forgotten(number)
        else:
            self._presets[number] = Known(pan=pan, tilt=tilt, zoom=zoom)

    def forgotten(self, number: int) -> None:
        """Nobody knows what it remembers under a number."""
        self._presets.pop(number, None)

    def recalled(self, number: int, speeds: Speeds, t_ns: int) -> None:
        """Told to go to the place of a number, with these speeds at least."""
        self._tracks = tuple(
            travel(limits, track, target, speed, t_ns)
            for limits, track, target, speed in zip(
                self._limits, self._tracks, self._targets(number), speeds, strict=True
            )
        )

    def is_moving(self, t_ns: int) -> bool:
        """Whether an axis is."""
        return any(
            is_moving(limits, track, t_ns)
            for limits, track in zip(self._limits, self._tracks, strict=True)
        )

    def position(self, t_ns: int) -> PtzPosition:
        """Where it most likely is, and how far it may be from there."""
        spreads = self._now(t_ns)
        known = all(map(is_known, self._limits[:2], spreads[:2]))
        error_deg = max(spread.error for spread in spreads[:2]) + REPEATS_WITHIN_DEG
        pan, tilt, zoom = (spread.likely for spread in spreads)
        return PtzPosition(
            pose=Pose(pan_deg=wrap_deg(pan), tilt_deg=tilt, zoom=zoom),
            error_deg=min(error_deg, HALF_TURN_DEG) if known else HALF_TURN_DEG,
            moving=self.is_moving(t_ns),
            t_ns=t_ns,
        )

    def _targets(self, number: int) -> tuple[Spread, ...]:
        place = self._presets.get(number)
        if place is None:
            return tuple(map(nowhere, self._limits))
        return place.pan, place.tilt, place.zoom

    def _now(self, t_ns: int) -> tuple[Spread, Spread, Spread]:
        pan, tilt, zoom = map(seen, self._limits, self._tracks, (t_ns, t_ns, t_ns))
        return pan, tilt, zoom


def _at(pose: Pose, pan: Range | None) -> Known:
    """Exactly there; the pan in the turn in which its range is."""
    middle = (pan.low + pan.high) / 2 if pan else 0.0
    return Known(
        pan=exactly(nearest_deg(pose.pan_deg, middle)),
        tilt=exactly(pose.tilt_deg),
        zoom=exactly(pose.zoom),
    )
