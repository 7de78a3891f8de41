"""Watch of keyframes: whether a camera's pictures between its keyframes are decoded.

While nothing moves, keyframes alone are decoded. Motion in a keyframe, against those before it, has the pictures
since the keyframe before decoded too, and then all of them until the picture has been still for QUIET_NS.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.base.health_model import DecodingState
from agent.base.model import FrameResult
from agent.detection import image
from agent.detection.contrast_stretch import ContrastStretch
from agent.detection.image import rasterize_polygons
from agent.detection.motion_gate import MotionGate
from agent.detection.pipeline import PipelineSettings
from drivers.frame_decoder import MAX_KEYFRAME_INTERVAL_NS
from drivers.media import NS_PER_S, Frame, Point

QUIET_NS = 3 * NS_PER_S
"""Stillness after which keyframes suffice: what has stopped is stationary for the rules by then."""


class KeyframeWatch:
    """The watch of one camera.

    `begin_scene` and `on_result` are called on the detect thread, `is_wanted` on the thread that decodes.
    """

    def __init__(self) -> None:
        self._excluded_polygons: Sequence[Sequence[Point]] = ()
        self._ignored_mask: npt.NDArray[np.bool_] | None = None
        self._gate: MotionGate | None = None
        self._gate_shape: tuple[int, ...] = (0, 0)
        self._stretch = ContrastStretch()
        self._active_ns = 0
        self._last_keyframe_ns: int | None = None
        self._state: DecodingState | None = None

    @property
    def state(self) -> DecodingState | None:
        """Which pictures are decoded, None before the first keyframe. Thread-safe."""
        return self._state

    def begin_scene(self, excluded_polygons: Sequence[Sequence[Point]]) -> None:
        """Ignore the motion in these polygons from now on."""
        self._excluded_polygons, self._gate = excluded_polygons, None

    def on_result(self, result: FrameResult) -> None:
        """Take the result of a frame."""
        if not result.is_still:
            self._active_ns = result.t_ns

    def is_wanted(self, keyframe: Frame) -> bool:
        """Return whether the pictures around a keyframe are wanted."""
        t_ns, last_ns = keyframe.t_ns, self._last_keyframe_ns
        self._last_keyframe_ns = t_ns
        luma = image.gate_luma(keyframe, PipelineSettings().gate_width_px)
        gate = self._gate
        if gate is None or luma.shape != self._gate_shape:
            self._gate_shape = height_px, width_px = luma.shape
            self._ignored_mask = rasterize_polygons(self._excluded_polygons, width_px, height_px)
            self._gate = gate = MotionGate(self._ignored_mask)
        motion = gate.detect(self._stretch.stretch_gate(luma, t_ns, self._ignored_mask), t_ns)
        if motion.blobs or motion.is_global_change:
            self._active_ns = max(self._active_ns, t_ns)
        if last_ns is None or t_ns - last_ns > MAX_KEYFRAME_INTERVAL_NS:
            self._state = "long_interval"
        else:
            is_active = t_ns - self._active_ns < QUIET_NS
            self._state = "motion" if is_active else "keyframes"
        return self._state != "keyframes"
