"""The contract of every detector, `agent.detection.detector`."""

import pytest

from agent.base.model import LABELS
from agent.detection import image
from agent.detection.detector import Detector
from agent.detection.image import Region
from agent.detection.tflite import open_detector
from drivers.media import Frame
from drivers.rendered_street.fixed_view import FixedView
from drivers.rendered_street.planes import bgr_to_planes
from drivers.rendered_street.renderer import SceneConditions, StreetRenderer


@pytest.fixture(scope="module")
def frame() -> Frame:
    street = StreetRenderer(FixedView(1280, 720), SceneConditions(night=False, rain=0, noise=0), 7)
    y, u, v = bgr_to_planes(street.render(12.5, 1))
    return Frame(seq=1, t_ns=1_000_000_000, y=y, u=u, v=v)


@pytest.fixture(params=["ssdlite_mobilenet_v2", "nanodet"])
def detector(request: pytest.FixtureRequest) -> Detector:
    return open_detector(request.param)


def test_detections_are_road_users_within_the_region_and_not_below_their_thresholds(
    detector: Detector, frame: Frame
) -> None:
    whole = image.full_region(frame)
    (searched,) = detector.search(frame, (whole,))
    assert searched.region == whole
    assert searched.detections
    assert set(detector.card.thresholds) <= set(LABELS)
    for detection in searched.detections:
        box = detection.box
        assert detection.score <= 1
        assert detection.label in detector.card.thresholds
        assert 0 <= box.x < box.x + box.w <= 1.0001
        assert 0 <= box.y < box.y + box.h <= 1.0001


def test_each_wanted_region_is_searched_and_counted(detector: Detector, frame: Frame) -> None:
    regions = (Region(0, 0, 320, 180), Region(320, 180, 320, 180))
    before = detector.inference_count
    assert [one.region for one in detector.search(frame, regions)] == list(regions)
    assert detector.inference_count == before + 2
    assert detector.cpu_ns > 0
    assert detector.search(frame, ()) == ()
    assert detector.inference_count == before + 2


def test_the_same_frame_gives_the_same_detections(detector: Detector, frame: Frame) -> None:
    whole = (image.full_region(frame),)
    assert detector.search(frame, whole) == detector.search(frame, whole)
