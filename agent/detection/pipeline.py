"""Detection pipeline: from a frame to confirmed tracks.

The motion gate finds motion, the crop planner chooses regions within a budget of inferences, the
detector finds road users in them, and the tracker links these over frames.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox, Detection, FrameResult, Label
from agent.detection import crop_planner, headlights, image
from agent.detection.contrast_stretch import ContrastStretch
from agent.detection.crop_planner import CropCandidate
from agent.detection.detector import Detector, SearchedRegion
from agent.detection.geometry import covered_ratio
from agent.detection.image import Region
from agent.detection.live_track import LiveTrack
from agent.detection.model_card import LabelThresholds
from agent.detection.motion_gate import MotionGate, MotionResult
from agent.detection.nms import merge_detections
from agent.detection.optical_flow import FlowShift, track_boxes
from agent.detection.pass_budget import CameraPasses
from agent.detection.tracker import ObjectTracker
from agent.detection.view_monitor import ViewMonitor
from drivers.media import Frame, Plane, Point

_EDGE_MARGIN_RATIO = 0.02
"""A box that ends nearer to the crop's edge, by the crop's size, is taken as cut off."""

_MAX_PERSON_ASPECT = 1.3
"""A person's width by height: a wider box is several people, or none."""

_MIN_CROP_VALUE = 0.8
"""Least value of a crop. On the labelled clips at five rates of pictures F1 is .957 with 6,585 passes; at 0.4 it is .954 with 7,189."""
_MAX_INFERENCES_PER_FRAME = 3
_RECHECK_AFTER_S = 0.2
_MAX_OVERDUE_RATIO = 5.0
"""A moving track is due again after the first; its urgency grows up to the second times that."""

_MAX_PART_SIZE = 0.3
"""A larger blob, by the picture's width or height, is split."""

_LARGE_BLOB_MIN_AREA, _LARGE_BLOB_MIN_SOLIDITY, _LARGE_BLOB_MIN_SIDE = 0.03, 0.7, 0.15
"""A large blob's least area by the picture's, area by its own box's, and side."""

_SEARCH_GRID_CELLS = 16
"""Cells in each direction of the grid that stores when each part was searched last."""


class PipelineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The detector's budget in the stream's time, and the width of the gate's picture.

    The whole picture is searched every `full_frame_interval_s`, so that parked vehicles stay known.
    """

    max_inferences_per_s: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 15.0
    full_frame_interval_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 2.0
    gate_width_px: Annotated[int, msgspec.Meta(ge=80, le=1280)] = 320


class _ThresholdsInForce(Mapping[Label, LabelThresholds]):
    """The thresholds of the model that a detector uses now: a fallback changes it."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def __getitem__(self, label: Label) -> LabelThresholds:
        return self._detector.card.thresholds[label]

    def __iter__(self) -> Iterator[Label]:
        return iter(self._detector.card.thresholds)

    def __len__(self) -> int:
        return len(self._detector.card.thresholds)


class DetectionPipeline:
    """The pipeline of one camera. Frames come in the order of time; their size may change."""

    def __init__(
        self,
        detector: Detector | None,
        settings: PipelineSettings = PipelineSettings(),  # noqa: B008 - frozen
        excluded_polygons: Sequence[Sequence[Point]] = (),
        track_ids: Iterator[int] | None = None,
        passes: CameraPasses | None = None,
        view_monitor: ViewMonitor | None = None,
        contrast_stretch: ContrastStretch | None = None,
    ) -> None:
        """Nothing is detected in `excluded_polygons`. Without a detector there are no tracks.

        `passes` limits the detector's budget further while the box is under strain. `view_monitor` and `contrast_stretch`
        are those of the camera if they outlast the pipeline.
        """
        self._detector = detector
        self._settings = settings
        self._view_monitor = view_monitor or ViewMonitor()
        self._stretch = contrast_stretch or ContrastStretch()
        self._excluded_polygons = excluded_polygons
        self._ignored_mask: npt.NDArray[np.bool_] | None = None
        self._gate: MotionGate | None = None
        self._gate_shape: tuple[int, ...] = ()
        self._tracker = ObjectTracker(_ThresholdsInForce(detector), track_ids) if detector else None
        self._passes = passes
        self._inference_budget = 1.0
        self._last_frame_ns: int | None = None
        self._previous_luma: Plane | None = None
        self._last_full_frame_ns: int | None = None
        self._searched_ns = np.full((_SEARCH_GRID_CELLS, _SEARCH_GRID_CELLS), -(10**12), np.int64)

    def process(self, frame: Frame) -> FrameResult:
        """Return the motion and the confirmed tracks of a frame."""
        gate_luma = image.gate_luma(frame, self._settings.gate_width_px)
        if self._gate is None or self._gate_shape != gate_luma.shape:
            self._gate_shape, self._previous_luma = gate_luma.shape, None
            self._ignored_mask = image.rasterize_polygons(
                self._excluded_polygons, gate_luma.shape[1], gate_luma.shape[0]
            )
            self._gate = MotionGate(self._ignored_mask)
        searched_luma = self._stretch.stretch_gate(gate_luma, frame.t_ns, self._ignored_mask)
        motion = self._gate.detect(searched_luma, frame.t_ns)
        result = self._make_result(frame, gate_luma, motion)
        if self._tracker is None or self._detector is None:
            return result
        self._predict_tracks(searched_luma, motion, frame.t_ns)
        planned = self._plan_regions(frame, motion, self._tracker.live_tracks)
        input_width_px = self._detector.input_width_px(frame.width_px)
        searched = self._detector.search(
            self._stretch.stretch_regions(frame, planned, input_width_px), planned
        )
        regions = tuple(one.region for one in searched)
        detections: list[Detection] = []
        for one in searched:
            self._mark_searched(one.region, frame)
            detections.extend(self._keep_in_frame(frame, one, self._detector))
        boxes = [track.box for track in self._tracker.live_tracks]
        visibility = crop_planner.visibility(boxes, regions, frame.width_px, frame.height_px)
        merged = merge_detections(detections)
        has_motion = [_has_motion(motion, detection.box) for detection in merged]
        tracks = self._tracker.update(
            merged,
            has_motion,
            visibility.tolist(),
            _large_blobs(gate_luma, motion, is_night=result.is_night),
        )
        return msgspec.structs.replace(result, tracks=tracks, inference_count=len(regions))

    def pass_over(self, frame: Frame) -> FrameResult:
        """Return the result of a frame that masks hide as a whole.

        The masks say nothing of the view or its light, so that neither is measured.
        """
        return FrameResult(
            seq=frame.seq,
            t_ns=frame.t_ns,
            width_px=frame.width_px,
            height_px=frame.height_px,
            gate_luma=image.gate_luma(frame, self._settings.gate_width_px),
            moving_ratio=0.0,
            tracks=(),
            inference_count=0,
        )

    def _make_result(self, frame: Frame, gate_luma: Plane, motion: MotionResult) -> FrameResult:
        """Return the result of a frame without tracks."""
        return FrameResult(
            seq=frame.seq,
            t_ns=frame.t_ns,
            width_px=frame.width_px,
            height_px=frame.height_px,
            gate_luma=gate_luma,
            moving_ratio=motion.moving_ratio,
            tracks=(),
            inference_count=0,
            is_still=not motion.blobs and not motion.is_global_change,
            is_night=headlights.is_night(gate_luma, self._ignored_mask),
            view=self._view_monitor.observe(
                gate_luma, frame.t_ns, self._stretch.luma, is_moving=bool(motion.blobs)
            ),
        )

    def _predict_tracks(self, gate_luma: Plane, motion: MotionResult, t_ns: int) -> None:
        """Predict the tracks, by optical flow if anything moves in them."""
        tracker, previous = self._tracker, self._previous_luma
        self._previous_luma = gate_luma
        if tracker is None:
            return
        moving_indices = [
            i
            for i, track in enumerate(tracker.live_tracks)
            if track.is_moving or _has_motion(motion, track.box)
        ]
        shifts: list[FlowShift | None] = [None] * len(tracker.live_tracks)
        if previous is not None and moving_indices:
            predicted_shifts = tracker.predicted_shifts(t_ns)
            boxes = [tracker.live_tracks[i].box for i in moving_indices]
            for i, shift in zip(
                moving_indices,
                track_boxes(
                    previous, gate_luma, boxes, [predicted_shifts[i] for i in moving_indices]
                ),
                strict=True,
            ):
                shifts[i] = shift
        tracker.predict(t_ns, shifts)

    def _plan_regions(
        self, frame: Frame, motion: MotionResult, live_tracks: Sequence[LiveTrack]
    ) -> tuple[Region, ...]:
        """Return the regions to search in this frame, within the budget."""
        t_ns = frame.t_ns
        elapsed_s = (
            0.0 if self._last_frame_ns is None else max(0.0, (t_ns - self._last_frame_ns) / 1e9)
        )
        self._last_frame_ns = t_ns
        self._inference_budget = min(
            _MAX_INFERENCES_PER_FRAME,
            self._inference_budget + elapsed_s * self._max_inferences_per_s(t_ns),
        )
        max_crops = int(self._inference_budget)
        chosen = self._choose_regions(frame, motion, live_tracks, max_crops) if max_crops else ()
        if self._passes is not None:
            is_limited = bool(motion.blobs) and len(chosen) == max_crops
            self._passes.note(len(chosen), is_limited=is_limited)
        self._inference_budget -= len(chosen)
        return chosen

    def _max_inferences_per_s(self, t_ns: int) -> float:
        limit_per_s = None if self._passes is None else self._passes.limit_per_s(t_ns)
        own_per_s = self._settings.max_inferences_per_s
        return own_per_s if limit_per_s is None else min(own_per_s, limit_per_s)

    def _choose_regions(
        self, frame: Frame, motion: MotionResult, live_tracks: Sequence[LiveTrack], max_crops: int
    ) -> tuple[Region, ...]:
        """Return the whole picture if it is due, and otherwise the best crops."""
        t_ns = frame.t_ns
        if (
            self._last_full_frame_ns is None
            or motion.is_global_change
            or (t_ns - self._last_full_frame_ns) / 1e9 >= self._settings.full_frame_interval_s
        ):
            return (image.full_region(frame),)
        return crop_planner.plan_crops(
            self._crop_candidates(motion, live_tracks, t_ns),
            frame.width_px,
            frame.height_px,
            self._detector.input_width_px(frame.width_px) if self._detector else 0,
            max_crops,
            _MIN_CROP_VALUE,
        )

    def _mark_searched(self, region: Region, frame: Frame) -> None:
        if region == image.full_region(frame):
            self._last_full_frame_ns = frame.t_ns
        rows = slice(
            round(region.y * _SEARCH_GRID_CELLS / frame.height_px),
            round(region.bottom * _SEARCH_GRID_CELLS / frame.height_px),
        )
        columns = slice(
            round(region.x * _SEARCH_GRID_CELLS / frame.width_px),
            round(region.right * _SEARCH_GRID_CELLS / frame.width_px),
        )
        self._searched_ns[rows, columns] = frame.t_ns

    def _crop_candidates(
        self, motion: MotionResult, live_tracks: Sequence[LiveTrack], t_ns: int
    ) -> list[CropCandidate]:
        """Return moving and uncertain tracks, and motion that no track explains."""
        found: list[CropCandidate] = []
        for track in live_tracks:
            box = track.box
            if (
                track.id
                and not track.misses
                and not track.is_moving
                and not _has_motion(motion, box)
            ):
                continue
            overdue = min(_MAX_OVERDUE_RATIO, (t_ns - track.searched_ns) / 1e9 / _RECHECK_AFTER_S)
            found.append(CropCandidate(box, overdue * _size_weight(box)))
        boxes = [track.box for track in live_tracks]
        for part in (part for blob in motion.blobs for part in _split_box(blob.box)):
            if any(covered_ratio(box, part) > 0.5 for box in boxes):  # noqa: PLR2004 - most of it
                continue
            column = min(_SEARCH_GRID_CELLS - 1, int((part.x + part.w / 2) * _SEARCH_GRID_CELLS))
            row = min(_SEARCH_GRID_CELLS - 1, int((part.y + part.h / 2) * _SEARCH_GRID_CELLS))
            overdue = (t_ns - int(self._searched_ns[row, column])) / 1e9 / _RECHECK_AFTER_S
            found.append(CropCandidate(part, min(_MAX_OVERDUE_RATIO, overdue) * _size_weight(part)))
        return found

    def _keep_in_frame(
        self, frame: Frame, searched: SearchedRegion, detector: Detector
    ) -> list[Detection]:
        """Return the detections of a region, in 0..1 of the frame, without cut and masked ones."""
        region, width, height = searched.region, frame.width_px, frame.height_px
        found: list[Detection] = []
        for detection in searched.detections:
            box = detection.box
            if (
                detection.label == "person"
                and box.w * region.w > _MAX_PERSON_ASPECT * box.h * region.h
            ):
                continue
            is_cut = (
                (box.x < _EDGE_MARGIN_RATIO and region.x > 0)
                or (box.y < _EDGE_MARGIN_RATIO and region.y > 0)
                or (box.x + box.w > 1 - _EDGE_MARGIN_RATIO and region.right < width - 1)
                or (box.y + box.h > 1 - _EDGE_MARGIN_RATIO and region.bottom < height - 1)
            )
            if is_cut:
                continue
            frame_box = BoundingBox(
                (region.x + box.x * region.w) / width,
                (region.y + box.y * region.h) / height,
                box.w * region.w / width,
                box.h * region.h / height,
            )
            if self._ignored_mask is None or not _is_ignored(frame_box, self._ignored_mask):
                found.append(msgspec.structs.replace(detection, box=frame_box))
        return found


def _large_blobs(gate_luma: Plane, motion: MotionResult, *, is_night: bool) -> list[BoundingBox]:
    """Return the motion that only a vehicle makes: by day large solid blobs, by night moving lamps.

    At night the beams of headlights are large and solid too.
    """
    if is_night:
        return [
            headlight_box
            for headlight_box in headlights.find_headlight_pairs(gate_luma)
            if _has_motion(motion, headlight_box)
        ]
    return [
        blob.box
        for blob in motion.blobs
        if blob.area_ratio >= _LARGE_BLOB_MIN_AREA
        and blob.area_ratio >= _LARGE_BLOB_MIN_SOLIDITY * blob.box.w * blob.box.h
        and min(blob.box.w, blob.box.h) >= _LARGE_BLOB_MIN_SIDE
    ]


def _split_box(box: BoundingBox) -> list[BoundingBox]:
    """Split a box that is too large to be one object."""
    columns, rows = math.ceil(box.w / _MAX_PART_SIZE), math.ceil(box.h / _MAX_PART_SIZE)
    w, h = box.w / columns, box.h / rows
    return [
        BoundingBox(box.x + i * w, box.y + j * h, w, h) for j in range(rows) for i in range(columns)
    ]


def _size_weight(box: BoundingBox) -> float:
    """Return the weight of an object by its size: a near object moves further than a far one."""
    return min(1.0, max(0.2, max(box.w, box.h) / 0.1))


def _has_motion(motion: MotionResult, box: BoundingBox) -> bool:
    """Whether a blob covers a corner of a box or more."""
    return any(covered_ratio(blob.box, box) > 0.2 for blob in motion.blobs)  # noqa: PLR2004 - a corner


def _is_ignored(box: BoundingBox, ignored_mask: npt.NDArray[np.bool_]) -> bool:
    """Whether most of a box is in the mask."""
    height, width = ignored_mask.shape
    rows = slice(int(box.y * height), max(int(box.y * height) + 1, round((box.y + box.h) * height)))
    columns = slice(int(box.x * width), max(int(box.x * width) + 1, round((box.x + box.w) * width)))
    part = ignored_mask[rows, columns]
    return bool(part.size) and float(part.mean()) > 0.5  # noqa: PLR2004 - most of it
