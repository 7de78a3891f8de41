"""The rendered street with a calibrated ground: its own camera is known to the centimetre."""

from agent.detection.ground_marks import GroundMarks, GroundPoint, MarkedPoint
from drivers.media import Point
from simulation.street.fixed_view import FixedView

Place = tuple[float, float]
"""In metres: x across, y along the street."""
VIEW = FixedView(1280, 720)
MARKED_M = (
    *((-5.6, 10.0), (5.6, 10.0), (-1.9, 18.0), (1.9, 18.0)),
    *((-5.6, 30.0), (5.6, 30.0), (-5.6, 60.0), (5.6, 60.0)),
)
"""Kerbs and middles of lanes, across and along the street from the foot of the pole."""


def point_at(x_m: float, y_m: float) -> Point:
    """The point that shows a place, unrounded: marks are set to a tenth of a pixel here."""
    x_px, y_px = VIEW.pixel(x_m, 0.0, y_m)
    return Point(x_px / VIEW.width_px, y_px / VIEW.height_px)


STREET_MARKS = GroundMarks(
    point=tuple(
        MarkedPoint(at=point_at(x_m, y_m), metres=GroundPoint(x_m, y_m)) for x_m, y_m in MARKED_M
    )
)


def street_ground_toml() -> str:
    """The marks as a scene has them."""
    marks = ",\n".join(
        f"  {{ at = [{mark.at.x:.6f}, {mark.at.y:.6f}], metres = [{mark.metres.x_m}, {mark.metres.y_m}] }}"
        for mark in STREET_MARKS.point
        if mark.metres is not None
    )
    return f"\n[ground]\npoint = [\n{marks}\n]\n"
