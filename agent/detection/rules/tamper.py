"""`view_*`: faults of the picture itself: dark, blocked, blurred, moved, frozen.

The picture is compared with a slowly learnt reference, cell by cell. It is edges that are compared:
their positions do not change with light or gain, and traffic covers few cells at a time.

        dark     nothing in it is bright
        blocked  it is flat, or the edges of half the cells are missing
        blurred  light and dark areas are unchanged, and the edges between them are soft
        moved    there are edges, and not even the best fifth of the cells has them where they were
        frozen   it is equal to the last bit of noise, frame after frame

    During a fault the new view is learnt so slowly that it becomes the reference within an hour.
"""

from typing import Any, Literal

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.event_type import EventType
from agent.base.model import Event, FrameResult
from agent.base.picture_light import measure_light
from agent.detection.image import median
from agent.detection.rules.rule import RuleContext, RuleType
from agent.detection.rules.sustained_event import SustainedEvent
from agent.detection.scene import Scene
from drivers.media import NS_PER_S, Plane

TamperKind = Literal["view_dark", "view_blocked", "view_blurred", "view_moved"]


def _event_type(kind: str, sentence: str) -> EventType:
    return EventType(
        kind=kind, title=sentence, begin=sentence, end=f"{sentence}: over", severity="fault"
    )


TAMPER_EVENTS: dict[TamperKind, EventType] = {
    "view_blocked": _event_type("view_blocked", "the view is blocked"),
    "view_blurred": _event_type("view_blurred", "the view is blurred"),
    "view_dark": _event_type("view_dark", "the view is dark"),
    "view_moved": _event_type("view_moved", "the camera was moved"),
}
FROZEN = _event_type("view_frozen", "the view is frozen")

SAMPLE_INTERVAL_NS = NS_PER_S
WIDTH_PX = 160
CELL_GRID = (8, 6)
COARSE_SIZE_PX = (20, 15)

MIN_LUMA_STD = 5.0
"""A smaller standard deviation is a cap, a hand or a bag."""
MIN_CELL_EDGE = 3.0
"""Least mean edge, in grey levels a pixel, of a cell that is compared."""
MIN_TEXTURED_RATIO = 0.3
"""Least part of the cells that has edges, below which a picture is not compared."""
MIN_CELL_CORRELATION = 0.35
"""Correlation of a cell's edges with the reference's from which they count as present."""
MAX_EDGE_REMAINDER = 0.3
"""Part of a cell's edges that is left if the cell is covered."""
BLOCKED_CELL_RATIO = 0.45
MIN_BEST_CELL_CORRELATION = 0.7
"""Correlation of the edges in the best fifth of the cells. Measured on 23 street clips: 0.94 and
more where nothing moved, 0.75 and less once the view has shifted by 4 % of its width. A bus that
stands before the camera leaves some cells as they were.
"""
MIN_DETAIL_RATIO = 0.5
"""By the reference's fine detail. On the same clips usually 0.81 and more, day and night; a blur of
one gate pixel, six of 1080p, leaves 0.6, one and a half leave 0.4.
"""
MIN_COARSE_CORRELATION = 0.75
"""Correlation of the coarse picture."""
FROZEN_MAX_DIFFERENCE = 1
"""Grey levels: noise changes some pixel by more."""

BEGIN_AFTER_S: dict[TamperKind, float] = {
    "view_dark": 10.0,
    "view_blocked": 10.0,
    "view_blurred": 15.0,
    "view_moved": 10.0,
}
CLEAR_AFTER_S = 5.0
FROZEN_AFTER_S = 20.0

WARM_UP_SAMPLES = 15
LEARN_SAMPLES = 600
LEARN_SAMPLES_IN_FAULT = 3600

_Grid = npt.NDArray[np.float32]


class TamperRule:
    """Compares one camera's picture with its learnt view, once a second."""

    def __init__(self, context: RuleContext) -> None:
        self._events = {
            kind: SustainedEvent(
                TAMPER_EVENTS[kind],
                context.camera,
                context.new_id,
                after_s=after_s,
                clear_s=CLEAR_AFTER_S,
            )
            for kind, after_s in BEGIN_AFTER_S.items()
        }
        self._frozen_event = SustainedEvent(
            FROZEN, context.camera, context.new_id, after_s=FROZEN_AFTER_S, clear_s=CLEAR_AFTER_S
        )
        self._reference = _ReferenceView()
        self._last_sample_ns: int | None = None
        self._unchanged_gate: Plane | None = None
        self._unchanged_since_ns = 0

    def step(self, result: FrameResult) -> list[Event]:
        """Return what this picture begins, updates and ends."""
        t_ns = result.t_ns
        if self._last_sample_ns is not None and t_ns - self._last_sample_ns < SAMPLE_INTERVAL_NS:
            return []
        self._last_sample_ns = t_ns
        detected = self._reference.classify(result.gate_luma)
        events = [self._frozen_event.step(t_ns, self._frozen_since_ns(result))]
        events += [
            event.step(t_ns, t_ns if kind == detected else None)
            for kind, event in self._events.items()
        ]
        return [event for event in events if event is not None]

    def flush(self, t_ns: int) -> list[Event]:
        """End the open events."""
        sustained_events = (self._frozen_event, *self._events.values())
        return [event for sustained in sustained_events for event in sustained.flush(t_ns)]

    def _frozen_since_ns(self, result: FrameResult) -> int | None:
        """Return since when the picture has been the same, or None if it has just changed."""
        unchanged = self._unchanged_gate
        if (
            unchanged is None
            or unchanged.shape != result.gate_luma.shape
            or int(np.max(cv2.absdiff(unchanged, result.gate_luma))) > FROZEN_MAX_DIFFERENCE
        ):
            self._unchanged_gate, self._unchanged_since_ns = result.gate_luma, result.t_ns
            return None
        return self._unchanged_since_ns


def compare_to_reference(gate_luma: Plane, reference_luma: Plane) -> TamperKind | None:
    """Return the fault of a picture by a good one of the same size, or None if there is none."""
    downscaled = _downscale(gate_luma)
    return _classify_unlit(downscaled) or _compare_views(
        _extract_features(gate_luma, downscaled),
        _extract_features(reference_luma, _downscale(reference_luma)),
    )


class _ViewFeatures(msgspec.Struct, frozen=True):
    """The compared features of one picture, or of the reference."""

    edges: _Grid
    """Gradient of each pixel, H x W at 160 wide, as the square root of grey levels a pixel."""
    fine_detail: _Grid
    """Detail of a pixel or two in each cell, in grey levels."""
    coarse_image: _Grid
    """The picture in 20 x 15."""

    def blend(self, other: "_ViewFeatures", weight: float) -> "_ViewFeatures":
        """Return this view moved towards another one."""
        return _ViewFeatures(
            self.edges + (other.edges - self.edges) * weight,
            self.fine_detail + (other.fine_detail - self.fine_detail) * weight,
            self.coarse_image + (other.coarse_image - self.coarse_image) * weight,
        )


class _ReferenceView:
    """The learnt view."""

    def __init__(self) -> None:
        self._samples = 0
        self._features: _ViewFeatures | None = None

    def classify(self, gate_luma: Plane) -> TamperKind | None:
        """Return the fault of a picture, and blend the picture into the reference."""
        downscaled = _downscale(gate_luma)
        unlit_kind = _classify_unlit(downscaled)
        if unlit_kind is not None:
            return unlit_kind
        current = _extract_features(gate_luma, downscaled)
        reference = self._features
        if reference is None or reference.edges.shape != current.edges.shape:
            self._samples, self._features = 1, current
            return None
        is_warmed_up = self._samples >= WARM_UP_SAMPLES
        detected = _compare_views(current, reference) if is_warmed_up else None
        self._samples += 1
        window_samples = LEARN_SAMPLES_IN_FAULT if detected else min(self._samples, LEARN_SAMPLES)
        self._features = reference.blend(current, 1 / window_samples)
        return detected


def _downscale(gate_luma: Plane) -> Plane:
    height, width = gate_luma.shape
    size = (WIDTH_PX, max(CELL_GRID[1], round(height * WIDTH_PX / width)))
    return np.asarray(cv2.resize(gate_luma, size, interpolation=cv2.INTER_AREA), np.uint8)


def _classify_unlit(downscaled: Plane) -> TamperKind | None:
    """Return the fault of a picture that has nothing to compare."""
    if measure_light(downscaled).state == "dark":
        return "view_dark"
    return "view_blocked" if downscaled.std() < MIN_LUMA_STD else None


def _extract_features(gate_luma: Plane, downscaled: Plane) -> _ViewFeatures:
    return _ViewFeatures(_edge_map(downscaled), _fine_detail(gate_luma), _coarse_image(downscaled))


def _edge_map(downscaled: Plane) -> _Grid:
    blurred = cv2.GaussianBlur(downscaled, (3, 3), 0)
    grad_x = cv2.Sobel(blurred, cv2.CV_32F, 1, 0, scale=0.25)
    grad_y = cv2.Sobel(blurred, cv2.CV_32F, 0, 1, scale=0.25)
    gradient = cv2.sqrt(cv2.magnitude(grad_x, grad_y))
    return np.asarray(cv2.GaussianBlur(gradient, (3, 3), 0), np.float32)


def _fine_detail(gate_luma: Plane) -> _Grid:
    """Return the difference of two blurs: the first removes noise, the second fine detail."""
    blurred = cv2.GaussianBlur(gate_luma, (3, 3), 0)
    return _cell_means(
        cv2.absdiff(blurred, cv2.GaussianBlur(blurred, (7, 7), 0)).astype(np.float32)
    )


def _coarse_image(downscaled: Plane) -> _Grid:
    return cv2.resize(downscaled, COARSE_SIZE_PX, interpolation=cv2.INTER_AREA).astype(np.float32)


def _cell_means(image: npt.NDArray[Any]) -> _Grid:
    """Return the mean of each cell."""
    return np.asarray(cv2.resize(image, CELL_GRID, interpolation=cv2.INTER_AREA), np.float32)


def _compare_views(current: _ViewFeatures, reference: _ViewFeatures) -> TamperKind | None:
    mean_current, mean_reference = _cell_means(current.edges), _cell_means(reference.edges)
    # Means of square roots: the squares are grey levels.
    is_textured = mean_reference**2 >= MIN_CELL_EDGE
    if is_textured.mean() < MIN_TEXTURED_RATIO:
        return None
    covariance = _cell_means(current.edges * reference.edges) - mean_current * mean_reference
    variance_current = np.maximum(_cell_means(current.edges**2) - mean_current**2, 1e-6)
    variance_reference = np.maximum(_cell_means(reference.edges**2) - mean_reference**2, 1e-6)
    correlation = (covariance / np.sqrt(variance_current * variance_reference))[is_textured]
    edge_remainder = (mean_current[is_textured] / mean_reference[is_textured]) ** 2
    contrast = float(current.coarse_image.std() / max(float(reference.coarse_image.std()), 1e-3))
    is_same_scene = (
        np.corrcoef(current.coarse_image.ravel(), reference.coarse_image.ravel())[0, 1]
        >= MIN_COARSE_CORRELATION
    )
    is_detailed = reference.fine_detail >= median(reference.fine_detail.ravel())
    detail_ratio = float(
        median(
            current.fine_detail[is_detailed] / np.maximum(reference.fine_detail[is_detailed], 1e-3)
        )
    )
    if is_same_scene and detail_ratio < MIN_DETAIL_RATIO * contrast:
        return "view_blurred"
    if (
        (correlation < MIN_CELL_CORRELATION) & (edge_remainder < MAX_EDGE_REMAINDER)
    ).mean() >= BLOCKED_CELL_RATIO:
        return "view_blocked"
    if np.percentile(correlation, 80) < MIN_BEST_CELL_CORRELATION:
        return "view_moved"
    return None


def _make(_scene: Scene, context: RuleContext) -> TamperRule:
    return TamperRule(context)


RULE = RuleType(events=(*TAMPER_EVENTS.values(), FROZEN), make=_make)
