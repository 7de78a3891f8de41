"""agent.diagnostics.commissioning.session: the marks on the picture that the technician looks at."""

import numpy as np

from agent.detection.ground_marks import GroundMarks, GroundPoint, KnownLength, MarkedPoint
from agent.diagnostics.commissioning.session import draw_marks
from drivers.media import Point

GREY = np.full((270, 480), 120, np.uint8)


def test_each_mark_is_a_cross_and_each_length_a_line_on_a_copy() -> None:
    at = [Point(0.25, 0.5), Point(0.75, 0.5), Point(0.25, 0.9), Point(0.75, 0.9)]
    points = tuple(MarkedPoint(at=one, metres=GroundPoint(one.x, one.y)) for one in at)
    drawn = draw_marks(GREY, GroundMarks(point=points))
    assert (GREY == 120).all()
    for one in at:
        x, y = round(one.x * 480), round(one.y * 270)
        assert drawn[y, x] == 255
        assert drawn[y - 1 : y + 2, x - 4].tolist() == [0, 255, 0]
    assert (drawn != 120).mean() < 0.02
    length = KnownLength(start=Point(0.1, 0.8), to=Point(0.9, 0.8), metres=10.0)
    drawn = draw_marks(GREY, GroundMarks(length=(length,), camera_height_m=6.0, aspect=16 / 9))
    assert (drawn[216, 60:420] == 255).all()


def test_a_mark_at_the_edge_of_the_picture_is_drawn_as_far_as_it_is_in_it() -> None:
    corner = MarkedPoint(at=Point(1.0, 1.0), metres=GroundPoint(0.0, 0.0))
    assert (draw_marks(GREY, GroundMarks(point=(corner,)))[-3:, -3:] != 120).any()
