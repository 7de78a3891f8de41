"""Auto-tracking: follow one road user that an operator has chosen. Pure.

The bounding box is turned into a direction in the street with the pose that the head had when the
picture was taken, so neither the picture's age nor the head's own motion upsets the control. From
the directions follows a speed; the head moves as fast as the target, and faster or slower by a
share of the angle that it is off (proportional control, with a dead zone that has no edge).

The detection's tracker may lose its number while everything in the picture moves. So a road user
with the same label, near to where the target is expected, is taken for the target.
"""

import bisect
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from agent.base.model import BoundingBox, FrameResult, Label, Track
from agent.commands.requester import CommandRejected, Requester
from agent.config.heads import FieldOfView, TrackingConfig
from agent.ptz.motion.field_of_view import (
    Direction,
    angle_between_deg,
    horizontal_fov_deg,
    point_to_direction,
)
from agent.ptz.requests import ContinuousMove, HeadState, MoveRequest
from drivers.angles import unwrap_near_deg, wrap_deg
from drivers.contracts import FRACTION, SIGNED_FRACTION, Pose, PtzCapabilities, Range
from drivers.media import Point

TRACKING_REQUESTER = Requester(id="tracking", role="tracking")

GAIN_PER_S = 1.6
"""The share of the angle that the target is off, corrected in a second."""
DEAD_ZONE_SHARE = 0.04
"""Of the picture's width: the target may be this far off."""
SPEED_DEAD_ZONE_DEG_S = 1.5
"""This much of a target's speed may be the detector's noise, and is ignored."""
LOST_AFTER_S = 0.8
"""A target not seen for this long is lost; until then the head moves on as before."""
MOVE_DURATION_S = 0.8
"""The duration of a motion that no other follows."""
ASSOCIATION_GATE_SHARE = 0.15
"""Of the picture's width: a road user this near to the expected direction is the target."""
_POSE_HISTORY_SIZE = 128
_ALPHA, _BETA = 0.5, 0.12
"""Weight of a new measurement (an alpha-beta filter)."""
_TARGET_HEIGHT_RANGE = (0.15, 0.4)
"""The head zooms in on a target that fills less of the height, and out from one that fills more."""
_ZOOM_IN_SPEED, _ZOOM_OUT_SPEED = 0.3, -0.6
_ZOOM_IN_MAX_OFFSET_SHARE, _ZOOM_IN_MAX_SPEED_DEG_S = 0.12, 6.0
_ZOOM_OUT_OFFSET_SHARE = 0.3

EndReason = Literal["released", "lost", "max_duration", "refused"]


class _Target(msgspec.Struct, frozen=True, kw_only=True):
    """The last direction and the speed of the target; pan is continuous over full turns."""

    track_id: int
    label: Label
    seen_ns: int
    pan_deg: float
    tilt_deg: float
    pan_deg_s: float = 0.0
    tilt_deg_s: float = 0.0
    height: float = 0.0

    def predict(self, t_ns: int) -> Direction:
        """Return the expected direction, at most LOST_AFTER_S ahead."""
        elapsed_s = min(max(0.0, (t_ns - self.seen_ns) / 1e9), LOST_AFTER_S)
        return Direction(
            pan_deg=wrap_deg(self.pan_deg + self.pan_deg_s * elapsed_s),
            tilt_deg=self.tilt_deg + self.tilt_deg_s * elapsed_s,
        )


class _PoseSample(msgspec.Struct, frozen=True, kw_only=True):
    """A past pose of the head; pan is continuous over full turns."""

    t_ns: int
    pan_deg: float
    tilt_deg: float
    zoom: float


class AutoTracker:
    """Moves a head so that one road user stays in its picture.

    `on_frame_result`, `follow` and `release` may be called on any thread, the rest on the head's.
    """

    requester = TRACKING_REQUESTER
    tour = None

    def __init__(
        self,
        config: TrackingConfig,
        fov: FieldOfView,
        get_capabilities: Callable[[], PtzCapabilities | None],
    ) -> None:
        self._config = config
        self._fov = fov
        self._get_capabilities = get_capabilities
        self._frame_result: FrameResult | None = None
        self._requested_track: int | None = None
        self._release_requested = False
        self.requested_by: Requester | None = None
        """The requester of the last `follow`."""
        self._target: _Target | None = None
        self._track_id: int | None = None
        self._followed_since_ns: int | None = None
        self._processed_ns = 0
        self._pose_history: deque[_PoseSample] = deque(maxlen=_POSE_HISTORY_SIZE)
        self._must_stop = False
        self._moving_until_ns = 0
        self.end_reason: EndReason | None = None
        """Why the last target is not followed any more."""

    @property
    def followed_track(self) -> int | None:
        """The present number of the followed track, None if none is."""
        if self._requested_track is not None:
            return self._requested_track
        return self._target.track_id if self._target else self._track_id

    def on_frame_result(self, frame_result: FrameResult) -> None:
        """Take the newest detections of the camera."""
        self._frame_result = frame_result

    def follow(self, track_id: int, requester: Requester) -> None:
        """Follow a track. Raises: CommandRejected `unknown` if it is not in the newest picture."""
        frame_result = self._frame_result
        track_ids = () if frame_result is None else tuple(track.id for track in frame_result.tracks)
        if track_id not in track_ids:
            raise CommandRejected("unknown", f"no track {track_id} is in the picture now")
        self.requested_by = requester
        self._release_requested = False
        self._requested_track = track_id

    def release(self) -> None:
        """Stop following."""
        self._requested_track = None
        self._release_requested = True

    def step(self, t_ns: int, state: HeadState) -> MoveRequest | None:
        """Return the next move, or None if nothing is followed or the head is to wait."""
        self._record_pose(state)
        self._apply_requests(t_ns)
        if self._track_id is None or self._followed_since_ns is None:
            # Tracking ended while the head moved: it must not finish that motion.
            return self._stop() if t_ns < self._moving_until_ns else None
        if state.position is None:
            return None
        self._update_target(state.position.pose)
        seen_ns = self._target.seen_ns if self._target else self._followed_since_ns
        unseen_s = (t_ns - seen_ns) / 1e9
        if (t_ns - self._followed_since_ns) / 1e9 > self._config.max_follow_s:
            self._end_tracking("max_duration")
        elif unseen_s > LOST_AFTER_S + self._config.hold_s:
            self._end_tracking("lost")
        if self._target is None or unseen_s > LOST_AFTER_S:
            return self._stop()
        capabilities = self._get_capabilities()
        if capabilities is None:
            return None
        self._must_stop, self._moving_until_ns = True, t_ns + int(MOVE_DURATION_S * 1e9)
        return self._follow_move(t_ns, self._target, state.position.pose, capabilities)

    def on_rejected(self, t_ns: int, request: MoveRequest, rejection: CommandRejected) -> None:
        """Wait if a sector or a stronger requester is in the way; otherwise stop following."""
        if rejection.code not in ("forbidden", "busy", "expired"):
            self._end_tracking("refused")

    def _apply_requests(self, t_ns: int) -> None:
        if self._release_requested:
            self._release_requested = False
            if self._track_id is not None:
                self._end_tracking("released")
        requested_track, self._requested_track = self._requested_track, None
        if requested_track is not None:
            self._track_id, self._target, self._followed_since_ns = requested_track, None, t_ns
            self._processed_ns, self._must_stop, self.end_reason = 0, True, None

    def _end_tracking(self, reason: EndReason) -> None:
        self._track_id = self._target = self._followed_since_ns = None
        self.end_reason = reason

    def _stop(self) -> MoveRequest | None:
        """Return a stop, once after each motion, and once at the begin, which acquires the head."""
        if not self._must_stop:
            return None
        self._must_stop = False
        return ContinuousMove(for_s=MOVE_DURATION_S)

    def _record_pose(self, state: HeadState) -> None:
        position = state.position
        if position is None or (
            self._pose_history and position.t_ns <= self._pose_history[-1].t_ns
        ):
            return
        pan_deg = position.pose.pan_deg
        if self._pose_history:
            pan_deg = unwrap_near_deg(pan_deg, self._pose_history[-1].pan_deg)
        self._pose_history.append(
            _PoseSample(
                t_ns=position.t_ns,
                pan_deg=pan_deg,
                tilt_deg=position.pose.tilt_deg,
                zoom=position.pose.zoom,
            )
        )

    def _pose_at(self, t_ns: int, current: Pose) -> Pose:
        """Return the pose at a time, interpolated between the recorded ones."""
        times = [sample.t_ns for sample in self._pose_history]
        index = bisect.bisect_left(times, t_ns)
        if not times or index == len(times):
            return current
        after, before = self._pose_history[index], self._pose_history[max(0, index - 1)]
        span_ns = after.t_ns - before.t_ns
        fraction = FRACTION.clamp((t_ns - before.t_ns) / span_ns) if span_ns else 1.0

        def interpolate(low: float, high: float) -> float:
            return low + fraction * (high - low)

        return Pose(
            pan_deg=wrap_deg(interpolate(before.pan_deg, after.pan_deg)),
            tilt_deg=interpolate(before.tilt_deg, after.tilt_deg),
            zoom=interpolate(before.zoom, after.zoom),
        )

    def _update_target(self, current: Pose) -> None:
        frame_result = self._frame_result
        if frame_result is None or frame_result.t_ns <= self._processed_ns:
            return
        self._processed_ns = frame_result.t_ns
        pose = self._pose_at(frame_result.t_ns, current)
        found = self._match_target(frame_result, pose)
        if found is not None:
            direction = point_to_direction(self._fov, pose, _box_center(found.box))
            self._target = self._filter_target(found, direction, frame_result.t_ns)

    def _match_target(self, frame_result: FrameResult, pose: Pose) -> Track | None:
        """Return the target among the detections: by its number, or by its expected direction."""
        seen_now = [track for track in frame_result.tracks if track.seen_ns == frame_result.t_ns]
        track_id = self._target.track_id if self._target else self._track_id
        by_id = next((track for track in seen_now if track.id == track_id), None)
        target = self._target
        if by_id is not None or target is None:
            return by_id
        expected = target.predict(frame_result.t_ns)
        gate_deg = ASSOCIATION_GATE_SHARE * horizontal_fov_deg(self._fov, pose.zoom)

        def distance_deg(track: Track) -> float:
            return angle_between_deg(
                point_to_direction(self._fov, pose, _box_center(track.box)), expected
            )

        same_label = [track for track in seen_now if track.label == target.label]
        nearest = min(same_label, key=distance_deg, default=None)
        return nearest if nearest is not None and distance_deg(nearest) <= gate_deg else None

    def _filter_target(self, track: Track, direction: Direction, t_ns: int) -> _Target:
        previous = self._target
        elapsed_s = 0.0 if previous is None else (t_ns - previous.seen_ns) / 1e9
        if previous is None or not 0 < elapsed_s <= LOST_AFTER_S:
            return _Target(
                track_id=track.id,
                label=track.label,
                seen_ns=t_ns,
                pan_deg=direction.pan_deg,
                tilt_deg=direction.tilt_deg,
                height=track.box.h,
            )
        expected = previous.predict(t_ns)
        pan_error_deg = wrap_deg(direction.pan_deg - expected.pan_deg)
        tilt_error_deg = direction.tilt_deg - expected.tilt_deg
        return _Target(
            track_id=track.id,
            label=previous.label,
            seen_ns=t_ns,
            pan_deg=expected.pan_deg + _ALPHA * pan_error_deg,
            tilt_deg=expected.tilt_deg + _ALPHA * tilt_error_deg,
            pan_deg_s=previous.pan_deg_s + _BETA * pan_error_deg / elapsed_s,
            tilt_deg_s=previous.tilt_deg_s + _BETA * tilt_error_deg / elapsed_s,
            height=track.box.h,
        )

    def _follow_move(
        self, t_ns: int, target: _Target, pose: Pose, capabilities: PtzCapabilities
    ) -> MoveRequest:
        predicted = target.predict(t_ns)
        hfov_deg = horizontal_fov_deg(self._fov, pose.zoom)
        pan_error_deg = wrap_deg(predicted.pan_deg - pose.pan_deg)
        tilt_error_deg = predicted.tilt_deg - pose.tilt_deg
        dead_zone_deg = DEAD_ZONE_SHARE * hfov_deg
        pan = (
            _axis_speed_deg_s(pan_error_deg, target.pan_deg_s, dead_zone_deg)
            / capabilities.pan_max_deg_s
        )
        tilt = (
            _axis_speed_deg_s(tilt_error_deg, target.tilt_deg_s, dead_zone_deg)
            / capabilities.tilt_max_deg_s
        )
        zoom = 0.0
        if capabilities.zoom_ratio > 1:
            zoom = self._zoom_speed(
                target, pose, max(abs(pan_error_deg), abs(tilt_error_deg)) / hfov_deg
            )
        return ContinuousMove(
            pan=SIGNED_FRACTION.clamp(pan),
            tilt=SIGNED_FRACTION.clamp(tilt),
            zoom=zoom,
            for_s=MOVE_DURATION_S,
        )

    def _zoom_speed(self, target: _Target, pose: Pose, offset_share: float) -> float:
        """Zoom in on a small, slow target; zoom out from one that is large or near the edge."""
        min_height, max_height = _TARGET_HEIGHT_RANGE
        if (
            pose.zoom > self._config.zoom_max
            or target.height > max_height
            or offset_share > _ZOOM_OUT_OFFSET_SHARE
        ):
            return _ZOOM_OUT_SPEED if pose.zoom > 0 else 0.0
        is_calm = (
            offset_share < _ZOOM_IN_MAX_OFFSET_SHARE
            and abs(target.pan_deg_s) < _ZOOM_IN_MAX_SPEED_DEG_S
        )
        zoom_margin = self._config.zoom_max - pose.zoom
        return (
            _ZOOM_IN_SPEED * min(1.0, zoom_margin * 10)
            if is_calm and target.height < min_height
            else 0.0
        )


def _box_center(box: BoundingBox) -> Point:
    return Point(x=box.x + box.w / 2, y=box.y + box.h / 2)


def _axis_speed_deg_s(error_deg: float, target_deg_s: float, dead_zone_deg: float) -> float:
    """Return the target's speed, and the correction of its angle, both beyond their dead zones."""
    return GAIN_PER_S * _apply_dead_zone(error_deg, dead_zone_deg) + _apply_dead_zone(
        target_deg_s, SPEED_DEAD_ZONE_DEG_S
    )


def _apply_dead_zone(value: float, dead_zone: float) -> float:
    return value - Range(low=-dead_zone, high=dead_zone).clamp(value)
