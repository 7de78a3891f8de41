"""centre.annotator: turning flows on the annotated video."""

import numpy as np

from agent.detection.image import Rgb
from agent.detection.scene import Scene, SceneFlow, SceneLine
from centre.annotator import Annotator
from drivers.media import Frame, Point
from tests.pure.rules.scripted_tracks import ScriptedRoadUser, frame_results, straight_path

SIZE_PX = (640, 360)
WEST = SceneLine(name="west", start=Point(0.2, 0.95), to=Point(0.2, 0.05))
EAST = SceneLine(name="east", start=Point(0.8, 0.05), to=Point(0.8, 0.95))
THROUGH = SceneFlow(name="through", origin="west", destination="east")
BACK = SceneFlow(name="back", origin="east", destination="west")


def first_and_last(scene: Scene) -> tuple[Rgb, Rgb]:
    """The first frame, and the last one, long after a car went from west to east."""
    annotator = Annotator(scene, "street")
    car = ScriptedRoadUser(straight_path((1, 0.05, 0.75), (6, 0.95, 0.75)), box=(0.05, 0.05))
    y, u = np.full((360, 640), 90, np.uint8), np.full((180, 320), 128, np.uint8)
    frames = [
        annotator.draw(Frame(seq=one.seq, t_ns=one.t_ns, y=y, u=u, v=u), one, SIZE_PX)
        for one in frame_results([car], 10)
    ]
    return frames[0], frames[-1]


def test_each_flow_is_an_arrow_next_to_that_of_the_way_back() -> None:
    frame, _ = first_and_last(Scene(line=(WEST, EAST), flow=(THROUGH, BACK)))
    red, green, _ = frame[:, 320].astype(int).T
    rows_px = np.flatnonzero(green - red > 60)
    assert rows_px.tolist() == [176, 184]


def test_its_label_has_the_count() -> None:
    first, last = first_and_last(Scene(line=(WEST, EAST), flow=(THROUGH,)))
    without = first_and_last(Scene(line=(WEST, EAST)))
    label = np.s_[160:205, 200:300]
    assert (first[label] != last[label]).any()
    assert (without[0][label] == without[1][label]).all()
