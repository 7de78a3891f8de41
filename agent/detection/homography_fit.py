"""Homography from the picture to the ground by marked points, with its covariance. Pure.

Both the marked point and the place on the ground have an error. A fit of positions in metres alone (as
`cv2.findHomography` does it, in either direction) follows the far marks, of which a pixel is metres, or the near
ones, of which a metre is hundreds of pixels. Each mark counts here by both errors (first-order maximum
likelihood). docs/ground-calibration.md has what that changes on public cameras.

`agent/scene_editor/homography_fit.js` computes the same, step by step.
"""

import math

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

BEYOND_HORIZON_M = 9999.0
"""The distance of a mark that the others put above the horizon."""
MIN_INVERSE_DEPTH = 0.005
"""A point 200 times as far as the middle of the marks counts as beyond the horizon."""

RANSAC_THRESHOLD = 0.03
"""In picture heights: 32 pixels of 1080. It is only to find the marks that agree: mistakes are larger."""
MAX_DEVIATION = 6.0
"""Standard deviations by which a mark may be off before it is set aside."""
MIN_AGREEING = 5
"""Four marks fit every homography; a fifth one that agrees is no chance."""
_RANSAC_ITERATIONS, _RANSAC_CONFIDENCE = 5000, 0.9999
_LINE_TOLERANCE = 0.005
_MAX_STEPS = 100
_MAX_ROUNDS = 5
_CONVERGED = 1e-11
_MAX_DAMPING = 1e8


class DegenerateMarks(Exception):
    """The marks do not determine a homography."""


class MarkErrors(msgspec.Struct, frozen=True, kw_only=True):
    """Standard deviations: of a point in picture heights, of its place on the ground in metres."""

    point: float
    ground_m: float


class HomographyFit(msgspec.Struct, frozen=True, kw_only=True):
    """The eight parameters a..h of x = (a u + b v + c) / w, y = (d u + e v + f) / w, w = g u + h v + 1.

    w is the inverse of a point's depth, 1 at the origin. `used` are the marks that agree.
    """

    parameters: Array
    covariance: Array
    used: tuple[int, ...]


def fit_homography(picture: Array, ground: Array, errors: MarkErrors) -> HomographyFit:
    """Fit a homography to marks, without those that do not agree with the others.

    `picture` and `ground` have a row for each mark, with their means near zero. One in five at most
    is set aside, one of fewer than ten, and only if five agree. Raises: DegenerateMarks.
    """
    count = len(picture)
    required = max(MIN_AGREEING, count - max(1, count // 5))
    used = _agreeing(picture, ground)
    if len(used) < required:
        used = tuple(range(count))
    for _ in range(_MAX_ROUNDS):
        fit = _fit_all(picture, ground, errors, used)
        deviations = _deviations(fit.parameters, picture, ground, errors)
        within = tuple(index for index in range(count) if deviations[index] <= MAX_DEVIATION)
        if len(within) < required or within == used:
            break
        used = within
    return fit


def held_out_errors_m(
    picture: Array, ground: Array, errors: MarkErrors, fit: HomographyFit
) -> tuple[tuple[float | None, ...], float]:
    """Return how far each mark is from where the others put it, and the factor by which the fit's covariance
    understates these distances.

    A mark that was set aside is compared with the fit, which does not use it. None: without the mark the others do
    not determine a homography.
    """
    distances: list[float | None] = []
    ratios = []
    for index in range(len(picture)):
        others = fit
        if index in fit.used:
            rest = np.array([other for other in fit.used if other != index])
            if len(rest) < 4 or is_degenerate(picture[rest]) or is_degenerate(ground[rest]):  # noqa: PLR2004 - a homography
                distances.append(None)
                continue
            try:
                others = _refine(fit.parameters, picture[rest], ground[rest], errors)
            except DegenerateMarks:
                distances.append(None)
                continue
        distance, expected = _distance(others, picture[index], ground[index], errors)
        distances.append(distance)
        ratios.append(distance / expected)
    return tuple(distances), max(1.0, float(np.median(ratios)) if ratios else 1.0)


def is_degenerate(points: Array) -> bool:
    """Whether all points but at most one lie on a line, within half a percent of their extent."""
    count = len(points)
    offsets = points[None, :, :] - points[:, None, :]
    tolerance = _LINE_TOLERANCE * float(np.max(np.hypot(offsets[..., 0], offsets[..., 1])))
    for i in range(count):
        for j in range(i + 1, count):
            dx, dy = points[j] - points[i]
            length = math.hypot(dx, dy)
            if length <= tolerance:
                continue
            off_line = np.abs(dx * offsets[i, :, 1] - dy * offsets[i, :, 0]) / length > tolerance
            if int(np.sum(off_line)) <= 1:
                return True
    return False


def project(parameters: Array, picture: Array) -> tuple[Array, Array]:
    """Return the places on the ground, and the inverse depths."""
    a, b, c, d, e, f, g, h = parameters
    u, v = picture[:, 0], picture[:, 1]
    w = g * u + h * v + 1
    return np.stack([(a * u + b * v + c) / w, (d * u + e * v + f) / w], axis=1), w


def _agreeing(picture: Array, ground: Array) -> tuple[int, ...]:
    """Return the marks that agree with a homography through four of them: as many as RANSAC finds."""
    matrix, mask = cv2.findHomography(
        ground,
        picture,
        cv2.RANSAC,
        RANSAC_THRESHOLD,
        maxIters=_RANSAC_ITERATIONS,
        confidence=_RANSAC_CONFIDENCE,
    )
    return () if matrix is None else tuple(int(index) for index in np.flatnonzero(mask))


def _fit_all(
    picture: Array, ground: Array, errors: MarkErrors, used: tuple[int, ...]
) -> HomographyFit:
    rows = np.array(used)
    # From the ground to the picture: it is defined even if a mark is near the horizon.
    matrix, _ = cv2.findHomography(ground[rows], picture[rows], 0)
    if matrix is None or abs(np.linalg.det(matrix)) < 1e-12:  # noqa: PLR2004 - singular
        raise DegenerateMarks
    inverse = np.linalg.inv(matrix)
    start = (inverse / inverse[2, 2]).ravel()[:8]
    fit = _refine(start, picture[rows], ground[rows], errors)
    return msgspec.structs.replace(fit, used=used)


def _refine(start: Array, picture: Array, ground: Array, errors: MarkErrors) -> HomographyFit:
    """Return the most likely homography (Levenberg and Marquardt). Raises: DegenerateMarks."""
    parameters, damping = start, 0.0
    scale = np.maximum(np.abs(start), 1e-3)
    for _ in range(_MAX_STEPS):
        found, inverse_depth = project(parameters, picture)
        if np.any(inverse_depth < MIN_INVERSE_DEPTH):
            raise DegenerateMarks
        residuals = ground - found
        weights = np.linalg.inv(_mark_covariances(parameters, picture, errors))
        slopes = _parameter_slopes(picture, found, inverse_depth)
        normal = np.einsum("nki,nkl,nlj->ij", slopes, weights, slopes)
        gradient = np.einsum("nki,nkl,nl->i", slopes, weights, residuals)
        cost = _cost(residuals, weights)
        while True:
            step = _solve(normal + damping * np.diag(np.diag(normal)), gradient)
            trial = parameters + step
            found, inverse_depth = project(trial, picture)
            if np.all(inverse_depth >= MIN_INVERSE_DEPTH) and (
                _cost(ground - found, weights) <= cost * (1 + 1e-12) + 1e-15
            ):
                parameters, damping = trial, damping / 10 if damping > 1e-6 else 0.0  # noqa: PLR2004
                break
            damping = max(damping * 10, 1e-4)
            if damping > _MAX_DAMPING:
                raise DegenerateMarks
        if float(np.max(np.abs(step) / scale)) < _CONVERGED:
            break
    found, inverse_depth = project(parameters, picture)
    weights = np.linalg.inv(_mark_covariances(parameters, picture, errors))
    slopes = _parameter_slopes(picture, found, inverse_depth)
    normal = np.einsum("nki,nkl,nlj->ij", slopes, weights, slopes)
    return HomographyFit(
        parameters=parameters,
        covariance=_solve(normal, np.eye(8)),
        used=tuple(range(len(picture))),
    )


def _solve(normal: Array, right: Array) -> Array:
    """Solve with each parameter in its own unit: metres and shares differ by thousands."""
    unit = 1 / np.sqrt(np.diag(normal))
    try:
        solution = np.linalg.solve(normal * np.outer(unit, unit), (right.T * unit).T)
    except np.linalg.LinAlgError as error:
        raise DegenerateMarks from error
    result = (solution.T * unit).T
    if not np.all(np.isfinite(result)):
        raise DegenerateMarks
    return np.asarray(result)


def _cost(residuals: Array, weights: Array) -> float:
    return float(np.einsum("nk,nkl,nl->", residuals, weights, residuals))


def _mark_covariances(parameters: Array, picture: Array, errors: MarkErrors) -> Array:
    """Return the covariance of each mark on the ground: of its place, and of its point as seen from there."""
    slopes = picture_slopes(parameters, picture)
    return errors.ground_m**2 * np.eye(2) + errors.point**2 * slopes @ slopes.transpose(0, 2, 1)


def picture_slopes(parameters: Array, picture: Array) -> Array:
    """Return how the place on the ground changes with the point: 2 x 2 for each."""
    a, b, _, d, e, _, g, h = parameters
    found, w = project(parameters, picture)
    x, y = found[:, 0], found[:, 1]
    return (
        np.stack([np.stack([a - g * x, b - h * x], 1), np.stack([d - g * y, e - h * y], 1)], 1)
        / w[:, None, None]
    )


def _parameter_slopes(picture: Array, found: Array, inverse_depth: Array) -> Array:
    """Return how the place on the ground changes with the parameters: 2 x 8 for each."""
    u, v, x, y = picture[:, 0], picture[:, 1], found[:, 0], found[:, 1]
    zero, one = np.zeros_like(u), np.ones_like(u)
    first = np.stack([u, v, one, zero, zero, zero, -x * u, -x * v], 1)
    second = np.stack([zero, zero, zero, u, v, one, -y * u, -y * v], 1)
    return np.stack([first, second], 1) / inverse_depth[:, None, None]


def _deviations(parameters: Array, picture: Array, ground: Array, errors: MarkErrors) -> Array:
    """Return how far each mark is off, in its standard deviations."""
    found, inverse_depth = project(parameters, picture)
    weights = np.linalg.inv(_mark_covariances(parameters, picture, errors))
    residuals = ground - found
    squared = np.einsum("nk,nkl,nl->n", residuals, weights, residuals)
    return np.where(inverse_depth < MIN_INVERSE_DEPTH, np.inf, np.sqrt(squared))


def _distance(
    fit: HomographyFit, point: Array, place: Array, errors: MarkErrors
) -> tuple[float, float]:
    """Return how far a mark is from where a fit puts it, and how far it is expected to be."""
    picture = point[None]
    found, inverse_depth = project(fit.parameters, picture)
    if inverse_depth[0] < MIN_INVERSE_DEPTH:
        return BEYOND_HORIZON_M, 1.0
    slopes = _parameter_slopes(picture, found, inverse_depth)[0]
    covariance = (
        _mark_covariances(fit.parameters, picture, errors)[0] + slopes @ fit.covariance @ slopes.T
    )
    return float(np.hypot(*(place - found[0]))), math.sqrt(float(np.trace(covariance)))
