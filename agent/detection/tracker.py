"""Multi-object tracker. Pure.

Two rounds after ByteTrack (arXiv 2110.06864): detections of high score are matched first, those of
low score may only continue the tracks that are left. Centres follow a constant velocity Kalman
filter, one for each axis. The detector sees only parts of the picture, so a track counts as missed
only if it was searched for.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, zip_longest

from agent.base.model import BoundingBox, Detection, Label, Track
from agent.detection.assignment import match
from agent.detection.geometry import containment, iou
from agent.detection.live_track import LiveTrack
from agent.detection.model_card import LabelThresholds
from agent.detection.nms import SUPERCATEGORY, is_duplicate
from agent.detection.optical_flow import FlowShift

_HIGH_SCORE_MIN_IOU, _LOW_SCORE_MIN_IOU = 0.2, 0.3
_PERSON_LOW_SCORE_MIN_IOU, _PERSON_LOW_SCORE_MAX_NS = 0.5, 500_000_000
"""For people, and the time for which detections of low score alone continue them. Textures have low scores too,
and hold a track back whose person walks on; a vehicle leaves them behind.
"""
_CONFIRM_MIN_HITS, _CONFIRM_MIN_SCORE_SUM = 3, 0.9
_TENTATIVE_MAX_MISSES, _TENTATIVE_MAX_UNSEEN_S = 3, 0.7
_CONFIRMED_MAX_MISSES, _CONFIRMED_MIN_KEEP_S = 6, 1.5
_REPORTED_MAX_MISSES = 1
_OCCLUSION_MIN_OVERLAP = 0.4
_FLOW_CARRY_MAX_S, _HIDDEN_CARRY_MAX_S = 0.8, 0.4
"""Time after a detection in which a track that optical flow moves counts as seen: one that was not
searched for since, and one that was searched for and not found, so that it is hidden.
"""
_STATIONARY_MAX_UNSEEN_S = 6.0

_BLOB_SCORE = 0.1
"""Score of a large blob among the detections of a track: next to nothing."""
_BLOB_MIN_IOU, _BLOB_MAX_CONTAINMENT = 0.5, 0.1
_BLOB_MIN_HITS, _BLOB_MIN_TRAVEL = 6, 0.45
"""A track of large blobs alone is confirmed after these hits and this travel, in its own sizes."""


class ObjectTracker:
    """Tracks the road users of one camera. Call `predict` and then `update`, once for each frame.

    Successive trackers of one camera share `track_ids`, so that no id is used again.
    """

    def __init__(
        self, thresholds: Mapping[Label, LabelThresholds], track_ids: Iterator[int] | None = None
    ) -> None:
        self._thresholds = thresholds
        self._track_ids = count(1) if track_ids is None else track_ids
        self._last_frame_ns: int | None = None
        self.live_tracks: list[LiveTrack] = []

    def predicted_shifts(self, t_ns: int) -> list[FlowShift]:
        """Return how far each of `live_tracks` will have moved at `t_ns`, by its velocity."""
        dt_s = self._elapsed_s(t_ns)
        return [
            FlowShift(track.x.velocity * dt_s, track.y.velocity * dt_s)
            for track in self.live_tracks
        ]

    def predict(self, t_ns: int, shifts: Sequence[FlowShift | None] = ()) -> None:
        """Predict every track at the time of a new frame.

        `shifts` are the displacements of `live_tracks` by optical flow, or None if unknown.
        """
        dt_s = self._elapsed_s(t_ns)
        self._last_frame_ns = t_ns
        for track, shift in zip_longest(self.live_tracks, shifts):
            x, y = track.x.position, track.y.position
            track.x.predict(dt_s, track.w)
            track.y.predict(dt_s, track.h)
            if shift is not None and dt_s > 0 and not track.is_occluded:
                track.x.apply_flow(x, shift.dx, dt_s, track.w)
                track.y.apply_flow(y, shift.dy, dt_s, track.h)
                carry_s = _HIDDEN_CARRY_MAX_S if track.misses else _FLOW_CARRY_MAX_S
                if (t_ns - track.detected_ns) / 1e9 < carry_s:
                    track.seen_ns = t_ns

    def _elapsed_s(self, t_ns: int) -> float:
        return 0.0 if self._last_frame_ns is None else max(0.0, (t_ns - self._last_frame_ns) / 1e9)

    def update(
        self,
        detections: Sequence[Detection],
        has_motion: Sequence[bool],
        visibility: Sequence[float],
        large_blobs: Sequence[BoundingBox] = (),
    ) -> tuple[Track, ...]:
        """Match the detections of the frame of the last `predict`, and return the confirmed tracks.

        `has_motion` is for each detection: a new object that does not move is more often a thing than a
        road user, so it needs a higher score. `visibility` is for each of `live_tracks` how well it was
        searched for (0..1). `large_blobs` are large solid shapes that move: one that travels and is no
        other track is a vehicle that the detector misses, as it does with most from above.
        """
        t_ns = self._last_frame_ns or 0
        visibility_by_track = {
            id(track): score for track, score in zip(self.live_tracks, visibility, strict=True)
        }
        high_score: list[Detection] = []
        low_score: list[Detection] = []
        for detection, is_moving in zip(detections, has_motion, strict=True):
            threshold = self._thresholds[detection.label]
            if detection.score >= (threshold.start_track if is_moving else threshold.show_still):
                high_score.append(detection)
            elif detection.score >= threshold.keep_track:
                low_score.append(detection)
        confirmed = [track for track in self.live_tracks if track.id]
        tentative = [track for track in self.live_tracks if not track.id]
        unmatched, high_score = self._match(confirmed, high_score, _HIGH_SCORE_MIN_IOU)
        for track in confirmed:
            if track.detected_ns == t_ns:
                track.high_score_ns = t_ns
        unmatched, low_score = self._match_low_score(unmatched, low_score, t_ns)
        unmatched_tentative, high_score = self._match(tentative, high_score, _HIGH_SCORE_MIN_IOU)
        unmatched_tentative, _ = self._match(unmatched_tentative, low_score, _LOW_SCORE_MIN_IOU)
        blob_matched = self._match_blobs((*unmatched, *unmatched_tentative), large_blobs)
        for track in (*unmatched, *unmatched_tentative):
            if id(track) not in blob_matched and visibility_by_track[id(track)] > 0.5:  # noqa: PLR2004 - it would have been recognised
                track.misses += 1
                track.searched_ns = t_ns
        self._mark_occluded([track for track in unmatched if id(track) not in blob_matched], t_ns)
        confirmed_boxes = [(track.label, track.box) for track in confirmed] if high_score else []
        for detection in high_score:
            if not any(
                is_duplicate(*labelled_box, detection.label, detection.box)
                for labelled_box in confirmed_boxes
            ):
                self.live_tracks.append(LiveTrack(detection, t_ns))
        self._start_blob_tracks(large_blobs)
        self._confirm()
        self._drop_stale(t_ns)
        self._remove_duplicates()
        return tuple(
            self._to_track(track)
            for track in self.live_tracks
            if track.id and self._is_reported(track, t_ns)
        )

    def _match(
        self, tracks: list[LiveTrack], detections: list[Detection], min_similarity: float
    ) -> tuple[list[LiveTrack], list[Detection]]:
        """Continue the tracks by their detections, and return the unmatched of both."""
        t_ns = self._last_frame_ns or 0
        pairs = match(tracks, detections, min_similarity, t_ns)
        if not pairs:
            return tracks, detections
        for i, j in pairs.items():
            tracks[i].update(detections[j], t_ns)
        matched = set(pairs.values())
        return (
            [track for i, track in enumerate(tracks) if i not in pairs],
            [d for j, d in enumerate(detections) if j not in matched],
        )

    def _match_low_score(
        self, tracks: list[LiveTrack], detections: list[Detection], t_ns: int
    ) -> tuple[list[LiveTrack], list[Detection]]:
        """Continue confirmed tracks by detections of low score, and return the unmatched of both."""
        if not tracks or not detections:
            return tracks, detections
        people = [track for track in tracks if track.label == "person"]
        vehicles = [track for track in tracks if track.label != "person"]
        doubtful = [t for t in people if t_ns - t.high_score_ns >= _PERSON_LOW_SCORE_MAX_NS]
        people = [t for t in people if t_ns - t.high_score_ns < _PERSON_LOW_SCORE_MAX_NS]
        vehicles, detections = self._match(vehicles, detections, _LOW_SCORE_MIN_IOU)
        people, detections = self._match(people, detections, _PERSON_LOW_SCORE_MIN_IOU)
        return [*vehicles, *people, *doubtful], detections

    def _match_blobs(
        self, tracks: Sequence[LiveTrack], large_blobs: Sequence[BoundingBox]
    ) -> set[int]:
        """Continue undetected vehicles with the large blob that they overlap."""
        matched: set[int] = set()
        for track in tracks:
            if SUPERCATEGORY[track.label] != "vehicle":
                continue
            candidates = [(iou(track.box, blob), blob) for blob in large_blobs]
            best_iou, blob = max(candidates, key=lambda pair: pair[0], default=(0.0, None))
            if blob is not None and best_iou > _BLOB_MIN_IOU:
                track.update(
                    Detection(label="car", score=_BLOB_SCORE, box=blob), self._last_frame_ns or 0
                )
                matched.add(id(track))
        return matched

    def _start_blob_tracks(self, large_blobs: Sequence[BoundingBox]) -> None:
        """Begin a track for each large blob that no track overlaps."""
        for blob in large_blobs:
            if not any(
                containment(track.box, blob) > _BLOB_MAX_CONTAINMENT for track in self.live_tracks
            ):
                detection = Detection(label="car", score=_BLOB_SCORE, box=blob)
                self.live_tracks.append(LiveTrack(detection, self._last_frame_ns or 0))

    def _mark_occluded(self, missed: Sequence[LiveTrack], t_ns: int) -> None:
        """Mark missed tracks behind a detected one: the optical flow there is the other's."""
        if not missed:
            return
        visible = [
            (SUPERCATEGORY[track.label], track.box)
            for track in self.live_tracks
            if track.id and track.detected_ns == t_ns
        ]
        for track in missed:
            category, box = SUPERCATEGORY[track.label], track.box
            track.is_occluded = any(
                other_category == category and containment(other, box) > _OCCLUSION_MIN_OVERLAP
                for other_category, other in visible
            )

    def _confirm(self) -> None:
        for track in self.live_tracks:
            is_confirmed = (
                track.hits >= _CONFIRM_MIN_HITS and track.score_sum >= _CONFIRM_MIN_SCORE_SUM
            )
            if track.best_score <= _BLOB_SCORE:
                is_confirmed = track.hits >= _BLOB_MIN_HITS and track.travel >= _BLOB_MIN_TRAVEL
            if is_confirmed and not track.id:
                track.id = next(self._track_ids)

    def _drop_stale(self, t_ns: int) -> None:
        """Drop tracks that were searched for and not found, and those that left the picture."""

        def is_alive(track: LiveTrack) -> bool:
            if not (0 < track.x.position < 1 and 0 < track.y.position < 1):
                return False
            if track.detected_ns == t_ns:
                return True
            unseen_s = (t_ns - track.detected_ns) / 1e9
            if not track.id:
                return track.misses < _TENTATIVE_MAX_MISSES and unseen_s < _TENTATIVE_MAX_UNSEEN_S
            if unseen_s < _CONFIRMED_MIN_KEEP_S:
                return True
            return (
                track.misses < _CONFIRMED_MAX_MISSES
                and unseen_s < _STATIONARY_MAX_UNSEEN_S
                and not track.is_moving
            )

        self.live_tracks = [track for track in self.live_tracks if is_alive(track)]

    def _remove_duplicates(self) -> None:
        """Of two confirmed tracks of one object, drop the younger one."""
        by_left_edge = sorted(
            (track.x.position - track.w / 2, track.id, track.x.position + track.w / 2, track)
            for track in self.live_tracks
            if track.id
        )
        removed_ids: set[int] = set()
        for n, (_, track_id, right, track) in enumerate(by_left_edge):
            for left, other_id, _, other in by_left_edge[n + 1 :]:
                if left >= right:
                    break
                is_apart = abs(track.y.position - other.y.position) >= (track.h + other.h) / 2
                if (
                    not is_apart
                    and not removed_ids & {track_id, other_id}
                    and is_duplicate(track.label, track.box, other.label, other.box)
                    and not track.moves_apart_from(other)
                ):
                    removed_ids.add(max(track_id, other_id))
        if removed_ids:
            self.live_tracks = [track for track in self.live_tracks if track.id not in removed_ids]

    @staticmethod
    def _is_reported(track: LiveTrack, t_ns: int) -> bool:
        return track.seen_ns == t_ns or track.misses <= _REPORTED_MAX_MISSES

    @staticmethod
    def _to_track(track: LiveTrack) -> Track:
        return Track(
            id=track.id,
            label=track.label,
            score=track.best_score,
            box=track.box,
            vx=track.x.velocity,
            vy=track.y.velocity,
            begin_ns=track.begin_ns,
            seen_ns=track.seen_ns,
        )
