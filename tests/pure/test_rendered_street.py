"""simulation.street: reproducible, lawful traffic at the positions of its ground truth."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.street.fixed_view import FixedView, TruthBox, truth_boxes
from simulation.street.renderer import SceneConditions, StreetRenderer
from simulation.street.world import (
    CROSSING_Z_M,
    CYCLE_S,
    KERB_LANE_M,
    ROAD_HALF_M,
    road_users_at,
)

VIEW = FixedView(320, 180)
DAY = SceneConditions(night=False, rain=0.0, noise=0.0)


@given(t_s=st.floats(0, 600), seed=st.integers(0, 5))
def test_truth_boxes_lie_in_the_picture_and_appear_once_each(t_s: float, seed: int) -> None:
    boxes = truth_boxes(seed, t_s, VIEW)
    assert len({box.id for box in boxes}) == len(boxes)
    for box in boxes:
        assert 0 <= box.x <= box.x + box.w <= 1 + 1e-9
        assert 0 <= box.y <= box.y + box.h <= 1 + 1e-9
        assert box.w > 0
        assert box.h > 0
        assert box.hidden >= 0


@given(t_s=st.floats(0, 300), seed=st.integers(0, 5))
def test_no_two_road_users_collide(t_s: float, seed: int) -> None:
    cars = [m for m in road_users_at(seed, t_s) if m.label == "car"]
    for index, one in enumerate(cars):
        for other in cars[index + 1 :]:
            beside = abs(one.x_m - other.x_m) > (one.width_m + other.width_m) / 2
            apart = abs(one.z_m - other.z_m) > (one.length_m + other.length_m) / 2
            assert beside or apart, (one, other)


@given(t_s=st.floats(0, 300), seed=st.integers(0, 5))
def test_no_car_is_on_the_crossing_with_a_pedestrian(t_s: float, seed: int) -> None:
    present = road_users_at(seed, t_s)
    if any(m.activity == "crossing" for m in present):
        for car in (m for m in present if m.label == "car"):
            ends_m = (car.z_m - car.length_m / 2, car.z_m + car.length_m / 2)
            assert ends_m[1] < CROSSING_Z_M[0] or ends_m[0] > CROSSING_Z_M[1], car


def seen(doing: str, seed: int = 1) -> dict[int, list[tuple[float, float, float]]]:
    """Time and position of all road users with this behaviour in two minutes, by id, four times a second."""
    found: dict[int, list[tuple[float, float, float]]] = {}
    for step in range(int(2 * CYCLE_S * 4)):
        for mover in road_users_at(seed, step / 4):
            if mover.activity == doing:
                found.setdefault(mover.id, []).append((step / 4, mover.x_m, mover.z_m))
    return found


def test_each_minute_contains_every_event_of_the_rules() -> None:
    assert len(seen("stopped")) == 2
    assert len(seen("wrong_way")) == 2
    assert len(seen("crossing")) == 6
    assert len(seen("driving")) >= 24
    assert len(seen("walking")) >= 8


def test_the_stopped_car_stays_at_the_kerb_long_enough() -> None:
    for path in seen("stopped").values():
        assert len({(x, z) for _, x, z in path}) == 1
        assert abs(path[0][1] - KERB_LANE_M) < 0.5
        assert path[-1][0] - path[0][0] > 22


def test_the_wrong_way_car_drives_away_on_the_oncoming_lane() -> None:
    for path in seen("wrong_way").values():
        assert all(x < 0 and after > before for (_, x, before), (_, _, after) in pairwise(path))
        assert path[-1][0] - path[0][0] > 8


def test_no_road_user_jumps_between_frames() -> None:
    before = {m.id: m for m in road_users_at(3, 0.0)}
    for step in range(1, 1200):
        now = {m.id: m for m in road_users_at(3, step / 10)}
        for mover_id in now.keys() & before.keys():
            a, b = before[mover_id], now[mover_id]
            assert abs(a.x_m - b.x_m) < 0.5
            assert abs(a.z_m - b.z_m) < 1.0
        before = now


@pytest.mark.parametrize(
    "look",
    [
        DAY,
        SceneConditions(night=True, rain=0.0, noise=3.0),
        SceneConditions(night=False, rain=0.8, noise=2.0),
    ],
)
def test_the_same_seed_gives_the_same_picture(look: SceneConditions) -> None:
    one, other = (StreetRenderer(VIEW, look, 4).render(12.3, 7) for _ in range(2))
    assert one.shape == (180, 320, 3)
    assert one.tobytes() == other.tobytes()


def test_each_option_has_its_documented_effect() -> None:
    day = StreetRenderer(VIEW, DAY, 1).render(12.0, 1).astype(float)
    night = (
        StreetRenderer(VIEW, SceneConditions(night=True, rain=0, noise=0), 1)
        .render(12.0, 1)
        .astype(float)
    )
    noisy = (
        StreetRenderer(VIEW, SceneConditions(night=False, rain=0, noise=8), 1)
        .render(12.0, 1)
        .astype(float)
    )
    rainy = (
        StreetRenderer(VIEW, SceneConditions(night=False, rain=1, noise=0), 1)
        .render(12.0, 1)
        .astype(float)
    )
    assert night.mean() < 0.5 * day.mean()
    assert 6 < (noisy - day).std() < 9
    assert rainy.std() < day.std()


@pytest.mark.parametrize("t_s", [12.0, 24.0, 47.0])
def test_moving_road_users_are_drawn_at_their_truth_boxes(t_s: float) -> None:
    view = FixedView(1280, 720)
    painter = StreetRenderer(view, DAY, 1)
    empty = painter.render(-1.0, 0).astype(int)
    changed = np.abs(painter.render(t_s, 0).astype(int) - empty).max(axis=2) > 12
    boxes = truth_boxes(1, t_s, view)
    assert boxes
    for box in boxes:
        assert changed[_slice(box, view)].mean() > 0.3, box
    for box in boxes:
        # Shadows and swinging arms reach a little beyond.
        changed[_slice(box, view, grow=0.6)] = False
    on_road = [m for m in road_users_at(1, t_s) if abs(m.x_m) < ROAD_HALF_M]
    assert on_road
    assert changed.mean() < 0.002


def _slice(box: TruthBox, view: FixedView, grow: float = 0.0) -> tuple[slice, slice]:
    def span(at: float, size: float, whole: int) -> slice:
        first, last = at - grow * size - 2 / whole, at + (1 + grow) * size + 2 / whole
        if grow == 0:
            first, last = at, at + size
        return slice(max(0, round(first * whole)), round(last * whole) + 1)

    return span(box.y, box.h, view.height_px), span(box.x, box.w, view.width_px)
