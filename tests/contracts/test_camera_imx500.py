"""drivers.camera.csi with a network in the sensor: results, regions, masks, upload, failures.

picamera2's own IMX500 runs in the child, on the device nodes of `tests/virtual_camera/boot/virtual_imx500.py`.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.detection import accelerator_card, image
from agent.detection.sensor_detector import SensorDetector
from drivers.camera import csi
from drivers.contracts import SensorNetwork, SensorNetworkControl, StreamRequest
from drivers.csi.options import Options
from drivers.errors import DriverError
from drivers.media import WHOLE_AREA, Frame, PictureArea, Point, Polygon, SensorInference
from tests.virtual_camera import imx500

from .conftest import PATIENCE, READ_TIMEOUT_S, boottime_ns, read_media

pytestmark = pytest.mark.usefixtures("virtual_camera_there")

CARD = accelerator_card.load_card("imx500_ssd_mobilenetv2")
CAR = (0.4, 0.25, 0.6, 0.5, 0.9, 2)
"""y0, x0, y1, x1 of the sensor, score, class."""
CAR_IN_PICTURE = (0.25, (0.4 * 3040 - 380) / 2280, 0.25, 0.2 * 3040 / 2280)
PERSON = (0.5, 0.7, 0.7, 0.8, 0.6, 0)
LEFT_HALF: Polygon = (Point(0, 0), Point(0.3, 0), Point(0.3, 1), Point(0, 1))

Opened = csi.CsiCamera


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine with its sensor."""
    monkeypatch.setenv("VIRTUAL_CAMERA", str(tmp_path))
    imx500.fit_sensor(tmp_path)
    imx500.write_network(tmp_path / "street.rpk")
    imx500.write_metadata(tmp_path, imx500.detections(CAR, PERSON))
    return tmp_path


def open_imx500(
    folder: Path,
    masks: tuple[Polygon, ...] = (),
    current_masks: Callable[[int], tuple[Polygon, ...]] | None = None,
    **options: Any,
) -> Opened:
    network = SensorNetwork(
        file=str(folder / "street.rpk"), labels={**CARD.labels}, min_score=CARD.min_score
    )
    usual = {"camera": "Virtual0", "width_px": 640, "height_px": 360, "fps": 20.0}
    small = {"detect_width_px": 320, "detect_height_px": 240, **PATIENCE}
    return csi.open_camera(
        "test",
        msgspec.convert({**usual, **small, **options}, Options),
        StreamRequest(
            packets=False,
            frames_fps=20.0,
            masks=masks,
            current_masks=current_masks,
            network=network,
        ),
        boottime_ns,
    )


@pytest.fixture
def camera(folder: Path) -> Iterator[Opened]:
    opened = open_imx500(folder)
    yield opened
    opened.close()


def next_result(camera: Opened) -> tuple[Frame, SensorInference]:
    """The next frame with a result."""
    for _ in range(100):
        (frame,) = read_media(camera, Frame, 1)
        if frame.inference is not None:
            return frame, frame.inference
    raise AssertionError("no result in 100 frames")


def test_objects_are_at_their_place_in_the_picture(camera: Opened, folder: Path) -> None:
    assert isinstance(camera, SensorNetworkControl)
    assert camera.network_error is None
    _, inference = next_result(camera)
    assert inference.area == WHOLE_AREA
    car, person = inference.objects
    assert (car.class_number, person.class_number) == (2, 0)
    assert (car.score, person.score) == pytest.approx((0.9, 0.6), abs=1e-4)
    # picamera2 rounds to pixels of the binned sensor and of the frame.
    assert (car.x, car.y, car.w, car.h) == pytest.approx(CAR_IN_PICTURE, abs=0.01)
    assert (folder / "network").read_bytes() == (folder / "street.rpk").read_bytes()


def test_the_detector_of_the_agent_returns_them_for_the_whole_picture(camera: Opened) -> None:
    frame, _ = next_result(camera)
    detector = SensorDetector(CARD, lambda: camera)
    (searched,) = detector.search(frame, ())
    assert searched.region == image.full_region(frame)
    assert [detection.label for detection in searched.detections] == ["car", "person"]
    assert detector.inference_count == 1


def test_a_region_of_interest_is_moved_on_the_sensor_and_its_objects_are_placed_in_it(
    camera: Opened, folder: Path
) -> None:
    before, _ = next_result(camera)
    camera.set_search_area(PictureArea(0.5, 0.25, 0.5, 0.5))
    for _ in range(100):
        frame, inference = next_result(camera)
        if inference.area != WHOLE_AREA:
            break
    assert frame.t_ns - before.t_ns >= 0.2e9  # no result of the time of the move
    assert (folder / "roi").read_text() == "2028 950 2028 1140"
    area = inference.area
    assert (area.x, area.y, area.w, area.h) == pytest.approx((0.5, 0.25, 0.5, 0.5), abs=0.001)
    car = inference.objects[0]
    # The same numbers are of the region now, whose middle is at three quarters of the picture's width.
    assert (car.x, car.y) == pytest.approx((0.5 + 0.25 * 0.5, 0.25 + 0.4 * 0.5), abs=0.01)
    assert (car.w, car.h) == pytest.approx((0.25 * 0.5, 0.2 * 0.5), abs=0.01)


def test_an_object_that_touches_a_mask_never_leaves_the_driver(folder: Path) -> None:
    camera = open_imx500(folder, masks=(LEFT_HALF,))
    try:
        _, inference = next_result(camera)
        assert [one.class_number for one in inference.objects] == [0]
    finally:
        camera.close()


def test_while_the_masks_are_unknown_no_object_leaves_the_driver(folder: Path) -> None:
    may_answer = threading.Event()
    may_answer.set()

    def masks_now(_t_ns: int) -> tuple[Polygon, ...]:
        may_answer.wait()
        return ()

    camera = open_imx500(folder, current_masks=masks_now)
    try:
        assert next_result(camera)[1].objects
        may_answer.clear()
        threading.Timer(2.5, may_answer.set).start()
        results = [next_result(camera)[1].objects for _ in range(30)]
        assert () in results
        assert results[-1]  # half a second after the masks are known again
    finally:
        may_answer.set()
        camera.close()


@pytest.mark.parametrize(
    ("cpu", "rows"),
    [
        ({"bbox_normalization": False, "bbox_order": "yx"}, CAR),
        ({"bbox_normalization": False, "bbox_order": "xy"}, (0.25, 0.4, 0.5, 0.6, 0.9, 2)),
    ],
)
def test_the_order_and_scale_of_boxes_are_those_of_the_networks_own_description(
    folder: Path, cpu: dict[str, object], rows: tuple[float, float, float, float, float, int]
) -> None:
    imx500.write_network(folder / "street.rpk", cpu=cpu)
    imx500.write_metadata(folder, imx500.detections(rows, size_px=1))
    camera = open_imx500(folder)
    try:
        (car,) = next_result(camera)[1].objects
        assert (car.x, car.y, car.w, car.h) == pytest.approx(CAR_IN_PICTURE, abs=0.01)
    finally:
        camera.close()


def test_a_file_that_picamera2_cannot_read_fails_the_opening(folder: Path) -> None:
    """The agent opens the camera without the network then."""
    (folder / "street.rpk").write_bytes(b"no network at all")
    with pytest.raises(DriverError, match="Unrecognized archive format"):
        open_imx500(folder)


def test_a_picture_without_tensors_has_no_result(folder: Path) -> None:
    imx500.write_metadata(folder, {"ScalerCrop": list(imx500.SCALER_CROP)})
    camera = open_imx500(folder)
    try:
        frames = read_media(camera, Frame, 5)
        assert all(frame.inference is None for frame in frames)
    finally:
        camera.close()


def test_the_upload_keeps_the_camera_open_and_its_progress_is_logged(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "uploading").touch()
    imx500.set_progress(folder, 450_000, 1_000_000)
    with caplog.at_level(logging.INFO, "drivers"):
        camera = open_imx500(folder)
        try:
            deadline_ns = boottime_ns() + 3 * 10**9  # three times the limit of silence
            while boottime_ns() < deadline_ns:
                assert camera.read(0.5) is None
            (folder / "uploading").unlink()
            next_result(camera)
        finally:
            camera.close()
    assert any("loaded to 40 %" in record.message for record in caplog.records)


def test_without_a_readable_progress_the_upload_keeps_the_camera_open_too(folder: Path) -> None:
    """debugfs is root's, and a box has no sudo."""
    shutil.rmtree(folder / "sys/kernel/debug")
    (folder / "uploading").touch()
    camera = open_imx500(folder)
    try:
        assert camera.read(2.0) is None
        (folder / "uploading").unlink()
        next_result(camera)
    finally:
        camera.close()


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "dev/v4l-subdev0").unlink(), "No such file"),
        (
            lambda folder: (folder / "sys/class/video4linux/v4l-subdev0/device").unlink(),
            "not found",
        ),
        (lambda folder: (folder / "street.rpk").unlink(), "does not exist"),
        (
            lambda folder: imx500.write_network(
                folder / "street.rpk", cpu={"post_processing": "nanodet"}
            ),
            "with its post-processing",
        ),
        (
            lambda folder: imx500.write_network(folder / "street.rpk", labels=("face", "plate")),
            "its class 0 is not 'person'",
        ),
    ],
)
def test_without_a_working_network_the_camera_works_and_says_why(
    folder: Path, break_it: Any, words: str
) -> None:
    break_it(folder)
    camera = open_imx500(folder)
    try:
        assert camera.network_error is not None
        assert words in camera.network_error
        assert read_media(camera, Frame, 2)[-1].inference is None
        assert camera.read(READ_TIMEOUT_S) is not None
    finally:
        camera.close()
