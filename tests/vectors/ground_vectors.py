"""The vectors of ground calibration: `python -m tests.vectors.ground_vectors` writes tests/vectors/ground.

Each file has marks as in a scene and either the refusal or the plane, places and densities that follow. The places
of simulated cameras are those of the camera's pose; `tolerance_m` is how far either implementation may be off.
"""

import json
import random
from pathlib import Path
from typing import Any

import msgspec

from agent.base.errors import UserError
from agent.detection.ground_marks import GroundMarks, GroundPoint, MarkedPoint
from agent.detection.ground_plane import GroundPlane, calibrate
from agent.detection.scene import decode_scene
from agent.detection.view_monitor import MIN_EDGE_SCALE
from drivers.media import Point
from tests.ground_camera import STREET, GroundCamera

FOLDER = Path(__file__).parent / "ground"
WIDTH_PX, HEIGHT_PX = 1920, 1080
POINTS = [[0.5, 0.5], [0.2, 0.9], [0.85, 0.6], [0.4, 0.35], [0.5, 0.02]]
LINES = [[[-3.0, 12.0], [3.0, 12.5]], [[0.0, -20.0], [0.0, 30.0]], [[-300.0, 10.0], [-290.0, 10.0]]]
POLYGONS = [
    [[-2.0, 10.0], [2.0, 10.0], [2.0, 20.0], [-2.0, 20.0]],
    [[-2.0, -5.0], [2.0, -5.0], [2.0, 60.0], [-2.0, 60.0]],
    [[100.0, -5.0], [102.0, -5.0], [102.0, -9.0]],
]
MORE = [*STREET, (0.0, 10.0), (0.0, 18.0)]
LENGTHS = [
    ((-3.0, 10.0), (3.0, 10.0)),
    ((2.0, 9.0), (2.0, 16.0)),
    ((-3.0, 18.0), (3.0, 18.0)),
    ((-3.0, 9.0), (-3.0, 16.0)),
]


def describe(name: str, marks: dict[str, Any], tolerance_m: float = 1e-5) -> dict[str, Any]:
    """Return a vector: what Python makes of the marks."""
    vector: dict[str, Any] = {"name": name, "ground": marks, "tolerance_m": tolerance_m}
    decoded = msgspec.convert(marks, GroundMarks)
    try:
        plane = calibrate(decoded)
    except UserError as error:
        vector["error"] = str(error)
        return vector
    vector["error"] = None
    vector["plane"] = {
        "error_m": plane.error_m,
        "mark_errors_m": plane.mark_errors_m,
        "fit_error_m": plane.fit_error_m,
        "set_aside": plane.set_aside,
        "distortion": plane.distortion,
        "edge_scale": plane.edge_scale,
        "is_bent": plane.edge_scale < MIN_EDGE_SCALE,
    }
    vector["points"] = [describe_point(plane, point) for point in POINTS]
    vector["places"] = [
        {"place": place, "point": _point(plane.to_picture(*place))}
        for place in ([0.0, 12.0], [5.0, 30.0], [0.0, -40.0])
    ]
    vector["lines"] = [
        {"metres": line, "picture": placed(marks, "line", {"from_m": line[0], "to_m": line[1]})}
        for line in LINES
    ]
    vector["polygons"] = [
        {"metres": polygon, "picture": placed(marks, "zone", {"polygon_m": polygon})}
        for polygon in POLYGONS
    ]
    return vector


def describe_point(plane: GroundPlane, point: list[float]) -> dict[str, Any]:
    found = plane.to_ground(Point(*point))
    return {
        "point": point,
        "place": None if found is None else [found.x_m, found.y_m],
        "error_m": None if found is None else found.error_m,
        "px_per_m": plane.pixels_per_metre(Point(*point), WIDTH_PX, HEIGHT_PX),
    }


def placed(marks: dict[str, Any], kind: str, keys: dict[str, Any]) -> list[list[float]] | None:
    """Return the part of a line or a zone in metres that the picture shows, or None."""
    tables = {"ground": marks, kind: [{"name": "a", **keys}]}
    try:
        scene = decode_scene(tables, "scene.toml")
    except UserError:
        return None
    corners = scene.zone[0].polygon if scene.zone else (scene.line[0].start, scene.line[0].to)
    return [[corner.x, corner.y] for corner in corners]


def _point(point: Point | None) -> list[float] | None:
    return None if point is None else [point.x, point.y]


def as_tables(marks: GroundMarks) -> dict[str, Any]:
    """Return marks as a TOML file has them."""
    tables: dict[str, Any] = json.loads(msgspec.json.encode(marks))
    points = [
        {key: value for key, value in one.items() if value is not None} for one in tables["point"]
    ]
    filled = {"point": points} | {key: tables[key] for key in ("length", "straight") if tables[key]}
    filled |= {key: tables[key] for key in ("camera_height_m", "aspect") if tables[key] is not None}
    return {key: value for key, value in filled.items() if value}


def noisy(marks: GroundMarks, seed: int, point: float, metres: float) -> GroundMarks:
    rng = random.Random(seed)
    points = []
    for one in marks.point:
        assert one.metres is not None
        at = Point(
            round(one.at.x + rng.gauss(0, point), 4), round(one.at.y + rng.gauss(0, point), 4)
        )
        place = GroundPoint(
            round(one.metres.x_m + rng.gauss(0, metres), 2),
            round(one.metres.y_m + rng.gauss(0, metres), 2),
        )
        points.append(MarkedPoint(at=at, metres=place))
    return msgspec.structs.replace(marks, point=tuple(points))


def changed(marks: GroundMarks, index: int, **changes: object) -> GroundMarks:
    points = list(marks.point)
    points[index] = msgspec.structs.replace(points[index], **changes)
    return msgspec.structs.replace(marks, point=tuple(points))


def known_lengths(camera: GroundCamera, count: int) -> dict[str, Any]:
    return {
        "length": [
            {"from": [one.start.x, one.start.y], "to": [one.to.x, one.to.y], "metres": one.metres}
            for one in (camera.mark_length(*ends) for ends in LENGTHS[:count])
        ],
        "camera_height_m": 6.0,
        "aspect": 16 / 9,
    }


def through_lens(
    distortion: float, *straight: tuple[tuple[float, float], tuple[float, float]]
) -> GroundMarks:
    """Return marks and lines, each by its two ends, as a wide lens shows them."""
    camera = GroundCamera(distortion=distortion, tilt_deg=30)
    return msgspec.structs.replace(
        camera.mark([*STREET, (-7.0, 12.0)], digits=4),
        straight=tuple(camera.straight(*line) for line in straight),
    )


def vectors() -> list[dict[str, Any]]:
    """Return all vectors."""
    camera = GroundCamera(pan_deg=8, roll_deg=1)
    level = GroundCamera()
    wide = through_lens(-0.2, ((-4, 6.5), (4, 6.5)), ((-6, 9), (-6, 20)))
    four = camera.mark(STREET[:4], digits=4)
    six = camera.mark(STREET, digits=4)
    eight = camera.mark(MORE, digits=4)
    lengths = known_lengths(level, 3)
    positions = [
        {"at": [one.at.x, one.at.y], "position": [33.5731 + y / 110922, -7.5898 + x / 92801]}
        for one, (x, y) in zip(eight.point, MORE, strict=True)
    ]
    exchanged = changed(
        changed(four, 0, metres=four.point[1].metres), 1, metres=four.point[0].metres
    )
    line = [(0.0, y_m) for y_m in (8.0, 10.0, 13.0, 17.0, 25.0)]
    near = [(0.0, 40.0), (1.5, 40.0), (0.0, 43.0), (1.6, 43.5)]
    return [
        describe("four_marks", as_tables(four)),
        describe("six_marks", as_tables(six)),
        describe("eight_marks_by_hand", as_tables(noisy(eight, 3, 0.002, 0.1))),
        describe("a_mark_set_aside", as_tables(changed(noisy(eight, 4, 0.001, 0.05), 5, metres=GroundPoint(14, 25)))),
        describe("positions", {"point": positions}),
        describe("positions_at_the_date_line", {"point": [
            {"at": one["at"], "position": [17.0 + y / 110660, (180 + x / 106450 + 180) % 360 - 180]}
            for one, (x, y) in zip(positions, MORE, strict=True)
        ]}),
        describe("lens_distortion", as_tables(wide)),
        describe("lens_that_bends_too_much", as_tables(through_lens(-0.5, ((-6, 6), (6, 6)), ((-7, 8), (-7, 20))))),
        describe("two_lengths", lengths | {"length": lengths["length"][:2]}, 1e-4),
        describe("three_lengths", lengths, 1e-4),
        describe("four_lengths_of_a_camera_with_roll", known_lengths(GroundCamera(roll_deg=3), 4), 1e-4),
        describe("neither", {"aspect": 1.5}),
        describe("both", as_tables(six) | lengths),
        describe("no_height", {"length": lengths["length"], "aspect": 16 / 9}),
        describe("useless_height", as_tables(six) | {"camera_height_m": 6.0}),
        describe("no_aspect", {key: value for key, value in as_tables(wide).items() if key != "aspect"}),
        describe("no_place", {"point": [*as_tables(six)["point"][:5], {"at": [0.5, 0.5]}]}),
        describe("two_kinds", {"point": [*as_tables(six)["point"][:5], positions[7]]}),
        describe("same_point", as_tables(changed(six, 3, at=six.point[1].at))),
        describe("same_place", as_tables(changed(six, 3, metres=six.point[1].metres))),
        describe("far_place", as_tables(changed(six, 3, metres=GroundPoint(4, 9000)))),
        describe("on_a_line", as_tables(camera.mark([*line, (4.0, 14.0)], digits=6))),
        describe("exchanged", as_tables(exchanged)),
        describe("mirrored", {"point": [
            {"at": one["at"], "metres": [-one["metres"][0], one["metres"][1]]} for one in as_tables(six)["point"]
        ]}),
        describe("contradicting", as_tables(noisy(camera.mark([*MORE, (2.0, 12.0), (-2.0, 20.0)]), 2, 0, 1.4))),
        describe("close_together", as_tables(GroundCamera(tilt_deg=12).mark(near, digits=6))),
        describe("straight_short", as_tables(six) | {"straight": [[[0.5, 0.2], [0.51, 0.21], [0.52, 0.22]]]}),
        describe("straight_bent", as_tables(six) | {"straight": [[[0.1, 0.9], [0.3, 0.8], [0.6, 0.95], [0.9, 0.85]]]}),
        describe("straight_in_the_middle", as_tables(six) | {"straight": [[[0.5, 0.2], [0.5, 0.5], [0.5, 0.9]]]}),
        describe("same_end", lengths | {"length": [
            lengths["length"][0] | {"to": lengths["length"][0]["from"]}, lengths["length"][1]
        ]}),
        describe("contradicting_lengths", lengths | {"length": [
            *lengths["length"][:2], lengths["length"][2] | {"metres": 9.0}
        ]}),
        describe("height_of_another_camera", lengths | {"camera_height_m": 60.0}),
    ]  # fmt: skip


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for vector in vectors():
        text = json.dumps(vector, indent=1)
        (FOLDER / f"{vector['name']}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
