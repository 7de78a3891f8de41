"""View monitor: diagnoses the condition of a camera's view, once a second. Pure.

Each picture is judged alone first (`judge_picture`): dark, flat, blurred, glare, low light. Then it is compared with a
slowly learnt reference, cell by cell. It is edges that are compared: their positions do not change with light or gain, and
traffic covers few cells at a time.

        blocked  the edges of half the cells are missing
        blurred  light and dark areas are unchanged, and the edges between them are soft
        moved    there are edges, and not even the best fifth of the cells has them where they were
        frozen   the picture is equal to the last bit of noise, frame after frame

    During a fault the new view is learnt so slowly that it becomes the reference within a day: a reference that was
    learnt with a bus before the camera would otherwise never change.
"""

from collections.abc import Mapping
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.picture_view import PictureView, judge_picture
from agent.base.view_condition import VIEW_LIMITS, ViewCondition, ViewLimit, ViewState
from agent.detection.contrast_stretch import LumaRange
from agent.detection.image import median
from agent.detection.picture_quality import PictureQualityMeter, view_limits
from drivers.media import NS_PER_S, Plane

SAMPLE_INTERVAL_NS = NS_PER_S
WIDTH_PX = 160
CELL_GRID = (8, 6)
COARSE_SIZE_PX = (20, 15)

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


BEGIN_AFTER_S: Mapping[ViewState, float] = {
    "dark": 10.0,
    "frozen": 20.0,
    "blocked": 10.0,
    "blurred": 15.0,
    "moved": 10.0,
    "glare": 60.0,
    "low_light": 60.0,
}
"""Time that a state lasts before it is diagnosed, in the order in which the states count."""
CLEAR_AFTER_S: Mapping[ViewState, float] = {
    "dark": 5.0,
    "frozen": 5.0,
    "blocked": 5.0,
    "blurred": 5.0,
    "moved": 5.0,
    "glare": 60.0,
    "low_light": 60.0,
}

LIMIT_OF_STATE: Mapping[ViewState, ViewLimit] = {
    "dark": "dark",
    "frozen": "frozen",
    "blocked": "blocked",
    "blurred": "blurred",
    "moved": "moved",
    "glare": "glare",
    "low_light": "dark",
}
"""The limit of a view by its state: in none of these are road users seen as they should be."""

MIN_EDGE_SCALE = 0.65
"""Of a lens: one of 120 degrees has 0.60 and counts with an F1 of 0.79; one of 100 degrees has 0.73."""
LIMIT_BEGINS_AFTER_S, LIMIT_CLEARS_AFTER_S = 5.0, 10.0
"""Of a limit by the quality of the pictures, which is a median over some seconds already."""

WARM_UP_SAMPLES = 15
LEARN_SAMPLES = 600
LEARN_SAMPLES_IN_FAULT = 24 * 3600

_Grid = npt.NDArray[np.float32]


class ViewMonitor:
    """Diagnoses the view of one camera. One thread calls it, with pictures in the order of time.

    The reference is that of one view: `begin_view` forgets it. States that are found without a reference outlast that, so
    that a covered camera stays covered while its head turns.
    """

    def __init__(self) -> None:
        self._timers = {state: _make_state_timer(state) for state in BEGIN_AFTER_S}
        self._quality_meter = PictureQualityMeter()
        self._limit_timers = {
            limit: _Timer(LIMIT_BEGINS_AFTER_S, LIMIT_CLEARS_AFTER_S) for limit in VIEW_LIMITS
        }
        self._is_at_rest = True
        self._is_bent = False
        self._reference = _ReferenceView()
        self._condition: ViewCondition | None = None
        self._last_sample_ns: int | None = None
        self._unchanged_gate: Plane | None = None
        self._unchanged_since_ns = 0

    def begin_view(self, *, is_at_rest: bool, edge_scale: float = 1.0) -> None:
        """Take it that the camera looks elsewhere now; `is_at_rest`: its head does not move.

        `edge_scale` is that of a calibrated ground.
        """
        self._is_at_rest = is_at_rest
        self._is_bent = edge_scale < MIN_EDGE_SCALE
        self._quality_meter.forget()
        self.learn_again()

    def learn_again(self) -> None:
        """Learn the present view, which was found good."""
        self._reference = _ReferenceView()
        self._timers["moved"] = _make_state_timer("moved")

    def observe(
        self, gate_luma: Plane, t_ns: int, luma: LumaRange, *, is_moving: bool
    ) -> ViewCondition:
        """Return the condition as of a picture, which is looked at if the last one is a second old.

        `luma` is its range, outside of masks. `is_moving`: something moves in it.
        """
        self._quality_meter.observe(gate_luma, t_ns, is_moving=is_moving)
        condition, last_ns = self._condition, self._last_sample_ns
        if condition is not None and last_ns is not None and t_ns - last_ns < SAMPLE_INTERVAL_NS:
            return condition
        self._last_sample_ns = t_ns
        picture = judge_picture(gate_luma)
        detected = (
            self._reference.compare(gate_luma, picture) if self._is_at_rest else picture.state
        )
        frozen_since_ns = self._frozen_since_ns(gate_luma, t_ns)
        for state, timer in self._timers.items():
            if state == "frozen":
                timer.step(t_ns, frozen_since_ns)
            elif state != "blurred" or self._is_at_rest:
                # The pictures of a head that moves are blurred by its motion.
                timer.step(t_ns, t_ns if state == detected else None)
        self._step_limits(t_ns, picture, luma)
        self._condition = self._make_condition(t_ns, picture)
        return self._condition

    def _step_limits(self, t_ns: int, picture: PictureView, luma: LumaRange) -> None:
        """Judge the quality of pictures, while the head is at rest, unless they show nothing of the street."""
        is_measured = self._is_at_rest and picture.state in ("good", "blurred")
        if not is_measured:
            self._quality_meter.forget()
        quality = self._quality_meter.measure(luma) if is_measured else None
        limits = () if quality is None else view_limits(quality)
        for limit, timer in self._limit_timers.items():
            timer.step(t_ns, t_ns if limit in limits else None)

    def _limits(self) -> tuple[ViewLimit, ...]:
        """Return the limits that last, in order."""
        limits = {
            LIMIT_OF_STATE[state] for state, timer in self._timers.items() if timer.is_lasting
        } | {limit for limit, timer in self._limit_timers.items() if timer.is_lasting}
        if self._is_bent:
            limits.add("lens")
        return tuple(limit for limit in VIEW_LIMITS if limit in limits)

    def _make_condition(self, t_ns: int, picture: PictureView) -> ViewCondition:
        lasting = [state for state, timer in self._timers.items() if timer.is_lasting]
        previous = self._condition
        state: ViewState = lasting[0] if lasting else "good"
        state_since_ns = self._timers[state].since_ns if lasting else None
        if state_since_ns is not None:
            since_ns = state_since_ns
        elif previous is not None and previous.state == "good":
            since_ns = previous.since_ns
        else:
            gone_ns = None if previous is None else self._timers[previous.state].gone_ns
            since_ns = t_ns if gone_ns is None else gone_ns
        return ViewCondition(
            state=state,
            since_ns=since_ns,
            mean_luma=picture.light.mean,
            sharpness=picture.sharpness,
            limits=self._limits(),
        )

    def _frozen_since_ns(self, gate_luma: Plane, t_ns: int) -> int | None:
        """Return since when the picture has been the same, or None if it has just changed."""
        unchanged = self._unchanged_gate
        if (
            unchanged is None
            or unchanged.shape != gate_luma.shape
            or int(np.max(cv2.absdiff(unchanged, gate_luma))) > FROZEN_MAX_DIFFERENCE
        ):
            self._unchanged_gate, self._unchanged_since_ns = gate_luma, t_ns
            return None
        return self._unchanged_since_ns


class _Timer:
    """Begins to last when a state has held for a while, and ends when it has been gone for a while."""

    def __init__(self, begin_after_s: float, clear_after_s: float) -> None:
        self._begin_after_ns = begin_after_s * NS_PER_S
        self._clear_after_ns = clear_after_s * NS_PER_S
        self.is_lasting = False
        self.since_ns: int | None = None
        self.gone_ns: int | None = None
        """When the state was gone first since it held last."""

    def step(self, t_ns: int, since_ns: int | None) -> None:
        """Take since when the state holds, or None if it does not hold at `t_ns`."""
        if since_ns is not None:
            self.gone_ns = None
            if self.since_ns is None:
                self.since_ns = since_ns
            if t_ns - self.since_ns >= self._begin_after_ns:
                self.is_lasting = True
            return
        if self.gone_ns is None:
            self.gone_ns = t_ns
        if not self.is_lasting or t_ns - self.gone_ns >= self._clear_after_ns:
            self.is_lasting, self.since_ns = False, None


def _make_state_timer(state: ViewState) -> _Timer:
    return _Timer(BEGIN_AFTER_S[state], CLEAR_AFTER_S[state])


def compare_to_reference(gate_luma: Plane, reference_luma: Plane) -> ViewState:
    """Return the state of a view by a good picture of it that has the same size.

    Sharpness is compared alone: pictures of a certificate are medians of several.
    """
    picture = judge_picture(gate_luma)
    if picture.state not in ("good", "blurred"):
        return picture.state
    return _compare_views(
        _extract_features(gate_luma, _downscale(gate_luma)),
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

    def compare(self, gate_luma: Plane, picture: PictureView) -> ViewState:
        """Return the state of a view by a picture, and blend the picture into the reference if it can be compared."""
        if picture.state != "good":
            return picture.state
        current = _extract_features(gate_luma, _downscale(gate_luma))
        reference = self._features
        if reference is None or reference.edges.shape != current.edges.shape:
            self._samples, self._features = 1, current
            return "good"
        is_warmed_up = self._samples >= WARM_UP_SAMPLES
        detected = _compare_views(current, reference) if is_warmed_up else "good"
        self._samples += 1
        window_samples = (
            min(self._samples, LEARN_SAMPLES) if detected == "good" else LEARN_SAMPLES_IN_FAULT
        )
        self._features = reference.blend(current, 1 / window_samples)
        return detected


def _downscale(gate_luma: Plane) -> Plane:
    height, width = gate_luma.shape
    size = (WIDTH_PX, max(CELL_GRID[1], round(height * WIDTH_PX / width)))
    return np.asarray(cv2.resize(gate_luma, size, interpolation=cv2.INTER_AREA), np.uint8)


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


def _compare_views(current: _ViewFeatures, reference: _ViewFeatures) -> ViewState:
    mean_current, mean_reference = _cell_means(current.edges), _cell_means(reference.edges)
    # Means of square roots: the squares are grey levels.
    is_textured = mean_reference**2 >= MIN_CELL_EDGE
    if is_textured.mean() < MIN_TEXTURED_RATIO:
        return "good"
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
        return "blurred"
    if (
        (correlation < MIN_CELL_CORRELATION) & (edge_remainder < MAX_EDGE_REMAINDER)
    ).mean() >= BLOCKED_CELL_RATIO:
        return "blocked"
    if np.percentile(correlation, 80) < MIN_BEST_CELL_CORRELATION:
        return "moved"
    return "good"
