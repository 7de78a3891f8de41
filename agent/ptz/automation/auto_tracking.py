"""Following one road user whom an operator has chosen: from his box in the picture to the head's
motion. Pure.

The box is turned into a direction in the street with the pose that the head had when the picture
was taken, so neither the picture's age nor the head's own motion upsets the control. From the
directions follows a speed; the head goes as fast as the target, and faster or slower by a share of
how far it is off (proportional control, with a dead zone that has no edge).

The tracker of the pictures may lose its number while everything in the picture moves. So whoever
has the same label and stands where the target must be by now is the target.
"""

import bisect
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from agent.base.model import BoundingBox, FrameResult, Label, Track
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import FieldOfView, TrackingConfig
from agent.ptz.motion.field_of_view import Direction, between_deg, direction_of, width_deg
from agent.ptz.requests import ContinuousMove, HeadState, Wish
from drivers.angles import nearest_deg, wrap_deg
from drivers.contracts import Pose, PtzAbilities
from drivers.media import Corner

ASKER = Requester(id="tracking", role="tracking")

GAIN_PER_S = 1.6
"""Of the angle that it is off, so much a second."""
DEAD_SHARE = 0.04
"""Of the picture's width: so far off the target may stand."""
SLOW_DEG_S = 1.5
"""So much of a target's speed may be the detector's noise, and is left out."""
LOST_S = 0.8
"""Not seen for so long it is lost; until then the head goes on as it went."""
DRIVE_S = 0.8
"""How long a motion lasts if no other one follows."""
SAME_SHARE = 0.15
"""Of the picture's width: a road user so near to where the target must be is the target."""
_REMEMBERED = 128
_FOLLOW_PLACE, _FOLLOW_SPEED = 0.5, 0.12
"""How much of what a sight says is believed at once (an alpha-beta filter)."""
_HEIGHTS = (0.15, 0.4)
"""A target that fills less of the picture's height is zoomed in on, one that fills more is not."""
_ZOOM_IN, _ZOOM_OUT = 0.3, -0.6
_CALM_SHARE, _CALM_DEG_S = 0.12, 6.0
_RESTLESS_SHARE = 0.3

Ended = Literal["released", "lost", "too long", "refused"]


class _Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was last seen, and how fast it goes; pan counts on from turn to turn."""

    track: int
    label: Label
    seen_ns: int
    pan_deg: float
    tilt_deg: float
    pan_deg_s: float = 0.0
    tilt_deg_s: float = 0.0
    height: float = 0.0

    def at(self, t_ns: int) -> Direction:
        """Where it must be by now; not further ahead than it is trusted to go on."""
        since_s = min(max(0.0, (t_ns - self.seen_ns) / 1e9), LOST_S)
        return Direction(
            pan_deg=wrap_deg(self.pan_deg + self.pan_deg_s * since_s),
            tilt_deg=self.tilt_deg + self.tilt_deg_s * since_s,
        )


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """Where the head was; pan counts on from turn to turn."""

    t_ns: int
    pan_deg: float
    tilt_deg: float
    zoom: float


class AutoTracker:
    """Moves a head so that one road user stays in its picture. `look`, `follow` and `release` may
    come from any thread, the rest from the head's.
    """

    def __init__(
        self,
        config: TrackingConfig,
        fov: FieldOfView,
        abilities: Callable[[], PtzAbilities | None],
    ) -> None:
        self._config = config
        self._fov = fov
        self._abilities = abilities
        self._sight: FrameResult | None = None
        self._asked: int | None = None
        self._released = False
        self.begun_by: Requester | None = None
        """Who asked for it last."""
        self._target: _Target | None = None
        self._chosen: int | None = None
        self._since_ns: int | None = None
        self._looked_ns = 0
        self._told: deque[_Told] = deque(maxlen=_REMEMBERED)
        self._stopped = False
        self.ended: Ended | None = None
        """Why the last one was not followed any longer."""

    @property
    def asker(self) -> Requester:
        """Tracking, stronger than a tour."""
        return ASKER

    @property
    def tour(self) -> None:
        """It is no tour."""
        return

    @property
    def following(self) -> int | None:
        """The track that is followed, by the number that it has now; None for nobody."""
        if self._asked is not None:
            return self._asked
        return self._target.track if self._target else self._chosen

    def look(self, sight: FrameResult) -> None:
        """What the camera's pictures show; the newest stands."""
        self._sight = sight

    def follow(self, track: int, asker: Requester) -> None:
        """Follow a track from now on, for who asks. Raises Refused where it is not in the newest
        picture.
        """
        sight = self._sight
        there = () if sight is None else tuple(one.id for one in sight.tracks)
        if track not in there:
            raise CommandRejected("unknown", f"no track {track} is in the picture now")
        self.begun_by = asker
        self._released = False
        self._asked = track

    def release(self) -> None:
        """Follow nobody."""
        self._asked = None
        self._released = True

    def step(self, t_ns: int, state: HeadState) -> Wish | None:
        """What it wants of the head now, None where it follows nobody or only waits."""
        self._remember(state)
        self._take_orders(t_ns)
        if self._chosen is None or self._since_ns is None or state.position is None:
            return None
        self._see(state.position.pose)
        seen_ns = self._target.seen_ns if self._target else self._since_ns
        unseen_s = (t_ns - seen_ns) / 1e9
        if (t_ns - self._since_ns) / 1e9 > self._config.longest_s:
            return self._end("too long")
        if unseen_s > LOST_S + self._config.hold_s:
            return self._end("lost")
        if self._target is None or unseen_s > LOST_S:
            return self._stop()
        abilities = self._abilities()
        if abilities is None:
            return None
        return self._drive(t_ns, self._target, state.position.pose, abilities)

    def refused(self, t_ns: int, wish: Wish, refusal: CommandRejected) -> None:
        """A sector in the way is waited out, and it waits its turn; for any other reason it gives
        up.
        """
        if refusal.kind not in ("forbidden", "busy", "expired"):
            self._end("refused")

    def _take_orders(self, t_ns: int) -> None:
        if self._released:
            self._released = False
            if self._chosen is not None:
                self._end("released")
        asked, self._asked = self._asked, None
        if asked is not None:
            self._chosen, self._target, self._since_ns = asked, None, t_ns
            self._looked_ns, self._stopped, self.ended = 0, False, None

    def _end(self, why: Ended) -> Wish | None:
        self._chosen = self._target = self._since_ns = None
        self.ended = why
        return self._stop()

    def _stop(self) -> Wish | None:
        """Stand still; said once."""
        if self._stopped:
            return None
        self._stopped = True
        return ContinuousMove(for_s=DRIVE_S)

    def _remember(self, state: HeadState) -> None:
        position = state.position
        if position is None or (self._told and position.t_ns <= self._told[-1].t_ns):
            return
        pan_deg = position.pose.pan_deg
        if self._told:
            pan_deg = nearest_deg(pan_deg, self._told[-1].pan_deg)
        self._told.append(
            _Told(
                t_ns=position.t_ns,
                pan_deg=pan_deg,
                tilt_deg=position.pose.tilt_deg,
                zoom=position.pose.zoom,
            )
        )

    def _pose_at(self, t_ns: int, now: Pose) -> Pose:
        """Where the head was at a time, between what it has told before and after."""
        times = [told.t_ns for told in self._told]
        index = bisect.bisect_left(times, t_ns)
        if not times or index == len(times):
            return now
        after, before = self._told[index], self._told[max(0, index - 1)]
        span_ns = after.t_ns - before.t_ns
        share = min(1.0, max(0.0, (t_ns - before.t_ns) / span_ns)) if span_ns else 1.0

        def between(one: float, other: float) -> float:
            return one + share * (other - one)

        return Pose(
            pan_deg=wrap_deg(between(before.pan_deg, after.pan_deg)),
            tilt_deg=between(before.tilt_deg, after.tilt_deg),
            zoom=between(before.zoom, after.zoom),
        )

    def _see(self, now: Pose) -> None:
        sight = self._sight
        if sight is None or sight.t_ns <= self._looked_ns:
            return
        self._looked_ns = sight.t_ns
        pose = self._pose_at(sight.t_ns, now)
        found = self._found(sight, pose)
        if found is not None:
            where = direction_of(self._fov, pose, _middle(found.box))
            self._target = self._updated(found, where, sight.t_ns)

    def _found(self, sight: FrameResult, pose: Pose) -> Track | None:
        """The target in a sight: by its number, or by where it must be."""
        fresh = [track for track in sight.tracks if track.seen_ns == sight.t_ns]
        number = self._target.track if self._target else self._chosen
        by_number = next((track for track in fresh if track.id == number), None)
        target = self._target
        if by_number is not None or target is None:
            return by_number
        expected = target.at(sight.t_ns)
        gate_deg = SAME_SHARE * width_deg(self._fov, pose.zoom)

        def apart_deg(track: Track) -> float:
            return between_deg(direction_of(self._fov, pose, _middle(track.box)), expected)

        alike = [track for track in fresh if track.label == target.label]
        nearest = min(alike, key=apart_deg, default=None)
        return nearest if nearest is not None and apart_deg(nearest) <= gate_deg else None

    def _updated(self, track: Track, where: Direction, t_ns: int) -> _Target:
        before = self._target
        since_s = 0.0 if before is None else (t_ns - before.seen_ns) / 1e9
        if before is None or not 0 < since_s <= LOST_S:
            return _Target(
                track=track.id,
                label=track.label,
                seen_ns=t_ns,
                pan_deg=where.pan_deg,
                tilt_deg=where.tilt_deg,
                height=track.box.h,
            )
        expected = before.at(t_ns)
        off_pan_deg = wrap_deg(where.pan_deg - expected.pan_deg)
        off_tilt_deg = where.tilt_deg - expected.tilt_deg
        return _Target(
            track=track.id,
            label=before.label,
            seen_ns=t_ns,
            pan_deg=expected.pan_deg + _FOLLOW_PLACE * off_pan_deg,
            tilt_deg=expected.tilt_deg + _FOLLOW_PLACE * off_tilt_deg,
            pan_deg_s=before.pan_deg_s + _FOLLOW_SPEED * off_pan_deg / since_s,
            tilt_deg_s=before.tilt_deg_s + _FOLLOW_SPEED * off_tilt_deg / since_s,
            height=track.box.h,
        )

    def _drive(self, t_ns: int, target: _Target, pose: Pose, abilities: PtzAbilities) -> Wish:
        self._stopped = False
        there = target.at(t_ns)
        wide_deg = width_deg(self._fov, pose.zoom)
        off_pan_deg = wrap_deg(there.pan_deg - pose.pan_deg)
        off_tilt_deg = there.tilt_deg - pose.tilt_deg
        dead_deg = DEAD_SHARE * wide_deg
        pan = _speed(off_pan_deg, target.pan_deg_s, dead_deg) / abilities.pan_max_deg_s
        tilt = _speed(off_tilt_deg, target.tilt_deg_s, dead_deg) / abilities.tilt_max_deg_s
        zoom = 0.0
        if abilities.zoom_ratio > 1:
            zoom = self._zoom(target, pose, max(abs(off_pan_deg), abs(off_tilt_deg)) / wide_deg)
        return ContinuousMove(pan=_share(pan), tilt=_share(tilt), zoom=zoom, for_s=DRIVE_S)

    def _zoom(self, target: _Target, pose: Pose, off: float) -> float:
        """Nearer to who is small and calm, back from who is large or about to leave the picture."""
        smallest, largest = _HEIGHTS
        if pose.zoom > self._config.zoom_max or target.height > largest or off > _RESTLESS_SHARE:
            return _ZOOM_OUT if pose.zoom > 0 else 0.0
        calm = off < _CALM_SHARE and abs(target.pan_deg_s) < _CALM_DEG_S
        room = self._config.zoom_max - pose.zoom
        return _ZOOM_IN * min(1.0, room * 10) if calm and target.height < smallest else 0.0


def _middle(box: BoundingBox) -> Corner:
    return Corner(x=box.x + box.w / 2, y=box.y + box.h / 2)


def _speed(off_deg: float, target_deg_s: float, dead_deg: float) -> float:
    """As fast as the target, and so much more as it is off, both beyond their dead zones."""
    return GAIN_PER_S * _beyond(off_deg, dead_deg) + _beyond(target_deg_s, SLOW_DEG_S)


def _beyond(value: float, dead: float) -> float:
    return value - min(dead, max(-dead, value))


def _share(value: float) -> float:
    return min(1.0, max(-1.0, value))
