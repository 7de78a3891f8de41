"""The eyes: from a frame to confirmed tracks.

The gate says where something moves; the crops choose where to look, within a budget of passes;
the detector says what is there; the tracker, who is who.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Protocol

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import BoundingBox, Detection, FrameResult
from agent.detection import crop_planner, headlights, image
from agent.detection.crop_planner import CropCandidate
from agent.detection.geometry import Point
from agent.detection.image import Region
from agent.detection.model_card import ModelCard
from agent.detection.motion_gate import MotionGate, MotionResult
from agent.detection.nms import merge_detections
from agent.detection.optical_flow import FlowShift, track_boxes
from agent.detection.tracker import LiveTrack, ObjectTracker
from drivers.media import Frame, Plane

_CUT = 0.02
"""Of the crop: a box that ends so near the crop's edge is taken to go on behind it."""

_WIDEST = 1.3
"""A person's width by height: what is wider is a crowd, or nobody."""

_LEAST_WORTH = 0.4
_MOST_PER_FRAME = 3
_FRESH_S = 0.2
_MOST_LATE = 5.0
"""A moving track that was looked for so long ago is due again; it grows more urgent up to so many
times that."""

_LARGE = 0.3
"""Of the picture's width or height: motion that is larger is looked at in parts."""

_BULK_AREA, _BULK_SOLID, _BULK_SIDE = 0.03, 0.7, 0.15
"""A bulk fills so much of the picture and of its own box, and each side has this length."""

_GRID = 16
"""Unexplained motion is remembered on a grid of so many cells in each direction."""


class PipelineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How hard to look.

    `passes_per_s` is the most that the detector runs in a second of the stream's time, and
    `survey_s` how often the whole picture is looked at though nothing moves. The gate works on a
    picture `gate_px` wide.
    """

    passes_per_s: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 15.0
    survey_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 2.0
    gate_px: Annotated[int, msgspec.Meta(ge=80, le=1280)] = 320


class ObjectDetector(Protocol):
    """What the eyes need of a detector, see `agent.detection.tflite.Detector`."""

    card: ModelCard

    def detect(self, rgb: npt.NDArray[np.uint8], /) -> tuple[Detection, ...]:
        """What is in a picture, in 0..1 of it."""


class DetectionPipeline:
    """One camera's. Frames come in order of time; their size may change with the camera's."""

    def __init__(
        self,
        detector: ObjectDetector | None,
        settings: PipelineSettings = PipelineSettings(),  # noqa: B008 - frozen
        masks: Sequence[Sequence[Point]] = (),
        numbers: Iterator[int] | None = None,
    ) -> None:
        """`masks` are polygons in which nothing is seen. Without detector nothing is tracked.
        `numbers`: see `Tracker`.
        """
        self._detector = detector
        self._settings = settings
        self._masks = masks
        self._ignored: npt.NDArray[np.bool_] | None = None
        self._gate: MotionGate | None = None
        self._gate_shape: tuple[int, ...] = ()
        self._tracker = ObjectTracker(detector.card.thresholds, numbers) if detector else None
        self._allowance = 1.0
        self._t_ns: int | None = None
        self._before: Plane | None = None
        self._surveyed_ns: int | None = None
        self._looked_ns = np.full((_GRID, _GRID), -(10**12), np.int64)

    def process(self, frame: Frame) -> FrameResult:
        """What there is to see in a frame."""
        small = image.gate_luma(frame.y, self._settings.gate_px)
        if self._gate is None or self._gate_shape != small.shape:
            self._gate_shape, self._before = small.shape, None
            self._ignored = _rasterize_masks(self._masks, small.shape[1], small.shape[0])
            self._gate = MotionGate(self._ignored)
        motion = self._gate.look(small, frame.t_ns)
        if self._tracker is None or self._detector is None:
            return _sight(frame, small, motion)
        self._follow(small, motion, frame.t_ns)
        regions = self._regions(frame, motion, self._tracker.living)
        detections: list[Detection] = []
        for region in regions:
            detections.extend(self._detect_in(frame, region, self._detector))
        boxes = [one.box for one in self._tracker.living]
        searched = crop_planner.clarity(boxes, regions, frame.width_px, frame.height_px)
        merged = merge_detections(detections)
        moves = [_has_motion(motion, detection.box) for detection in merged]
        tracks = self._tracker.update(merged, moves, searched.tolist(), _large_blobs(small, motion))
        return msgspec.structs.replace(
            _sight(frame, small, motion), tracks=tracks, passes=len(regions)
        )

    def _follow(self, small: Plane, motion: MotionResult, t_ns: int) -> None:
        """Move the tracks on, by what the picture did where anything moves in them."""
        tracker, before = self._tracker, self._before
        self._before = small
        if tracker is None:
            return
        stirred = [
            i for i, one in enumerate(tracker.living) if one.moving or _has_motion(motion, one.box)
        ]
        found: list[FlowShift | None] = [None] * len(tracker.living)
        if before is not None and stirred:
            guesses = tracker.predicted_boxes(t_ns)
            boxes = [tracker.living[i].box for i in stirred]
            for i, drift in zip(
                stirred,
                track_boxes(before, small, boxes, [guesses[i] for i in stirred]),
                strict=True,
            ):
                found[i] = drift
        tracker.predict(t_ns, found)

    def _regions(
        self, frame: Frame, motion: MotionResult, living: Sequence[LiveTrack]
    ) -> tuple[Region, ...]:
        """Where to look in this frame, which may be nowhere."""
        t_ns = frame.t_ns
        past_s = 0.0 if self._t_ns is None else max(0.0, (t_ns - self._t_ns) / 1e9)
        self._t_ns = t_ns
        self._allowance = min(
            _MOST_PER_FRAME, self._allowance + past_s * self._settings.passes_per_s
        )
        most = int(self._allowance)
        if most < 1:
            return ()
        if (
            self._surveyed_ns is None
            or motion.upset
            or (t_ns - self._surveyed_ns) / 1e9 >= self._settings.survey_s
        ):
            chosen: tuple[Region, ...] = (image.whole(frame),)
        else:
            chosen = crop_planner.plan(
                self._crop_candidates(motion, living, t_ns),
                frame.width_px,
                frame.height_px,
                self._detector.card.input.width_px if self._detector else 0,
                most,
                _LEAST_WORTH,
            )
        for region in chosen:
            self._mark_searched(region, frame)
        self._allowance -= len(chosen)
        return chosen

    def _mark_searched(self, region: Region, frame: Frame) -> None:
        if region == image.whole(frame):
            self._surveyed_ns = frame.t_ns
        rows = slice(
            round(region.y * _GRID / frame.height_px),
            round(region.bottom * _GRID / frame.height_px),
        )
        columns = slice(
            round(region.x * _GRID / frame.width_px), round(region.right * _GRID / frame.width_px)
        )
        self._looked_ns[rows, columns] = frame.t_ns

    def _crop_candidates(
        self, motion: MotionResult, living: Sequence[LiveTrack], t_ns: int
    ) -> list[CropCandidate]:
        """What asks to be looked at: tracks that move or are unsure, and motion that none explains."""
        found: list[CropCandidate] = []
        for one in living:
            box = one.box
            if one.id and not one.misses and not one.moving and not _has_motion(motion, box):
                continue
            late = min(_MOST_LATE, (t_ns - one.searched_ns) / 1e9 / _FRESH_S)
            found.append(CropCandidate(box, late * _importance(box)))
        boxes = [one.box for one in living]
        for part in (part for blob in motion.blobs for part in _parts(blob.box)):
            if any(_overlap_share(box, part) > 0.5 for box in boxes):  # noqa: PLR2004 - most of it
                continue
            column = min(_GRID - 1, int((part.x + part.w / 2) * _GRID))
            row = min(_GRID - 1, int((part.y + part.h / 2) * _GRID))
            late = (t_ns - int(self._looked_ns[row, column])) / 1e9 / _FRESH_S
            found.append(CropCandidate(part, min(_MOST_LATE, late) * _importance(part)))
        return found

    def _detect_in(self, frame: Frame, region: Region, detector: ObjectDetector) -> list[Detection]:
        """What the detector sees in a region, in 0..1 of the frame; nothing cut, nothing masked."""
        size = (detector.card.input.width_px, detector.card.input.height_px)
        width, height = frame.width_px, frame.height_px
        found: list[Detection] = []
        for detection in detector.detect(image.crop_rgb(frame, region, size)):
            box = detection.box
            if detection.score < detector.card.thresholds[detection.label].keep:
                continue
            if detection.label == "person" and box.w * region.w > _WIDEST * box.h * region.h:
                continue
            cut = (
                (box.x < _CUT and region.x > 0)
                or (box.y < _CUT and region.y > 0)
                or (box.x + box.w > 1 - _CUT and region.right < width - 1)
                or (box.y + box.h > 1 - _CUT and region.bottom < height - 1)
            )
            if cut:
                continue
            placed = BoundingBox(
                (region.x + box.x * region.w) / width,
                (region.y + box.y * region.h) / height,
                box.w * region.w / width,
                box.h * region.h / height,
            )
            if self._ignored is None or not _is_ignored(placed, self._ignored):
                found.append(msgspec.structs.replace(detection, box=placed))
        return found


def _large_blobs(small: Plane, motion: MotionResult) -> list[BoundingBox]:
    """What only a vehicle is like: by day the blobs that are so large, solid and upright or level;
    at night, when beams are large and solid too, two lamps that move.
    """
    if headlights.is_night(small):
        return [front for front in headlights.headlight_pairs(small) if _has_motion(motion, front)]
    return [
        blob.box
        for blob in motion.blobs
        if blob.area >= _BULK_AREA
        and blob.area >= _BULK_SOLID * blob.box.w * blob.box.h
        and min(blob.box.w, blob.box.h) >= _BULK_SIDE
    ]


def _parts(box: BoundingBox) -> list[BoundingBox]:
    """A blob as it is, or in parts where it is so large that it is many objects or none."""
    across, down = math.ceil(box.w / _LARGE), math.ceil(box.h / _LARGE)
    w, h = box.w / across, box.h / down
    return [
        BoundingBox(box.x + i * w, box.y + j * h, w, h) for j in range(down) for i in range(across)
    ]


def _importance(box: BoundingBox) -> float:
    """How much an object matters by its size: what is near moves on sooner than what is far."""
    return min(1.0, max(0.2, max(box.w, box.h) / 0.1))


def _has_motion(motion: MotionResult, box: BoundingBox) -> bool:
    """Whether something moves in a box."""
    return any(_overlap_share(blob.box, box) > 0.2 for blob in motion.blobs)  # noqa: PLR2004 - a corner


def _overlap_share(cover: BoundingBox, box: BoundingBox) -> float:
    """The share of a box that another one covers."""
    across = min(cover.x + cover.w, box.x + box.w) - max(cover.x, box.x)
    down = min(cover.y + cover.h, box.y + box.h) - max(cover.y, box.y)
    area = box.w * box.h
    return across * down / area if across > 0 and down > 0 and area > 0 else 0.0


def _rasterize_masks(
    masks: Sequence[Sequence[Point]], width_px: int, height_px: int
) -> npt.NDArray[np.bool_] | None:
    """The masks as a picture, True inside; None where there are none."""
    if not masks:
        return None
    canvas = np.zeros((height_px, width_px), np.uint8)
    for polygon in masks:
        corners = [[round(p.x * width_px), round(p.y * height_px)] for p in polygon]
        cv2.fillPoly(canvas, [np.array(corners, np.int32)], 1)
    return canvas.astype(bool)


def _is_ignored(box: BoundingBox, ignored: npt.NDArray[np.bool_]) -> bool:
    """Whether most of a box lies in a mask."""
    height, width = ignored.shape
    rows = slice(int(box.y * height), max(int(box.y * height) + 1, round((box.y + box.h) * height)))
    columns = slice(int(box.x * width), max(int(box.x * width) + 1, round((box.x + box.w) * width)))
    part = ignored[rows, columns]
    return bool(part.size) and float(part.mean()) > 0.5  # noqa: PLR2004 - most of it


def _sight(frame: Frame, small: Plane, motion: MotionResult) -> FrameResult:
    return FrameResult(
        seq=frame.seq, t_ns=frame.t_ns, gate=small, moving=motion.share, tracks=(), passes=0
    )
