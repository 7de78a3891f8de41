"""Objects from a network's boxes, scores and classes. Pure. Both accelerators use it."""

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.media import MAX_OBJECTS, FoundObject

Values = npt.NDArray[Any]


def to_objects(
    boxes: Values, scores: Values, classes: Values, class_numbers: Collection[int], min_score: float
) -> tuple[FoundObject, ...]:
    """Return the objects of the given classes, best first, clipped to the picture.

    `boxes` are N x (y0, x0, y1, x1) in 0..1 of the picture. A row with a value that is no number is left out.
    """
    sides = np.clip(np.asarray(boxes, np.float64), 0.0, 1.0)
    scores, numbers = np.asarray(scores, np.float64), np.asarray(classes, np.float64)
    is_valid = np.isfinite(boxes).all(axis=1) & np.isfinite(numbers)
    # A score that is no number is not in the range.
    is_valid &= (scores >= min_score) & (scores <= 1.0)
    is_valid &= (sides[:, 2] > sides[:, 0]) & (sides[:, 3] > sides[:, 1])
    rows = np.flatnonzero(is_valid)
    found: list[FoundObject] = []
    for row in rows[np.argsort(-scores[rows], kind="stable")].tolist():
        number = round(float(numbers[row]))
        if number in class_numbers:
            top, left, bottom, right = sides[row].tolist()
            found.append(
                FoundObject(number, float(scores[row]), left, top, right - left, bottom - top)
            )
    return tuple(found[:MAX_OBJECTS])
