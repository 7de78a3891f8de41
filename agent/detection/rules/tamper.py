"""Faults of the picture itself: dark, blocked, blurred, moved, frozen.

The picture is compared with one that is learnt slowly, cell by cell. What counts are edges:
their places do not change with light or gain, and traffic passes over few cells at a time.

    dark     nothing in it is bright
    blocked  it is flat, or the edges of half the cells are gone
    blurred  the light and the dark are where they were, and the edges between them soft
    moved    edges there are, and not even the best fifth of the cells has them where they were
    frozen   it is the same to the last bit of noise, again and again

While a fault shows, the new view is learnt so slowly that it becomes the right one in an hour.
"""

from typing import Any, Literal, get_args

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from agent.base.model import Event, FrameResult
from agent.detection.middle import median
from agent.detection.rules.debounced_fault import DebouncedFault
from agent.detection.rules.event_lifecycle import NewId
from agent.detection.rules.road_users import NS_PER_S
from drivers.media import Plane

Verdict = Literal["view_dark", "view_blocked", "view_blurred", "view_moved"]

SAMPLE_NS = NS_PER_S
WIDTH_PX = 160
CELLS = (8, 6)
COARSE = (20, 15)

DARK_LUMA, BRIGHT_SHARE = 45, 0.01
"""Less than this share is as bright as this. A street at night has lamps."""
FLAT_LUMA = 5.0
"""Standard deviation: less than this is a cap, a hand or a bag."""
TEXTURED = 3.0
"""Mean edge, in grey levels a pixel, of a cell that can be judged."""
LEAST_TEXTURED = 0.3
"""Of the cells: a picture with fewer to judge is not judged."""
KEPT = 0.35
"""Correlation of a cell's edges with what was learnt, from which they are taken to be there."""
GONE = 0.3
"""Of a cell's edges: what is left of them when something lies over it."""
BLOCKED_SHARE = 0.45
ALIKE = 0.7
"""Correlation of the edges in the best fifth of the cells. Measured on 23 street clips: 0.94 and
more where nothing moved, 0.75 and less once the view has shifted by 4 % of its width. A bus that
stands before the camera leaves some cells as they were.
"""
SOFT = 0.5
"""Of the usual fine detail. On the same clips 0.81 and more as a rule, day and night; a blur of
one gate pixel, six of 1080p, leaves 0.6, of one and a half 0.4.
"""
SAME_SCENE = 0.75
"""Correlation of the coarse picture."""
FROZEN_STEP = 1
"""Grey levels: noise moves some pixel further than this."""

AFTER_S: dict[Verdict, float] = {
    "view_dark": 10.0,
    "view_blocked": 10.0,
    "view_blurred": 15.0,
    "view_moved": 10.0,
}
CLEAR_S = 5.0
FROZEN_AFTER_S = 20.0

WARM_UP_SAMPLES = 15
LEARN_SAMPLES = 600
LEARN_SAMPLES_IN_FAULT = 3600

_Cells = npt.NDArray[np.float32]


class TamperRule:
    """Judges one camera's picture, once a second."""

    def __init__(self, camera: str, new_id: NewId) -> None:
        self._rules = {
            verdict: DebouncedFault(verdict, camera, new_id, AFTER_S[verdict], CLEAR_S)
            for verdict in get_args(Verdict)
        }
        self._frozen = DebouncedFault("view_frozen", camera, new_id, FROZEN_AFTER_S, CLEAR_S)
        self._learnt = _Learnt()
        self._sampled_ns: int | None = None
        self._still: Plane | None = None
        self._still_since_ns = 0

    def step(self, sight: FrameResult) -> list[Event]:
        """What a new picture changed."""
        t_ns = sight.t_ns
        if self._sampled_ns is not None and t_ns - self._sampled_ns < SAMPLE_NS:
            return []
        self._sampled_ns = t_ns
        verdict = self._learnt.judge(sight.gate)
        events = self._frozen.step(t_ns, self._frozen_since_ns(sight))
        for kind, rule in self._rules.items():
            events.extend(rule.step(t_ns, t_ns if kind == verdict else None))
        return events

    def flush(self, t_ns: int) -> list[Event]:
        """End what is open."""
        rules = (self._frozen, *self._rules.values())
        return [event for rule in rules for event in rule.flush(t_ns)]

    def _frozen_since_ns(self, sight: FrameResult) -> int | None:
        """Since when the picture has been the same, or None where it just changed."""
        still = self._still
        if (
            still is None
            or still.shape != sight.gate.shape
            or int(np.max(cv2.absdiff(still, sight.gate))) > FROZEN_STEP
        ):
            self._still, self._still_since_ns = sight.gate, sight.t_ns
            return None
        return self._still_since_ns


def compare_to_reference(gate: Plane, usual: Plane) -> Verdict | None:
    """What is wrong with a picture, held against one of the same size in which nothing was."""
    small = _small(gate)
    return _unlit(small) or _compare(_view(gate, small), _view(usual, _small(usual)))


class _View(msgspec.Struct, frozen=True):
    """What is judged of one picture, or of the learnt one."""

    edges: _Cells
    """How steep each pixel is, H x W at 160 wide, in the square root of grey levels a pixel."""
    fine: _Cells
    """The detail of a pixel or two in each cell, in grey levels."""
    coarse: _Cells
    """The picture in 20 x 15."""

    def blend(self, other: "_View", share: float) -> "_View":
        """This view moved towards another one by a share."""
        return _View(
            self.edges + (other.edges - self.edges) * share,
            self.fine + (other.fine - self.fine) * share,
            self.coarse + (other.coarse - self.coarse) * share,
        )


class _Learnt:
    """The view as it usually is."""

    def __init__(self) -> None:
        self._samples = 0
        self._usual: _View | None = None

    def judge(self, gate: Plane) -> Verdict | None:
        """What is wrong with a picture, which is then learnt a little."""
        small = _small(gate)
        unlit = _unlit(small)
        if unlit is not None:
            return unlit
        now = _view(gate, small)
        usual = self._usual
        if usual is None or usual.edges.shape != now.edges.shape:
            self._samples, self._usual = 1, now
            return None
        known = self._samples >= WARM_UP_SAMPLES
        verdict = _compare(now, usual) if known else None
        self._samples += 1
        slowness = LEARN_SAMPLES_IN_FAULT if verdict else min(self._samples, LEARN_SAMPLES)
        self._usual = usual.blend(now, 1 / slowness)
        return verdict


def _small(gate: Plane) -> Plane:
    height, width = gate.shape
    size = (WIDTH_PX, max(CELLS[1], round(height * WIDTH_PX / width)))
    return np.asarray(cv2.resize(gate, size, interpolation=cv2.INTER_AREA), np.uint8)


def _unlit(small: Plane) -> Verdict | None:
    """Whether there is nothing in a picture to compare."""
    if np.count_nonzero(small >= DARK_LUMA) < BRIGHT_SHARE * small.size:
        return "view_dark"
    return "view_blocked" if small.std() < FLAT_LUMA else None


def _view(gate: Plane, small: Plane) -> _View:
    return _View(_edges(small), _fine(gate), _coarse(small))


def _edges(small: Plane) -> _Cells:
    soft = cv2.GaussianBlur(small, (3, 3), 0)
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=0.25)
    down = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=0.25)
    steep = cv2.sqrt(cv2.magnitude(across, down))
    return np.asarray(cv2.GaussianBlur(steep, (3, 3), 0), np.float32)


def _fine(gate: Plane) -> _Cells:
    """The first blur takes the noise away, the second one what is fine: the difference is it."""
    soft = cv2.GaussianBlur(gate, (3, 3), 0)
    return _cells(cv2.absdiff(soft, cv2.GaussianBlur(soft, (7, 7), 0)).astype(np.float32))


def _coarse(small: Plane) -> _Cells:
    return cv2.resize(small, COARSE, interpolation=cv2.INTER_AREA).astype(np.float32)


def _cells(picture: npt.NDArray[Any]) -> _Cells:
    """The mean of each cell."""
    return np.asarray(cv2.resize(picture, CELLS, interpolation=cv2.INTER_AREA), np.float32)


def _compare(now: _View, usual: _View) -> Verdict | None:
    mean_now, mean_usual = _cells(now.edges), _cells(usual.edges)
    # Means of square roots: squared, they are grey levels again.
    textured = mean_usual**2 >= TEXTURED
    if textured.mean() < LEAST_TEXTURED:
        return None
    shared = _cells(now.edges * usual.edges) - mean_now * mean_usual
    spread_now = np.maximum(_cells(now.edges**2) - mean_now**2, 1e-6)
    spread_usual = np.maximum(_cells(usual.edges**2) - mean_usual**2, 1e-6)
    alike = (shared / np.sqrt(spread_now * spread_usual))[textured]
    left = ((mean_now / mean_usual) ** 2)[textured]
    contrast = float(now.coarse.std() / max(float(usual.coarse.std()), 1e-3))
    same_scene = np.corrcoef(now.coarse.ravel(), usual.coarse.ravel())[0, 1] >= SAME_SCENE
    rich = usual.fine >= median(usual.fine.ravel())
    fine = float(median(now.fine[rich] / np.maximum(usual.fine[rich], 1e-3)))
    if same_scene and fine < SOFT * contrast:
        return "view_blurred"
    if ((alike < KEPT) & (left < GONE)).mean() >= BLOCKED_SHARE:
        return "view_blocked"
    if np.percentile(alike, 80) < ALIKE:
        return "view_moved"
    return None
