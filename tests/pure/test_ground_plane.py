"""agent.detection.ground_plane and the modules below it, against cameras of known pose."""

import math
import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.detection.ground_marks import (
    GeoPosition,
    GroundMarks,
    GroundPoint,
    KnownLength,
    MarkedPoint,
    geo_position,
    local_metres,
)
from agent.detection.ground_plane import MAX_ERROR_M, MEASURED_ERROR_M, calibrate, fit_plane
from agent.detection.lens_distortion import POINT_ERROR
from drivers.media import Point
from tests.ground_camera import STREET, GroundCamera
from tests.pure.ground_rig import cameras, refusal, replaced

seeds = st.integers(0, 10_000)


@given(cameras, seeds, st.integers(4, 12))
@settings(max_examples=60)
def test_exact_marks_give_every_place_back(camera: GroundCamera, seed: int, count: int) -> None:
    rng = random.Random(seed)
    places = camera.visible_places(rng, count + 5, max_m=30)
    assume(len(places) == count + 5)
    try:
        plane = calibrate(camera.mark(places[:count]))
    except UserError:
        assume(False)
    assert plane.set_aside == ()
    assert plane.fit_error_m < 1e-4
    assert (plane.error_m is None) == (count == 4) or plane.mark_errors_m.count(None) == count
    for x_m, y_m in places[count:]:
        seen = camera.see(x_m, y_m)
        assert seen is not None
        point, depth = seen
        found = plane.to_ground(point)
        assert found is not None
        assert math.dist((found.x_m, found.y_m), (x_m, y_m)) < 1e-3
        back = plane.to_picture(x_m, y_m)
        assert back is not None
        assert math.dist((back.x, back.y), (point.x, point.y)) < 1e-5
        width_px = round(1080 * camera.aspect)
        density = plane.pixels_per_metre(point, width_px, 1080)
        assert density == pytest.approx(camera.focal / depth * 1080, rel=1e-2)


@given(cameras, seeds)
@settings(max_examples=40)
def test_marks_on_a_line_are_refused(camera: GroundCamera, seed: int) -> None:
    rng = random.Random(seed)
    places = camera.visible_places(rng, 3, max_m=30)
    assume(len(places) == 3)
    (x1, y1), (x2, y2), off_line = places
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    on_line = [(x1 + (x2 - x1) * share, y1 + (y2 - y1) * share) for share in shares]
    message = refusal(camera.mark([*on_line, off_line]))
    # The place that is off the line may be seen at the point of one that is on it.
    assume("the same point as" not in message)
    assert "on a line" in message


@given(cameras, seeds)
@settings(max_examples=40)
def test_a_mirrored_ground_is_refused(camera: GroundCamera, seed: int) -> None:
    places = camera.visible_places(random.Random(seed), 6, max_m=30)
    assume(len(places) == 6)
    marks = camera.mark(places)
    mirrored = tuple(
        msgspec.structs.replace(one, metres=GroundPoint(-x_m, y_m))
        for one, (x_m, y_m) in zip(marks.point, places, strict=True)
    )
    message = refusal(msgspec.structs.replace(marks, point=mirrored))
    assert "mirrored" in message or "on a line" in message


def test_two_exchanged_marks_are_refused() -> None:
    marks = GroundCamera().mark(STREET[:4])
    first, second = marks.point[0].metres, marks.point[1].metres
    exchanged = replaced(replaced(marks, 0, metres=second), 1, metres=first)
    assert "no camera sees these places" in refusal(exchanged)


@pytest.mark.parametrize(
    ("index", "changes", "message"),
    [
        (1, {"metres": None}, r"ground.point\[1\]: has neither of `metres` and `position`"),
        (1, {"position": GeoPosition(33.5, -7.6)}, r"ground.point\[1\]: has both"),
        (
            1,
            {"metres": None, "position": GeoPosition(33.5, -7.6)},
            r"ground.point\[1\].position: another kind than point\[0\]; allowed: the same kind",
        ),
        (
            3,
            {"at": Point(0.25, 0.75)},
            r"ground.point\[4\].at = \[0.250, 0.750\]: the same point as point\[3\]",
        ),
        (3, {"metres": GroundPoint(4.0, 8.0)}, r"ground.point\[3\].metres: 0.00 m from point\[1\]"),
        (3, {"metres": GroundPoint(4.0, 9000.0)}, r"allowed: 0.05 to 2000 m"),
    ],
)
def test_a_wrong_mark_is_named(index: int, changes: dict[str, object], message: str) -> None:
    marks = replaced(GroundCamera().mark(STREET), 4, at=Point(0.25, 0.75))
    with pytest.raises(UserError, match=message):
        calibrate(replaced(marks, index, **changes))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "ground: has neither of `point` and `length`; allowed: one of them"),
        ({"point": STREET, "length": True, "camera_height_m": 6.0}, "ground: has both"),
        ({"length": True}, "ground.camera_height_m: missing; it has to be given with `length`"),
        ({"point": STREET, "camera_height_m": 6.0}, "ground.camera_height_m = 6.0: has no use"),
        (
            {"length": True, "camera_height_m": 6.0, "aspect": None},
            "ground.aspect: missing; it has to be given with `length`",
        ),
        (
            {"point": STREET, "straight": True, "aspect": None},
            "ground.aspect: missing; it has to be given with `straight`",
        ),
    ],
)
def test_keys_that_do_not_belong_together_are_named(keys: dict[str, object], message: str) -> None:
    camera = GroundCamera()
    values = keys | {"aspect": keys.get("aspect", camera.aspect)}
    if "point" in keys:
        values["point"] = camera.mark(STREET).point
    if "length" in keys:
        values["length"] = (
            camera.mark_length((-3, 12), (3, 12)),
            camera.mark_length((2, 10), (2, 22)),
        )
    if "straight" in keys:
        values["straight"] = (camera.straight((-5, 8), (5, 8)),)
    assert message in refusal(GroundMarks(**values))  # type: ignore[arg-type]


def test_a_mistaken_mark_is_set_aside_and_its_error_is_known() -> None:
    places = [*STREET, (0.0, 10.0), (0.0, 18.0)]
    marks = GroundCamera().mark(places, digits=3)
    wrong = replaced(marks, 5, metres=GroundPoint(14.0, 25.0))
    plane = calibrate(wrong)
    assert plane.set_aside == (5,)
    assert plane.mark_errors_m[5] == pytest.approx(10, abs=1)
    assert plane.worst_error_m == plane.mark_errors_m[5]
    assert plane.error_m is not None
    assert plane.error_m < 0.3


def test_held_out_errors_are_larger_than_those_of_the_fit() -> None:
    rng = random.Random(5)
    marks = GroundCamera().mark([*STREET, (0.0, 10.0)])
    for index, one in enumerate(marks.point):
        at = Point(one.at.x + rng.gauss(0, 0.002), one.at.y + rng.gauss(0, 0.002))
        marks = replaced(marks, index, at=at)
    plane = calibrate(marks)
    assert plane.error_m is not None
    assert plane.error_m > 1.5 * plane.fit_error_m > 0


def test_marks_that_contradict_each_other_are_refused_with_the_worst_one() -> None:
    rng = random.Random(2)
    places = [*STREET, (0.0, 10.0), (0.0, 18.0), (2.0, 12.0), (-2.0, 20.0)]
    marks = GroundCamera().mark(places)
    for index, (x_m, y_m) in enumerate(places):
        metres = GroundPoint(x_m + rng.uniform(-2, 2), y_m + rng.uniform(-2, 2))
        marks = replaced(marks, index, metres=metres)
    message = refusal(marks)
    assert "held out, a mark is" in message
    assert "allowed: at most 1 m" in message
    error_m = fit_plane(marks).error_m
    assert error_m is not None
    assert error_m > MAX_ERROR_M


def test_marks_close_together_are_refused() -> None:
    near = [(0.0, 40.0), (1.5, 40.0), (0.0, 43.0), (1.6, 43.5)]
    assert "2 pixels at the marks move positions next to them by" in refusal(
        GroundCamera(tilt_deg=12).mark(near)
    )


def test_the_error_of_a_place_is_that_of_cameras_marked_by_hand() -> None:
    """With marks placed as people place them, most places are within the stated error, and not all."""
    rng = random.Random(7)
    camera = GroundCamera(tilt_deg=20)
    places = [*STREET, (0.0, 35.0), (-8.0, 18.0)]
    exact = camera.mark(places)
    within = total = 0
    for _ in range(30):
        marks = exact
        for index, one in enumerate(exact.point):
            at = Point(
                one.at.x + rng.gauss(0, 0.002) / camera.aspect, one.at.y + rng.gauss(0, 0.002)
            )
            x_m, y_m = places[index]
            metres = GroundPoint(x_m + rng.gauss(0, 0.1), y_m + rng.gauss(0, 0.1))
            marks = replaced(marks, index, at=at, metres=metres)
        plane = fit_plane(marks)
        for x_m, y_m in ((0.0, 12.0), (3.0, 20.0), (-2.0, 30.0), (6.0, 45.0), (2.0, 9.0)):
            seen = camera.see(x_m, y_m)
            assert seen is not None
            found = plane.to_ground(seen[0], point_error=0.0)
            assert found is not None
            total += 1
            within += math.dist((found.x_m, found.y_m), (x_m, y_m)) < found.error_m
    assert 0.6 < within / total < 0.98


def test_the_error_of_a_length_is_that_of_cameras_marked_by_hand() -> None:
    """Ten metres along the street, between the marks and behind them."""
    camera, rng = GroundCamera(), random.Random(5)
    places = ((-6.0, 8.0), (6.0, 8.0), (-6.0, 20.0), (6.0, 20.0), (-6.0, 35.0), (6.0, 35.0))
    off: dict[float, list[float]] = {10.0: [], 40.0: []}
    stated: dict[float, list[float]] = {10.0: [], 40.0: []}
    for _ in range(120):
        plane = fit_plane(marked_by_hand(camera, places, rng))
        for y_m, found in off.items():
            ends = [camera.see(0.0, end_m) for end_m in (y_m, y_m + 10.0)]
            start, end = (plane.place_m(seen[0]) for seen in ends if seen is not None)
            assert start is not None
            assert end is not None
            found.append(math.dist(start, end) - 10.0)
            stated[y_m].append(plane.length_error_m(start, end))
    for y_m, found in off.items():
        spread = math.sqrt(sum(one * one for one in found) / len(found))
        # Held-out errors scale the stated one, by 1 or more.
        assert spread < sum(stated[y_m]) / len(found) < 2.5 * spread
    plane = fit_plane(camera.mark(list(places)))
    assert plane.length_error_m((0.0, 10.0), (0.0, 10.0)) == 0


def marked_by_hand(
    camera: GroundCamera, places: Sequence[tuple[float, float]], rng: random.Random
) -> GroundMarks:
    """Marks with the errors that a calibration assumes."""
    points = []
    for x_m, y_m in places:
        seen = camera.see(x_m, y_m)
        assert seen is not None
        at = Point(
            seen[0].x + rng.gauss(0, POINT_ERROR) / camera.aspect,
            seen[0].y + rng.gauss(0, POINT_ERROR),
        )
        metres = GroundPoint(
            x_m + rng.gauss(0, MEASURED_ERROR_M), y_m + rng.gauss(0, MEASURED_ERROR_M)
        )
        points.append(MarkedPoint(at=at, metres=metres))
    return GroundMarks(point=tuple(points), aspect=camera.aspect)


def test_a_place_far_away_has_a_larger_error_and_the_sky_has_none() -> None:
    camera = GroundCamera(tilt_deg=20)
    plane = calibrate(camera.mark(STREET))
    errors = []
    for y_m in (8.0, 15.0, 30.0, 60.0):
        seen = camera.see(0.0, y_m)
        assert seen is not None
        found = plane.to_ground(seen[0])
        assert found is not None
        errors.append(found.error_m)
    assert errors == sorted(errors)
    horizon = 0.5 - camera.focal * math.tan(math.radians(camera.tilt_deg))
    above = Point(0.5, horizon - 0.01)
    assert plane.to_ground(above) is None
    assert plane.pixels_per_metre(above, 1920, 1080) == 0
    assert plane.to_picture(0.0, -50.0) is None


@given(st.floats(-60, 60), st.floats(-180, 179.9), st.floats(-300, 300), st.floats(-300, 300))
def test_a_position_is_as_far_away_as_on_the_earth(
    latitude: float, longitude: float, east_m: float, north_m: float
) -> None:
    """Against the haversine formula on a sphere, which is right to 0.6 %."""
    origin = GeoPosition(latitude, longitude)
    other = GeoPosition(
        latitude + math.degrees(north_m / 6_371_000),
        (longitude + math.degrees(east_m / 6_371_000 / math.cos(math.radians(latitude))) + 540)
        % 360
        - 180,
    )
    found = local_metres(origin, other)
    assert found == pytest.approx((east_m, north_m), rel=0.008, abs=0.01)


@given(st.floats(-80, 80), st.floats(-180, 179.9), st.floats(-9000, 9000), st.floats(-9000, 9000))
def test_metres_have_the_position_that_has_these_metres(
    latitude: float, longitude: float, east_m: float, north_m: float
) -> None:
    origin = GeoPosition(latitude, longitude)
    position = geo_position(origin, east_m, north_m)
    assert -180 <= position.longitude < 180
    assert local_metres(origin, position) == pytest.approx((east_m, north_m), abs=0.001)


def test_marks_by_position_are_east_and_north_of_the_first() -> None:
    camera = GroundCamera(pan_deg=40)
    places = camera.visible_places(random.Random(4), 7, max_m=30)
    origin = GeoPosition(33.5731, -7.5898)
    first = places[0]
    unit_m = local_metres(origin, GeoPosition(origin.latitude + 0.001, origin.longitude + 0.001))
    points = tuple(
        MarkedPoint(
            at=one.at,
            position=GeoPosition(
                origin.latitude + (y_m - first[1]) / unit_m[1] * 0.001,
                origin.longitude + (x_m - first[0]) / unit_m[0] * 0.001,
            ),
        )
        for one, (x_m, y_m) in zip(camera.mark(places).point, places, strict=True)
    )
    plane = calibrate(GroundMarks(point=points))
    assert plane.origin == origin
    found = plane.to_ground(points[3].at)
    assert found is not None
    expected = (places[3][0] - first[0], places[3][1] - first[1])
    assert (found.x_m, found.y_m) == pytest.approx(expected, abs=0.01)


coarse = st.integers(0, 20).map(lambda step: step / 20)
any_points = st.builds(Point, coarse | st.floats(0, 1), coarse | st.floats(0, 1))
any_metres = st.integers(-20, 20).map(float) | st.floats(-10_000, 10_000)
any_marks = st.builds(
    GroundMarks,
    point=st.lists(
        st.builds(MarkedPoint, at=any_points, metres=st.builds(GroundPoint, any_metres, any_metres))
        | st.builds(
            MarkedPoint,
            at=any_points,
            position=st.builds(GeoPosition, st.floats(-85, 85), st.floats(-180, 180)),
        ),
        min_size=4,
        max_size=8,
    ).map(tuple)
    | st.just(()),
    length=st.lists(
        st.builds(KnownLength, start=any_points, to=any_points, metres=st.floats(0.5, 1000)),
        min_size=2,
        max_size=4,
    ).map(tuple)
    | st.just(()),
    camera_height_m=st.none() | st.floats(1, 100),
    straight=st.lists(
        st.lists(any_points, min_size=3, max_size=5).map(tuple), min_size=1, max_size=3
    ).map(tuple)
    | st.just(()),
    aspect=st.none() | st.floats(0.2, 5),
)


@given(any_marks, any_points)
@settings(max_examples=150)
def test_any_marks_give_a_plane_or_one_line(marks: GroundMarks, point: Point) -> None:
    try:
        plane = calibrate(marks)
    except UserError as error:
        assert str(error).startswith("ground")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        return
    found = plane.to_ground(point)
    if found is not None:
        assert math.isfinite(found.x_m + found.y_m + found.error_m)
    assert plane.pixels_per_metre(point, 1920, 1080) >= 0


@given(cameras, seeds, st.integers(4, 12), st.integers(0, 4), st.sampled_from([1, 2, 3, 12]))
@settings(max_examples=60)
def test_damaged_marks_give_a_plane_or_one_line(
    camera: GroundCamera, seed: int, count: int, damaged: int, digits: int
) -> None:
    rng = random.Random(seed)
    marks = camera.mark(camera.visible_places(rng, count), digits=digits)
    assume(len(marks.point) == count)
    for _ in range(damaged):
        index = rng.randrange(count)
        if rng.random() < 0.5:
            marks = replaced(marks, index, at=Point(rng.random(), rng.random()))
        else:
            size_m = rng.choice((1.0, 30.0, 1000.0))
            metres = GroundPoint(rng.uniform(-size_m, size_m), rng.uniform(-size_m, size_m))
            marks = replaced(marks, index, metres=metres)
    try:
        plane = calibrate(marks)
    except UserError as error:
        assert str(error).startswith("ground.point")  # noqa: PT017
        return
    assert plane.error_m is None or plane.error_m <= MAX_ERROR_M
    for x, y in ((0.5, 0.9), (0.1, 0.5), (0.9, 0.1)):
        found = plane.to_ground(Point(x, y))
        assert found is None or math.isfinite(found.x_m + found.y_m + found.error_m)
