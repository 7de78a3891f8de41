"""Positions of a Pelco head that reports them: counts and poses, and whether it has arrived. Pure."""

import math
from collections.abc import Mapping

from drivers.angles import wrap_deg
from drivers.contracts import FRACTION, Pose, Range
from drivers.media import NS_PER_S
from drivers.pan_range import nearest_pan_deg, unwrap_pan_deg
from drivers.pelco_codec import FULL_CIRCLE, STOP_MOTION, PelcoAxis, PelcoMotion
from drivers.pelco_options import PelcoOptions

COUNTS_PER_DEG = 100
ARRIVAL_TOLERANCE_DEG = 0.5
REST_TOLERANCE_DEG = 0.05
"""Two reports no further apart than this, REST_AFTER_S one after the other: the head rests."""
REST_AFTER_S = 0.2
ZOOM_TOLERANCE = 0.02


def to_pose(counts: Mapping[PelcoAxis, int], options: PelcoOptions) -> Pose:
    """Convert the head's counts to a pose."""
    tilt_deg = wrap_deg(counts["tilt"] / COUNTS_PER_DEG)
    zoom = 0.0
    if "zoom" in counts and options.zoom_counts is not None:
        wide, tele = options.zoom_counts.low, options.zoom_counts.high
        zoom = FRACTION.clamp((counts["zoom"] - wide) / (tele - wide))
    return Pose(
        pan_deg=wrap_deg(counts["pan"] / COUNTS_PER_DEG),
        tilt_deg=-tilt_deg if options.tilt_direction == "down" else tilt_deg,
        zoom=zoom,
    )


def to_counts(pose: Pose, options: PelcoOptions) -> dict[PelcoAxis, int]:
    """Convert a pose, or the nearest that the head can take, to counts."""
    goal = clamp_pose(pose, options)
    tilt_deg = -goal.tilt_deg if options.tilt_direction == "down" else goal.tilt_deg
    counts: dict[PelcoAxis, int] = {
        "pan": _to_centidegrees(goal.pan_deg),
        "tilt": _to_centidegrees(tilt_deg),
    }
    if options.zoom_counts is not None:
        wide, tele = options.zoom_counts.low, options.zoom_counts.high
        counts["zoom"] = round(wide + goal.zoom * (tele - wide))
    return counts


def clamp_pose(pose: Pose, options: PelcoOptions) -> Pose:
    """Return the nearest pose that the head can take."""
    return Pose(
        pan_deg=nearest_pan_deg(pose.pan_deg, options.pan_deg),
        tilt_deg=options.tilt_deg.clamp(pose.tilt_deg),
        zoom=FRACTION.clamp(pose.zoom),
    )


class PelcoArrivalDetector:
    """The last order of a head, and whether its reports show that it is done."""

    def __init__(self, options: PelcoOptions) -> None:
        self._options = options
        self._motion = STOP_MOTION
        self._goal: Pose | None = None
        self._is_preset = False
        self._ordered_ns: int | None = None
        self._last_pose: Pose | None = None
        self._last_pose_ns = 0

    def on_move(self, motion: PelcoMotion, t_ns: int) -> None:
        """Note an order to move, or to stop."""
        self._set_order(motion, None, t_ns, is_preset=False)

    def on_goto(self, pose: Pose, t_ns: int) -> None:
        """Note an order to go to a pose."""
        self._set_order(STOP_MOTION, clamp_pose(pose, self._options), t_ns, is_preset=False)

    def on_goto_preset(self, t_ns: int) -> None:
        """Note an order to go to a preset."""
        self._set_order(STOP_MOTION, None, t_ns, is_preset=True)

    def is_moving(self, pose: Pose, t_ns: int) -> bool:
        """Return whether the head, which reports `pose`, has an order and is not known to be done."""
        if self._ordered_ns is None:
            return False
        elapsed_s = (t_ns - self._ordered_ns) / NS_PER_S
        if self._motion != STOP_MOTION:
            return not self._is_at_limits(pose)
        if self._goal is not None:
            is_done = _is_near(pose, self._goal, ARRIVAL_TOLERANCE_DEG)
        else:
            is_done = elapsed_s >= self._options.lag_s and (
                not self._is_preset or self._is_at_rest(pose, t_ns)
            )
        if is_done:
            self._ordered_ns = None
        return not is_done

    def _set_order(
        self, motion: PelcoMotion, goal: Pose | None, t_ns: int, *, is_preset: bool
    ) -> None:
        self._motion, self._goal, self._is_preset = motion, goal, is_preset
        self._ordered_ns, self._last_pose = t_ns, None

    def _is_at_rest(self, pose: Pose, t_ns: int) -> bool:
        if self._last_pose is None or not _is_near(pose, self._last_pose, REST_TOLERANCE_DEG):
            self._last_pose, self._last_pose_ns = pose, t_ns
        return (t_ns - self._last_pose_ns) / NS_PER_S >= REST_AFTER_S

    def _is_at_limits(self, pose: Pose) -> bool:
        """Return whether every moving axis is at its end."""
        motion, options = self._motion, self._options
        pan = options.pan_deg
        pan_deg = pose.pan_deg if pan is None else unwrap_pan_deg(pose.pan_deg, pan)
        return motion.focus == 0 and (
            _is_at_limit(motion.pan, pan_deg, pan, ARRIVAL_TOLERANCE_DEG)
            and _is_at_limit(motion.tilt, pose.tilt_deg, options.tilt_deg, ARRIVAL_TOLERANCE_DEG)
            and _is_at_limit(motion.zoom, pose.zoom, FRACTION, ZOOM_TOLERANCE)
        )


def _is_at_limit(speed: int, position: float, span: Range | None, tolerance: float) -> bool:
    if speed == 0:
        return True
    if span is None:
        return False
    return position >= span.high - tolerance if speed > 0 else position <= span.low + tolerance


def _is_near(one: Pose, other: Pose, tolerance_deg: float) -> bool:
    return (
        abs(wrap_deg(one.pan_deg - other.pan_deg)) <= tolerance_deg
        and math.isclose(one.tilt_deg, other.tilt_deg, rel_tol=0, abs_tol=tolerance_deg)
        and math.isclose(one.zoom, other.zoom, rel_tol=0, abs_tol=ZOOM_TOLERANCE)
    )


def _to_centidegrees(angle_deg: float) -> int:
    """Return hundredths of a degree, 0 to 35999."""
    return round(angle_deg * COUNTS_PER_DEG) % FULL_CIRCLE
