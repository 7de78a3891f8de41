"""agent.ptz.automation.auto_tracking: the target stays in the inner half of the picture, without
oscillation, for a limited time.
"""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from agent.base.model import BoundingBox, FrameResult, RefusalCode, Track
from agent.commands.requester import CommandRejected
from agent.config.heads import FieldOfView, HeadConfig, TrackingConfig
from agent.ptz.automation.auto_tracking import LOST_AFTER_S, MOVE_DURATION_S, AutoTracker
from agent.ptz.motion.field_of_view import Direction, direction_to_point
from agent.ptz.requests import ContinuousMove, HeadState
from drivers.contracts import Pose, PtzCapabilities, PtzPosition, Range, Velocity
from simulation.heads.head_simulator import HeadMechanics, HeadSimulator
from tests.parts.head_rig import ANNA

NS = 1_000_000_000
FOV = FieldOfView(wide=60.0, tele=6.0)
MECHANICS = HeadMechanics(pan_deg=None, lag_s=0.08)
ABILITIES = PtzCapabilities(
    absolute=True,
    pan_deg=None,
    tilt_deg=Range(low=-30, high=90),
    pan_max_deg_s=MECHANICS.pan_max_deg_s,
    tilt_max_deg_s=MECHANICS.tilt_max_deg_s,
    zoom_ratio=10.0,
)
DEAD_ZONE = HeadConfig(name="mast", driver="fake").dead_zone
STEP_S = 0.05
PICTURE_EVERY, PICTURE_AGE_S = 2, 0.25
"""A picture each tenth of a second, a quarter of a second old when it has been looked at."""

Path = Callable[[float], Direction | None]


def still(pan_deg: float, tilt_deg: float = -10) -> Path:
    return lambda _: Direction(pan_deg=pan_deg, tilt_deg=tilt_deg)


def walking(deg_s: float) -> Path:
    return lambda t_s: Direction(pan_deg=-20 + deg_s * t_s, tilt_deg=-10)


def passing(speed_mps: float, beside_m: float, from_m: float) -> Path:
    """A person on a straight path, seen from a pole 5.5 m high."""

    def at(t_s: float) -> Direction:
        along_m = speed_mps * t_s - from_m
        away_m = math.hypot(along_m, beside_m)
        return Direction(
            pan_deg=math.degrees(math.atan2(along_m, beside_m)),
            tilt_deg=math.degrees(math.atan2(-4.7, away_m)),
        )

    return at


STOP = ContinuousMove(for_s=MOVE_DURATION_S)


class Corner:
    """A simulated head with a camera, a person in the street, and a slightly inaccurate detector."""

    def __init__(
        self, path: Path, config: TrackingConfig | None = None, height: float = 0.2
    ) -> None:
        self.path = path
        self.height = height
        self.tracker = AutoTracker(config or TrackingConfig(enabled=True), FOV, lambda: ABILITIES)
        self.motion = HeadSimulator(MECHANICS, 0)
        self.motion.goto(0, Pose(pan_deg=-20, tilt_deg=-10))
        self.now_s = 5.0
        self.numbers: Callable[[float], int] = lambda _: 7
        self.rng = random.Random(3)
        self.seq = 0
        self.offs: list[tuple[float, float]] = []
        self.speeds: list[float] = []
        self.requests: list[ContinuousMove | None] = []
        self.zooms: list[float] = []
        self.others: list[Track] = []
        self.drive_until_s = math.inf
        self.past = [Pose(pan_deg=-20, tilt_deg=-10)]

    @property
    def t_ns(self) -> int:
        return int(self.now_s * NS)

    def state(self) -> HeadState:
        at = self.motion.state_at(self.t_ns)
        position = PtzPosition(pose=at.pose, error_deg=0.1, moving=at.moving, t_ns=self.t_ns)
        return HeadState(
            head="mast", position=position, moving=at.moving, settled=not at.moving, preset=None,
            lease=None, tour=None, error=None,
        )  # fmt: skip

    def picture(self) -> FrameResult:
        """Return the detection result of a picture taken a quarter of a second ago."""
        self.seq += 1
        taken_s = self.now_s - PICTURE_AGE_S
        pose = self.past[max(0, len(self.past) - 1 - round(PICTURE_AGE_S / STEP_S))]
        tracks = list(self.others)
        there = self.path(taken_s - 5.0)
        place = None if there is None else direction_to_point(FOV, pose, there)
        if place is not None and 0 < place.x < 1 and 0 < place.y < 1:
            x, y = (p + self.rng.gauss(0, 0.006) for p in (place.x, place.y))
            tracks.append(self.track(self.numbers(taken_s - 5.0), x, y, int(taken_s * NS)))
        return FrameResult(
            seq=self.seq,
            t_ns=int(taken_s * NS),
            width_px=1,
            height_px=1,
            gate_luma=np.zeros((1, 1), np.uint8),
            moving_ratio=0.1,
            tracks=tuple(tracks),
            inference_count=1,
        )

    def track(self, number: int, x: float, y: float, t_ns: int, label: str = "person") -> Track:
        h = self.height
        return Track(
            id=number, label=label, score=0.9, box=BoundingBox(x - h / 8, y - h / 2, h / 4, h), vx=0, vy=0,
            begin_ns=0, seen_ns=t_ns,
        )  # type: ignore[arg-type]  # fmt: skip

    def run(self, seconds: float, follow: int | None = 7) -> None:
        end_s = self.now_s + seconds
        count = 0
        while self.now_s < end_s:
            state = self.state()
            assert state.position is not None
            self.past.append(state.position.pose)
            if count % PICTURE_EVERY == 0:
                self.tracker.on_frame_result(self.picture())
            if follow is not None and count == PICTURE_EVERY * 4:
                self.tracker.follow(follow, ANNA)
            request = self.tracker.step(self.t_ns, state)
            assert request is None or isinstance(request, ContinuousMove)
            self.requests.append(request)
            self.obey(request)
            there = self.path(self.now_s - 5.0)
            place = None if there is None else direction_to_point(FOV, state.position.pose, there)
            self.offs.append((9.0, 9.0) if place is None else (place.x - 0.5, place.y - 0.5))
            self.speeds.append(self.motion.state_at(self.t_ns).pan_deg_s)
            self.zooms.append(state.position.pose.zoom)
            self.now_s += STEP_S
            count += 1

    def obey(self, request: ContinuousMove | None) -> None:
        """As the head does: shares of the top speed, the smallest left out, for the requested time."""
        if request is not None:
            self.drive_until_s = self.now_s + request.for_s
            pan, tilt = (0.0 if abs(s) < DEAD_ZONE else s for s in (request.pan, request.tilt))
            self.motion.move(
                self.t_ns,
                Velocity(
                    pan_deg_s=pan * MECHANICS.pan_max_deg_s,
                    tilt_deg_s=tilt * MECHANICS.tilt_max_deg_s,
                    zoom=request.zoom,
                ),
            )
        elif self.now_s > self.drive_until_s:
            self.motion.stop(self.t_ns)

    def worst(self, from_s: float) -> float:
        """How far from the middle it was at most, in pictures, from then on."""
        return max(max(abs(x), abs(y)) for x, y in self.offs[round(from_s / STEP_S) :])

    def swings(self, from_s: float) -> int:
        """How often the head turned round while it moved at more than half a degree a second."""
        moving = [s for s in self.speeds[round(from_s / STEP_S) :] if abs(s) > 0.5]
        return sum(one * other < 0 for one, other in pairwise(moving))


@pytest.mark.parametrize(
    "path",
    [
        walking(2.0),
        walking(6.0),
        walking(-4.0),
        walking(15.0),
        passing(1.4, 12.0, 10.0),
        passing(9.0, 30.0, 40.0),
    ],
)
def test_a_moving_target_stays_in_the_inner_half_without_oscillation(path: Path) -> None:
    corner = Corner(path)
    start = path(0)
    assert start is not None
    corner.motion.goto(0, Pose(pan_deg=start.pan_deg, tilt_deg=start.tilt_deg))
    corner.run(9)
    assert corner.worst(1.5) < 0.25
    assert corner.swings(1.5) <= 1
    assert corner.tracker.followed_track == 7


def test_a_target_that_turns_back_is_followed_back() -> None:
    corner = Corner(lambda t_s: Direction(pan_deg=-20 + 12 * math.sin(t_s / 1.5), tilt_deg=-10))
    corner.run(30)
    assert corner.worst(2) < 0.25
    # Once for each turn of the target: every 4.7 s.
    assert corner.swings(2) <= 7


def test_a_static_target_is_centred_in_one_move() -> None:
    corner = Corner(still(0.0))
    corner.run(6)
    assert corner.worst(2.5) < 0.08
    assert corner.swings(0.5) == 0
    assert all(abs(speed) < 0.5 for speed in corner.speeds[-40:])


def test_within_the_dead_zone_the_head_does_not_move() -> None:
    corner = Corner(still(-19.0))
    corner.run(6)
    assert all(abs(speed) < 0.5 for speed in corner.speeds)


def test_tracking_continues_across_180_degrees() -> None:
    corner = Corner(lambda t_s: Direction(pan_deg=(165 + 5 * t_s + 180) % 360 - 180, tilt_deg=-10))
    corner.motion.goto(0, Pose(pan_deg=165, tilt_deg=-10))
    corner.run(8)
    assert corner.worst(1.5) < 0.25
    assert corner.swings(1.5) == 0


def test_without_a_target_tracking_requests_no_motion() -> None:
    corner = Corner(walking(5))
    corner.run(3, follow=None)
    assert set(corner.requests) == {None}
    assert corner.tracker.followed_track is None


def test_a_target_outside_the_picture_cannot_be_tracked() -> None:
    corner = Corner(walking(5))
    corner.run(1, follow=None)
    with pytest.raises(CommandRejected, match="no track 8 is in the picture now") as refused:
        corner.tracker.follow(8, ANNA)
    assert refused.value.code == "unknown"


def test_a_lost_target_is_awaited_and_then_the_head_is_released() -> None:
    corner = Corner(lambda t_s: Direction(pan_deg=-20 + 4 * t_s, tilt_deg=-10) if t_s < 3 else None)
    corner.run(3 + LOST_AFTER_S + 1.0)
    assert corner.tracker.followed_track == 7
    assert abs(corner.speeds[-1]) < 0.1, "it rests where the target was lost"
    corner.run(4.0, follow=None)
    assert corner.tracker.followed_track is None
    assert corner.tracker.end_reason == "lost"
    assert corner.requests[-1] is None


def test_a_target_that_returns_in_time_is_tracked_under_its_new_id() -> None:
    def path(t_s: float) -> Direction | None:
        hidden = 3 < t_s < 4.5
        return None if hidden else Direction(pan_deg=-20 + 4 * min(t_s, 3.2), tilt_deg=-10)

    corner = Corner(path)
    corner.numbers = lambda t_s: 7 if t_s < 4 else 12
    corner.run(9)
    assert corner.tracker.followed_track == 12
    assert corner.worst(7) < 0.25


def test_a_new_track_id_does_not_stop_the_motion() -> None:
    corner = Corner(walking(6))
    corner.numbers = lambda t_s: 7 + int(t_s)
    corner.run(8, follow=7)
    assert corner.worst(1.5) < 0.25
    assert corner.tracker.followed_track == 14


def test_another_road_user_nearby_is_not_mistaken_for_the_target() -> None:
    corner = Corner(lambda t_s: Direction(pan_deg=-20.0, tilt_deg=-10) if t_s < 3 else None)
    corner.run(3)
    for number, x, label in ((20, 0.5, "car"), (21, 0.9, "person")):
        corner.others.append(corner.track(number, x, 0.5, 0, label))
    end_s = corner.now_s + 8
    while corner.now_s < end_s:
        newest_ns = int((corner.now_s - PICTURE_AGE_S) * NS)
        corner.others = [
            corner.track(track.id, track.box.x + track.box.w / 2, 0.5, newest_ns, track.label)
            for track in corner.others
        ]
        corner.run(PICTURE_EVERY * STEP_S, follow=None)
    assert corner.tracker.followed_track is None
    assert corner.tracker.end_reason == "lost"


def test_tracking_ends_after_its_maximum_time() -> None:
    corner = Corner(still(-20), TrackingConfig(enabled=True, max_follow_s=5))
    corner.run(6)
    assert corner.tracker.followed_track is None
    assert corner.tracker.end_reason == "max_duration"


def test_released_tracking_stops_the_head() -> None:
    corner = Corner(walking(6))
    corner.run(3)
    corner.tracker.release()
    corner.run(1, follow=None)
    assert corner.tracker.followed_track is None
    assert corner.tracker.end_reason == "released"
    assert abs(corner.speeds[-1]) < 0.1


def test_tracking_zooms_in_on_a_small_target_within_its_limit() -> None:
    corner = Corner(still(-20), TrackingConfig(enabled=True, zoom_max=0.4), height=0.05)
    corner.run(15)
    assert 0.3 < corner.zooms[-1] <= 0.45
    assert corner.worst(2) < 0.25


def test_tracking_zooms_out_from_a_large_target_and_not_in_on_a_fast_one() -> None:
    fast = Corner(walking(12), height=0.05)
    fast.run(6)
    assert max(fast.zooms[20:]) < 0.12
    large = Corner(still(-20), height=0.6)
    large.motion.goto(0, Pose(pan_deg=-20, tilt_deg=-10, zoom=0.3))
    large.run(6)
    assert large.zooms[-1] == pytest.approx(0.0, abs=0.02)


def test_a_head_without_zoom_gets_no_zoom_order() -> None:
    corner = Corner(still(-20), height=0.05)
    plain = PtzCapabilities(
        absolute=True, pan_deg=None, tilt_deg=Range(low=-30, high=90), pan_max_deg_s=60,
        tilt_max_deg_s=40,
    )  # fmt: skip
    corner.tracker = AutoTracker(TrackingConfig(enabled=True), FOV, lambda: plain)
    corner.run(3)
    assert all(request is None or request.zoom == 0 for request in corner.requests)


def test_a_forbidden_sector_is_waited_out_and_a_failed_head_ends_tracking() -> None:
    corner = Corner(walking(4))
    corner.run(2)
    corner.tracker.on_rejected(
        corner.t_ns, ContinuousMove(), CommandRejected("forbidden", "windows")
    )
    corner.tracker.on_rejected(
        corner.t_ns, ContinuousMove(), CommandRejected("expired", "another requester has taken it")
    )
    assert corner.tracker.followed_track == 7
    corner.tracker.on_rejected(
        corner.t_ns, ContinuousMove(), CommandRejected("unavailable", "no answer")
    )
    assert corner.tracker.followed_track is None
    assert corner.tracker.end_reason == "refused"


@pytest.mark.parametrize("code", [None, "unavailable"])
def test_the_head_stops_at_once_when_tracking_ends_while_it_moves(code: RefusalCode | None) -> None:
    corner = Corner(walking(6))
    corner.run(3)
    assert corner.requests[-1] not in (None, STOP)
    if code is None:
        corner.tracker.release()
    else:
        rejection = CommandRejected(code, "no answer")
        corner.tracker.on_rejected(corner.t_ns, ContinuousMove(), rejection)
    assert corner.tracker.step(corner.t_ns, corner.state()) == STOP
    assert corner.tracker.step(corner.t_ns, corner.state()) is None


def test_a_release_moves_nothing_once_the_last_motion_is_over() -> None:
    corner = Corner(walking(6))
    corner.run(3)
    corner.tracker.release()
    corner.now_s += MOVE_DURATION_S
    assert corner.tracker.step(corner.t_ns, corner.state()) is None
