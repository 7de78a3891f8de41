"""Condition of one camera: the one place that decides why it delivers nothing, or too little. Pure.

Faults, the health report, the console and the centre use this decision. Shedding comes before blaming: a
camera that the box itself has closed has no fault.
"""

from collections import deque

import msgspec

from agent.base.health_model import CameraState
from agent.base.message import Message
from agent.capture.capture_stage import CaptureCounts
from agent.health.hysteresis import Hysteresis, at_least, below

LATE_AFTER_S = 5.0
"""A camera whose newest frame is older is waited for, and no longer counts as delivering."""
LOST_AFTER_S = 10.0
MIN_RATE_RATIO, RECOVERED_RATE_RATIO = 0.5, 0.75
"""Shares of the target rate below which a camera becomes slow, and from which it is no longer."""
SLOW_AFTER_S, RECOVERED_AFTER_S = 60.0, 20.0
RATE_SAMPLES = 10
"""The rate is the mean over this many checks, one per second."""


class CameraEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence on one camera at one check.

    `is_shed`: the degradation level leaves none of its streams open. `mask_error`: its masks cannot be
    applied. `was_stuck`: the kernel held it in an earlier run of this boot, and it has delivered nothing
    since. `breaks_reader`: what it sends has ended the process that reads it.
    """

    counts: CaptureCounts
    is_shed: bool = False
    mask_error: str | None = None
    was_stuck: bool = False
    breaks_reader: bool = False
    target_detect_fps: float | None = None


class CameraCondition(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a camera, with the detail of its fault if the state is one."""

    state: CameraState
    detail: Message | None = None


class CameraMonitor:
    """Evaluates one camera once per second. `condition` may be read from any thread."""

    def __init__(self, started_ns: int) -> None:
        self.condition = CameraCondition(state="waiting")
        self._expected_since_ns = started_ns
        """Silence counts from here on: nothing was requested of the camera before."""
        self.resumed_ns: int | None = None
        """The first check after the box itself had kept the camera closed."""
        self._was_shed = False
        self._lost_state: CameraState | None = None
        self._other_since_ns: int | None = None
        """Since when the evidence has been for the other of the two lost states."""
        self._slow = Hysteresis(SLOW_AFTER_S, RECOVERED_AFTER_S)
        self._slow_detail: Message | None = None
        self._frame_counts: deque[tuple[int, int]] = deque(maxlen=RATE_SAMPLES)

    def update(self, t_ns: int, evidence: CameraEvidence) -> CameraCondition:
        """Return the condition at `t_ns`."""
        is_slow = self._update_rate(t_ns, evidence)
        condition = self._find_cause(t_ns, evidence)
        if condition is None:
            condition = (
                CameraCondition(state="slow", detail=self._slow_detail)
                if is_slow
                else CameraCondition(state="delivering")
            )
        self.condition = condition
        return condition

    def _find_cause(self, t_ns: int, evidence: CameraEvidence) -> CameraCondition | None:
        """Return the condition of a camera that delivers nothing, or None if it delivers."""
        if self._was_shed and not evidence.is_shed:
            self._expected_since_ns = self.resumed_ns = t_ns
        self._was_shed = evidence.is_shed
        if evidence.mask_error is not None or evidence.is_shed:
            self._expected_since_ns, self._lost_state = t_ns, None
            if evidence.mask_error is not None:
                return CameraCondition(
                    state="masks_failed", detail=Message("{reason}", reason=evidence.mask_error)
                )
            return CameraCondition(state="shed")
        return self._find_device_cause(t_ns, evidence)

    def _find_device_cause(self, t_ns: int, evidence: CameraEvidence) -> CameraCondition | None:
        counts = evidence.counts
        if counts.is_stuck:
            return CameraCondition(
                state="stuck", detail=_error_message(counts) or Message("it is stuck")
            )
        silent_s = (t_ns - max(self._expected_since_ns, counts.last_media_ns or 0)) / 1e9
        if silent_s >= LOST_AFTER_S:
            lost_state = self._update_lost_state(t_ns, counts)
            if evidence.was_stuck:
                detail = _error_message(counts) or Message(
                    "it delivers nothing, and was stuck in the kernel before"
                )
                return CameraCondition(state="stuck", detail=detail)
            if evidence.breaks_reader:
                return CameraCondition(state="breaks_reader")
            detail = _error_message(counts) or Message(
                "silent for {seconds:.0f} s", seconds=silent_s
            )
            return CameraCondition(state=lost_state, detail=detail)
        self._lost_state = None
        if counts.last_media_ns is None or silent_s > LATE_AFTER_S:
            return CameraCondition(state="waiting")
        return None

    def _update_lost_state(self, t_ns: int, counts: CaptureCounts) -> CameraState:
        """Return which fault a lost camera has: it cannot be opened, or it opens and sends nothing.

        The other one has to last for `LOST_AFTER_S`: a camera that refuses now and then would otherwise
        alternate between two faults.
        """
        found: CameraState = "silent" if counts.could_open else "closed"
        if self._lost_state is None or found == self._lost_state:
            self._lost_state, self._other_since_ns = found, None
        elif self._other_since_ns is None:
            self._other_since_ns = t_ns
        elif t_ns - self._other_since_ns >= LOST_AFTER_S * 1e9:
            self._lost_state, self._other_since_ns = found, None
        return self._lost_state

    def _update_rate(self, t_ns: int, evidence: CameraEvidence) -> bool:
        """Return True if too few frames for detection have come for a while.

        A camera that delivers nothing at all is not slow. Frames that detection did not take in time
        were delivered: an overloaded box does not make its cameras slow.
        """
        target_fps, frames = evidence.target_detect_fps, evidence.counts.frames
        if target_fps is None:
            self._frame_counts.clear()
        ratio: float | None = None
        if self._frame_counts and target_fps and evidence.counts.is_open:
            first_ns, first_frames = self._frame_counts[0]
            fps = (frames - first_frames) / max((t_ns - first_ns) / 1e9, 1e-3)
            ratio = fps / target_fps if fps > 0 else None
            if ratio is not None and ratio < MIN_RATE_RATIO:
                self._slow_detail = Message(
                    "{fps:.1f} of {target:.1f} frames/s for detection", fps=fps, target=target_fps
                )
        self._frame_counts.append((t_ns, frames))
        return self._slow.update(
            t_ns, bad=below(ratio, MIN_RATE_RATIO), good=at_least(ratio, RECOVERED_RATE_RATIO)
        )


def _error_message(counts: CaptureCounts) -> Message | None:
    return None if counts.last_error is None else Message("{reason}", reason=counts.last_error)
