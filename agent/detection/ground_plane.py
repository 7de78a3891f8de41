"""Ground calibration: from the picture to metres on the ground and back, with the error of both. Pure.

`calibrate` turns the marks of `[ground]` into a GroundPlane. Inside, positions are in picture heights from the
picture's centre, without lens distortion, and relative to the middle of the marks.
`agent/scene_editor/ground.js` computes the same; both pass tests/vectors/ground.
"""

import functools
import math
import operator
import statistics
from collections.abc import Sequence

import msgspec
import numpy as np

from agent.base.errors import UserError
from agent.base.message import Message
from agent.detection.ground_marks import (
    DEFAULT_ASPECT,
    GeoPosition,
    GroundMarks,
    check_apart,
    check_keys,
    places_m,
)
from agent.detection.homography_fit import (
    BEYOND_HORIZON_M,
    MIN_INVERSE_DEPTH,
    Array,
    DegenerateMarks,
    HomographyFit,
    MarkErrors,
    fit_homography,
    held_out_errors_m,
    is_degenerate,
    project,
)
from agent.detection.known_lengths import MarkedLength, fit_lengths
from agent.detection.lens_distortion import (
    POINT_ERROR,
    Position,
    distort,
    estimate_distortion,
    undistort,
)
from drivers.media import Point

MAX_ERROR_M = 1.0
"""Largest median of the held-out errors. Marks that are worse are refused."""
MEASURED_ERROR_M, MAP_ERROR_M = 0.1, 0.3
"""Standard deviation of a place in metres, and of one in degrees, which comes from a map."""
_NEXT_TO_MARKS = 0.25
"""In picture heights from the middle of the marks. At four marks themselves any homography is right."""

_LEVEL = 1e-9
"""A smaller slope of the depth down the picture has its horizon at infinity."""

Matrix = tuple[float, ...]
"""Nine numbers, by rows."""


class GroundPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A place on the ground, in metres of the scene's marks, and the standard deviation of its error."""

    x_m: float
    y_m: float
    error_m: float


class GroundPlane(msgspec.Struct, frozen=True, kw_only=True):
    """The calibrated ground of one view.

    `error_m` is the median and `worst_error_m` the largest distance of a mark from where the others put it;
    None if no mark can be held out, as with four points or two lengths. `mark_errors_m` has them all, in the order of
    the marks. `fit_error_m` is the median distance from the fit itself, which is too small: it has seen the mark.
    `set_aside` are the indexes of points that do not agree with the others. `origin` is the position of
    x = y = 0 if the marks have positions; then x is east and y north.
    """

    error_m: float | None
    worst_error_m: float | None
    mark_errors_m: tuple[float | None, ...]
    fit_error_m: float
    set_aside: tuple[int, ...]
    distortion: float
    origin: GeoPosition | None
    aspect: float
    picture_middle: Position
    ground_middle: Position
    to_ground_matrix: Matrix
    to_picture_matrix: Matrix
    covariance: tuple[tuple[float, ...], ...]

    @property
    def edge_scale(self) -> float:
        """Return how far the picture's left and right edges are from its middle, by the distance without lens distortion."""
        return 1 + self.distortion * (self.aspect / 2) ** 2

    def place_m(self, point: Point) -> Position | None:
        """Return the place on the ground that a point shows, without its error, which costs most of `to_ground`."""
        found = self._project(*self._from_middle(point))
        if found is None:
            return None
        return found[0] + self.ground_middle[0], found[1] + self.ground_middle[1]

    def to_ground(self, point: Point, point_error: float = POINT_ERROR) -> GroundPosition | None:
        """Return the place on the ground that a point shows, or None at and beyond the horizon.

        `point_error` is the standard deviation of the point itself, in picture heights.
        """
        u, v = self._from_middle(point)
        found = self._project(u, v)
        if found is None:
            return None
        x, y, w = found
        a, b, _, d, e, _, g, h, _ = self.to_ground_matrix
        s, t, r = u / w, v / w, 1 / w
        variance = self._variance((s, t, r, 0.0, 0.0, 0.0, -x * s, -x * t))
        variance += self._variance((0.0, 0.0, 0.0, s, t, r, -y * s, -y * t))
        slopes = ((a - g * x) / w, (b - h * x) / w, (d - g * y) / w, (e - h * y) / w)
        variance += point_error**2 * sum(slope * slope for slope in slopes)
        middle_x, middle_y = self.ground_middle
        return GroundPosition(x_m=x + middle_x, y_m=y + middle_y, error_m=math.sqrt(variance))

    def length_error_m(self, start: Position, end: Position) -> float:
        """Return the standard deviation of the distance between two places by the errors of the marks."""
        length = math.dist(start, end)
        if length == 0:
            return 0.0
        along_x, along_y = (end[0] - start[0]) / length, (end[1] - start[1]) / length
        a, b, c, d, e, f, g, h, i = self.to_picture_matrix
        slopes = [0.0] * 8
        for sign, place in ((-1.0, start), (1.0, end)):
            x, y = place[0] - self.ground_middle[0], place[1] - self.ground_middle[1]
            # The point that shows the place, in homogeneous coordinates: u / w, v / w and 1 / w.
            u, v, w = a * x + b * y + c, d * x + e * y + f, g * x + h * y + i
            along = along_x * x + along_y * y
            for index, slope in enumerate(
                (
                    *(along_x * u, along_x * v, along_x * w),
                    *(along_y * u, along_y * v, along_y * w),
                    *(-along * u, -along * v),
                )
            ):
                slopes[index] += sign * slope
        return math.sqrt(self._variance(slopes))

    def horizon(self) -> tuple[float, float] | None:
        """Return the horizon at the picture's left and right edge, in shares of its height from the top.

        It is that of the picture without lens distortion, and may be outside of it. None if the camera looks straight
        down or is turned on its side.
        """
        *_, g, h, _ = self.to_ground_matrix
        if abs(h) < _LEVEL:
            return None
        middle_x, middle_y = self.picture_middle
        left, right = (
            0.5 + middle_y - (1 + g * (side * self.aspect - middle_x)) / h for side in (-0.5, 0.5)
        )
        return left, right

    def to_picture(self, x_m: float, y_m: float) -> Point | None:
        """Return the point that shows a place, or None if it is behind the camera.

        It may be outside of the picture.
        """
        x, y = x_m - self.ground_middle[0], y_m - self.ground_middle[1]
        a, b, c, d, e, f, g, h, i = self.to_picture_matrix
        depth = g * x + h * y + i
        if depth <= 0:
            return None
        seen = distort(
            (
                (a * x + b * y + c) / depth + self.picture_middle[0],
                (d * x + e * y + f) / depth + self.picture_middle[1],
            ),
            self.distortion,
        )
        return None if seen is None else Point(seen[0] / self.aspect + 0.5, seen[1] + 0.5)

    def depth(self, x_m: float, y_m: float) -> float:
        """Return the distance of a place from the camera, along its axis, by that of the marks' middle.

        It is a linear function of the place, and zero or less behind the camera.
        """
        x, y = x_m - self.ground_middle[0], y_m - self.ground_middle[1]
        _, _, _, _, _, _, g, h, i = self.to_picture_matrix
        return g * x + h * y + i

    def pixels_per_metre(self, point: Point, width_px: int, height_px: int) -> float:
        """Return the pixels of a metre that is upright or across the view at the place of a point; 0 beyond the horizon.

        A step on the ground that does not change the depth is parallel to the picture, and seen in the scale that
        IEC 62676-4 means: focal length by depth.
        """
        u, v = self._from_middle(point)
        *_, g, h, _ = self.to_ground_matrix
        w = g * u + h * v + 1
        if w < MIN_INVERSE_DEPTH:
            return 0.0
        a, b, _, d, e, _, g, h, _ = self.to_picture_matrix
        length = math.hypot(g, h)
        # A camera that looks straight down sees every direction in the same scale.
        step_x, step_y = (-h / length, g / length) if length > 1e-12 else (1.0, 0.0)  # noqa: PLR2004
        du, dv = (a * step_x + b * step_y) * w, (d * step_x + e * step_y) * w
        # Through the lens: the inverse of the slopes of `undistort`.
        x, y = self._from_centre(point)
        k, scale = self.distortion, 1 + self.distortion * (x * x + y * y)
        xx = (scale - 2 * k * x * x) / scale**2
        xy = -2 * k * x * y / scale**2
        yy = (scale - 2 * k * y * y) / scale**2
        determinant = xx * yy - xy * xy
        seen_u, seen_v = (yy * du - xy * dv) / determinant, (xx * dv - xy * du) / determinant
        return math.hypot(seen_u / self.aspect * width_px, seen_v * height_px)

    def _project(self, u: float, v: float) -> tuple[float, float, float] | None:
        """Return the place of a point by the middle of the marks, and its inverse depth; None beyond the horizon."""
        a, b, c, d, e, f, g, h, _ = self.to_ground_matrix
        w = g * u + h * v + 1
        if w < MIN_INVERSE_DEPTH:
            return None
        return (a * u + b * v + c) / w, (d * u + e * v + f) / w, w

    def _from_centre(self, point: Point) -> Position:
        return (point.x - 0.5) * self.aspect, point.y - 0.5

    def _from_middle(self, point: Point) -> Position:
        x, y = undistort(self._from_centre(point), self.distortion)
        return x - self.picture_middle[0], y - self.picture_middle[1]

    def _variance(self, slopes: Sequence[float]) -> float:
        """Return the variance of a value by how it changes with each of the parameters."""
        return sum(
            slope * math.fsum(map(operator.mul, row, slopes))
            for slope, row in zip(slopes, self.covariance, strict=True)
        )


class _Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """A fit of either kind, relative to the middle of the marks."""

    homography: HomographyFit
    held_out_m: tuple[float | None, ...]
    factor: float
    residuals_m: tuple[float, ...]
    picture_middle: Position
    ground_middle: Position = (0.0, 0.0)
    origin: GeoPosition | None = None


@functools.lru_cache(maxsize=32)
def calibrate(marks: GroundMarks) -> GroundPlane:
    """Return the ground plane of the marks.

    Raises: UserError as `fit_plane`, and if the plane is worse than MAX_ERROR_M.
    """
    plane = fit_plane(marks)
    if marks.point:
        _check_error(plane, "point", [one.at for one in marks.point])
    else:
        _check_error(plane, "length", [end for one in marks.length for end in (one.start, one.to)])
    return plane


def fit_plane(marks: GroundMarks) -> GroundPlane:
    """Return the ground plane of the marks, however large its error.

    Raises: UserError that begins with `ground` if marks are missing, contradict each other, or do not determine a
    plane.
    """
    check_keys(marks)
    aspect = DEFAULT_ASPECT if marks.aspect is None else marks.aspect

    def centred(point: Point) -> Position:
        return (point.x - 0.5) * aspect, point.y - 0.5

    lines = [[centred(point) for point in line] for line in marks.straight]
    distortion = estimate_distortion(lines) if lines else 0.0

    def seen(point: Point) -> Position:
        return undistort(centred(point), distortion)

    if marks.camera_height_m is None:
        fitted = _fit_points(marks, [seen(one.at) for one in marks.point])
    else:
        lengths = [MarkedLength(seen(one.start), seen(one.to), one.metres) for one in marks.length]
        fitted = _fit_lengths(lengths, marks.camera_height_m)
    known = [error for error in fitted.held_out_m if error is not None]
    matrix = np.append(fitted.homography.parameters, 1.0).reshape(3, 3)
    used = fitted.homography.used
    return GroundPlane(
        error_m=statistics.median(known) if known else None,
        worst_error_m=max(known) if known else None,
        mark_errors_m=fitted.held_out_m,
        fit_error_m=statistics.median(fitted.residuals_m),
        set_aside=tuple(index for index in range(len(fitted.held_out_m)) if index not in used),
        distortion=distortion,
        origin=fitted.origin,
        aspect=aspect,
        picture_middle=fitted.picture_middle,
        ground_middle=fitted.ground_middle,
        to_ground_matrix=_numbers(matrix),
        to_picture_matrix=_numbers(np.linalg.inv(matrix)),
        covariance=tuple(_numbers(row) for row in fitted.homography.covariance * fitted.factor**2),
    )


def _fit_points(marks: GroundMarks, positions: Sequence[Position]) -> _Fitted:
    origin = marks.point[0].position
    places = places_m(marks.point)
    check_apart(marks.point, positions, places)
    picture, ground = np.array(positions), np.array(places)
    for points, where in ((picture, Message("in the picture")), (ground, Message("on the ground"))):
        if is_degenerate(points):
            raise UserError(
                Message(
                    "{label}: all but one lie on a line {where}; allowed: four or more, no three of them on a line",
                    label="ground.point",
                    where=where,
                )
            )
    picture_middle, ground_middle = picture.mean(axis=0), ground.mean(axis=0)
    picture, ground = picture - picture_middle, ground - ground_middle
    errors = MarkErrors(
        point=POINT_ERROR, ground_m=MEASURED_ERROR_M if origin is None else MAP_ERROR_M
    )
    try:
        fit = fit_homography(picture, ground, errors)
    except DegenerateMarks as error:
        raise UserError(
            Message(
                "{label}: no camera sees these places at these points; allowed: marks on level ground, each with its own place",
                label="ground.point",
            )
        ) from error
    # The picture has y down, the ground y ahead.
    if np.linalg.det(np.append(fit.parameters, 1.0).reshape(3, 3)) >= 0:
        raise UserError(
            Message(
                "{label}: the picture shows the places mirrored; allowed: metres to the right and ahead, or latitude and longitude",
                label="ground.point",
            )
        )
    held_out, factor = held_out_errors_m(picture, ground, errors, fit)
    found, _ = project(fit.parameters, picture)
    return _Fitted(
        homography=fit,
        held_out_m=held_out,
        factor=factor,
        residuals_m=_numbers(np.hypot(*(ground - found).T)),
        picture_middle=(float(picture_middle[0]), float(picture_middle[1])),
        ground_middle=(float(ground_middle[0]), float(ground_middle[1])),
        origin=origin,
    )


def _fit_lengths(lengths: Sequence[MarkedLength], height_m: float) -> _Fitted:
    ends = np.array([end for length in lengths for end in (length.start, length.to)])
    middle = (float(ends[:, 0].mean()), float(ends[:, 1].mean()))
    errors = MarkErrors(point=POINT_ERROR, ground_m=MEASURED_ERROR_M)
    try:
        fit = fit_lengths(lengths, height_m, middle, errors)
    except DegenerateMarks as error:
        raise UserError(
            Message(
                "{label}: no level camera at {height_m:.1f} m sees these lengths so; allowed: lengths on level ground, below the horizon",
                label="ground.length",
                height_m=height_m,
            )
        ) from error
    return _Fitted(
        homography=fit.homography,
        held_out_m=fit.held_out_m,
        factor=fit.factor,
        residuals_m=fit.residuals_m,
        picture_middle=middle,
    )


def _check_error(plane: GroundPlane, key: str, points: Sequence[Point]) -> None:
    if plane.error_m is not None and plane.error_m > MAX_ERROR_M:
        worst = max(
            range(len(plane.mark_errors_m)), key=lambda index: plane.mark_errors_m[index] or 0.0
        )
        raise UserError(
            Message(
                "{label}: held out, a mark is {error_m:.2f} m off in the median, {key}[{worst}] {worst_error_m:.2f} m; allowed: at most {max_m:.0f} m",
                label=f"ground.{key}",
                error_m=plane.error_m,
                key=key,
                worst=worst,
                worst_error_m=plane.worst_error_m,
                max_m=MAX_ERROR_M,
            )
        )
    x, y = statistics.fmean(one.x for one in points), statistics.fmean(one.y for one in points)
    side = _NEXT_TO_MARKS / plane.aspect
    probes = (Point(x - side, y), Point(x + side, y), Point(x, y + _NEXT_TO_MARKS))
    found = [plane.to_ground(probe, point_error=0.0) for probe in probes]
    expected_m = statistics.median(
        [BEYOND_HORIZON_M if one is None else one.error_m for one in found]
    )
    if expected_m > MAX_ERROR_M:
        raise UserError(
            Message(
                "{label}: 2 pixels at the marks move positions next to them by {expected_m:.2f} m; allowed: at most {max_m:.0f} m, by marks farther apart and not nearly on a line",
                label=f"ground.{key}",
                expected_m=expected_m,
                max_m=MAX_ERROR_M,
            )
        )


def _numbers(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values.ravel())
