"""Radial lens distortion, estimated from lines that are straight in the street. Pure.

The division model of Fitzgibbon with one parameter: a point at `d` from the picture's centre is seen without the
lens at `d / (1 + k |d|^2)`. It is enough for lenses of up to some 120 degrees, and both directions are closed
forms. Lengths are in picture heights. `agent/scene_editor/lens_distortion.js` computes the same, step by step.
"""

import math
from collections.abc import Sequence

from agent.base.errors import UserError
from agent.base.message import Message

Position = tuple[float, float]
"""Relative to the picture's centre, in picture heights, x to the right and y down."""

POINT_ERROR = 0.002
"""Standard deviation of a point that a person places, in picture heights: 2 pixels of 1080."""

MIN_DISTORTION, MAX_DISTORTION = -0.6, 0.3
_GRID_STEPS = 90
_GOLDEN = (math.sqrt(5) - 1) / 2
_GOLDEN_STEPS = 40
_TRIAL_CHANGE = 0.1
_SENSITIVE, _SIGNIFICANT = 9.0, 4.0
"""Three and two standard deviations, squared."""
MAX_BEND = 0.01
_MIN_EXTENT = 0.1


def undistort(position: Position, k: float) -> Position:
    """Return the position at which a camera without distortion shows the same point."""
    x, y = position
    factor = 1 / (1 + k * (x * x + y * y))
    return x * factor, y * factor


def distort(position: Position, k: float) -> Position | None:
    """Return the inverse of `undistort`, or None if the lens shows no such point."""
    x, y = position
    root = 1 - 4 * k * (x * x + y * y)
    if root < 0:
        return None
    factor = 2 / (1 + math.sqrt(root))
    return x * factor, y * factor


def estimate_distortion(lines: Sequence[Sequence[Position]]) -> float:
    """Return the distortion under which the lines are straightest; 0 if it does not show.

    Raises: UserError if the lines cannot show it, or are not straight under any.
    """
    for index, line in enumerate(lines):
        extent = math.dist(line[0], line[-1])
        if extent < _MIN_EXTENT:
            raise UserError(
                Message(
                    "{label}: {extent:.3f} of the picture's height long; allowed: {min} or more",
                    label=f"ground.straight[{index}]",
                    extent=extent,
                    min=_MIN_EXTENT,
                )
            )
    step = (MAX_DISTORTION - MIN_DISTORTION) / _GRID_STEPS
    grid = [MIN_DISTORTION + step * index for index in range(_GRID_STEPS + 1)]
    best = min(range(len(grid)), key=lambda index: _bend(lines, grid[index]))
    k = _golden_section(lines, max(grid[0], grid[best] - step), min(grid[-1], grid[best] + step))
    for index, line in enumerate(lines):
        across, _ = _spread([undistort(position, k) for position in line])
        rms = math.sqrt(across / len(line))
        if rms > MAX_BEND:
            raise UserError(
                Message(
                    "{label}: off a straight line by {rms:.1f} % of the picture's height; allowed: at most {max:.0f} %",
                    label=f"ground.straight[{index}]",
                    rms=100 * rms,
                    max=100 * MAX_BEND,
                )
            )
    least = _misfit(lines, k)
    trial = k - _TRIAL_CHANGE if k > 0 else k + _TRIAL_CHANGE
    if _misfit(lines, trial) - least < _SENSITIVE:
        raise UserError(
            Message(
                "{label}: too short, or too near to the picture's middle, to show the lens; allowed: long lines near the picture's edges",
                label="ground.straight",
            )
        )
    return k if _misfit(lines, 0.0) - least >= _SIGNIFICANT else 0.0


def _golden_section(lines: Sequence[Sequence[Position]], low: float, high: float) -> float:
    for _ in range(_GOLDEN_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if _bend(lines, left) < _bend(lines, right):
            high = right
        else:
            low = left
    return (low + high) / 2


def _bend(lines: Sequence[Sequence[Position]], k: float) -> float:
    """Return the sum over the lines of their squared spread across by that along."""
    total = 0.0
    for line in lines:
        across, along = _spread([undistort(position, k) for position in line])
        total += across / along
    return total


def _misfit(lines: Sequence[Sequence[Position]], k: float) -> float:
    """Return the sum of squared distances from the lines, in standard deviations of a point."""
    return (
        sum(_spread([undistort(position, k) for position in line])[0] for line in lines)
        / POINT_ERROR**2
    )


def _spread(positions: Sequence[Position]) -> tuple[float, float]:
    """Return the sums of squared distances across and along the line that fits best."""
    mean_x = sum(x for x, _ in positions) / len(positions)
    mean_y = sum(y for _, y in positions) / len(positions)
    xx = sum((x - mean_x) ** 2 for x, _ in positions)
    yy = sum((y - mean_y) ** 2 for _, y in positions)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in positions)
    along = (xx + yy + math.sqrt((xx - yy) ** 2 + 4 * xy * xy)) / 2
    # As a quotient: the difference of two nearly equal sums would lose the digits that matter.
    return max(0.0, xx * yy - xy * xy) / along, along
