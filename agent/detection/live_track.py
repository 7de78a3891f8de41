"""A track's state, from one detection to the next. Pure."""

from agent.base.model import BoundingBox, Detection, Label
from agent.detection.optical_flow import FlowShift

_POSITION_NOISE = 0.07
"""Standard deviation of a detected centre, in sizes of the object."""

_ACCELERATION_NOISE = 2.0
"""Standard deviation of the acceleration, in sizes per second squared."""

_INITIAL_VELOCITY_STD = 3.0
"""Standard deviation of the velocity after one detection, in sizes a second."""

_FLOW_GAIN, _FLOW_NOISE = 0.3, 0.03
"""Gain of the velocity from one flow shift, and the shift's standard deviation in sizes."""


class KalmanAxis:
    """Position and velocity along one axis, with their covariance."""

    __slots__ = ("p00", "p01", "p11", "position", "velocity")

    def __init__(self, position: float, size: float) -> None:
        self.position, self.velocity = position, 0.0
        self.p00 = (_POSITION_NOISE * size) ** 2
        self.p01 = 0.0
        self.p11 = (_INITIAL_VELOCITY_STD * size) ** 2

    def predict(self, dt_s: float, size: float, displacement: float | None = None) -> None:
        """Predict the state after `dt_s`, with white acceleration noise scaled by `size`.

        A `displacement` that optical flow measured in that time, which is then above 0, replaces the velocity's.
        """
        p00, p01, p11 = self.p00, self.p01, self.p11
        acceleration_noise = _ACCELERATION_NOISE * size
        q = acceleration_noise * acceleration_noise * dt_s
        drift, q_dt = dt_s * p11, q * dt_s
        predicted_p00 = p00 + (dt_s * (2 * p01 + drift) + q_dt * dt_s / 3)
        self.p01 = p01 + (drift + q_dt / 2)
        self.p11 = p11 + q
        if displacement is None:
            self.position += self.velocity * dt_s
            self.p00 = predicted_p00
            return
        self.position += displacement
        self.velocity += _FLOW_GAIN * (displacement / dt_s - self.velocity)
        flow_noise = _FLOW_NOISE * size
        self.p00 = min(predicted_p00, p00 + flow_noise * flow_noise)
        self.p01 *= self.p00 / predicted_p00

    def correct(self, measured: float, noise: float) -> None:
        """Correct by a measured position with standard deviation `noise`."""
        p00, p01 = self.p00, self.p01
        gain = 1.0 / (p00 + noise * noise)
        k0, k1 = p00 * gain, p01 * gain
        residual = measured - self.position
        self.position += k0 * residual
        self.velocity += k1 * residual
        self.p11 -= k1 * p01
        self.p01 = p01 * (1.0 - k0)
        self.p00 = p00 * (1.0 - k0)


_SIZE_GAIN = 0.35

_STANDING_MIN_NS = 1_000_000_000
"""Least age of a standing track: the velocity of a younger one is not certain."""

_APART_MIN_SPEED = 1.0
"""Difference of two velocities, in sizes of the smaller person a second, from which they are two people."""

_MAX_GROWTH, _GROWTH_MIN_HITS = 1.3, 3
"""Largest growth of a person at a match, once so many detections have given their size. A vehicle
grows faster: one that approaches or turns, and one that was seen in part.
"""


class LiveTrack:
    """The state of a track. `id` is 0 until it is confirmed."""

    __slots__ = (
        "_box",
        "begin_ns",
        "begin_x",
        "begin_y",
        "best_score",
        "detected_ns",
        "h",
        "high_score_ns",
        "hits",
        "id",
        "is_matched",
        "is_occluded",
        "label",
        "misses",
        "score_sum",
        "searched_ns",
        "seen_ns",
        "votes",
        "w",
        "x",
        "y",
    )  # fmt: skip

    def __init__(self, detection: Detection, t_ns: int) -> None:
        box = detection.box
        self.id = 0
        self.x = KalmanAxis(box.x + box.w / 2, box.w)
        self.y = KalmanAxis(box.y + box.h / 2, box.h)
        self.begin_x, self.begin_y = self.x.position, self.y.position
        self.w, self.h = box.w, box.h
        self._box: BoundingBox | None = None
        self.votes: dict[Label, float] = {detection.label: detection.score}
        self.label: Label = detection.label
        """The label of most of its detections, weighted by score."""
        self.best_score = self.score_sum = detection.score
        self.hits, self.misses, self.is_occluded = 1, 0, False
        self.is_matched = True
        """Whether a detection of the frame of the last prediction continues it."""
        self.begin_ns = self.seen_ns = self.searched_ns = self.detected_ns = t_ns
        self.high_score_ns = t_ns
        """Time of its last detection of high score."""

    @property
    def box(self) -> BoundingBox:
        """The detected or predicted box. Kept until the state changes: a frame reads it about six times."""
        box = self._box
        if box is None:
            w, h = self.w, self.h
            box = self._box = BoundingBox(self.x.position - w / 2, self.y.position - h / 2, w, h)
        return box

    @property
    def travel(self) -> float:
        """Distance from its begin, in its own sizes."""
        return max(
            abs(self.x.position - self.begin_x) / self.w,
            abs(self.y.position - self.begin_y) / self.h,
        )

    @property
    def is_moving(self) -> bool:
        """Whether it moves faster than a detector's jitter."""
        return abs(self.x.velocity) > 0.15 * self.w or abs(self.y.velocity) > 0.15 * self.h

    def is_standing(self, t_ns: int) -> bool:
        """Whether it is confirmed, does not move and has been followed for a while."""
        return bool(self.id) and t_ns - self.begin_ns > _STANDING_MIN_NS and not self.is_moving

    def moves_apart_from(self, other: "LiveTrack") -> bool:
        """Whether two people move so differently that they are not one.

        The parts of a vehicle that approaches do that too, so it is of people only.
        """
        if self.label != "person" or other.label != "person":
            return False
        limit_x, limit_y = min(self.w, other.w), min(self.h, other.h)
        return (
            abs(self.x.velocity - other.x.velocity) > _APART_MIN_SPEED * limit_x
            or abs(self.y.velocity - other.y.velocity) > _APART_MIN_SPEED * limit_y
        )

    def predict(self, dt_s: float, shift: FlowShift | None) -> None:
        """Predict the state of the next frame, `dt_s` later, by its velocity or by optical flow."""
        self.is_matched, self._box = False, None
        if shift is None:
            self.x.predict(dt_s, self.w)
            self.y.predict(dt_s, self.h)
        else:
            self.x.predict(dt_s, self.w, shift.dx)
            self.y.predict(dt_s, self.h, shift.dy)

    def update(self, detection: Detection, t_ns: int) -> None:
        """Continue with a matched detection."""
        box, score = detection.box, detection.score
        if self.label == "person" and self.hits >= _GROWTH_MIN_HITS:
            box = self._limit_growth(box)
        w, h = self.w, self.h
        self.x.correct(box.x + box.w / 2, _POSITION_NOISE * w)
        self.y.correct(box.y + box.h / 2, _POSITION_NOISE * h)
        self.w = w + _SIZE_GAIN * (box.w - w)
        self.h = h + _SIZE_GAIN * (box.h - h)
        votes = self.votes
        votes[detection.label] = votes.get(detection.label, 0.0) + score
        if len(votes) > 1:
            self.label = max(votes, key=lambda label: (votes[label], label))
        self.best_score = max(self.best_score, score)
        self.score_sum += score
        self.hits += 1
        self._box = None
        self.misses, self.is_occluded, self.is_matched = 0, False, True
        self.seen_ns = self.searched_ns = self.detected_ns = t_ns

    def _limit_growth(self, box: BoundingBox) -> BoundingBox:
        """Return the part of a larger box that the track explains: the rest is another person."""
        max_w, max_h = self.w * _MAX_GROWTH, self.h * _MAX_GROWTH
        if box.w <= max_w and box.h <= max_h:
            return box
        x, w = _nearest_part(self.x.position, max_w, box.x, box.w)
        y, h = _nearest_part(self.y.position, max_h, box.y, box.h)
        return BoundingBox(x, y, w, h)


def _nearest_part(
    centre: float, max_length: float, start: float, length: float
) -> tuple[float, float]:
    """Return the start and length of the part of an interval, at most `max_length`, nearest to `centre`."""
    if length <= max_length:
        return start, length
    return min(max(centre - max_length / 2, start), start + length - max_length), max_length
