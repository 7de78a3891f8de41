"""The marks of a ground calibration drawn on a camera's picture, for the technician's eye."""

import cv2
import numpy as np

from agent.detection.ground_marks import GroundMarks
from drivers.media import Plane, Point

_CROSS_PX = 13
_STROKES = ((0, 3), (255, 1))
"""Luma and width of the strokes: a white line in a black one is seen on any ground."""


def draw_marks(picture: Plane, marks: GroundMarks) -> Plane:
    """Return a copy of a picture with a cross at each marked point and a line at each known length."""
    drawn = np.array(picture, np.uint8)
    height, width = picture.shape

    def pixel(point: Point) -> tuple[int, int]:
        return round(point.x * width), round(point.y * height)

    for luma, stroke_px in _STROKES:
        for marked in marks.point:
            cv2.drawMarker(drawn, pixel(marked.at), luma, cv2.MARKER_CROSS, _CROSS_PX, stroke_px)
        for known in marks.length:
            cv2.line(drawn, pixel(known.start), pixel(known.to), luma, stroke_px)
    return drawn
