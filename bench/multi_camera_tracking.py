"""Multi-camera tracking on composed truth: the share of road users that two cameras on one pole join rightly.

Road users drive and walk along the avenue of `simulation.surround`, past the pole: cars of 4 to 22 m/s, some of which brake or
speed up on their way, and people on the pavement. Two views see the street to either side of the pole, with a gap between them, next to each
other, or with an overlap. Their true boxes get the faults of a detector and tracker that `bench.turning_flows` puts into
true tracks, and the engine of each camera gets them as a box does, ground calibration and flows included. Run:
`make accuracy ARGS="--rules multi_camera"`.
"""

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from agent.base.model import BoundingBox, FrameResult
from agent.config.multi_camera import CameraFlow, FlowEnd, MultiCameraConfig
from agent.detection.flow_counter import iter_passages
from agent.detection.ground_marks import GeoPosition, GroundMarks, MarkedPoint, local_metres
from agent.detection.multi_camera_tracker import MultiCameraTracker
from agent.detection.rules.line_crossing import LineCrossingDetector
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.scene import Scene, SceneLine, validate_scene
from bench.report_rows import ReportRow, at_least, share_row
from bench.turning_flows import DAMAGES, FPS, STEP_FRAMES, Damage, Reported, TrueUser, damaged
from drivers.media import NS_PER_S, Plane, Point
from simulation.street.world import LANE_M, RoadUser, new_car, new_person
from simulation.surround.avenue import END_M, LEFT_PAVEMENT_X_M
from simulation.surround.panned_view import PannedView, truth_boxes, visible_road_users

SEEDS = 2
DURATION_S = 70
CARS, PEOPLE = 22, 8
WALK_M = 45.0
NEAR_M, MIN_APART_M = 35.0, 9.0
WIDTH_PX, HEIGHT_PX, TILT_DEG, FOV_DEG = 1280, 720, -22.0, 100.0
PAN_DEG = {"gap": 62.0, "next to each other": 50.0, "overlap": 38.0}
"""Of both views to either side of the direction across the street, by how much they see in common."""
SIDES = {"south": -1, "north": 1}
ORIGIN = GeoPosition(33.59, -7.62)
GATE_M = 16.0
"""Along the street from the pole to the line of each view."""
CALIBRATION_M = tuple(itertools.product((-7.0, 0.0, 4.0), (10.0, 16.0, 28.0, 40.0)))


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """One road user and its way: it passes the pole at `pass_s`, `change_m_s2` faster every second within 3 s of that."""

    user: RoadUser
    x_m: float
    heading: int
    speed_m_s: float
    change_m_s2: float
    pass_s: float

    def at(self, t_s: float) -> RoadUser | None:
        """Return the road user at a time, or None if it is not on the avenue."""
        since_s = t_s - self.pass_s
        change_s = max(-3.0, min(3.0, since_s))
        speed_m_s = self.speed_m_s + self.change_m_s2 * change_s
        way_m = self.speed_m_s * change_s + self.change_m_s2 * change_s**2 / 2
        way_m += speed_m_s * (since_s - change_s)
        limit_m = END_M if self.user.label == "car" else WALK_M
        if abs(way_m) > limit_m:
            return None
        return msgspec.structs.replace(self.user, x_m=self.x_m, z_m=self.heading * way_m)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Road users that pass the line of both cameras, `expected` of which are not mixed up with another by one camera alone.

    Of these `right` have one number in both cameras that no other has, and `wrong` have that of another. `counted` is what
    the flows have counted of those that pass.
    """

    passing: int = 0
    expected: int = 0
    right: int = 0
    wrong: int = 0
    counted: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            passing=self.passing + other.passing,
            expected=self.expected + other.expected,
            right=self.right + other.right,
            wrong=self.wrong + other.wrong,
            counted=self.counted + other.counted,
        )


def rows(seeds: Iterable[int] = range(SEEDS)) -> list[ReportRow]:
    """Return the rows of each arrangement of the views, with true tracks and with all faults."""
    seeds = tuple(seeds)
    found: list[ReportRow] = []
    for name, pan_deg in PAN_DEG.items():
        streets = [(seed, show(make_walks(random.Random(seed)), pan_deg)) for seed in seeds]
        for damage in (DAMAGES[0], DAMAGES[1], DAMAGES[-1]):
            outcome = sum((score(street, damage, seed) for seed, street in streets), Outcome())
            found.append(
                share_row(
                    "multi-camera tracking",
                    f"road users joined rightly, views with {name}, {damage.name}",
                    outcome.right,
                    outcome.expected,
                    at_least(0.95),
                    cause=f"{outcome.wrong} with the number of another; flows counted {outcome.counted} of {outcome.passing}",
                )
            )
    return found


def make_walks(rng: random.Random) -> list[Walk]:
    """Return road users of several speeds. Cars of a lane do not drive through each other, as far as the views show them."""
    walks: list[Walk] = []
    while len(walks) < CARS:
        heading = rng.choice((-1, 1))
        x_m = heading * LANE_M
        walk = Walk(
            user=new_car(rng, len(walks) + 1, x_m, 0.0, heading, "driving"),
            x_m=x_m,
            heading=heading,
            speed_m_s=rng.uniform(4, 22),
            change_m_s2=rng.choice((0.0, 0.0, -1.0, 1.0)),
            pass_s=rng.uniform(6, DURATION_S - 6),
        )
        if walk.speed_m_s + 3 * walk.change_m_s2 > 1 and all(_is_apart(walk, one) for one in walks):
            walks.append(walk)
    for index in range(PEOPLE):
        heading = rng.choice((-1, 1))
        x_m = rng.uniform(*LEFT_PAVEMENT_X_M)
        walks.append(
            Walk(
                user=new_person(rng, 100 + index, (x_m, 0.0), heading, "walking", 0.0),
                x_m=x_m,
                heading=heading,
                speed_m_s=rng.uniform(0.9, 1.8),
                change_m_s2=0.0,
                pass_s=rng.uniform(20, DURATION_S - 20),
            )
        )
    return walks


def _is_apart(walk: Walk, other: Walk) -> bool:
    """Whether two cars keep a distance while one of them is near the pole."""
    if walk.heading != other.heading:
        return True
    for tenth in range(DURATION_S * 10):
        first, second = walk.at(tenth / 10), other.at(tenth / 10)
        if first is None or second is None or min(abs(first.z_m), abs(second.z_m)) > NEAR_M:
            continue
        if abs(first.z_m - second.z_m) < MIN_APART_M:
            return False
    return True


def make_view(pan_deg: float, side: int) -> PannedView:
    """Return the view of one side: across the street, turned by `pan_deg` along it."""
    return PannedView(
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
        pan_deg=-90 + side * pan_deg,
        tilt_deg=TILT_DEG,
        fov_deg=FOV_DEG,
    )


def make_scene(view: PannedView, side: int) -> Scene:
    """Return a calibrated scene with a line across the street; marks are off by a pixel or so, as people place them."""
    rng = random.Random(f"marks {side}")
    marks = []
    for x_m, along_m in CALIBRATION_M:
        at = _point(view, x_m, side * along_m)
        if at is not None:
            jittered = Point(at.x + rng.gauss(0, 1) / WIDTH_PX, at.y + rng.gauss(0, 1) / HEIGHT_PX)
            marks.append(MarkedPoint(at=jittered, position=to_position(x_m, side * along_m)))
    start, to = _point(view, -14.0, side * GATE_M), _point(view, 5.5, side * GATE_M)
    if start is None or to is None:
        raise ValueError(f"side {side}: the line is not in the view")
    scene = Scene(
        line=(SceneLine(name="gate", start=start, to=to),),
        ground=GroundMarks(point=tuple(marks), aspect=WIDTH_PX / HEIGHT_PX),
    )
    validate_scene(scene, f"side {side}")
    return scene


def to_position(x_m: float, z_m: float) -> GeoPosition:
    """Return the position of a place on the avenue, whose z axis is north."""
    step = 1e-3
    east_m, _ = local_metres(ORIGIN, GeoPosition(ORIGIN.latitude, ORIGIN.longitude + step))
    _, north_m = local_metres(ORIGIN, GeoPosition(ORIGIN.latitude + step, ORIGIN.longitude))
    return GeoPosition(
        ORIGIN.latitude + step * z_m / north_m, ORIGIN.longitude + step * x_m / east_m
    )


def _point(view: PannedView, x_m: float, z_m: float) -> Point | None:
    if view.depth_m(x_m, 0.0, z_m) < 1:
        return None
    x_px, y_px = view.pixel(x_m, 0.0, z_m)
    point = Point(x_px / view.width_px, y_px / view.height_px)
    return point if 0 < point.x < 1 and 0 < point.y < 1 else None


def true_users(walks: Sequence[Walk], view: PannedView) -> list[TrueUser]:
    """Return the boxes of the road users in a view, by the number of their frame."""
    boxes: dict[int, dict[int, BoundingBox]] = {walk.user.id: {} for walk in walks}
    for frame in range(0, DURATION_S * FPS, STEP_FRAMES):
        there = [user for walk in walks if (user := walk.at(frame / FPS)) is not None]
        for box in truth_boxes(visible_road_users(there, view), view):
            if box.hidden < 0.7 and box.h * HEIGHT_PX >= 12:
                boxes[box.id][frame] = BoundingBox(box.x, box.y, box.w, box.h)
    return [
        TrueUser(walk.user.id, walk.user.label, boxes[walk.user.id])
        for walk in walks
        if boxes[walk.user.id]
    ]


def config() -> MultiCameraConfig:
    """Return the flows past the pole, both ways."""
    south, north = (FlowEnd(camera=name, name="gate") for name in ("south", "north"))
    return MultiCameraConfig(
        cameras=("south", "north"),
        flow=(
            CameraFlow(name="northwards", origin=south, destination=north),
            CameraFlow(name="southwards", origin=north, destination=south),
        ),
    )


class _Camera:
    """One camera of the pole: the true road users and the number of each one of its track memory, by its id."""

    def __init__(self, name: str, scene: Scene, tracker: MultiCameraTracker) -> None:
        tracks = tracker.enter(name, scene)
        if tracks is None:
            raise ValueError(f"{name}: not in the configuration")
        self.owners: dict[int, set[int]] = {}
        self.numbers: dict[int, int] = {}
        self.counted = 0
        self._user_of: dict[int, int] = {}
        self._tracks = tracks
        self._ground = SceneGround(scene)
        self._road_users = TrackMemory(self._ground)
        self._detectors = [LineCrossingDetector(line, self._road_users) for line in scene.line]
        self._gate_luma: Plane = np.zeros((HEIGHT_PX // 4, WIDTH_PX // 4), np.uint8)

    def step(self, seq: int, t_ns: int, reported: Reported) -> None:
        """Take the tracks of a frame."""
        tracks = reported.get(t_ns, ())
        result = FrameResult(
            seq=seq,
            t_ns=t_ns,
            width_px=WIDTH_PX,
            height_px=HEIGHT_PX,
            gate_luma=self._gate_luma,
            moving_ratio=0.0,
            tracks=tuple(one.track for one in tracks),
            inference_count=0,
        )
        self._ground.step()
        self._road_users.step(result)
        for detector in self._detectors:
            detector.step()
        passages = iter_passages(self._detectors, {})
        counts = self._tracks.step(t_ns, self._road_users, passages, self._ground.plane, ())
        self.counted += sum(labels.total() for labels in counts.values())
        self._user_of |= {one.track.id: one.user for one in tracks}
        for known in self._road_users:
            number = self._tracks.number_of(known.id)
            self.owners.setdefault(known.id, set()).add(self._user_of[known.track.id])
            if number is not None:
                self.numbers[known.id] = number


class Street(msgspec.Struct, frozen=True, kw_only=True):
    """Road users, and how each camera sees them, by its name."""

    walks: Sequence[Walk]
    scenes: Mapping[str, Scene]
    users: Mapping[str, Sequence[TrueUser]]


def show(walks: Sequence[Walk], pan_deg: float) -> Street:
    """Return the street in both views."""
    views = {name: make_view(pan_deg, side) for name, side in SIDES.items()}
    return Street(
        walks=walks,
        scenes={name: make_scene(view, SIDES[name]) for name, view in views.items()},
        users={name: true_users(walks, view) for name, view in views.items()},
    )


def score(street: Street, damage: Damage, seed: int) -> Outcome:
    """Return the outcome of tracks with these faults."""
    walks = street.walks
    tracker = MultiCameraTracker(config())
    cameras = [_Camera(name, scene, tracker) for name, scene in street.scenes.items()]
    tracks = [
        damaged(users, damage, random.Random(f"{name} {seed}"))
        for name, users in street.users.items()
    ]
    times = range(0, DURATION_S * NS_PER_S, NS_PER_S * STEP_FRAMES // FPS)
    for seq, t_ns in enumerate(times):
        for camera, reported in zip(cameras, tracks, strict=True):
            camera.step(seq, t_ns, reported)
    owners: dict[int, set[int]] = {}
    numbers: list[dict[int, set[int]]] = [{}, {}]
    mixed: set[int] = set()
    for camera, found in zip(cameras, numbers, strict=True):
        for known, number in camera.numbers.items():
            users = camera.owners[known]
            mixed |= users if len(users) > 1 else set()
            owners.setdefault(number, set()).update(users)
            for user in users:
                found.setdefault(user, set()).add(number)
    passing = {walk.user.id for walk in walks if _passes(walk, tracks)}
    expected = passing - mixed
    wrong = {
        user
        for user in expected
        if any(owners[one] - mixed - {user} for found in numbers for one in found.get(user, ()))
    }
    joined = {
        user for user in expected if numbers[0].get(user, set()) & numbers[1].get(user, set())
    }
    return Outcome(
        passing=len(passing),
        expected=len(expected),
        right=len(joined - wrong),
        wrong=len(wrong),
        counted=sum(camera.counted for camera in cameras),
    )


def _passes(walk: Walk, tracks: Sequence[Reported]) -> bool:
    """Whether both views have seen a road user while it was up to 5 m beyond their lines from the pole."""
    reach_m = GATE_M + 5
    return all(
        any(
            one.user == walk.user.id
            and (at := walk.at(t_ns / NS_PER_S)) is not None
            and abs(at.z_m) > reach_m
            for t_ns, reported in view.items()
            for one in reported
        )
        for view in tracks
    )
