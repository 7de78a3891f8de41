"""simulation.surround.surround_renderer: seamless, reproducible, and true to its ground truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.heads import FieldOfView
from agent.ptz.motion.field_of_view import Direction, direction_to_point
from drivers.contracts import Pose
from simulation.street.fixed_view import TruthBox
from simulation.street.renderer import SceneConditions
from simulation.surround.avenue import CYCLE_S, END_M, SPEED_MPS, road_users_at
from simulation.surround.panned_view import (
    POLE_HEIGHT_M,
    POLE_X_M,
    PannedView,
    truth_boxes,
    visible_road_users,
)
from simulation.surround.surround_renderer import SurroundRenderer

CLEAR = SceneConditions(night=False, rain=0.0, noise=0.0)
WIDTH, HEIGHT = 320, 180


@pytest.fixture(scope="module")
def around() -> SurroundRenderer:
    return SurroundRenderer(WIDTH, HEIGHT, CLEAR, 1, px_per_deg=5.0)


def view(pan_deg: float, tilt_deg: float, fov_deg: float = 60.0) -> PannedView:
    return PannedView(
        width_px=WIDTH, height_px=HEIGHT, pan_deg=pan_deg, tilt_deg=tilt_deg, fov_deg=fov_deg
    )


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_the_surround_view_is_seamless_at_180_degrees(around: SurroundRenderer) -> None:
    at_180 = around.render(180, -10, 60, 12.0)
    assert at_180.shape == (HEIGHT, WIDTH, 3)
    assert at_180.tobytes() == around.render(-180, -10, 60, 12.0).tobytes()
    left, right = around.render(179.99, -10, 60, 12.0), around.render(-179.99, -10, 60, 12.0)
    assert difference(left, right) < 0.6
    long = around.backdrop
    over, before, behind = (difference(long[:, one], long[:, one + 1]) for one in (-1, -2, 0))
    assert over < 1.5 * max(before, behind)


@given(
    pan_deg=st.floats(-179, 179), tilt_deg=st.floats(-60, 20), turn_deg=st.floats(-25, 25),
    up_deg=st.floats(-12, 12), fov_deg=st.floats(5, 100),
)  # fmt: skip
def test_the_renderer_uses_the_agents_pinhole_model(
    pan_deg: float, tilt_deg: float, turn_deg: float, up_deg: float, fov_deg: float
) -> None:
    """Two ways of writing the same geometry: metres to pixels, and directions to the picture."""
    pan, tilt = math.radians(pan_deg + turn_deg), math.radians(tilt_deg + up_deg)
    point = (
        POLE_X_M + 20 * math.sin(pan) * math.cos(tilt),
        POLE_HEIGHT_M + 20 * math.sin(tilt),
        20 * math.cos(pan) * math.cos(tilt),
    )
    x_px, y_px = view(pan_deg, tilt_deg, fov_deg).pixel(*point)
    place = direction_to_point(
        FieldOfView(wide=fov_deg, tele=fov_deg),
        Pose(pan_deg=pan_deg, tilt_deg=tilt_deg),
        Direction(pan_deg=pan_deg + turn_deg, tilt_deg=tilt_deg + up_deg),
    )
    assert place is not None
    assert x_px / WIDTH == pytest.approx(place.x, abs=1e-6)
    assert y_px / HEIGHT == pytest.approx(place.y, abs=1e-6)


@pytest.mark.parametrize(
    ("pan_deg", "tilt_deg", "z_m"), [(0, -14, 16.5), (-20, -20, 16.5), (180, -12, -22.5)]
)
def test_static_objects_are_drawn_at_their_coordinates(
    around: SurroundRenderer, pan_deg: float, tilt_deg: float, z_m: float
) -> None:
    """The stripes of both crossings, and the asphalt between them."""
    still = around.render_static(view(pan_deg, tilt_deg))
    found = 0
    for x_m, bright in ((-2.75, True), (-3.25, False), (-0.75, True), (0.75, False), (3.25, True)):
        x, y = (round(at) for at in view(pan_deg, tilt_deg).pixel(x_m, 0, z_m))
        if 0 <= x < WIDTH and 0 <= y < HEIGHT:
            assert (still[y, x].mean() > 160) == bright
            found += 1
    assert found >= 3


@pytest.mark.parametrize("pan_deg", [-150, -90, -45, 0, 45, 135, 180])
def test_moving_road_users_are_drawn_at_their_truth_boxes(
    around: SurroundRenderer, pan_deg: float
) -> None:
    for t_s in (3.0, 13.0, 41.0):
        still = around.effects.apply(
            around.render_static(view(pan_deg, -12)), 0, lambda _: None
        ).astype(int)
        painted = around.render(pan_deg, -12, 60, t_s)
        changed = np.abs(painted.astype(int) - still).max(axis=2) > 12
        for box in around.truth_boxes(pan_deg, -12, 60, t_s):
            if box.w * WIDTH > 3:
                assert changed[_slice(box)].mean() > 0.25, box
        for one in visible_road_users(road_users_at(1, t_s), view(pan_deg, -12)):
            left, top, right, bottom = one.extent
            grow = 0.5 * (bottom - top) + 3
            rows = slice(max(0, int(top - grow)), max(0, int(bottom + grow)))
            changed[rows, max(0, int(left - grow)) : max(0, int(right + grow))] = False
        assert not changed.any()


def _slice(box: TruthBox) -> tuple[slice, slice]:
    return (
        slice(round(box.y * HEIGHT), round((box.y + box.h) * HEIGHT) + 1),
        slice(round(box.x * WIDTH), round((box.x + box.w) * WIDTH) + 1),
    )


@given(
    pan_deg=st.floats(-180, 180), tilt_deg=st.floats(-60, 30), fov_deg=st.floats(3, 90),
    t_s=st.floats(0, 600),
)  # fmt: skip
def test_truth_boxes_lie_in_the_picture_and_appear_once_each(
    pan_deg: float, tilt_deg: float, fov_deg: float, t_s: float
) -> None:
    looks = view(pan_deg, tilt_deg, fov_deg)
    boxes = truth_boxes(visible_road_users(road_users_at(3, t_s), looks), looks)
    assert len({box.id for box in boxes}) == len(boxes)
    for box in boxes:
        assert 0 <= box.x <= box.x + box.w <= 1 + 1e-9
        assert 0 <= box.y <= box.y + box.h <= 1 + 1e-9
        assert box.hidden >= 0


def test_a_car_passing_the_pole_crosses_the_picture_without_a_jump() -> None:
    """Next to the pole it moves from one half of the street to the other."""
    looks = view(-90, -35, 80)
    before: dict[int, TruthBox] = {}
    passed = 0
    for step in range(300):
        boxes = {
            box.id: box
            for box in truth_boxes(visible_road_users(road_users_at(1, step / 50), looks), looks)
        }
        for box_id in boxes.keys() & before.keys():
            one, other = before[box_id], boxes[box_id]
            assert abs(one.x + one.w / 2 - other.x - other.w / 2) < 0.05
            assert abs(one.y - other.y) < 0.05
            passed += 1
        before = boxes
    assert passed > 20


@given(t_s=st.floats(0, 600), seed=st.integers(0, 5))
def test_no_two_road_users_collide(t_s: float, seed: int) -> None:
    cars = [mover for mover in road_users_at(seed, t_s) if mover.label == "car"]
    for index, one in enumerate(cars):
        for other in cars[index + 1 :]:
            same_lane = one.heading == other.heading
            assert not same_lane or abs(one.z_m - other.z_m) > (one.length_m + other.length_m) / 2


def test_there_is_always_a_road_user_and_none_jumps() -> None:
    before = {mover.id: mover for mover in road_users_at(2, 0.0)}
    for step in range(1, int(3 * CYCLE_S * 10)):
        now = {mover.id: mover for mover in road_users_at(2, step / 10)}
        assert any(mover.label == "car" for mover in now.values())
        assert sum(mover.label == "person" for mover in now.values()) >= 6
        for mover_id in now.keys() & before.keys():
            assert abs(now[mover_id].z_m - before[mover_id].z_m) <= SPEED_MPS / 10 + 1e-6
            assert now[mover_id].colour == before[mover_id].colour
        for mover in (now[new] for new in now.keys() - before.keys()):
            assert abs(mover.z_m) > 45, "who comes, comes from afar"
        assert all(abs(mover.z_m) <= END_M for mover in now.values())
        before = now


@pytest.mark.parametrize("look", [CLEAR, SceneConditions(night=True, rain=0.5, noise=3.0)])
def test_the_same_seed_gives_the_same_picture(look: SceneConditions) -> None:
    one, other = (
        SurroundRenderer(WIDTH, HEIGHT, look, 4, px_per_deg=2.0).render(-60, -15, 50, 12.3, 7)
        for _ in range(2)
    )
    assert one.tobytes() == other.tobytes()


def test_looking_straight_down_shows_the_foot_of_the_pole(around: SurroundRenderer) -> None:
    """The kerb, half a metre to the left of the pole, whichever way round."""
    for pan_deg in (0, 90, 180):
        looks = view(pan_deg, -90)
        still = around.render_static(looks)
        x, y = (round(at) for at in looks.pixel(5.72, 0, 0.3))
        road_x, road_y = (round(at) for at in looks.pixel(4.5, 0, 0.3))
        assert still[y, x].mean() > 160
        assert still[road_y, road_x].mean() < 110
