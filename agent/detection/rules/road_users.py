"""Road users: tracks with a memory over the time in which they are hidden.

The tracker drops a track that stays hidden, and gives a new id to a road user that appears from
behind a bus. For the rules it is the same road user: a stationary one is expected where it was, another where its
way leads.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from agent.base.model import BoundingBox, FrameResult, GroundMotion, Label, Track
from agent.detection.geometry import (
    bottom_centre,
    box_centre,
    box_size,
    covered_ratio,
    distance,
    iou,
)
from agent.detection.rules.ground_track import GroundTrack, is_foot_visible
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.rules.standing_place import GatePictures, StandingPlace, has_look
from drivers.media import NS_PER_S, Point

VEHICLES: frozenset[Label] = frozenset({"bicycle", "motorcycle", "car", "bus", "truck"})

REST_RADIUS = 0.5
"""Radius by its own size within which a road user is stationary. Boxes of parked cars were measured
to wander by a third of their size when another road user passes in front.
"""
REST_MAX_SCALE = 1.5
"""A larger change of size is a movement along the line of sight."""
REST_MEAN_POSITIONS = 10
"""The rest position is the mean of this many positions."""
REST_LEFT_AFTER_NS = NS_PER_S
"""Time away from the rest position after which it is left, so that one bad box does not count."""
STATIONARY_AFTER_NS = 3 * NS_PER_S
TRAIL_NS = 2 * NS_PER_S
MIN_TRAIL_NS = NS_PER_S
"""Least length of a trail from which a speed is known."""
MAX_GAP_NS = 350_000_000
"""After a longer gap the track may be of another road user."""
PLACE_AFTER_NS = NS_PER_S // 2
"""Time at rest from which a vehicle has a place."""
MIN_DETECTED_NS = NS_PER_S
"""Time for which it has to be detected at its place to stand there: one that only slowed down leaves a place that may look like it."""
PLACE_RADIUS = 0.15
"""Largest distance of a box from its rest position at which it is a place: that of a creeping vehicle lags behind."""
REMEMBER_SHOWN_NS = 60 * NS_PER_S
"""Time for which a vehicle is remembered that is visible at its place and not detected there."""
MIN_REMEMBER_COVERED_NS, REMEMBER_COVERED_NS = 10 * NS_PER_S, 30 * NS_PER_S
"""The same while its place is covered: as long as it had stood, within these bounds."""
TAKEN_MIN_RATIO = 0.5
"""Part of a place that another place covers, from which both are the place of one vehicle."""
OFF_PLACE_AFTER_NS = 300_000_000
"""Time away from its place after which a track is not that of the vehicle which is visibly there."""
HOLD_DISPLACED_NS = 3 * NS_PER_S
"""Time away from its covered place after which a vehicle is taken to be where its track is, until its place shows it."""
PLACE_MAX_SPEED = 0.5
"""Own sizes a second: a faster track at a place passes there."""
STOOD_LATELY_NS = 10 * NS_PER_S
SEARCH_PLACE_NS = 10 * NS_PER_S
"""Time away from its place after which the place is no longer that of the vehicle, whatever it shows."""
PLACE_STEP_NS = 75_000_000
"""Places are compared with the picture no more often: traffic that covers them takes longer."""
REMEMBER_STATIONARY_NS = 10 * NS_PER_S
REMEMBER_MOVING_NS = 5 * NS_PER_S // 2
"""The tracker gives up a hidden track after 1.5 s, and reports a new one some 0.3 s after its first detection."""
SAME_POSITION_MIN_IOU = 0.3
"""Intersection over union from which two boxes are at the same position."""
JOIN_RADIUS, JOIN_RADIUS_PER_S = 0.5, 0.3
"""Largest distance, in its own sizes, from where its way led to the first detection of a new track; it grows with the
hidden time. On true tracks of two crossings and one crowd twice of it joined no more, and wrong ones.
"""
JOIN_MAX_SCALE = 2.0
JOIN_MIN_SPEED = 0.5
"""Own sizes a second from which a direction counts."""
MAX_BACKDATE_NS = NS_PER_S


class TimedPosition(msgspec.Struct, frozen=True):
    """The centre of a road user at the time of a detection."""

    t_ns: int
    point: Point


class RoadUser:
    """One road user, as long as it is remembered. The rules only read it.

    `track` is the newest one. `is_tracked`: the tracker still has it. `is_visible`: the last frame
    saw it. `previous` and `current` are its last two positions; `previous` is None if there is one.
    """

    def __init__(self, user_id: int, track: Track, aspect: float, ground: SceneGround) -> None:
        self.id = user_id
        self.track = track
        self.place: StandingPlace | None = None
        """The place at which it stands, None if it moves or if the picture does not show it well enough."""
        self.is_visible = False
        self.is_tracked = False
        self.last_seen_ns = track.seen_ns
        self.previous: TimedPosition | None = None
        self.current = TimedPosition(track.seen_ns, box_centre(track.box))
        self._aspect = aspect
        self._ground = ground
        self._ground_track = GroundTrack()
        self._foot_seen_ns = 0
        self._reported_ns = track.seen_ns
        self._trail: deque[TimedPosition] = deque()
        self._rest_position = self.current
        self._rest_position_count = 1
        self._rest_size = self.size
        self._off_rest_since_ns: int | None = None
        self._placed_track = track
        self._off_place_since_ns: int | None = None
        self._stood_ns: int | None = None
        self._has_moved = False
        self.continuous_since_ns = self.current.t_ns
        """Time from which it has been seen without a gap."""

    @property
    def label(self) -> Label:
        """The label of its track."""
        return self.track.label

    @property
    def box(self) -> BoundingBox:
        """Its box: that of its place while it is held there, else that of its track."""
        return self.place.box if self.place is not None and self.is_held else self.track.box

    @property
    def size(self) -> float:
        """The size of its box, in picture heights."""
        return box_size(self.box, self._aspect)

    @property
    def is_held(self) -> bool:
        """Whether it stands at its place as far as is known, and its track does not."""
        if self.place is None:
            return False
        if self._off_place_since_ns is None:
            return not self.is_tracked
        return self.last_seen_ns - self._off_place_since_ns < HOLD_DISPLACED_NS

    @property
    def is_shown(self) -> bool:
        """Whether the last frame saw it: at its place while it is held there."""
        if self.place is not None and self.is_held:
            return self.place.state == "shown"
        return self.is_visible

    @property
    def is_present(self) -> bool:
        """Whether the tracker has it, or its place shows it."""
        return self.is_tracked or self.is_shown

    @property
    def is_tracked_there(self) -> bool:
        """Whether the tracker has it where it is, and not elsewhere while it is held at its place."""
        return self.is_tracked and not self.is_held

    @property
    def undetected_since_ns(self) -> int:
        """The time since which it has not been detected: at its place while it is held there."""
        return self._placed_track.seen_ns if self.is_held else self.last_seen_ns

    @property
    def remembered_until_ns(self) -> int:
        """The time at which it is forgotten if it is not seen again."""
        if self.place is not None and self.is_held:
            if self.place.state == "empty":
                return 0
            covered_ns = min(
                max(self._stood_for_ns(self.place), MIN_REMEMBER_COVERED_NS), REMEMBER_COVERED_NS
            )
            return min(
                self._placed_track.seen_ns + REMEMBER_SHOWN_NS,
                max(self.place.shown_ns, self.last_seen_ns) + covered_ns,
            )
        is_stationary = self.last_seen_ns - self._rest_position.t_ns >= STATIONARY_AFTER_NS
        return self.last_seen_ns + (REMEMBER_STATIONARY_NS if is_stationary else REMEMBER_MOVING_NS)

    def stationary_since_ns(self, t_ns: int) -> int | None:
        """Return since when it has been stationary, or None if it moves, or moved when it was last seen."""
        since_ns = self._rest_position.t_ns
        return since_ns if min(t_ns, self.last_seen_ns) - since_ns >= STATIONARY_AFTER_NS else None

    def standing_since_ns(self, t_ns: int) -> int | None:
        """Return since when it has stood at its place, whether its track is there or not, or None if it does not."""
        place = self.place
        if place is None or (self._off_place_since_ns is not None and not self.is_held):
            return self.stationary_since_ns(t_ns)
        has_stood = (
            self._placed_track.seen_ns - place.since_ns >= MIN_DETECTED_NS
            and self._stood_for_ns(place) >= STATIONARY_AFTER_NS
        )
        return place.since_ns if has_stood else None

    def _stood_for_ns(self, place: StandingPlace) -> int:
        """Return how long it has been seen at its place, by its track or by the picture."""
        return max(place.shown_ns, self._placed_track.seen_ns) - place.since_ns

    @property
    def has_stood(self) -> bool:
        """Whether it has been stationary, and was so at most STOOD_LATELY_NS before it was last seen."""
        return self._stood_ns is not None and self.last_seen_ns - self._stood_ns <= STOOD_LATELY_NS

    @property
    def is_displaced(self) -> bool:
        """Whether it was last seen away from where it stood, which may be one bad box, and nothing shows it there."""
        if self.place is not None and self.is_held:
            return self.is_tracked and self.place.state != "shown"
        return self._off_rest_since_ns is not None

    @property
    def is_false_detection(self) -> bool:
        """Whether its place looked as it does now before it came: the detector took a part of the street for a vehicle."""
        return self.place is not None and self.place.is_background

    def recent_path(self, since_ns: int = 0) -> tuple[TimedPosition, TimedPosition] | None:
        """Return its positions one or two seconds ago and now, or None if that is not known.

        Positions before `since_ns` are left out.
        """
        start = next(
            (position for position in self._trail if position.t_ns >= since_ns), self.current
        )
        return (start, self.current) if self.current.t_ns - start.t_ns >= MIN_TRAIL_NS else None

    def speed(self) -> float | None:
        """Return its speed in its own sizes a second, or None if that is not known yet."""
        path = self.recent_path()
        if path is None:
            return None
        start, end = path
        moved = distance(start.point, end.point, self._aspect)
        return moved / max(self.size, 1e-6) / ((end.t_ns - start.t_ns) / NS_PER_S)

    def ground_motion(self) -> GroundMotion | None:
        """Return its place and motion on the ground as it was last seen, or None if that is not known."""
        plane = self._ground.plane
        return None if plane is None else self._ground_track.motion(plane)

    def last_ground_motion(self, since_ns: int) -> GroundMotion | None:
        """Return its motion on the ground when its foot was last seen, or None if that was before `since_ns`."""
        plane = self._ground.plane
        if plane is None or self._foot_seen_ns < since_ns:
            return None
        return self._ground_track.last_motion(plane)

    def update(self, track: Track, t_ns: int) -> None:
        """Take its track from a new frame."""
        self.track = track
        self._reported_ns = t_ns
        self.is_tracked = True
        self.is_visible = track.seen_ns == t_ns
        if not self.is_visible:
            return
        self.last_seen_ns = t_ns
        self._add_position(TimedPosition(t_ns, box_centre(track.box)))
        if self.stationary_since_ns(t_ns) is not None:
            self._stood_ns = t_ns
        self._add_ground_position(t_ns)

    def similarity(self, track: Track, t_ns: int) -> float:
        """Return how well a track with a new id continues this hidden road user at `t_ns`: above 0.3, or 0 if it does not.

        It does where the mean of both velocities leads in the hidden time, and at the place of a stationary one. A
        track that heads the other way does not: it is the road user that passes in front.
        """
        own_vx, own_vy = self.track.vx * self._aspect, self.track.vy
        new_vx, new_vy = track.vx * self._aspect, track.vy
        new_size = box_size(track.box, self._aspect)
        size = max((self.size + new_size) / 2, 1e-6)
        same_position = 0.0
        if self.stationary_since_ns(self.last_seen_ns) is not None:
            own_vx = own_vy = 0.0
            same_position = iou(self.track.box, track.box)
        slower = min(math.hypot(own_vx, own_vy), math.hypot(new_vx, new_vy))
        is_opposite = slower > JOIN_MIN_SPEED * size and own_vx * new_vx + own_vy * new_vy < 0
        scale = self.size / max(new_size, 1e-6)
        if is_opposite or not 1 / JOIN_MAX_SCALE <= scale <= JOIN_MAX_SCALE:
            return same_position
        begin_ns = max(track.begin_ns, self._reported_ns, t_ns - MAX_BACKDATE_NS)
        hidden_s, seen_s = (begin_ns - self._reported_ns) / NS_PER_S, (t_ns - begin_ns) / NS_PER_S
        before, now = box_centre(self.track.box), box_centre(track.box)
        dx = (now.x - before.x) * self._aspect - (own_vx + new_vx) / 2 * hidden_s - new_vx * seen_s
        dy = now.y - before.y - (own_vy + new_vy) / 2 * hidden_s - new_vy * seen_s
        away = math.hypot(dx, dy) / size / (JOIN_RADIUS + JOIN_RADIUS_PER_S * hidden_s)
        return max(same_position, 1 - (1 - SAME_POSITION_MIN_IOU) * away if away <= 1 else 0.0)

    def backdate(self, track: Track, t_ns: int) -> None:
        """Begin at the position that its velocity gives for its first detection.

        The tracker confirms a track only after a few frames, in which it may have crossed a line.
        """
        back_s = min(t_ns - track.begin_ns, MAX_BACKDATE_NS) / NS_PER_S
        current = box_centre(track.box)
        earlier = Point(current.x - track.vx * back_s, current.y - track.vy * back_s)
        self.current = self._rest_position = TimedPosition(t_ns - round(back_s * NS_PER_S), earlier)

    def _add_position(self, position: TimedPosition) -> None:
        self.previous, self.current = (
            (self.current if position.t_ns > self.current.t_ns else None),
            position,
        )
        if self.previous is None or position.t_ns - self.previous.t_ns > MAX_GAP_NS:
            self.continuous_since_ns = position.t_ns
        self._trail.append(position)
        while len(self._trail) > 1 and position.t_ns - self._trail[1].t_ns >= TRAIL_NS:
            self._trail.popleft()
        rest = self._rest_position
        scale = box_size(self.track.box, self._aspect) / max(self._rest_size, 1e-6)
        if (
            distance(rest.point, position.point, self._aspect) > REST_RADIUS * self._rest_size
            or not 1 / REST_MAX_SCALE <= scale <= REST_MAX_SCALE
        ):
            if self._off_rest_since_ns is None:
                self._off_rest_since_ns = position.t_ns
            elif position.t_ns - self._off_rest_since_ns >= REST_LEFT_AFTER_NS:
                self._rest_position, self._rest_position_count, self._off_rest_since_ns = (
                    position,
                    1,
                    None,
                )
                self._rest_size = self.size
                self._has_moved = True
            return
        self._off_rest_since_ns = None
        if self._rest_position_count < REST_MEAN_POSITIONS:
            self._rest_position_count += 1
            weight = 1 / self._rest_position_count
            mean = Point(
                rest.point.x + (position.point.x - rest.point.x) * weight,
                rest.point.y + (position.point.y - rest.point.y) * weight,
            )
            self._rest_position = TimedPosition(rest.t_ns, mean)

    def _is_at_place(self, box: BoundingBox) -> bool:
        """Whether a box is at its place, and as large."""
        if self.place is None:
            return False
        place_size = box_size(self.place.box, self._aspect)
        scale = box_size(box, self._aspect) / max(place_size, 1e-6)
        away = distance(box_centre(self.place.box), box_centre(box), self._aspect)
        return away <= REST_RADIUS * place_size and 1 / REST_MAX_SCALE <= scale <= REST_MAX_SCALE

    def step_place(self, pictures: GatePictures, t_ns: int, others: Sequence["RoadUser"]) -> None:
        """Update its place by the picture of a new frame, after its track."""
        place = self.place
        if place is None or (self._off_place_since_ns is not None and not self.is_held):
            self._find_place(pictures, t_ns, others)
        if place is None or place is not self.place:
            return
        covering = (
            other.track.box
            for other in others
            if other is not self and other.is_visible and (other.place is None or other.is_held)
        )
        place.observe(pictures, t_ns, covering)
        if not self.is_visible:
            return
        if self._is_at_place(self.track.box):
            self._off_place_since_ns, self._placed_track = None, self.track
            place.learn(pictures)
        elif self._off_place_since_ns is None:
            self._off_place_since_ns = t_ns
        elif place.state == "empty" or t_ns - self._off_place_since_ns >= SEARCH_PLACE_NS:
            self.place = self._off_place_since_ns = None

    def _find_place(self, pictures: GatePictures, t_ns: int, others: Sequence["RoadUser"]) -> None:
        rest, box = self._rest_position, self.track.box
        if (
            self.label not in VEHICLES
            or not self.is_visible
            or self._off_rest_since_ns is not None
            or t_ns - rest.t_ns < PLACE_AFTER_NS
        ):
            return
        centre, radius = box_centre(box), PLACE_RADIUS * box_size(box, self._aspect)
        if distance(rest.point, centre, self._aspect) > radius and not self._is_steady(radius):
            return
        is_free = not any(
            other is not self
            and other.place is not None
            and covered_ratio(other.place.box, box) >= TAKEN_MIN_RATIO
            for other in others
        )
        if is_free and has_look(box, pictures):
            self.place = StandingPlace(box, rest.t_ns, pictures, t_ns, has_moved=self._has_moved)
            self._placed_track, self._off_place_since_ns = self.track, None

    def _is_steady(self, radius: float) -> bool:
        """Whether it has been within a radius for the length of a trail: the rest position of one that braked lags behind."""
        first, last = self._trail[0], self._trail[-1]
        return last.t_ns - first.t_ns >= TRAIL_NS and all(
            distance(position.point, last.point, self._aspect) <= radius for position in self._trail
        )

    def has_lost_track(self, t_ns: int) -> bool:
        """Whether its place shows it and its track is elsewhere, and has been for a moment."""
        return (
            self.place is not None
            and self._off_place_since_ns is not None
            and t_ns - self._off_place_since_ns >= OFF_PLACE_AFTER_NS
            and self.place.is_shown_for(OFF_PLACE_AFTER_NS, t_ns)
        )

    def hand_over_track(self, place: StandingPlace, user_id: int) -> "RoadUser":
        """Return a new road user that its track is of, and stay at its place without one."""
        other = RoadUser(user_id, self.track, self._aspect, self._ground)
        other.is_visible, other.is_tracked = self.is_visible, True
        other.last_seen_ns = self.last_seen_ns
        other.previous, other.current = self.previous, self.current
        self.is_visible = self.is_tracked = False
        self.track, self.last_seen_ns = self._placed_track, self._placed_track.seen_ns
        self.previous, self.current = (
            None,
            TimedPosition(self.last_seen_ns, box_centre(place.box)),
        )
        self._rest_position = TimedPosition(place.since_ns, self.current.point)
        self._rest_position_count = REST_MEAN_POSITIONS
        self._rest_size = box_size(place.box, self._aspect)
        self._off_rest_since_ns = self._off_place_since_ns = None
        self._trail.clear()
        self._ground_track.restart()
        return other

    def stands_at(self, track: Track) -> bool:
        """Whether a track without a road user may be it: at its place, where the picture shows it or the track stands."""
        place, box = self.place, track.box
        if place is None or not (
            self._is_at_place(box) or iou(place.box, box) >= SAME_POSITION_MIN_IOU
        ):
            return False
        return place.state == "shown" or is_slow(track, self._aspect)

    def _add_ground_position(self, t_ns: int) -> None:
        """Take the place of its foot. After a gap its motion on the ground begins again."""
        plane, box = self._ground.plane, self.track.box
        if plane is None or self.continuous_since_ns == t_ns:
            self._ground_track.restart()
        if plane is None:
            return
        if not is_foot_visible(box):
            self._ground_track.hide_foot()
            return
        self._foot_seen_ns = t_ns
        self._ground_track.add(t_ns, bottom_centre(box), plane, box.h)


def is_slow(track: Track, aspect: float) -> bool:
    """Whether a track moves no faster than the boxes of a standing vehicle wander."""
    size = max(box_size(track.box, aspect), 1e-6)
    return math.hypot(track.vx * aspect, track.vy) / size < PLACE_MAX_SPEED


class TrackMemory:
    """The road users that are tracked or remembered. Its ids are its own and never used again."""

    def __init__(self, ground: SceneGround) -> None:
        self._ground = ground
        self._by_track_id: dict[int, RoadUser] = {}
        self._lost: list[RoadUser] = []
        self._road_users: tuple[RoadUser, ...] = ()
        self._next_id = 1
        self._places_ns = -PLACE_STEP_NS
        self.aspect = 1.0
        """The picture's width by its height, from the last frame."""
        self._pictures = GatePictures()
        self.forgotten: tuple[RoadUser, ...] = ()
        """The road users that were forgotten at the last step."""
        self.handovers: tuple[tuple[RoadUser, RoadUser], ...] = ()
        """The road users that stay at their places at the last step, each with the one whose their track is from then on."""

    def __iter__(self) -> Iterator[RoadUser]:
        """Iterate in the order of their first appearance."""
        return iter(self._road_users)

    def step(self, result: FrameResult) -> None:
        """Take the result of a new frame."""
        height, width = result.gate_luma.shape
        self.aspect = width / height
        self._pictures.add(result.gate_luma, result.t_ns)
        present = {track.id for track in result.tracks}
        for track_id in [known for known in self._by_track_id if known not in present]:
            user = self._by_track_id.pop(track_id)
            user.is_visible = user.is_tracked = False
            self._lost.append(user)
        for track in result.tracks:
            user = self._by_track_id.get(track.id) or self._find_or_create(track, result.t_ns)
            user.update(track, result.t_ns)
        replaced = self._step_places(result.t_ns)
        lost, self._lost = self._lost, []
        forgotten = [*replaced]
        for user in lost:
            is_remembered = user.remembered_until_ns >= result.t_ns
            (self._lost if is_remembered else forgotten).append(user)
        self.forgotten = tuple(forgotten)
        road_users = [*self._by_track_id.values(), *self._lost]
        self._road_users = tuple(sorted(road_users, key=lambda user: user.id))

    def _step_places(self, t_ns: int) -> list[RoadUser]:
        """Part vehicles that stand from tracks that left them, and return the users that others replaced."""
        self.handovers = ()
        if t_ns - self._places_ns < PLACE_STEP_NS:
            return []
        self._places_ns = t_ns
        tracked = list(self._by_track_id.values())
        users = [*tracked, *self._lost]
        for user in users:
            user.step_place(self._pictures, t_ns, users)
        handovers = []
        for user in tracked:
            stays = user.stands_at(user.track) and is_slow(user.track, self.aspect)
            if user.place is not None and user.has_lost_track(t_ns) and not stays:
                other = user.hand_over_track(user.place, self._new_id())
                self._by_track_id[other.track.id] = other
                self._lost.append(user)
                handovers.append((user, other))
        self.handovers = tuple(handovers)
        replaced = []
        for user in [one for one in self._lost if one.place is not None and one.is_shown]:
            other_user = self._find_standing_at(user)
            if other_user is not None:
                self._lost.remove(user)
                self._by_track_id[other_user.track.id] = user
                user.update(other_user.track, t_ns)
                replaced.append(other_user)
        return replaced

    def _find_standing_at(self, lost: RoadUser) -> RoadUser | None:
        """Find a road user without a place whose track has come to stand at that of one without a track."""
        for user in self._by_track_id.values():
            if (
                user.place is None
                and user.is_visible
                and user.label in VEHICLES
                and lost.stands_at(user.track)
                and is_slow(user.track, self.aspect)
            ):
                return user
        return None

    def _new_id(self) -> int:
        user_id = self._next_id
        self._next_id += 1
        return user_id

    def _find_or_create(self, track: Track, t_ns: int) -> RoadUser:
        """Return a lost road user that is back, or a new one."""
        user = self._find_lost(track, t_ns)
        if user is not None:
            self._lost.remove(user)
        else:
            user = RoadUser(self._new_id(), track, self.aspect, self._ground)
            user.backdate(track, t_ns)
        self._by_track_id[track.id] = user
        return user

    def _find_lost(self, track: Track, t_ns: int) -> RoadUser | None:
        """Find a track among the lost road users, by its id, its position or its way."""
        best, best_similarity = None, SAME_POSITION_MIN_IOU
        for user in reversed(self._lost):
            # After a gap of the pictures the expired ones are still among them.
            if user.remembered_until_ns < t_ns:
                continue
            if user.track.id == track.id:
                return user
            if (user.label == "person") != (track.label == "person"):
                continue
            if user.is_held:
                similarity = 1.0 + iou(user.box, track.box) if user.stands_at(track) else 0.0
            else:
                similarity = user.similarity(track, t_ns)
            if similarity >= best_similarity:
                best, best_similarity = user, similarity
        return best
