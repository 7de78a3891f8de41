"""agent.detection.rules.ground_track, scene_ground and road_users: motion on the ground, by a street known in metres."""

import math
import random
from collections import defaultdict
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from agent.base.model import BoundingBox, FrameResult, GroundMotion, Label, Track
from agent.detection.ground_plane import calibrate
from agent.detection.rules.ground_track import GroundTrack, is_foot_visible
from agent.detection.rules.road_users import TrackMemory
from agent.detection.rules.scene_ground import SceneGround
from agent.detection.scene import Scene
from drivers.media import NS_PER_S, Point
from simulation.street.fixed_view import TruthBox, truth_boxes
from simulation.street.world import CAR_SPEED_MPS, RoadUser, road_users_at
from tests.pure.rules.street_ground import STREET_MARKS, VIEW, Place, point_at

STEP_NS = NS_PER_S // 10
LENGTH_S = 40
JITTER = 0.02
"""Standard deviation of each side of a box, by its size: that of a good detector."""
PICTURE = np.zeros((90, 160), np.uint8)


PLANE = calibrate(STREET_MARKS)
BEGIN_M = (0.0, 30.0)
Fix = tuple[int, Place]


def motion_of(fixes: list[Fix]) -> GroundMotion:
    track = GroundTrack()
    for t_ns, place in fixes:
        track.add(t_ns, point_at(*place), PLANE)
    motion = track.motion(PLANE)
    assert motion is not None
    return motion


def error_at(x_m: float, y_m: float) -> float:
    """The error of the calibration alone."""
    found = PLANE.to_ground(point_at(x_m, y_m))
    assert found is not None
    return found.error_m


def straight(
    speed_m_s: float, heading_deg: float, *, seconds: float = 2.0, spread_m: float = 0.0
) -> list[Fix]:
    """Ten places a second along a heading, which scatter."""
    rng = random.Random(f"{speed_m_s} {heading_deg} {spread_m}")
    vx = speed_m_s * math.sin(math.radians(heading_deg))
    vy = speed_m_s * math.cos(math.radians(heading_deg))
    return [
        (
            t * STEP_NS,
            (
                BEGIN_M[0] + vx * t / 10 + rng.gauss(0, spread_m),
                BEGIN_M[1] + vy * t / 10 + rng.gauss(0, spread_m),
            ),
        )
        for t in range(round(seconds * 10) + 1)
    ]


@pytest.mark.parametrize("heading_deg", [0, 45, 90, 135, 180, 225, 270, 315, 359.96])
def test_a_heading_is_clockwise_from_the_y_axis(heading_deg: float) -> None:
    fixes = straight(10.0, heading_deg)
    motion = motion_of(fixes)
    assert motion.speed_km_h == 36.0
    assert motion.heading_deg == pytest.approx(heading_deg % 359.96, abs=0.06)
    assert motion.error_m == pytest.approx(error_at(*fixes[-1][1]), abs=0.01)


def test_a_speed_needs_a_third_of_a_second_and_no_gap() -> None:
    assert motion_of(straight(10.0, 0, seconds=0.3)).speed_km_h is None
    assert motion_of(straight(10.0, 0, seconds=0.4)).speed_km_h == 36.0
    track = GroundTrack()
    for t_ns, place in straight(10.0, 0):
        track.add(t_ns, point_at(*place), PLANE)
    track.restart()
    assert track.motion(PLANE) is None
    track.add(3 * NS_PER_S, point_at(2.0, 50.0), PLANE)
    motion = track.motion(PLANE)
    assert motion is not None
    assert (motion.x_m, motion.y_m, motion.speed_km_h, motion.heading_deg) == (2, 50, None, None)
    track.add(4 * NS_PER_S, Point(0.5, 0.1), PLANE)
    assert track.motion(PLANE) is None


def test_what_is_older_than_two_seconds_does_not_count() -> None:
    standing = [(2 * NS_PER_S + t * STEP_NS, (0.0, 50.0)) for t in range(1, 23)]
    stopped: list[Fix] = [*straight(10.0, 0), *standing]
    assert motion_of(stopped).speed_km_h == pytest.approx(0, abs=0.4)


def test_a_place_scatters_less_than_its_foot_and_the_error_says_by_how_much() -> None:
    found = [motion_of(straight(8.0, 0, spread_m=0.3 + n / 1000)) for n in range(100)]
    off_m = [math.hypot(motion.x_m, motion.y_m - 46.0) for motion in found]
    assert np.sqrt(np.mean(np.square(off_m))) < 0.7 * 0.3 * math.sqrt(2)
    scatter_m = [math.sqrt(motion.error_m**2 - error_at(0.0, 46.0) ** 2) for motion in found]
    assert np.mean(scatter_m) == pytest.approx(0.33 * math.sqrt(2), rel=0.15)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("speed_m_s", [1.5, 8.0, 25.0])
def test_a_speed_is_within_its_error_as_often_as_a_standard_deviation_says(
    speed_m_s: float, seconds: float
) -> None:
    off, stated = [], []
    for n in range(200):
        motion = motion_of(straight(speed_m_s, 0, seconds=seconds, spread_m=0.06 + n / 1e5))
        if motion.speed_km_h is not None and motion.speed_error_km_h is not None:
            off.append(abs(motion.speed_km_h - 3.6 * speed_m_s))
            stated.append(motion.speed_error_km_h)
    assert len(off) > 190
    within = [one <= 2 * error for one, error in zip(off, stated, strict=True)]
    assert np.mean(within) > 0.95
    # The error of the marks is in it, although they are exact here.
    way_m = PLANE.length_error_m(BEGIN_M, (0.0, BEGIN_M[1] + speed_m_s * seconds))
    assert np.mean(stated) > 3.6 * way_m / seconds - 0.1


def test_a_speed_is_known_better_the_longer_the_road_user_is_seen() -> None:
    """Near the camera, where a pixel is little."""
    fixes = [(t_ns, (x, y - 22.0)) for t_ns, (x, y) in straight(4.0, 0, spread_m=0.15)]
    errors = [motion_of(fixes[:count]).speed_error_km_h or math.nan for count in (6, 11, 21)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1.5 * errors[-1]


def test_a_foot_that_is_covered_for_some_frames_does_not_change_the_speed() -> None:
    """A box that the picture's edge or a parked car cuts off: its lower edge stands still, and jumps."""
    clean = straight(10.0, 0, spread_m=0.05)
    stuck: list[Fix] = [
        (t_ns, clean[16][1] if n > 16 else place) for n, (t_ns, place) in enumerate(clean)
    ]
    hidden: list[Fix] = [
        (t_ns, (x, y + 4.0) if 7 <= n < 11 else (x, y)) for n, (t_ns, (x, y)) in enumerate(clean)
    ]
    wanted = motion_of(clean)
    assert wanted.speed_km_h == pytest.approx(36, abs=0.5)
    for fixes in (stuck, hidden):
        found = motion_of(fixes)
        assert found.speed_km_h == pytest.approx(wanted.speed_km_h, abs=0.5)
        assert found.y_m == pytest.approx(wanted.y_m, abs=0.3)


def entering(seconds: float) -> GroundMotion:
    """A car at 10 m/s, whose box has its lower edge too near to the camera for its first 0.3 s."""
    track = GroundTrack()
    for n, (t_ns, (x, y)) in enumerate(straight(10.0, 0, seconds=seconds)):
        y_m = y - 18.0 - 0.4 * min(n, 4)
        track.add(t_ns, point_at(x, y_m), PLANE, box_height=1.5 * 1050 / y_m / VIEW.height_px)
    motion = track.motion(PLANE)
    assert motion is not None
    return motion


def test_a_vehicle_that_enters_the_picture_is_measured_once_its_box_has_settled() -> None:
    assert (entering(0.4).speed_km_h, entering(0.4).y_m > 13) == (None, True)
    late = entering(1.2)
    assert late.speed_km_h == pytest.approx(36, abs=1.5)


def test_a_hidden_foot_leaves_the_last_motion_and_begins_again() -> None:
    track = GroundTrack()
    for t_ns, place in straight(10.0, 0):
        track.add(t_ns, point_at(*place), PLANE)
    known = track.motion(PLANE)
    track.hide_foot()
    assert track.motion(PLANE) is None
    assert track.last_motion(PLANE) == known
    track.add(3 * NS_PER_S, point_at(2.0, 50.0), PLANE)
    motion = track.motion(PLANE)
    assert motion is not None
    assert (motion.x_m, motion.speed_km_h) == (2, None)


def test_a_speed_that_would_be_a_guess_is_not_given() -> None:
    """A foot that scatters by a metre and more: 5 km/h are unknown, 100 km/h are not."""
    slow, fast = straight(1.5, 90, spread_m=1.5), straight(28.0, 90, spread_m=1.1)
    assert (motion_of(slow).speed_km_h, motion_of(slow).heading_deg) == (None, None)
    assert motion_of(fast).speed_km_h == pytest.approx(100, abs=12)


def test_a_parked_car_has_a_speed_and_no_heading() -> None:
    motion = motion_of(straight(0.0, 0, spread_m=0.2))
    assert motion.speed_km_h is not None
    assert motion.speed_km_h < 3
    assert motion.heading_deg is None


@pytest.mark.parametrize(
    ("box", "visible"),
    [
        (BoundingBox(0.4, 0.4, 0.1, 0.1), True),
        (BoundingBox(0.4, 0.0, 0.1, 0.1), True),
        (BoundingBox(0.4, 0.9, 0.1, 0.1), False),
        (BoundingBox(0.0, 0.4, 0.1, 0.1), False),
        (BoundingBox(0.9, 0.4, 0.1, 0.1), False),
    ],
)
def test_a_box_that_the_edge_of_the_picture_cuts_has_no_foot(
    box: BoundingBox, visible: bool
) -> None:
    assert is_foot_visible(box) == visible
    ground = SceneGround(Scene(ground=STREET_MARKS))
    memory = TrackMemory(ground)
    track = detected(box, 0)
    for t_ns in (0, STEP_NS):
        result = frame_result(t_ns, (msgspec.structs.replace(track, seen_ns=t_ns),))
        ground.step()
        memory.step(result)
    (user,) = memory
    assert (user.ground_motion() is not None) == (visible and box.y > 0.1)


def test_beyond_the_horizon_there_is_no_direction() -> None:
    ground = SceneGround(Scene(ground=STREET_MARKS))
    ground.step()
    assert ground.heading_deg(Point(0.5, 0.1), 90, 16 / 9) is None


@pytest.mark.parametrize(
    ("direction_deg", "heading_deg"), [(0, 90), (180, 270), (90, 0), (270, 180)]
)
def test_a_direction_on_the_picture_is_a_heading_on_the_ground(
    direction_deg: float, heading_deg: float
) -> None:
    """In the middle of the picture, where along the street is upright."""
    ground = SceneGround(Scene(ground=STREET_MARKS))
    assert ground.heading_deg(point_at(0.6, 20.0), direction_deg, 16 / 9) is None
    ground.step()
    found = ground.heading_deg(point_at(0.6, 20.0), direction_deg, 16 / 9)
    assert found is not None
    assert abs((found - heading_deg + 180) % 360 - 180) < 0.1


def frame_result(t_ns: int, tracks: tuple[Track, ...]) -> FrameResult:
    return FrameResult(
        seq=0,
        t_ns=t_ns,
        width_px=VIEW.width_px,
        height_px=VIEW.height_px,
        gate_luma=PICTURE,
        moving_ratio=0.0,
        tracks=tracks,
        inference_count=0,
    )


def detected(box: BoundingBox, t_ns: int, number: int = 1, label: Label = "car") -> Track:
    return Track(
        id=number,
        label=label,
        score=0.9,
        box=box,
        vx=0.0,
        vy=0.0,
        begin_ns=0,
        seen_ns=t_ns,
    )


def with_jitter(box: TruthBox, rng: random.Random) -> BoundingBox:
    """A box as a good detector finds it."""
    x, y, w, h = (
        value + rng.gauss(0, JITTER * size)
        for value, size in ((box.x, box.w), (box.y, box.h), (box.w, box.w), (box.h, box.h))
    )
    return BoundingBox(x, y, w, h)


def drive(ground: SceneGround) -> Iterator[tuple[RoadUser, GroundMotion | None]]:
    """Each road user that a frame sees, as the street has it and as the ground has it."""
    memory, rng = TrackMemory(ground), random.Random(1)
    for t_ns in range(0, LENGTH_S * NS_PER_S, STEP_NS):
        t_s = t_ns / NS_PER_S
        tracks = tuple(
            detected(with_jitter(box, rng), t_ns, box.id + 1, box.label)
            for box in truth_boxes(1, t_s, VIEW)
            if box.hidden < 0.6
        )
        result = frame_result(t_ns, tracks)
        ground.step()
        memory.step(result)
        truth = {user.id + 1: user for user in road_users_at(1, t_s)}
        for user in memory:
            if user.is_visible:
                yield truth[user.track.id], user.ground_motion()


def test_the_street_is_measured_in_metres_and_kilometres_an_hour() -> None:
    speeds, headings, sideways_m = defaultdict(list), defaultdict(list), []
    for user, motion in drive(SceneGround(Scene(ground=STREET_MARKS))):
        # The car that stops is left out, and what is cut by the lower edge.
        if not 12 < user.z_m < 60 or user.id == 20 or motion is None or motion.speed_km_h is None:
            continue
        sideways_m.append(abs(motion.x_m - user.x_m))
        speeds[user.activity].append(motion.speed_km_h)
        if motion.heading_deg is not None:
            wanted_deg = {1: 0.0, -1: 180.0}.get(user.heading)
            if wanted_deg is not None:
                headings[user.activity].append(
                    abs((motion.heading_deg - wanted_deg + 180) % 360 - 180)
                )
    assert np.percentile(np.abs(np.array(speeds["driving"]) - 3.6 * CAR_SPEED_MPS), 95) < 1.5
    assert np.percentile(headings["driving"], 95) < 1
    assert (np.percentile(speeds["walking"], (2, 98)) > (3.0, 4.5)).all()
    assert np.percentile(speeds["walking"], 98) < 7
    assert np.percentile(sideways_m, 95) < 0.3


def test_a_stale_calibration_gives_nothing_and_a_valid_one_begins_again() -> None:
    stale = [False]
    ground = SceneGround(Scene(ground=STREET_MARKS), lambda: stale[0])
    for number, (_, motion) in enumerate(drive(ground)):
        if number % 500 == 0:
            stale[0] = not stale[0]
        elif number % 500 > 30:
            assert not stale[0] or motion is None


def test_without_a_calibration_nothing_is_on_the_ground() -> None:
    assert all(motion is None for _, motion in drive(SceneGround(Scene())))
