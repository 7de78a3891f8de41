"""The contract of every detector, `agent.detection.detector`."""

from collections.abc import Iterator, Sequence

import pytest

from agent.base.model import LABELS
from agent.detection import image
from agent.detection.detector import Detector, SearchedRegion
from agent.detection.fallback_detector import FallbackDetector
from agent.detection.hailo_detector import HailoDetector
from agent.detection.image import Region
from agent.detection.tflite import open_detector
from drivers.errors import DriverError
from drivers.hailo.accelerator import HailoModel
from drivers.media import Frame
from simulation.street.fixed_view import FixedView
from simulation.street.renderer import SceneConditions, StreetRenderer, bgr_to_planes
from tests import hailo_runtime, virtual_camera

from .conftest import boottime_ns, wait_for_hailo


@pytest.fixture(scope="module")
def frame() -> Frame:
    street = StreetRenderer(FixedView(1280, 720), SceneConditions(night=False, rain=0, noise=0), 7)
    y, u, v = bgr_to_planes(street.render(12.5, 1))
    return Frame(seq=1, t_ns=1_000_000_000, y=y, u=u, v=v)


@pytest.fixture(scope="module")
def hailo_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HailoModel]:
    if (reason := virtual_camera.skip_reason()) is not None:
        pytest.skip(reason)
    device = tmp_path_factory.mktemp("hailo")
    (device / "fitted").touch()
    card = hailo_runtime.card()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in hailo_runtime.environment(device).items():
            patch.setenv(name, value)
        model = HailoModel(
            hailo_runtime.MODEL_FILE,
            card.sha256,
            tuple(card.labels.values()),
            card.min_score,
            boottime_ns,
        )
        assert wait_for_hailo(model) is None
        yield model
        model.close()


class Missing:
    """An accelerator that is not there."""

    card = hailo_runtime.card()
    inference_count = 0
    cpu_ns = 0

    def input_width_px(self, _frame_width_px: int) -> int:
        return self.card.input.width_px

    def search(self, _frame: Frame, _regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        raise DriverError("absent", "no accelerator")


def falls_back() -> Detector:
    fallback = open_detector("nanodet_320")
    return FallbackDetector(
        Missing, fallback, Missing.card, on_failure=lambda _reason: None, on_recovery=lambda: None
    )


@pytest.fixture(
    params=["nanodet_320", "nanodet", "ssdlite_mobilenet_v2", "hailo", "without an accelerator"]
)
def detector(request: pytest.FixtureRequest) -> Detector:
    if request.param == "hailo":
        return HailoDetector(hailo_runtime.card(), request.getfixturevalue("hailo_model"))
    if request.param == "without an accelerator":
        return falls_back()
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
