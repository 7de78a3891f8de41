"""Who is there: tracks, carried over the moments in which they cannot be seen.

A tracker gives up a track that stays hidden, and gives a new id to what comes out behind a bus.
For the rules it is the same road user: what stood still is expected where it stood.
"""

from collections import deque
from collections.abc import Iterator

import msgspec

from agent.base.model import FrameResult, Label, Track
from agent.detection.geometry import Point, centre, distance, likeness, size

NS_PER_S = 1_000_000_000

REST_RADIUS = 0.5
"""Of its own size: who stays this near to one place stands. The boxes of parked cars were measured
to wander by a third of their size when somebody passes before them.
"""
REST_SCALE = 1.5
"""Who has become so much larger or smaller comes or goes along the line of sight."""
REST_SPOTS = 10
"""The place of rest is the mean of the first so many positions."""
REST_LOST_NS = NS_PER_S
"""Who is away from its place of rest for so long has left it; one bad box has not."""
STANDS_AFTER_NS = 3 * NS_PER_S
TRAIL_NS = 2 * NS_PER_S
FULL_TRAIL_NS = NS_PER_S
"""A pace is known from a trail of at least this length."""
GAP_NS = 350_000_000
"""Who was not seen for longer may be another one since."""
REMEMBER_STANDING_NS = 10 * NS_PER_S
REMEMBER_MOVING_NS = 3 * NS_PER_S // 2
SAME_PLACE = 0.3
"""Boxes that are this much alike are in the same place."""
LONGEST_LOOK_BACK_NS = NS_PER_S


class TimedPosition(msgspec.Struct, frozen=True):
    """Where the centre of a road user was when it was seen."""

    t_ns: int
    at: Point


class RoadUser:
    """One road user, for as long as it is remembered. The rules read it and never write to it.

    `track` is the newest; `present` says whether the tracker still has it, `seen` whether this very
    sight saw it, and `seen_ns` when one did last. `before` and `now` are its last two spots; `before` is None where there is one alone.
    """

    def __init__(self, user_id: int, track: Track, aspect: float) -> None:
        self.id = user_id
        self.track = track
        self.seen = False
        self.present = False
        self.seen_ns = track.seen_ns
        self.before: TimedPosition | None = None
        self.now = TimedPosition(track.seen_ns, centre(track.box))
        self._aspect = aspect
        self._trail: deque[TimedPosition] = deque()
        self._rest = self.now
        self._rest_spots = 1
        self._rest_size = self.size
        self._away_since_ns: int | None = None
        self.unbroken_since_ns = self.now.t_ns
        """Since when it has been seen again and again, without a gap."""

    @property
    def label(self) -> Label:
        """What it is."""
        return self.track.label

    @property
    def size(self) -> float:
        """Of its box, in picture heights."""
        return size(self.track.box, self._aspect)

    @property
    def remembered_until_ns(self) -> int:
        """When it is forgotten, if nothing sees it again."""
        stands = self.seen_ns - self._rest.t_ns >= STANDS_AFTER_NS
        return self.seen_ns + (REMEMBER_STANDING_NS if stands else REMEMBER_MOVING_NS)

    def stands_since_ns(self, t_ns: int) -> int | None:
        """Since when it has been standing, or None where it moves."""
        return self._rest.t_ns if t_ns - self._rest.t_ns >= STANDS_AFTER_NS else None

    @property
    def is_lost(self) -> bool:
        """Whether it was last seen away from where it stands; that may be one bad box."""
        return self._away_since_ns is not None

    def heading(self, since_ns: int = 0) -> tuple[TimedPosition, TimedPosition] | None:
        """Where it came from and where it is, over the last one or two seconds; what lies before
        `since_ns` is left out.
        """
        came = next((spot for spot in self._trail if spot.t_ns >= since_ns), self.now)
        return (came, self.now) if self.now.t_ns - came.t_ns >= FULL_TRAIL_NS else None

    def speed(self) -> float | None:
        """How fast it goes, in its own sizes a second; None where that is not known yet."""
        way = self.heading()
        if way is None:
            return None
        came, here = way
        moved = distance(came.at, here.at, self._aspect)
        return moved / max(self.size, 1e-6) / ((here.t_ns - came.t_ns) / NS_PER_S)

    def show(self, track: Track, t_ns: int) -> None:
        """Take the track as it is in a new sight."""
        self.track = track
        self.present = True
        self.seen = track.seen_ns == t_ns
        if not self.seen:
            return
        self.seen_ns = t_ns
        self._move_to(TimedPosition(t_ns, centre(track.box)))

    def look_back(self, track: Track, t_ns: int) -> None:
        """Begin where its speed says that it was when it was first seen: a tracker shows a track
        only after a few frames, and a line may lie between.
        """
        back_s = min(t_ns - track.begin_ns, LONGEST_LOOK_BACK_NS) / NS_PER_S
        here = centre(track.box)
        there = Point(here.x - track.vx * back_s, here.y - track.vy * back_s)
        self.now = self._rest = TimedPosition(t_ns - round(back_s * NS_PER_S), there)

    def _move_to(self, spot: TimedPosition) -> None:
        self.before, self.now = (self.now if spot.t_ns > self.now.t_ns else None), spot
        if self.before is None or spot.t_ns - self.before.t_ns > GAP_NS:
            self.unbroken_since_ns = spot.t_ns
        self._trail.append(spot)
        while len(self._trail) > 1 and spot.t_ns - self._trail[1].t_ns >= TRAIL_NS:
            self._trail.popleft()
        rest = self._rest
        scale = self.size / max(self._rest_size, 1e-6)
        if (
            distance(rest.at, spot.at, self._aspect) > REST_RADIUS * self._rest_size
            or not 1 / REST_SCALE <= scale <= REST_SCALE
        ):
            if self._away_since_ns is None:
                self._away_since_ns = spot.t_ns
            elif spot.t_ns - self._away_since_ns >= REST_LOST_NS:
                self._rest, self._rest_spots, self._away_since_ns = spot, 1, None
                self._rest_size = self.size
            return
        self._away_since_ns = None
        if self._rest_spots < REST_SPOTS:
            self._rest_spots += 1
            share = 1 / self._rest_spots
            mean = Point(
                rest.at.x + (spot.at.x - rest.at.x) * share,
                rest.at.y + (spot.at.y - rest.at.y) * share,
            )
            self._rest = TimedPosition(rest.t_ns, mean)


class TrackMemory:
    """Everybody who is there, or is expected back. Its ids are its own, never used again."""

    def __init__(self) -> None:
        self._by_track: dict[int, RoadUser] = {}
        self._lost: list[RoadUser] = []
        self._everybody: tuple[RoadUser, ...] = ()
        self._next_id = 1
        self.aspect = 1.0
        """The picture's width over its height, from the last sight."""
        self.gone: tuple[RoadUser, ...] = ()
        """Who was forgotten at the last step."""

    def __iter__(self) -> Iterator[RoadUser]:
        """Everybody, in the order in which they came."""
        return iter(self._everybody)

    def step(self, sight: FrameResult) -> None:
        """Take a new sight."""
        height, width = sight.gate.shape
        self.aspect = width / height
        present = {track.id for track in sight.tracks}
        for track_id in [known for known in self._by_track if known not in present]:
            user = self._by_track.pop(track_id)
            user.seen = user.present = False
            self._lost.append(user)
        for track in sight.tracks:
            user = self._by_track.get(track.id) or self._newcomer(track, sight.t_ns)
            user.show(track, sight.t_ns)
        self.gone = tuple(u for u in self._lost if u.remembered_until_ns < sight.t_ns)
        self._lost = [u for u in self._lost if u.remembered_until_ns >= sight.t_ns]
        everybody = [*self._by_track.values(), *self._lost]
        self._everybody = tuple(sorted(everybody, key=lambda user: user.id))

    def _newcomer(self, track: Track, t_ns: int) -> RoadUser:
        """Somebody who was lost and is back, or somebody new."""
        user = self._returning(track)
        if user is not None:
            self._lost.remove(user)
        else:
            user = RoadUser(self._next_id, track, self.aspect)
            user.look_back(track, t_ns)
            self._next_id += 1
        self._by_track[track.id] = user
        return user

    def _returning(self, track: Track) -> RoadUser | None:
        """Who of the lost this is: by the tracker's word, or by the place."""
        best, best_likeness = None, SAME_PLACE
        for user in self._lost:
            if user.track.id == track.id:
                return user
            like = likeness(user.track.box, track.box)
            if like >= best_likeness and (user.label == "person") == (track.label == "person"):
                best, best_likeness = user, like
        return best
