"""Multi-camera tracking: road users of several cameras on one pole, joined by their paths on the ground, and flows between them.

Each camera's detect thread reports its road users (`CameraTracks.step`). A path that begins is compared, after a second,
with those of the other cameras: the pairs of least cost are joined, each path with one. The number that joined road
users share is in no message: only counts of flows leave.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from agent.base.model import Label
from agent.base.view_condition import FLOW_LIMITS, FlowLimit, ViewLimit
from agent.config.multi_camera import CameraFlow, FlowEnd, MultiCameraConfig
from agent.detection.flow_counter import Passage, Trip
from agent.detection.ground_marks import GeoPosition, local_metres
from agent.detection.ground_path import MAX_GAP_NS, GroundPath, make_sample, match_cost
from agent.detection.ground_plane import GroundPlane
from agent.detection.rules.road_users import TrackMemory
from agent.detection.scene import Scene
from drivers.media import NS_PER_S

DECIDE_NS = NS_PER_S
"""Age of a path at which it is joined or not: its velocity is known, and its track was not an error of the detector."""
LOST_AFTER_NS = 3 * NS_PER_S
"""A camera whose last frame is older is not waited for. Keyframes of a still street are up to 2.5 s apart."""
MAX_PATHS = 256
"""Of all cameras together: a path that begins beyond it is not joined."""
MAX_PASSAGES = 64
"""Kept of a path that is not joined or counted alone yet: all lines and zones of a scene within a second."""


class _JoinedUser:
    """One road user, seen by one camera or more."""

    __slots__ = ("members", "number", "trip")

    def __init__(self, number: int) -> None:
        self.number = number
        self.trip: Trip[FlowEnd] = Trip()
        self.members: dict[str, _CameraUser] = {}
        """The newest one of each camera."""


class _CameraUser:
    """A road user of one camera, by its track memory, as long as a path may continue it."""

    __slots__ = ("camera", "joined", "passages", "path", "present_ns")

    def __init__(self, camera: str, t_ns: int) -> None:
        self.camera = camera
        self.present_ns = t_ns
        self.path: GroundPath | None = None
        self.joined: _JoinedUser | None = None
        self.passages: deque[Passage] = deque(maxlen=MAX_PASSAGES)


class CameraTracks:
    """One camera of a MultiCameraTracker, under one scene. Called on the camera's detect thread."""

    def __init__(self, tracker: "MultiCameraTracker", camera: str, scene: Scene) -> None:
        plane = scene.ground_plane
        self.origin = None if plane is None else plane.origin
        self.areas = frozenset(
            {line.name for line in scene.line} | {zone.name for zone in scene.zone}
        )
        self.camera = camera
        self.flows = tracker.flows_to(camera)
        self._tracker = tracker
        self.last_ns: int | None = None
        self.limits: tuple[ViewLimit, ...] = ()
        self.plane: GroundPlane | None = None
        self.users: dict[int, _CameraUser] = {}
        self.counts: dict[str, Counter[Label]] = {}

    def step(
        self,
        t_ns: int,
        road_users: TrackMemory,
        passages: Iterable[Passage],
        plane: GroundPlane | None,
        limits: tuple[ViewLimit, ...],
    ) -> Mapping[str, Counter[Label]]:
        """Take the road users of a frame, and return what the flows to this camera have counted since the last one.

        `plane` is the ground in force, and `limits` are those of the view.
        """
        return self._tracker.step(self, t_ns, road_users, passages, plane, limits)

    def flow_limits(self, t_ns: int) -> dict[str, tuple[FlowLimit, ...]]:
        """Return why each flow to this camera is not to be trusted now, by its name."""
        return self._tracker.flow_limits(self, t_ns)

    def number_of(self, user_id: int) -> int | None:
        """Return the number that a road user shares with those it is joined with, or None before that is decided."""
        user = self.users.get(user_id)
        return None if user is None or user.joined is None else user.joined.number


class MultiCameraTracker:
    """Joins the road users of the cameras of one pole. Thread-safe."""

    def __init__(self, config: MultiCameraConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._cameras: dict[str, CameraTracks] = {}
        self._users: list[_CameraUser] = []
        self._origin: GeoPosition | None = None
        self._numbers = count(1)
        self._flows: dict[FlowEnd, list[CameraFlow]] = {}
        for flow in config.flow:
            for end in (flow.origin, flow.destination):
                self._flows.setdefault(end, []).append(flow)

    def enter(self, camera: str, scene: Scene) -> CameraTracks | None:
        """Begin to join the tracks of a camera under a scene, or return None for a camera that is not joined.

        Those under the scene before are forgotten.
        """
        if camera not in self._config.cameras:
            return None
        tracks = CameraTracks(self, camera, scene)
        with self._lock:
            self._cameras[camera] = tracks
            self._users = [user for user in self._users if user.camera != camera]
        return tracks

    def flows_to(self, camera: str) -> tuple[CameraFlow, ...]:
        """Return the flows that are counted with a camera."""
        return tuple(flow for flow in self._config.flow if flow.destination.camera == camera)

    def step(
        self,
        tracks: CameraTracks,
        t_ns: int,
        road_users: TrackMemory,
        passages: Iterable[Passage],
        plane: GroundPlane | None,
        limits: tuple[ViewLimit, ...],
    ) -> Mapping[str, Counter[Label]]:
        """See `CameraTracks.step`."""
        with self._lock:
            tracks.last_ns, tracks.limits, tracks.plane = t_ns, limits, plane
            self._observe(tracks, t_ns, road_users)
            for passage in passages:
                self._pass(tracks, passage)
            self._decide()
            counts, tracks.counts = tracks.counts, {}
        return counts

    def flow_limits(self, tracks: CameraTracks, t_ns: int) -> dict[str, tuple[FlowLimit, ...]]:
        """See `CameraTracks.flow_limits`."""
        with self._lock:
            return {flow.name: self._limits_of(flow, tracks, t_ns) for flow in tracks.flows}

    def _limits_of(
        self, flow: CameraFlow, tracks: CameraTracks, t_ns: int
    ) -> tuple[FlowLimit, ...]:
        other = self._cameras.get(flow.origin.camera)
        found: set[FlowLimit] = set(tracks.limits)
        if other is None or other.last_ns is None or t_ns - other.last_ns > LOST_AFTER_NS:
            found.add("camera_lost")
        else:
            found |= set(other.limits)
            ends = ((tracks, flow.destination), (other, flow.origin))
            if any(one.origin is None or end.name not in one.areas for one, end in ends):
                found.add("scene_mismatch")
            elif any(one.plane is None for one, _ in ends):
                found.add("moved")
        return tuple(limit for limit in FLOW_LIMITS if limit in found)

    def _observe(self, tracks: CameraTracks, t_ns: int, road_users: TrackMemory) -> None:
        for forgotten in road_users.forgotten:
            tracks.users.pop(forgotten.id, None)
        offset_m = self._offset_m(tracks)
        for user in road_users:
            known = tracks.users.get(user.id)
            if known is None:
                if len(self._users) >= MAX_PATHS:
                    continue
                known = tracks.users[user.id] = _CameraUser(tracks.camera, t_ns)
                self._users.append(known)
            if user.is_present:
                known.present_ns = t_ns
            path = known.path
            is_due = user.is_visible and (path is None or path.is_due(t_ns))
            motion = user.ground_motion() if is_due and offset_m is not None else None
            if motion is None or offset_m is None:
                continue
            sample = make_sample(t_ns, motion, offset_m)
            if path is None:
                known.path = GroundPath(user.label, sample)
            else:
                path.label = user.label
                path.samples.append(sample)

    def _offset_m(self, tracks: CameraTracks) -> tuple[float, float] | None:
        """Return the origin of a camera's ground on the common one, or None while it has no ground in force."""
        origin = None if tracks.plane is None else tracks.plane.origin
        if origin is None:
            return None
        self._origin = self._origin or origin
        return local_metres(self._origin, origin)

    def _pass(self, tracks: CameraTracks, passage: Passage) -> None:
        user = tracks.users.get(passage.user_id)
        if user is None or FlowEnd(camera=user.camera, name=passage.name) not in self._flows:
            return
        if user.joined is None:
            user.passages.append(passage)
        else:
            self._count(user.camera, user.joined, passage)

    def _count(self, camera: str, joined: _JoinedUser, passage: Passage) -> None:
        end, label = FlowEnd(camera=camera, name=passage.name), passage.track.label
        joined.trip.note(end, passage.t_ns)
        for flow in self._flows[end]:
            to = self._cameras.get(flow.destination.camera)
            if (
                to is not None
                and label in flow.labels
                and joined.trip.completes(flow.name, flow.origin, flow.destination)
            ):
                to.counts.setdefault(flow.name, Counter())[label] += 1

    def _decide(self) -> None:
        """Join the paths that are old enough, and forget those that no path can continue any more."""
        times = [one.last_ns for one in self._cameras.values() if one.last_ns is not None]
        newest_ns = max(times)
        now_ns = min(t_ns for t_ns in times if newest_ns - t_ns <= LOST_AFTER_NS)
        undecided = [user for user in self._users if user.path is not None and user.joined is None]
        ready = [user for user in undecided if _begin_ns(user) + DECIDE_NS <= now_ns]
        if ready:
            parents = _assign(undecided, self._users)
            for user in sorted(ready, key=_begin_ns):
                self._join(user, parents.get(user))
        remembered = {user for one in self._cameras.values() for user in one.users.values()}
        self._users = [
            user
            for user in self._users
            if user in remembered
            or (user.path is not None and now_ns - user.path.end_ns <= MAX_GAP_NS + DECIDE_NS)
        ]

    def _join(self, user: _CameraUser, parent: _CameraUser | None) -> None:
        """Give a path the number of the one that it continues, or a new one."""
        joined = None if parent is None else parent.joined
        if joined is None:
            joined = _JoinedUser(next(self._numbers))
        user.joined = joined
        joined.members[user.camera] = user
        for passage in sorted(user.passages, key=lambda one: one.t_ns):
            self._count(user.camera, joined, passage)
        user.passages.clear()


def _begin_ns(user: _CameraUser) -> int:
    return 0 if user.path is None else user.path.begin_ns


def _assign(
    undecided: Sequence[_CameraUser], users: Sequence[_CameraUser]
) -> dict[_CameraUser, _CameraUser]:
    """Return the road user that each path continues: the pair of least cost first, and one path of a camera for each.

    Paths that are not old enough yet take part, so that none of them loses its own to one that fits worse.
    """
    pairs = []
    for index, user in enumerate(undecided):
        for at, other in enumerate(users):
            if other.camera == user.camera or other.path is None or user.path is None:
                continue
            is_earlier = (other.path.begin_ns, other.camera) < (user.path.begin_ns, user.camera)
            if not is_earlier or not _is_free(other, user):
                continue
            cost = match_cost(other.path, user.path)
            if cost is not None:
                pairs.append((cost, index, at))
    parents: dict[_CameraUser, _CameraUser] = {}
    taken: set[tuple[_JoinedUser | _CameraUser, str]] = set()
    for _, index, at in sorted(pairs):
        user, other = undecided[index], users[at]
        key = (other.joined or other, user.camera)
        if user not in parents and key not in taken:
            parents[user] = other
            taken.add(key)
    return parents


def _is_free(other: _CameraUser, user: _CameraUser) -> bool:
    """Whether the camera of `user` has no track of the road user that `other` is, at the time of it."""
    member = None if other.joined is None else other.joined.members.get(user.camera)
    return member is None or member.present_ns < _begin_ns(user)
