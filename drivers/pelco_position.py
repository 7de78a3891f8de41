"""A Pelco head that answers: its counts as poses and back, and whether it is still on its way. Pure."""

import math
from collections.abc import Mapping

from drivers.angles import nearest_deg, wrap_deg
from drivers.contracts import Pose, Range
from drivers.pelco import FULL_CIRCLE, STOP, Axis, Motion
from drivers.pelco_options import PelcoOptions

CENTI = 100
NS_PER_S = 1_000_000_000
ARRIVED_WITHIN_DEG = 0.5
RESTS_WITHIN_DEG = 0.05
"""Two answers that far apart at the most, `RESTS_AFTER_S` one after the other: it rests."""
RESTS_AFTER_S = 0.2
WIDE_OR_TELE = Range(low=0.0, high=1.0)
ZOOM_WITHIN = 0.02


def pose_of(counts: Mapping[Axis, int], options: PelcoOptions) -> Pose:
    """What the head's answers mean."""
    tilt_deg = wrap_deg(counts["tilt"] / CENTI)
    zoom = 0.0
    if "zoom" in counts and options.zoom_counts is not None:
        wide, tele = options.zoom_counts.low, options.zoom_counts.high
        zoom = min(max((counts["zoom"] - wide) / (tele - wide), 0.0), 1.0)
    return Pose(
        pan_deg=wrap_deg(counts["pan"] / CENTI),
        tilt_deg=-tilt_deg if options.tilt_counts == "down" else tilt_deg,
        zoom=zoom,
    )


def counts_of(pose: Pose, options: PelcoOptions) -> dict[Axis, int]:
    """What the head is told so that it goes to a pose, or as far towards it as it can."""
    goal = within(pose, options)
    tilt_deg = -goal.tilt_deg if options.tilt_counts == "down" else goal.tilt_deg
    counts: dict[Axis, int] = {"pan": _centi(goal.pan_deg), "tilt": _centi(tilt_deg)}
    if options.zoom_counts is not None:
        wide, tele = options.zoom_counts.low, options.zoom_counts.high
        counts["zoom"] = round(wide + goal.zoom * (tele - wide))
    return counts


def within(pose: Pose, options: PelcoOptions) -> Pose:
    """The nearest pose that the head can take."""
    pan_deg = pose.pan_deg
    if options.pan_deg is not None:
        middle = (options.pan_deg.low + options.pan_deg.high) / 2
        pan_deg = _clamped(nearest_deg(pan_deg, middle), options.pan_deg)
    return Pose(
        pan_deg=wrap_deg(pan_deg),
        tilt_deg=_clamped(pose.tilt_deg, options.tilt_deg),
        zoom=_clamped(pose.zoom, WIDE_OR_TELE),
    )


class Pursuit:
    """What a head was told last, and whether its answers show that it is done."""

    def __init__(self, options: PelcoOptions) -> None:
        self._options = options
        self._motion = STOP
        self._goal: Pose | None = None
        self._to_preset = False
        self._told_ns: int | None = None
        self._seen: Pose | None = None
        self._seen_ns = 0

    def moved(self, motion: Motion, t_ns: int) -> None:
        """Told to move, or to stop."""
        self._tell(motion, None, t_ns, to_preset=False)

    def sent_to(self, pose: Pose, t_ns: int) -> None:
        """Told to go to a pose."""
        self._tell(STOP, within(pose, self._options), t_ns, to_preset=False)

    def recalled(self, t_ns: int) -> None:
        """Told to go to a preset."""
        self._tell(STOP, None, t_ns, to_preset=True)

    def is_moving(self, pose: Pose, t_ns: int) -> bool:
        """Whether it has been told to move and is not known to have arrived, now that it says that
        it is at `pose`.
        """
        if self._told_ns is None:
            return False
        lasted_s = (t_ns - self._told_ns) / NS_PER_S
        if self._motion != STOP:
            return not self._at_the_stops(pose)
        if self._goal is not None:
            done = _near(pose, self._goal, ARRIVED_WITHIN_DEG)
        else:
            done = lasted_s >= self._options.lag_s and (
                not self._to_preset or self._rests(pose, t_ns)
            )
        if done:
            self._told_ns = None
        return not done

    def _tell(self, motion: Motion, goal: Pose | None, t_ns: int, *, to_preset: bool) -> None:
        self._motion, self._goal, self._to_preset = motion, goal, to_preset
        self._told_ns, self._seen = t_ns, None

    def _rests(self, pose: Pose, t_ns: int) -> bool:
        if self._seen is None or not _near(pose, self._seen, RESTS_WITHIN_DEG):
            self._seen, self._seen_ns = pose, t_ns
        return (t_ns - self._seen_ns) / NS_PER_S >= RESTS_AFTER_S

    def _at_the_stops(self, pose: Pose) -> bool:
        """Whether no axis can go on."""
        motion, options = self._motion, self._options
        pan = options.pan_deg
        middle = (pan.low + pan.high) / 2 if pan else 0.0
        return motion.focus == 0 and (
            _ended(motion.pan, nearest_deg(pose.pan_deg, middle), pan, ARRIVED_WITHIN_DEG)
            and _ended(motion.tilt, pose.tilt_deg, options.tilt_deg, ARRIVED_WITHIN_DEG)
            and _ended(motion.zoom, pose.zoom, WIDE_OR_TELE, ZOOM_WITHIN)
        )


def _ended(speed: int, place: float, span: Range | None, tolerance: float) -> bool:
    if speed == 0:
        return True
    if span is None:
        return False
    return place >= span.high - tolerance if speed > 0 else place <= span.low + tolerance


def _near(one: Pose, other: Pose, tolerance_deg: float) -> bool:
    return (
        abs(wrap_deg(one.pan_deg - other.pan_deg)) <= tolerance_deg
        and math.isclose(one.tilt_deg, other.tilt_deg, rel_tol=0, abs_tol=tolerance_deg)
        and math.isclose(one.zoom, other.zoom, rel_tol=0, abs_tol=ZOOM_WITHIN)
    )


def _clamped(value: float, span: Range) -> float:
    return min(max(value, span.low), span.high)


def _centi(angle_deg: float) -> int:
    """Hundredths of a degree, 0 to 35999."""
    return round(angle_deg * CENTI) % FULL_CIRCLE
