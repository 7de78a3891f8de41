"""agent.detection.pipeline: from frame to tracks, with a detector that knows the truth."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from agent.base.model import BoundingBox, Detection, FrameResult
from agent.detection import image
from agent.detection.contrast_stretch import ContrastStretch
from agent.detection.detector import SearchedRegion
from agent.detection.image import Region, crop_rgb
from agent.detection.model_card import list_model_names, load_card
from agent.detection.pass_budget import PASSES_PER_CAMERA, PassBudget
from agent.detection.pipeline import DetectionPipeline, PipelineSettings
from agent.detection.tflite import open_detector
from drivers.media import NS_PER_S, Frame, Point

WIDTH, HEIGHT = 640, 360
STEP_NS = 100_000_000
CARD = load_card("ssdlite_mobilenet_v2")


class BrightCars:
    """A detector for videos in which whatever is bright is a car."""

    def __init__(self) -> None:
        self.card = CARD
        self.inference_count = 0
        self.cpu_ns = 0

    def input_width_px(self, _frame_width_px: int) -> int:
        return self.card.input.width_px

    def search(self, frame: Frame, regions: Sequence[Region]) -> tuple[SearchedRegion, ...]:
        size = (CARD.input.width_px, CARD.input.height_px)
        return tuple(SearchedRegion(r, self._detect(crop_rgb(frame, r, size))) for r in regions)

    def _detect(self, rgb: npt.NDArray[np.uint8]) -> tuple[Detection, ...]:
        self.inference_count += 1
        bright = rgb.min(axis=2) > 200
        rows, columns = np.nonzero(bright)
        if len(rows) < 12:
            return ()
        h, w = bright.shape
        left, right = columns.min() / w, (columns.max() + 1) / w
        top, bottom = rows.min() / h, (rows.max() + 1) / h
        box = BoundingBox(float(left), float(top), float(right - left), float(bottom - top))
        return (Detection(label="car", score=0.9, box=box),)


class UnsteadyBoxes(BrightCars):
    """The same, but its boxes move to and fro, and each third one is missing."""

    def _detect(self, rgb: npt.NDArray[np.uint8]) -> tuple[Detection, ...]:
        shift = 0.1 * (self.inference_count % 3 - 1)
        return tuple(
            msgspec.structs.replace(
                one, box=BoundingBox(one.box.x + shift * one.box.w, one.box.y, one.box.w, one.box.h)
            )
            for one in super()._detect(rgb)
            if shift <= 0
        )


def _frame(seq: int, car_x: int | None = None, car_y: int = 160) -> Frame:
    random = np.random.default_rng(3)
    y = np.kron(random.integers(20, 180, (18, 32)), np.ones((20, 20))).astype(np.uint8)
    if car_x is not None:
        car = y[car_y : car_y + 40, max(0, car_x) : max(0, car_x + 60)]
        car[:] = 235
        car[10:20, 10:-10] = 228
    grey = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    return Frame(seq=seq, t_ns=seq * STEP_NS, y=y, u=grey, v=grey)


def _drive(step_px: int = 12) -> Iterator[Frame]:
    for seq in range(10):
        yield _frame(seq)
    for i, x in enumerate(range(-50, WIDTH - 70, step_px)):
        yield _frame(10 + i, x)


def _watch(pipeline: DetectionPipeline, frames: Iterator[Frame]) -> list[FrameResult]:
    return [pipeline.process(frame) for frame in frames]


def test_a_car_that_drives_through_is_one_track_near_its_position() -> None:
    sights = _watch(DetectionPipeline(BrightCars()), _drive())
    assert {t.id for s in sights for t in s.tracks} == {1}
    (last,) = sights[-1].tracks
    x = -50 + 12 * (len(sights) - 11)
    assert abs(last.box.x * WIDTH - x) < 12
    assert abs(last.vx * WIDTH - 120) < 25


@pytest.mark.parametrize("light", [0.4, 0.2])
def test_a_car_in_little_light_is_searched_in_full_contrast_and_the_result_has_the_picture_as_it_is(
    light: float,
) -> None:
    frames = [
        msgspec.structs.replace(frame, y=np.asarray(16 + (frame.y - 16.0) * light, np.uint8))
        for frame in _drive()
    ]
    stretch = ContrastStretch()
    for second in range(-600, 0, 5):
        stretch.stretch_gate(image.downscale_luma(frames[0].y, 320), second * NS_PER_S, None)
    sights = _watch(DetectionPipeline(BrightCars(), contrast_stretch=stretch), iter(frames))
    assert {t.id for s in sights[15:] for t in s.tracks} == {1}
    assert max(int(s.gate_luma.max()) for s in sights) <= 16 + 219 * light


def test_a_still_picture_gets_survey_crops_only() -> None:
    detector = BrightCars()
    sights = _watch(DetectionPipeline(detector), (_frame(seq) for seq in range(101)))
    assert (
        detector.inference_count == sum(s.inference_count for s in sights) == 6
    )  # at 0 s, then every 2 s
    assert all(s.moving_ratio == 0 for s in sights)


def test_a_parked_car_stays_tracked_without_inference_on_each_frame() -> None:
    detector = BrightCars()
    sights = _watch(DetectionPipeline(detector), (_frame(seq, 300) for seq in range(150)))
    assert detector.inference_count <= 12  # three to know it, then every 2 s
    assert {t.id for s in sights[60:] for t in s.tracks} == {1}
    assert all(len(s.tracks) == 1 for s in sights[60:])


def test_a_picture_is_still_although_the_boxes_of_a_parked_car_are_unsteady() -> None:
    results = _watch(DetectionPipeline(UnsteadyBoxes()), (_frame(seq, 300) for seq in range(60)))
    tracks = [track for result in results for track in result.tracks]
    assert any(track.vx for track in tracks)
    assert [result.is_still for result in results[1:]] == [True] * 59
    (moved, *_) = _watch(DetectionPipeline(UnsteadyBoxes()), _drive())[20:]
    assert not moved.is_still


def test_inferences_stay_within_the_budget() -> None:
    detector = BrightCars()
    sights = _watch(
        DetectionPipeline(detector, PipelineSettings(max_inferences_per_s=3)), _drive(4)
    )
    seconds = len(sights) * STEP_NS / 1e9
    assert 1 <= sum(s.inference_count for s in sights) <= 3 * seconds + 1


def test_without_a_detector_the_motion_gate_still_reports_motion() -> None:
    sights = _watch(DetectionPipeline(None), _drive())
    assert sights[5].moving_ratio == 0
    assert sights[25].moving_ratio > 0.005
    assert all(s.tracks == () and s.inference_count == 0 for s in sights)
    assert sights[0].gate_luma.shape == (180, 320)


def test_nothing_is_detected_in_a_mask() -> None:
    half = (Point(0, 0), Point(0.5, 0), Point(0.5, 1), Point(0, 1))
    sights = _watch(DetectionPipeline(BrightCars(), excluded_polygons=(half,)), _drive())
    boxes = [t.box for s in sights for t in s.tracks]
    assert boxes
    assert all(box.x + box.w / 2 > 0.48 for box in boxes)


def test_two_runs_give_the_same_tracks() -> None:
    first, second = (_watch(DetectionPipeline(BrightCars()), _drive()) for _ in range(2))
    assert [(s.tracks, s.moving_ratio, s.inference_count) for s in first] == [
        (s.tracks, s.moving_ratio, s.inference_count) for s in second
    ]


def test_the_real_detector_runs_on_frames_and_counts_its_inferences() -> None:
    detector = open_detector("nanodet_320")
    sights = _watch(DetectionPipeline(detector), _drive(40))
    assert detector.inference_count == sum(s.inference_count for s in sights) > 0
    assert detector.cpu_ns > 0


def test_every_shipped_model_accepts_pictures_of_any_size() -> None:
    for name in list_model_names():
        detector = open_detector(name)
        for shape in ((40, 60, 3), (detector.input_size_px[1], detector.input_size_px[0], 3)):
            found = detector.detect(np.full(shape, 90, np.uint8))
            assert all(d.score < 0.5 for d in found)


def test_detection_continues_after_a_camera_changes_its_size() -> None:
    pipeline = DetectionPipeline(
        BrightCars(), excluded_polygons=((Point(0, 0), Point(0.2, 0), Point(0.2, 0.2)),)
    )

    def halved(frame: Frame) -> Frame:
        return Frame(
            seq=frame.seq,
            t_ns=frame.t_ns,
            y=frame.y[::2, ::4].copy(),
            u=frame.u[::2, ::4].copy(),
            v=frame.v[::2, ::4].copy(),
        )

    frames = list(_drive())
    sights = [pipeline.process(f if i < 30 else halved(f)) for i, f in enumerate(frames)]
    assert sights[29].tracks
    assert {t.id for s in sights[40:] for t in s.tracks} == {sights[29].tracks[0].id}


def test_under_strain_a_camera_uses_its_share_of_passes() -> None:
    def passes_of(*, is_strained: bool) -> int:
        budget = PassBudget()
        budget.set_strained(is_strained=is_strained)
        pipeline = DetectionPipeline(BrightCars(), passes=budget.join())
        return sum(pipeline.process(frame).inference_count for frame in _drive())

    frames = sum(1 for _ in _drive())
    limit = PASSES_PER_CAMERA * frames * STEP_NS / 1e9
    strained, free = passes_of(is_strained=True), passes_of(is_strained=False)
    assert strained <= limit + 1
    assert 0.4 * free < strained < free
