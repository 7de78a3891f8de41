"""True speeds of vehicles, the ground below them, and the published tracks that belong to them (BrnoCompSpeed).

The data has no licence and is not part of the project: `brno_<view>.json.gz` in the folder `ground` of `shared` next to the
project, or in VIGIE_GROUND_MARKS. The reference ground of a view is a camera with roll that sees the measured distances,
the lane lines along the road and the measurement lines across it, corrected along the road by the speeds of every
second vehicle. The others are measured.
"""

import gzip
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from agent.detection.ground_marks import GroundMarks, GroundPoint, KnownLength, MarkedPoint
from bench.ground import FOLDER
from drivers.media import Point

Array = npt.NDArray[np.float64]

DISTANCE_ERROR_M, DIRECTION_ERROR_RAD, ACROSS_ERROR_RAD = 0.05, 0.005, 0.02
"""Of the measured distances, the lane lines and the measurement lines."""
MAX_PARAMETER = 7.0
"""Angles in radians, logarithms of lengths and stretches are smaller: a fit that would go beyond it takes a smaller step."""
MAX_JOIN_S = 0.12
"""A track belongs to a vehicle that was at its middle place by this much earlier or later."""
MIN_TRACK_PLACES = 4
MIN_CORRECTION_S = 1.0
"""Shorter tracks do not correct the ground along the road."""
FROZEN_M = 4.0
"""Before the nearest measurement line the published tracks stop at the picture's edge."""


class Distance(msgspec.Struct, frozen=True):
    """Two points of the picture on the road, and the metres between them."""

    from_px: tuple[float, float]
    to_px: tuple[float, float]
    metres: float
    along_road: bool


class Car(msgspec.Struct, frozen=True):
    """A vehicle: its lane, its mean speed, and the times at measurement lines, in s by the line's index."""

    lane: int
    speed_km_h: float
    crossings: tuple[tuple[int, float], ...]


class PublishedTrack(msgspec.Struct, frozen=True):
    """The points on the road of one vehicle, by the number of the frame."""

    frames: list[int]
    x_px: list[float]
    y_px: list[float]


class View(msgspec.Struct, frozen=True):
    """One view of the set. A line has a, b and c of a x + b y + c = 0."""

    view: str
    fps: float
    width_px: int
    height_px: int
    distances: list[Distance]
    lines: list[tuple[float, float, float]]
    lane_lines: list[tuple[float, float, float]]
    cars: list[Car]
    tracks: list[PublishedTrack]


class TrueTrack(msgspec.Struct, frozen=True):
    """A published track, and the true speed of its vehicle."""

    number: int
    t_s: Array
    points_px: Array
    car: int
    speed_km_h: float


class TrueView(msgspec.Struct, frozen=True):
    """A view with its reference ground: x across the road and y along it, from its middle.

    `near_y_m` and `far_y_m` are the first and the last measurement line.
    """

    view: View
    to_ground: Array
    height_m: float
    near_y_m: float
    far_y_m: float
    tracks: list[TrueTrack]

    def marks(self) -> GroundMarks:
        """Return marks of the reference ground, as a person would set them at twelve places."""
        to_picture = np.linalg.inv(self.to_ground)
        places = [
            (x_m, float(y_m))
            for y_m in np.linspace(self.near_y_m, self.far_y_m, 4)
            for x_m in (-4.0, 0.0, 4.0)
        ]
        seen = _project(to_picture, np.array(places))
        return GroundMarks(
            point=tuple(
                MarkedPoint(at=self.point(at), metres=GroundPoint(*place))
                for place, at in zip(places, seen, strict=True)
            ),
            aspect=self.view.width_px / self.view.height_px,
        )

    def lengths(self) -> GroundMarks:
        """Return the measured distances as known lengths, with the height of the reference camera."""
        return GroundMarks(
            length=tuple(
                KnownLength(
                    start=self.point(np.array(one.from_px)),
                    to=self.point(np.array(one.to_px)),
                    metres=one.metres,
                )
                for one in self.view.distances
            ),
            camera_height_m=self.height_m,
            aspect=self.view.width_px / self.view.height_px,
        )

    def point(self, at_px: Array) -> Point:
        """Return a point in shares of the picture."""
        return Point(float(at_px[0]) / self.view.width_px, float(at_px[1]) / self.view.height_px)

    def line_at(self, share: float) -> tuple[Point, Point]:
        """Return a line across the road, at a share of the way from the nearest measurement line to the farthest."""
        y_m = self.near_y_m + share * (self.far_y_m - self.near_y_m)
        ends = _project(np.linalg.inv(self.to_ground), np.array([(-8.0, y_m), (8.0, y_m)]))
        return self.point(ends[0]), self.point(ends[1])


def views() -> Iterator[TrueView]:
    """Yield the views whose files are there."""
    for path in sorted(FOLDER.glob("brno_*.json.gz")):
        yield read_view(path)


def read_view(path: Path) -> TrueView:
    """Read one view and join its tracks with its vehicles."""
    view = msgspec.json.decode(gzip.decompress(path.read_bytes()), type=View)
    camera = _fit_camera(view)
    to_ground = _camera_to_ground(camera, view)
    yaw = camera[4]
    middle = float(np.mean([one[:, 1] for one in _lines_m(to_ground, view, yaw)]))
    turn = np.array(
        [
            [math.cos(yaw), -math.sin(yaw), 0.0],
            [math.sin(yaw), math.cos(yaw), -middle],
            [0.0, 0.0, 1.0],
        ]
    )
    to_ground = turn @ to_ground
    to_ground = _centre_lanes(to_ground, view)
    joined = _join(to_ground, view)
    to_ground = _correct_along(to_ground, view, joined)
    along = [float(np.mean(one[:, 1])) for one in _lines_m(to_ground, view, 0.0)]
    return TrueView(
        view=view,
        to_ground=to_ground,
        height_m=math.exp(camera[3]),
        near_y_m=min(along),
        far_y_m=max(along),
        tracks=[track for track in joined if track.car % 2 == 1],
    )


def _project(matrix: Array, points: Array) -> Array:
    found = np.c_[points, np.ones(len(points))] @ matrix.T
    return np.asarray(found[:, :2] / found[:, 2:])


def _camera_to_ground(camera: Array, view: View) -> Array:
    """Return the homography of a camera: tilt, roll, logarithms of focal length and height; the road's direction is apart."""
    tilt, roll, log_focal, log_height = camera[:4]
    focal_px, height_m = math.exp(log_focal) * view.height_px, math.exp(log_height)
    lens = np.array(
        [
            [focal_px, 0.0, view.width_px / 2],
            [0.0, focal_px, view.height_px / 2],
            [0.0, 0.0, 1.0],
        ]
    )
    turned = np.array(
        [
            [math.cos(roll), -math.sin(roll), 0.0],
            [math.sin(roll), math.cos(roll), 0.0],
            [0.0, 0.0, 1.0],
        ]
    )
    level = np.array(
        [
            [1.0, 0.0, 0.0],
            [0.0, -math.sin(tilt), -math.cos(tilt)],
            [0.0, math.cos(tilt), -math.sin(tilt)],
        ]
    )
    axes = turned @ level
    return np.linalg.inv(lens @ np.stack([axes[:, 0], axes[:, 1], -height_m * axes[:, 2]], axis=1))


def _fit_camera(view: View) -> Array:
    starts = np.array([one.from_px for one in view.distances])
    ends = np.array([one.to_px for one in view.distances])
    metres = np.array([one.metres for one in view.distances])
    lanes = [np.array([(-(b * y + c) / a, y) for y in (100, 1000)]) for a, b, c in view.lane_lines]
    across = [np.array([(x, -(a * x + c) / b) for x in (300, 1500)]) for a, b, c in view.lines]

    def residuals(camera: Array) -> Array:
        matrix = _camera_to_ground(camera, view)
        along = np.array([math.sin(camera[4]), math.cos(camera[4])])
        sideways = np.array([along[1], -along[0]])
        lengths = np.hypot(*(_project(matrix, starts) - _project(matrix, ends)).T)
        found = list((lengths - metres) / DISTANCE_ERROR_M)
        for lines, off, error in (
            (lanes, sideways, DIRECTION_ERROR_RAD),
            (across, along, ACROSS_ERROR_RAD),
        ):
            for line in lines:
                begin, end = _project(matrix, line)
                found.append(float((end - begin) @ off) / math.dist(begin, end) / error)
        return np.array(found)

    fits = (
        _least_squares(residuals, np.array([tilt, 0.01, math.log(focal), math.log(8.0), 0.3]))
        for tilt, focal in itertools.product((0.15, 0.3, 0.45), (0.8, 1.5, 2.5))
    )
    return min(fits, key=lambda camera: float(np.sum(residuals(camera) ** 2)))


def _least_squares(residuals: Callable[[Array], Array], at: Array) -> Array:
    """Return the nearest minimum (Levenberg and Marquardt)."""
    damping, found = 1e-3, residuals(at)
    steps = np.eye(len(at)) * 1e-6
    for _ in range(200):
        slopes = np.stack(
            [(residuals(at + step) - residuals(at - step)) / 2e-6 for step in steps], axis=1
        )
        normal, gradient = slopes.T @ slopes, slopes.T @ found
        for _ in range(20):
            scaled = normal + damping * np.diag(np.diag(normal) + 1e-12)
            trial = at - np.linalg.solve(scaled, gradient)
            if np.max(np.abs(trial)) < MAX_PARAMETER:
                at_trial = residuals(trial)
                if at_trial @ at_trial <= found @ found:
                    break
            damping *= 4
        else:
            return at
        gain = found @ found - at_trial @ at_trial
        at, found, damping = trial, at_trial, damping / 5
        if gain < 1e-12 * (found @ found):
            return at
    return at


def _lines_m(to_ground: Array, view: View, yaw: float) -> list[Array]:
    """Return two places on each measurement line, x across and y along the road."""
    turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    return [
        _project(to_ground, np.array([(x, -(a * x + c) / b) for x in (500.0, 1000.0)])) @ turn.T
        for a, b, c in view.lines
    ]


def _lanes_m(to_ground: Array, view: View) -> list[float]:
    """Return x of each lane line, from left to right."""
    return sorted(
        float(_project(to_ground, np.array([(-(b * 500 + c) / a, 500.0)]))[0, 0])
        for a, b, c in view.lane_lines
    )


def _centre_lanes(to_ground: Array, view: View) -> Array:
    shift = np.eye(3)
    shift[0, 2] = -float(np.mean(_lanes_m(to_ground, view)))
    return np.asarray(shift @ to_ground)


def _join(to_ground: Array, view: View) -> list[TrueTrack]:
    """Join each track with the vehicle of its lane that was at its middle place at its middle time."""
    between_lanes = _lanes_m(to_ground, view)[1]
    lines = _lines_m(to_ground, view, 0.0)
    candidates = []
    for number, track in enumerate(view.tracks):
        t_s, points = np.array(track.frames) / view.fps, np.c_[track.x_px, track.y_px]
        if len(t_s) < MIN_TRACK_PLACES:
            continue
        places = _project(to_ground, points)
        x_m, y_m = float(np.median(places[:, 0])), float(np.mean(places[:, 1]))
        middle_s = float(t_s.mean())
        best: tuple[float, int] | None = None
        for index, car in enumerate(view.cars):
            (first, begin_s), (last, end_s) = car.crossings[0], car.crossings[-1]
            if car.lane != int(x_m >= between_lanes) or not begin_s - 2 < middle_s < end_s + 2:
                continue
            first_m, last_m = _y_at(lines[first], x_m), _y_at(lines[last], x_m)
            there_s = begin_s + (y_m - first_m) / (last_m - first_m) * (end_s - begin_s)
            late_s = middle_s - there_s
            if best is None or abs(late_s) < abs(best[0]):
                best = late_s, index
        if best is not None:
            candidates.append((number, t_s, points, *best))
    # The clock of the film and that of the vehicles differ by a constant.
    offset_s = float(np.median([late_s for *_, late_s, _ in candidates]))
    return [
        TrueTrack(number, t_s, points, car, view.cars[car].speed_km_h)
        for number, t_s, points, late_s, car in candidates
        if abs(late_s - offset_s) < MAX_JOIN_S
    ]


def _y_at(line: Array, x_m: float) -> float:
    (x1, y1), (x2, y2) = line
    return float(y1 + (x_m - x1) * (y2 - y1) / (x2 - x1))


def _correct_along(to_ground: Array, view: View, joined: Sequence[TrueTrack]) -> Array:
    """Stretch the ground along the road so that every second vehicle has its speed at both halves of the way."""
    along = [float(np.mean(one[:, 1])) for one in _lines_m(to_ground, view, 0.0)]
    ways = []
    for track in joined:
        if track.car % 2 == 1 or track.t_s[-1] - track.t_s[0] < MIN_CORRECTION_S:
            continue
        y_m = _project(to_ground, track.points_px)[:, 1]
        inside = np.flatnonzero((y_m > min(along) + FROZEN_M) & (y_m < max(along)))
        if len(inside) < 2 * MIN_TRACK_PLACES:
            continue
        begin, end = int(inside[0]), int(inside[-1])
        middle = (begin + end) // 2
        way = math.copysign(track.speed_km_h / 3.6, y_m[end] - y_m[begin])
        ways += [
            (y_m[one], y_m[other], (track.t_s[other] - track.t_s[one]) * way)
            for one, other in ((begin, middle), (middle, end), (begin, end))
        ]
    starts, ends, wanted = np.array(ways).T

    def residuals(stretch: Array) -> Array:
        scale, bend = stretch
        found = scale * ends / (1 + bend * ends) - scale * starts / (1 + bend * starts)
        return np.asarray(np.clip(found - wanted, -0.5, 0.5))

    scale, bend = _least_squares(residuals, np.array([1.0, 0.0]))
    correction = np.array([[1.0, 0.0, 0.0], [0.0, scale, 0.0], [0.0, bend, 1.0]])
    return np.asarray(correction @ to_ground)
