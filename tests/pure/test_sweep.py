"""agent.ptz.automation.sweep: poses that cover the panorama, pictures at rest, and an end in any case."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import FieldOfView, SweepConfig
from agent.ptz.automation.sweep import Sweep, plan_sweep
from agent.ptz.motion.field_of_view import Direction, direction_to_point
from agent.ptz.panorama.shot import Image, frame_to_bgr
from agent.ptz.requests import AbsoluteMove, HeadState
from drivers.contracts import Pose, PtzPosition, Range
from drivers.media import Frame
from simulation.heads.head_simulator import HeadMechanics, HeadSimulator

FOV = FieldOfView(wide=60.0, tele=3.0)
OPERATOR = Requester(id="amina", role="operator")
NS = 1_000_000_000


def in_view(pose: Pose, direction: Direction) -> bool:
    place = direction_to_point(FOV, pose, direction)
    return place is not None and 0 <= place.x <= 1 and 0 <= place.y <= 1


configs = st.builds(
    SweepConfig,
    tilt_deg=st.floats(-35, 20),
    zoom=st.floats(0, 0.3),
    overlap=st.floats(0.1, 0.8),
)


@given(config=configs, pan_deg=st.floats(-180, 180))
def test_an_endless_head_covers_360_degrees(config: SweepConfig, pan_deg: float) -> None:
    poses = plan_sweep(None, FOV, config)
    assert any(in_view(p, Direction(pan_deg=pan_deg, tilt_deg=config.tilt_deg)) for p in poses)
    assert {(p.tilt_deg, p.zoom) for p in poses} == {(config.tilt_deg, config.zoom)}


@given(
    config=configs,
    half_deg=st.floats(1, 180),
    middle_deg=st.just(0.0) | st.floats(-360, 360),
    share=st.floats(0, 1),
)
def test_a_head_with_end_stops_covers_the_range_between_them(
    config: SweepConfig, half_deg: float, middle_deg: float, share: float
) -> None:
    ends = Range(low=middle_deg - half_deg, high=middle_deg + half_deg)
    poses = plan_sweep(ends, FOV, config)
    assert all(ends.low - 1e-9 <= p.pan_deg <= ends.high + 1e-9 for p in poses)
    seen = Direction(pan_deg=ends.low + share * (ends.high - ends.low), tilt_deg=config.tilt_deg)
    assert any(in_view(p, seen) for p in poses)


def test_neighbouring_pictures_overlap_as_configured() -> None:
    level = plan_sweep(None, FOV, SweepConfig(overlap=0.35))
    # A picture is 60 degrees wide, 39 of them are new: 10 pictures at 36.
    assert [round(pose.pan_deg) for pose in level][:3] == [-162, -126, -90]
    assert len(level) == 10
    # By hand: looking down by 50, its upper edge reaches 32.9 to each side (the tangent is 0.5774 /
    # (cos 50 + 0.3248 sin 50)), and its lower one further; 65.9 less 35 % is 42.8: 9 pictures.
    down = plan_sweep(None, FOV, SweepConfig(tilt_deg=-50, overlap=0.35))
    assert len(down) == 9
    assert len(plan_sweep(None, FOV, SweepConfig(zoom=0.5, overlap=0.35))) == 40


def test_a_head_with_almost_360_degrees_closes_the_panorama() -> None:
    for ends in (Range(low=-170, high=170), Range(low=0, high=355), Range(low=0, high=360)):
        assert len(plan_sweep(ends, FOV, SweepConfig())) == 10
    linear = plan_sweep(Range(low=-100, high=100), FOV, SweepConfig())
    assert (linear[0].pan_deg, linear[-1].pan_deg) == (-100, 100)


class Pole:
    """A simulated head on a pole, with a camera that gives a picture each second."""

    def __init__(self, poses: tuple[Pose, ...], deadline_s: float = 120) -> None:
        self.now_s = 0.0
        self.motion = HeadSimulator(HeadMechanics(pan_deg=None), 0)
        self.rests_since_s = 0.0
        self.taken: list[tuple[float, float]] = []
        self.blind = False
        self.deaf = False
        self.forbidden: set[int] = set()
        self.requests: list[AbsoluteMove] = []
        self.sweep = Sweep(poses, OPERATOR, self.take, speed=1.0, deadline_ns=int(deadline_s * NS))

    @property
    def t_ns(self) -> int:
        return int(self.now_s * NS)

    def take(self, since_ns: int) -> Image | None:
        newest_s = float(int(self.now_s))
        if self.blind or newest_s * NS < since_ns:
            return None
        at = self.motion.state_at(self.t_ns)
        self.taken.append((at.pose.pan_deg, abs(at.pan_deg_s) + abs(at.tilt_deg_s)))
        return np.full((9, 16, 3), len(self.taken), np.uint8)

    def state(self) -> HeadState:
        at = self.motion.state_at(self.t_ns)
        if at.moving:
            self.rests_since_s = self.now_s
        position = PtzPosition(pose=at.pose, error_deg=0.1, moving=at.moving, t_ns=self.t_ns)
        return HeadState(
            head="mast",
            position=position,
            moving=at.moving,
            settled=self.now_s - self.rests_since_s >= 1.0,
            preset=None,
            lease=None,
            tour=None,
            error=None,
        )

    def run(self, seconds: float = 200) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s and self.sweep.outcome == "running":
            request = self.sweep.step(self.t_ns, self.state())
            if isinstance(request, AbsoluteMove):
                self.requests.append(request)
                if round(request.pan_deg) in self.forbidden:
                    self.sweep.on_rejected(
                        self.t_ns, request, CommandRejected("forbidden", "windows")
                    )
                elif not self.deaf:
                    self.motion.goto(self.t_ns, request.pose, request.speed)
            self.now_s += 0.25


ROUND = plan_sweep(None, FOV, SweepConfig(tilt_deg=-10))


def test_a_sweep_takes_a_picture_at_each_pose_and_never_in_motion() -> None:
    pole = Pole(ROUND)
    pole.run()
    assert pole.sweep.outcome == "done"
    assert pole.sweep.progress == 1.0
    assert [round(pan_deg) for pan_deg, _ in pole.taken] == [round(p.pan_deg) for p in ROUND]
    assert all(speed == 0 for _, speed in pole.taken)
    shots = pole.sweep.shots
    assert [int(shot.image[0, 0, 0]) for shot in shots] == list(range(1, 11))
    assert all(abs(s.pose.pan_deg - p.pan_deg) < 0.2 for s, p in zip(shots, ROUND, strict=True))
    assert pole.sweep.missing == ()


def test_a_sweep_moves_under_its_requesters_name() -> None:
    assert Pole(ROUND).sweep.requester == OPERATOR


def test_a_forbidden_pose_is_skipped_and_reported() -> None:
    pole = Pole(ROUND)
    pole.forbidden = {-90, 54}
    pole.run()
    assert pole.sweep.outcome == "done"
    assert len(pole.sweep.shots) == 8
    assert pole.sweep.missing == ("pan -90: windows", "pan 54: windows")


def test_the_last_pose_may_be_forbidden() -> None:
    pole = Pole(ROUND)
    pole.forbidden = {162}
    pole.run()
    assert pole.sweep.outcome == "done"
    assert len(pole.sweep.shots) == 9


def test_a_sweep_with_every_pose_forbidden_fails() -> None:
    pole = Pole(ROUND)
    pole.forbidden = {round(pose.pan_deg) for pose in ROUND}
    pole.run()
    assert pole.sweep.outcome == "failed"
    assert pole.sweep.outcome != "running"


def test_a_sweep_without_frames_ends_at_the_deadline() -> None:
    pole = Pole(ROUND, deadline_s=30)
    pole.blind = True
    pole.run()
    assert pole.sweep.outcome == "failed"
    assert pole.now_s == pytest.approx(30, abs=1)


def test_a_slow_sweep_returns_its_pictures_at_the_deadline() -> None:
    pole = Pole(ROUND, deadline_s=12)
    pole.run()
    assert pole.sweep.outcome == "timed_out"
    assert 0 < len(pole.sweep.shots) < 10


def test_a_cancelled_sweep_requests_no_motion() -> None:
    pole = Pole(ROUND)
    pole.run(8)
    pole.sweep.cancel()
    pole.run(1)
    assert pole.sweep.outcome == "cancelled"
    assert pole.sweep.outcome != "running"
    assert pole.sweep.step(pole.t_ns, pole.state()) is None


def test_a_head_that_does_not_move_is_sent_twice_and_given_up() -> None:
    pole = Pole((Pose(pan_deg=90, tilt_deg=0), Pose(pan_deg=0, tilt_deg=0)))
    pole.deaf = True
    pole.run()
    assert [request.pan_deg for request in pole.requests] == [90, 90, 0]
    assert pole.sweep.missing == ("pan 90: the head does not come to rest there",)
    assert pole.sweep.outcome == "done"


def test_a_stronger_requester_costs_no_pose() -> None:
    pole = Pole(ROUND[:2])
    request = pole.sweep.step(0, pole.state())
    assert request is not None
    pole.sweep.on_rejected(0, request, CommandRejected("busy", "an incident has it"))
    pole.run()
    assert pole.sweep.outcome == "done"
    assert pole.sweep.missing == ()
    assert len(pole.sweep.shots) == 2


def test_a_frame_is_converted_without_loss() -> None:
    image = np.zeros((36, 64, 3), np.uint8)
    image[:, :32] = (200, 40, 90)
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420).reshape(-1)
    frame = Frame(
        seq=0,
        t_ns=0,
        y=planes[: 36 * 64].reshape(36, 64),
        u=planes[36 * 64 : 36 * 80].reshape(18, 32),
        v=planes[36 * 80 :].reshape(18, 32),
    )
    back = frame_to_bgr(frame)
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image)[:, (10, 50)].max() < 6
    assert frame_to_bgr(frame, max_width_px=32).shape == (18, 32, 3)
