"""Multi-camera tracking through the engines of two cameras on one pole: numbers, flows between them, and their trust."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
import pytest

from agent.base.model import BoundingBox, FlowCounts, FrameResult, Label, Track, TrafficCounts
from agent.base.view_condition import ViewCondition
from agent.config.multi_camera import CameraFlow, FlowEnd, MultiCameraConfig
from agent.detection.ground_marks import GroundMarks, MarkedPoint
from agent.detection.multi_camera_tracker import MAX_PATHS, CameraTracks, MultiCameraTracker
from agent.detection.rule_engine import RuleEngine
from agent.detection.scene import Scene, SceneLine
from bench.multi_camera_tracking import to_position
from drivers.media import NS_PER_S, Plane
from tests.ground_camera import GroundCamera
from tests.pure.rules.scripted_tracks import id_maker

STEP_NS = NS_PER_S // 10
GATE_M = 12.0
STREET_M = 12.0
"""From the pole to the middle of a street that passes it from south to north, to the east of it."""
Way = Callable[[float], tuple[float, float] | None]
"""From a time in s to a place in m east and north of the pole."""


def camera(pan_deg: float) -> GroundCamera:
    """A camera of 60 degrees across. Pan 90 looks to the east."""
    return GroundCamera(height_m=7, tilt_deg=24, focal=1.54, pan_deg=pan_deg)


APART = {"south": camera(125), "north": camera(55)}
OVERLAPPING = {"south": camera(108), "north": camera(72)}
SIDE = {"south": -1, "north": 1}


def scene(view: GroundCamera, side: int, line: str = "gate") -> Scene:
    marks = []
    for east_m in (9.0, 12.0, 16.0, 24.0):
        for north_m in (6.0, 9.0, 14.0, 18.0):
            seen = view.see(east_m, side * north_m)
            if seen is not None and 0 < seen[0].x < 1 and 0 < seen[0].y < 1:
                position = to_position(east_m, side * north_m)
                marks.append(MarkedPoint(at=seen[0], position=position))
    start, to = view.see(8.0, side * GATE_M), view.see(24.0, side * GATE_M)
    assert start is not None
    assert to is not None
    return Scene(
        line=(SceneLine(name=line, start=start[0], to=to[0]),),
        ground=GroundMarks(point=tuple(marks), aspect=view.aspect),
    )


def flow(name: str, origin: str, destination: str, **keys: object) -> CameraFlow:
    ends = [FlowEnd(camera=camera, name="gate") for camera in (origin, destination)]
    return CameraFlow(name=name, origin=ends[0], destination=ends[1], **keys)


CONFIG = MultiCameraConfig(
    cameras=("south", "north"),
    flow=(flow("northwards", "south", "north"), flow("southwards", "north", "south")),
)


class RoadUser:
    """A road user on the ground, and its track in each view that shows all of it."""

    def __init__(self, way: Way, label: Label = "car", track: int = 1) -> None:
        self.way, self.label, self.track = way, label, track
        self._begin_ns: dict[str, int] = {}

    def box_at(self, view: GroundCamera, t_s: float) -> BoundingBox | None:
        place = self.way(t_s)
        seen = None if place is None else view.see(*place)
        if seen is None:
            return None
        point, depth = seen
        height = (1.7 if self.label == "person" else 1.5) * view.focal / depth
        width = height * (0.3 if self.label == "person" else 1.2) / view.aspect
        box = BoundingBox(point.x - width / 2, point.y - height, width, height)
        return box if box.x > 0 and box.x + box.w < 1 and 0 < box.y < point.y < 1 else None

    def track_in(self, name: str, view: GroundCamera, t_ns: int) -> Track | None:
        box = self.box_at(view, t_ns / NS_PER_S)
        if box is None:
            return None
        before = self.box_at(view, (t_ns - STEP_NS) / NS_PER_S) or box
        return Track(
            id=self.track,
            label=self.label,
            score=0.8,
            box=box,
            vx=(box.x + box.w / 2 - before.x - before.w / 2) * 10,
            vy=(box.y + box.h / 2 - before.y - before.h / 2) * 10,
            begin_ns=self._begin_ns.setdefault(name, t_ns),
            seen_ns=t_ns,
        )


def straight(begin_s: float, speed_m_s: float = 8.0, east_m: float = STREET_M) -> Way:
    """Past the pole, from 40 m south of it to 40 m north; with a negative speed the other way."""

    def place(t_s: float) -> tuple[float, float] | None:
        way_m = abs(speed_m_s) * (t_s - begin_s) - 40
        return (east_m, way_m if speed_m_s > 0 else -way_m) if -40 <= way_m <= 40 else None

    return place


class Pole:
    """The engines of two cameras, which take their frames in turns."""

    def __init__(
        self,
        views: Mapping[str, GroundCamera],
        config: MultiCameraConfig = CONFIG,
        scenes: Mapping[str, Scene] | None = None,
    ) -> None:
        self.views = views
        self.tracker = MultiCameraTracker(config)
        self.stale: set[str] = set()
        self.limits: dict[str, ViewCondition] = {}
        self.tracks: dict[str, CameraTracks] = {}
        self.engines: dict[str, RuleEngine] = {}
        self.minutes: list[TrafficCounts] = []
        self.numbers: dict[tuple[str, int], set[int]] = {}
        for name, view in views.items():
            self.enter(name, (scenes or {}).get(name) or scene(view, SIDE[name]))

    def enter(self, name: str, new_scene: Scene) -> None:
        tracks = self.tracker.enter(name, new_scene)
        assert tracks is not None
        self.tracks[name] = tracks
        self.engines[name] = RuleEngine(
            name, new_scene, id_maker(), lambda: name in self.stale, tracks
        )

    def run(
        self,
        users: Sequence[RoadUser],
        end_s: float,
        begin_s: float = 0.0,
        cameras: Sequence[str] = ("south", "north"),
    ) -> None:
        gate: Plane = np.zeros((90, 160), np.uint8)
        steps = range(round(begin_s * NS_PER_S), round(end_s * NS_PER_S), STEP_NS)
        for seq, t_ns in enumerate(steps):
            for name in cameras:
                shown = (user.track_in(name, self.views[name], t_ns) for user in users)
                result = FrameResult(
                    seq=seq,
                    t_ns=t_ns,
                    width_px=1280,
                    height_px=720,
                    gate_luma=gate,
                    moving_ratio=0.0,
                    tracks=tuple(track for track in shown if track is not None),
                    inference_count=1,
                    view=self.limits.get(name),
                )
                engine = self.engines[name]
                self.minutes += engine.completed_counts(t_ns)
                engine.evaluate(result)
                for user in engine._road_users:
                    number = self.tracks[name].number_of(user.id)
                    if number is not None:
                        self.numbers.setdefault((name, user.track.id), set()).add(number)

    def flows(self, end_s: float) -> dict[str, FlowCounts]:
        """The flows of the last minute, and of each the counts of all minutes."""
        for engine in self.engines.values():
            self.minutes += engine.flush_counts(round(end_s * NS_PER_S))
        found: dict[str, FlowCounts] = {}
        for one in (one for minute in self.minutes for one in minute.flows):
            before = found.get(one.name)
            counts = dict(one.counts)
            for label, count in ({} if before is None else before.counts).items():
                counts[label] = counts.get(label, 0) + count
            found[one.name] = msgspec.structs.replace(one, counts=counts)
        return found

    def counts(self, end_s: float) -> dict[str, dict[Label, int]]:
        return {name: one.counts for name, one in self.flows(end_s).items() if one.counts}


@pytest.mark.parametrize("views", [APART, OVERLAPPING], ids=["views with a gap", "with an overlap"])
@pytest.mark.parametrize(
    ("speed_m_s", "label", "cell"),
    [
        (4.0, "car", "northwards"),
        (8.0, "car", "northwards"),
        (14.0, "bus", "northwards"),
        (-8.0, "car", "southwards"),
        (1.6, "person", "northwards"),
        (-5.0, "bicycle", "southwards"),
    ],
)
def test_a_road_user_that_passes_both_views_is_one_number_and_counted_once(
    views: Mapping[str, GroundCamera], speed_m_s: float, label: Label, cell: str
) -> None:
    pole, end_s = Pole(views), 80 / abs(speed_m_s) + 3
    pole.run([RoadUser(straight(0.0, speed_m_s), label)], end_s)
    assert pole.numbers["south", 1] == pole.numbers["north", 1]
    assert pole.counts(end_s) == {cell: {label: 1}}


def test_road_users_one_after_the_other_and_in_both_directions_keep_their_own_numbers() -> None:
    speeds = [(0.0, 8.0), (2.0, 8.0), (4.0, 8.0), (0.5, -9.0), (3.0, -9.0)]
    users = [
        RoadUser(straight(begin_s, speed_m_s, 11.0 if speed_m_s > 0 else 15.0), track=index)
        for index, (begin_s, speed_m_s) in enumerate(speeds, 1)
    ]
    pole = Pole(APART)
    pole.run(users, 18)
    numbers = [pole.numbers["south", user.track] for user in users]
    assert numbers == [pole.numbers["north", user.track] for user in users]
    assert len(set.union(*numbers)) == len(users)
    assert pole.counts(18) == {"northwards": {"car": 3}, "southwards": {"car": 2}}


def test_a_person_and_a_car_on_one_way_are_two() -> None:
    pole = Pole(APART)
    south = RoadUser(lambda t_s: straight(0.0)(t_s) if t_s < 5 else None, track=1)
    north = RoadUser(lambda t_s: straight(0.0)(t_s) if t_s > 5 else None, "person", track=2)
    pole.run([south, north], 13)
    assert pole.numbers["south", 1].isdisjoint(pole.numbers["north", 2])
    assert pole.counts(13) == {}


def test_a_road_user_that_turns_back_is_in_no_flow() -> None:
    def way(t_s: float) -> tuple[float, float] | None:
        return straight(0.0)(t_s if t_s < 5 else 10 - t_s)

    pole = Pole(OVERLAPPING)
    pole.run([RoadUser(way)], 11)
    assert pole.counts(11) == {}


def test_a_flow_counts_its_own_labels_alone() -> None:
    config = MultiCameraConfig(
        cameras=("south", "north"), flow=(flow("buses", "south", "north", labels=("bus",)),)
    )
    pole = Pole(APART, config)
    users = [RoadUser(straight(0.0)), RoadUser(straight(4.0), "bus", track=2)]
    pole.run(users, 18)
    assert pole.counts(18) == {"buses": {"bus": 1}}


def test_counts_name_both_ends_and_can_be_trusted() -> None:
    pole = Pole(APART)
    pole.run([RoadUser(straight(0.0))], 13)
    found = pole.flows(13)
    assert found["northwards"] == FlowCounts(
        name="northwards",
        from_camera="south",
        origin="gate",
        destination="gate",
        counts={"car": 1},
        trusted=True,
        untrusted_reasons=(),
    )
    by_camera = {minute.camera: [one.name for one in minute.flows] for minute in pole.minutes}
    assert by_camera == {"south": ["southwards"], "north": ["northwards"]}


def test_a_camera_that_gives_no_pictures_makes_flows_untrusted_and_is_not_waited_for() -> None:
    pole = Pole(APART)
    pole.run([], 2)
    pole.run([RoadUser(straight(2.0))], 15, begin_s=2, cameras=["north"])
    assert pole.numbers["north", 1]
    found = pole.flows(15)
    assert found["northwards"].counts == {}
    assert found["northwards"].untrusted_reasons == ("camera_lost",)
    assert found["northwards"].trusted is False
    assert all(minute.trusted for minute in pole.minutes)


def test_a_camera_that_has_never_started_makes_flows_untrusted() -> None:
    tracker = MultiCameraTracker(CONFIG)
    tracks = tracker.enter("north", scene(APART["north"], 1))
    assert tracks is not None
    assert tracks.flow_limits(0) == {"northwards": ("camera_lost",)}


@pytest.mark.parametrize("moved", ["south", "north"])
def test_a_view_that_has_moved_is_not_joined(moved: str) -> None:
    pole = Pole(APART)
    pole.stale.add(moved)
    pole.run([RoadUser(straight(0.0))], 13)
    assert (moved, 1) not in pole.numbers
    found = pole.flows(13)
    assert {one.untrusted_reasons for one in found.values()} == {("moved",)}
    assert not any(one.counts for one in found.values())


@pytest.mark.parametrize(
    "other",
    [scene(APART["south"], -1, line="renamed"), Scene(line=scene(APART["south"], -1).line)],
    ids=["without the line", "without ground"],
)
def test_a_scene_that_does_not_fit_makes_flows_untrusted(other: Scene) -> None:
    pole = Pole(APART, scenes={"south": other})
    pole.run([RoadUser(straight(0.0))], 13)
    found = pole.flows(13)
    assert {one.untrusted_reasons for one in found.values()} == {("scene_mismatch",)}
    assert not any(one.counts for one in found.values())


def test_a_limit_of_one_view_is_one_of_the_flows_from_and_to_it() -> None:
    pole = Pole(APART)
    pole.limits["south"] = ViewCondition(
        state="good", since_ns=0, mean_luma=100.0, sharpness=None, limits=("rain",)
    )
    pole.run([], 5)
    found = pole.flows(5)
    assert {one.untrusted_reasons for one in found.values()} == {("rain",)}
    assert {minute.camera: minute.trusted for minute in pole.minutes} == {
        "south": False,
        "north": True,
    }


def test_a_scene_that_is_replaced_and_a_restart_begin_with_no_road_user() -> None:
    pole, user = Pole(APART), RoadUser(straight(0.0))
    pole.run([user], 4.5)
    pole.enter("south", scene(APART["south"], -1))
    pole.run([user], 13, begin_s=4.5)
    assert pole.counts(13) == {}
    assert MultiCameraTracker(CONFIG).enter("north", scene(APART["north"], 1)) is not None


def test_a_camera_that_is_not_named_is_not_joined() -> None:
    assert MultiCameraTracker(CONFIG).enter("other", Scene()) is None


def test_nothing_is_kept_of_road_users_that_have_gone() -> None:
    pole = Pole(APART)
    users = [RoadUser(straight(2.0 * index), track=index + 1) for index in range(30)]
    most = 0
    for second in range(85):
        pole.run(users, second + 1, begin_s=second)
        most = max(most, len(pole.tracker._users))
    assert 2 <= most <= 40 < MAX_PATHS
    assert not pole.tracker._users
    assert pole.counts(85) == {"northwards": {"car": 30}}


def iter_crowd(count: int) -> Iterator[RoadUser]:
    for index in range(count):
        yield RoadUser(
            lambda _t_s, index=index: (9 + index % 20 * 0.6, 7 + index // 20 * 0.4),
            "person",
            track=index + 1,
        )


def test_a_crowd_beyond_the_bound_is_not_joined_and_not_kept() -> None:
    pole = Pole(APART)
    pole.run(list(iter_crowd(MAX_PATHS + 40)), 0.5, cameras=["north"])
    assert len(pole.tracker._users) == MAX_PATHS
