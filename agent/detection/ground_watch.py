"""Watch of a calibrated view: whether it still shows what its ground was calibrated on. Pure.

The first good picture under new marks is kept as the reference, over restarts. Once a minute the median of five
pictures is compared with it. A picture in another light is too unlike to be compared, and changes nothing; but the
light of the reference returns each day, so that a view that is not recognised in a day of watching has moved. A view that turned
far is reported at once by the rule `view_moved`, which compares with the last minutes.
"""

from collections import deque
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np

from agent.base.sha256 import Sha256, sha256_hex
from agent.detection.ground_marks import GroundMarks
from agent.detection.view_monitor import compare_to_reference
from agent.detection.view_shift import MIN_SHIFT, measure_shift
from drivers.masking import MASK_LUMA
from drivers.media import NS_PER_S, Plane, Polygon

SAMPLE_INTERVAL_NS = NS_PER_S
SAMPLES = 5
"""Pictures of a comparison: their median removes moving objects."""
MAX_SAMPLE_GAP_NS = 5 * NS_PER_S
"""After a longer gap the pictures before it are of another time."""
CHECK_INTERVAL_NS = 60 * NS_PER_S
CONFIRMING_CHECKS = 3
"""Comparisons that have to agree: a hand at the camera or a gust is over before."""
STILL_RATIO = 0.8
"""By the shift from which the view has moved: below it the view is back."""
MAX_UNRECOGNISED_NS = 24 * 3600 * NS_PER_S
MAX_UNWATCHED_NS = 3600 * NS_PER_S
"""A longer gap is no part of that day: the light of the reference may have come and gone in it. A tour comes back earlier."""
MAX_SHIFT = MIN_SHIFT
MAX_SHIFT_ON_HEAD = 0.02
"""No head returns to a preset to the pixel: masks at a preset are painted larger by as much, for the same reason."""


class GroundReference(msgspec.Struct, frozen=True, kw_only=True):
    """The picture of a view, as PNG, from when its ground was calibrated by these marks.

    `moved` is the reason why the calibration is stale, None while it is in force. `preset` is that of the view, `""` of
    a fixed camera.
    """

    marks: Sha256
    picture: bytes
    moved: str | None
    preset: str = ""


class GroundWatch:
    """Compares the pictures of one calibrated view with its reference. One thread calls `observe`."""

    def __init__(
        self,
        marks: Sha256,
        reference: GroundReference | None,
        max_shift: float = MAX_SHIFT,
        preset: str = "",
    ) -> None:
        """`marks` are the digest of the scene's. A reference of others, or one that is no picture, is replaced."""
        self.marks = marks
        self._preset = preset
        self._max_shift = max_shift
        self.reference: GroundReference | None = None
        self._picture: Plane | None = None
        if reference is not None and reference.marks == self.marks:
            self._picture = _decode(reference.picture)
            self.reference = None if self._picture is None else reference
        self._samples: deque[Plane] = deque(maxlen=SAMPLES)
        self._last_sample_ns: int | None = None
        self._last_check_ns: int | None = None
        self._recognised_ns: int | None = None
        self._moved_checks = self._still_checks = 0

    @property
    def moved(self) -> str | None:
        """The reason why the calibration is stale, None while it is in force."""
        return None if self.reference is None else self.reference.moved

    def begin_stay(self) -> None:
        """Forget pictures from before: the camera is back at its view."""
        self._samples.clear()

    @property
    def aspect(self) -> float:
        """The width of the reference by its height, 1 without one."""
        return 1.0 if self._picture is None else self._picture.shape[1] / self._picture.shape[0]

    def cover(self, masks: Sequence[Polygon]) -> bool:
        """Paint masks over the reference: what a newer mask hides must not stay in it. Return as `observe`."""
        reference, picture = self.reference, self._picture
        if reference is None or picture is None or not masks:
            return False
        painted = _paint(picture, masks)
        if np.array_equal(painted, picture):
            return False
        self._picture = painted
        self.reference = msgspec.structs.replace(reference, picture=_encode(painted))
        return True

    def observe(self, gate_luma: Plane, t_ns: int) -> bool:
        """Take a frame's picture. Return True if the reference has changed, and is to be stored."""
        last_ns = self._last_sample_ns
        if last_ns is not None and t_ns - last_ns < SAMPLE_INTERVAL_NS:
            return False
        self._last_sample_ns = t_ns
        if self._recognised_ns is None:
            self._recognised_ns = t_ns
        gap_ns = 0 if last_ns is None else t_ns - last_ns
        if gap_ns > MAX_UNWATCHED_NS:
            self._recognised_ns += gap_ns
        is_after_gap = last_ns is None or gap_ns > MAX_SAMPLE_GAP_NS
        if is_after_gap or (self._samples and self._samples[-1].shape != gate_luma.shape):
            self._samples.clear()
        self._samples.append(gate_luma)
        is_due = self._last_check_ns is None or t_ns - self._last_check_ns >= CHECK_INTERVAL_NS
        if len(self._samples) < SAMPLES or not is_due:
            return False
        self._last_check_ns = t_ns
        picture = np.asarray(np.median(np.stack(self._samples), axis=0), np.uint8)
        if self._picture is None:
            return self._keep(picture)
        return self._compare(self._picture, picture, t_ns)

    def mark_moved(self, reason: str) -> bool:
        """Take it that the view has moved. Return as `observe`."""
        self._still_checks = 0
        return self._set_moved(reason)

    def _keep(self, picture: Plane) -> bool:
        """Keep a picture as the reference unless it is dark, flat, or in glare or low light."""
        if compare_to_reference(picture, picture) != "good":
            return False
        self._picture = picture
        self.reference = GroundReference(
            marks=self.marks, picture=_encode(picture), moved=None, preset=self._preset
        )
        return True

    def _compare(self, reference: Plane, picture: Plane, t_ns: int) -> bool:
        if reference.shape != picture.shape:
            return self._set_moved("the picture has another shape")
        shift = measure_shift(reference, picture)
        if shift is None:
            since_ns = t_ns if self._recognised_ns is None else self._recognised_ns
            if t_ns - since_ns < MAX_UNRECOGNISED_NS:
                return False
            return self._set_moved("the view has not been recognised for a day")
        self._recognised_ns = t_ns
        if shift.size >= self._max_shift:
            self._moved_checks, self._still_checks = self._moved_checks + 1, 0
        elif shift.size < STILL_RATIO * self._max_shift:
            self._moved_checks, self._still_checks = 0, self._still_checks + 1
        else:
            self._moved_checks = self._still_checks = 0
        if self._moved_checks >= CONFIRMING_CHECKS:
            return self._set_moved(
                f"the view has moved by {shift.x:+.1%} of its width and {shift.y:+.1%} of its height"
            )
        return self._still_checks >= CONFIRMING_CHECKS and self._set_moved(None)

    def _set_moved(self, reason: str | None) -> bool:
        """Take why the view has moved, or that it has not. The first reason stays."""
        reference = self.reference
        if reference is None or (reference.moved is None) == (reason is None):
            return False
        self.reference = msgspec.structs.replace(reference, moved=reason)
        return True


def marks_digest(marks: GroundMarks) -> Sha256:
    """Return the hash of a scene's marks, which names their reference."""
    return sha256_hex(msgspec.json.encode(marks))


def _paint(picture: Plane, masks: Sequence[Polygon]) -> Plane:
    painted = np.array(picture, np.uint8)
    height, width = picture.shape
    for mask in masks:
        corners = [[round(corner.x * width), round(corner.y * height)] for corner in mask]
        cv2.fillPoly(painted, [np.array(corners, np.int32)], MASK_LUMA)
    return painted


def _encode(picture: Plane) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1].tobytes())


def _decode(picture: bytes) -> Plane | None:
    decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if decoded is None else np.asarray(decoded, np.uint8)
