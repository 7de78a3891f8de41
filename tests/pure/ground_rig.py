"""Cameras above a street, and marks that are changed or refused."""

import msgspec
import pytest
from hypothesis import strategies as st

from agent.base.errors import UserError
from agent.detection.ground_marks import GroundMarks
from agent.detection.ground_plane import calibrate
from tests.ground_camera import GroundCamera

cameras = st.builds(
    GroundCamera,
    height_m=st.floats(4, 15),
    tilt_deg=st.floats(12, 60),
    focal=st.floats(0.6, 2),
    pan_deg=st.floats(-180, 180),
    roll_deg=st.floats(-3, 3),
    aspect=st.sampled_from([16 / 9, 4 / 3, 1.0]),
)


def replaced(marks: GroundMarks, index: int, **changes: object) -> GroundMarks:
    points = list(marks.point)
    points[index] = msgspec.structs.replace(points[index], **changes)
    return msgspec.structs.replace(marks, point=tuple(points))


def refusal(marks: GroundMarks) -> str:
    with pytest.raises(UserError) as caught:
        calibrate(marks)
    message = str(caught.value)
    assert message.startswith("ground")
    assert "\n" not in message
    return message
